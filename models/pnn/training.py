"""Training of mesh networks: seeded, resumable, watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.errors import InputError, complaint
from ...runtime.seeds import seed_of
from ...runtime.threads import kernels_first
from . import checkpoint as checkpoints
from .data import Split
from .history import History
from .mesh import Mesh

OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = MappingProxyType(
    {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
)


@dataclass(frozen=True)
class Training:
    """How to train a classifier.

    Args:
        epochs: passes over the training part.
        batch: samples a step; the last step of an epoch takes what is left.
        learning_rate: of the optimizer, at the first epoch.
        final_rate: of the last epoch, as a share of the first, along half a cosine; 1 keeps it constant.
        optimizer: a name of ``OPTIMIZERS``.
        seed: of the order of the samples.

    Raises:
        InputError: a number out of bounds or an unknown optimizer.
    """

    epochs: int = 100
    batch: int = 128
    learning_rate: float = 1e-2
    final_rate: float = 1.0
    optimizer: str = "rmsprop"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", seed_of(self.seed))
        if self.optimizer not in OPTIMIZERS:
            raise InputError(
                complaint("Unknown optimizer", where="optimizer", got=self.optimizer, allowed=", ".join(OPTIMIZERS))
            )
        for name, low in (("epochs", 0), ("batch", 1)):
            if getattr(self, name) < low:
                raise InputError(
                    complaint("Out of bounds", where=name, got=getattr(self, name), allowed=f"{low} or more")
                )
        if not (self.learning_rate > 0 and 0 <= self.final_rate <= 1):
            raise InputError(
                complaint(
                    "Out of bounds",
                    where="learning_rate, final_rate",
                    got=f"{self.learning_rate}, {self.final_rate}",
                    allowed="above 0; 0 to 1",
                )
            )


def train(
    model: nn.Module,
    split: Split,
    options: Training | None = None,
    *,
    progress: Callable[[int, History], None] | None = None,
    checkpoint: str | Path | None = None,
    every: int = 10,
) -> History:
    """Train a classifier with cross entropy, validating after every epoch.

    The same seed, machine and thread count give the same numbers, interrupted and resumed or not.

    Args:
        model: (batch, features) -> (batch, classes); trained in place.
        split: training and validation parts are used, the test part is not looked at.
        options: how.
        progress: called with the finished epoch and the history; :func:`progress_bar` makes one.
        checkpoint: a safetensors file to go on from, where it exists, and to write.
        every: epochs between writing it.

    Returns:
        The history.

    Raises:
        ArtefactError: a checkpoint that is damaged or of other training.
    """
    options = options or Training()
    optimizer = OPTIMIZERS[options.optimizer](model.parameters(), lr=options.learning_rate)
    order = torch.Generator().manual_seed(options.seed)
    generators = {"order": order} | {
        name or "model": module.noise for name, module in model.named_modules() if isinstance(module, Mesh)
    }
    path = None if checkpoint is None else Path(checkpoint)
    history = History()
    if path is not None and path.exists():
        history = checkpoints.load(path, model, optimizer, generators, asdict(options))
    for epoch in range(len(history), options.epochs):
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = _rate(options, epoch)
        history.loss.append(run_epoch(model, optimizer, split.train_x, split.train_y, options.batch, order))
        loss, accuracy = evaluate(model, split.validation_x, split.validation_y)
        history.validation_loss.append(loss)
        history.validation_accuracy.append(accuracy)
        history.seconds.append(time.perf_counter() - start)
        if progress:
            progress(epoch + 1, history)
        if path is not None and ((epoch + 1) % every == 0 or epoch + 1 == options.epochs):
            checkpoints.save(path, model, optimizer, generators, history, asdict(options))
    return history


def run_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    batch: int,
    order: torch.Generator | None = None,
) -> float:
    """One pass over the samples in random order; the mean loss."""
    model.train()
    total = 0.0
    with _threads(model):
        for chosen in torch.randperm(len(x), generator=order).split(batch):
            loss = F.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
    return total / len(x)


def _threads(model: nn.Module) -> AbstractContextManager[None]:
    """Where compiled kernels do the work, they get the threads."""
    meshes = [module for module in model.modules() if isinstance(module, Mesh)]
    compiled = all(one.engine != "torch" and one.phases.device.type == "cpu" and not one.in_situ for one in meshes)
    return kernels_first() if meshes and compiled else nullcontext()


def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch: int = 1024) -> tuple[float, float]:
    """Mean cross entropy, and the fraction of samples whose largest score is their label's."""
    model.eval()
    loss, right = 0.0, 0.0
    with torch.no_grad(), _threads(model):
        for samples, labels in zip(x.split(batch), y.split(batch), strict=True):
            scores = model(samples)
            loss += F.cross_entropy(scores, labels, reduction="sum").item()
            right += (scores.argmax(-1) == labels).sum().item()
    return loss / max(1, len(x)), right / max(1, len(x))


def progress_bar(epochs: int) -> Callable[[int, History], None]:
    """A ``progress`` for :func:`train` that draws a bar in the terminal, and one line at the end elsewhere."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("epoch {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}, validation {task.fields[accuracy]:.1f} %"),
        TimeRemainingColumn(),
    )
    task = bar.add_task("", total=epochs, loss=float("nan"), accuracy=float("nan"))

    def show(epoch: int, history: History) -> None:
        bar.start()
        accuracy = 100 * history.validation_accuracy[-1]
        bar.update(task, completed=epoch, loss=history.loss[-1], accuracy=accuracy)
        if epoch >= epochs:
            bar.stop()

    return show


def _rate(options: Training, epoch: int) -> float:
    """Learning rate of an epoch."""
    along = epoch / max(1, options.epochs - 1)
    share = options.final_rate + (1 - options.final_rate) * 0.5 * (1 + torch.cos(torch.tensor(along * torch.pi)).item())
    return options.learning_rate * share
