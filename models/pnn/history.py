"""What training came to, epoch by epoch, and its picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ...runtime.errors import InputError, complaint
from ...runtime.installed import missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class History:
    """One number an epoch in each list. Accuracies are fractions."""

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> History:
        """The inverse of :meth:`to_dict`.

        Raises:
            InputError: other names, or lists of different lengths.
        """
        names = set(cls().to_dict())
        lists = [one for one in record.values() if isinstance(one, list)]
        if set(record) != names or len(lists) != len(names) or len({*map(len, lists)}) != 1:
            raise InputError(
                complaint("Not a history of training", got=sorted(record), allowed=", ".join(sorted(names)))
            )
        return cls(**record)


def plot(histories: dict[str, History] | History, title: str = "") -> Figure:
    """Training loss and validation accuracy over epochs, one line a history.

    Raises:
        LightloomError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("plots", "matplotlib", "demo") from error
    if isinstance(histories, History):
        histories = {"": histories}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for name, history in histories.items():
        epochs = range(1, len(history) + 1)
        losses.plot(epochs, history.loss, label=name)
        accuracies.plot(epochs, [100 * value for value in history.validation_accuracy], label=name)
    losses.set(xlabel="epoch", ylabel="training loss", yscale="log")
    accuracies.set(xlabel="epoch", ylabel="validation accuracy (%)")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if len(histories) > 1:
        accuracies.legend(frameon=False)
    if title:
        figure.suptitle(title)
    return figure
