"""The demo: a network trained on real digits, on a photonic chip of many precisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from . import compile as compile_for
from .models import DigitsCNN
from .models.train import Epoch, Split, accuracy, load_digits_split, train
from .program import Program
from .runtime.pricing.energy import PARTS, energy
from .runtime.targets import get
from .whatif import what_if

SWEEP_BITS = (2, 3, 4, 5, 6, 7, 8, 9, 10)
CONVERTERS = ("encoding.dac_bits", "detection.adc_bits")
SHIFTERS = ("mesh.phase_bits", "mesh.attenuator_bits")
NOISY = {"detection.noise": True, "mesh.splitter_error_rad": 0.02, "mesh.phase_error_rad": 0.01}

Progress = Callable[[str, int, int], None]
"""Called with a stage (train, compile, run), the work done in it and the work in all."""


@dataclass(frozen=True)
class Row:
    """One line of the demo's table. Energy and latency are of one inference; None where there is no chip."""

    name: str
    what: str
    accuracy: float
    energy_j: float | None = None
    latency_s: float | None = None
    tiles: int | None = None
    utilization: float | None = None


@dataclass(frozen=True)
class Demo:
    """What the demo found.

    ``sweeps``: series -> (bits, accuracy); ``parts``: part -> {"streaming", "programming"} in joules per
    inference; ``alone``: latency in seconds and energy in joules of a batch of one.
    """

    target: str
    images: int
    rows: tuple[Row, ...]
    sweeps: Mapping[str, tuple[tuple[int, float], ...]]
    parts: Mapping[str, Mapping[str, float]]
    alone_s: float
    alone_j: float
    resident: bool
    history: tuple[Epoch, ...]
    seconds: Mapping[str, float]
    program: Program = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the program, as plain dicts and lists."""
        return {
            "target": self.target,
            "images": self.images,
            "rows": [asdict(row) for row in self.rows],
            "sweeps": {name: [list(point) for point in points] for name, points in self.sweeps.items()},
            "energy_per_inference_j": {part: dict(entry) for part, entry in self.parts.items()},
            "batch_of_one": {"latency_s": self.alone_s, "energy_j": self.alone_j},
            "history": [asdict(epoch) for epoch in self.history],
            "seconds": dict(self.seconds),
        }


def run_demo(
    target: str = "mzi64",
    *,
    epochs: int = 10,
    seed: int = 0,
    sweep_bits: tuple[int, ...] = SWEEP_BITS,
    progress: Progress | None = None,
    split: Split | None = None,
) -> Demo:
    """Train the digits network, compile it, and measure its accuracy on chips of many precisions.

    Args:
        target: name of a preset or path of a target.
        epochs: passes over the training images.
        seed: of the split, the training and the noise.
        sweep_bits: resolutions of the figure, ascending.
        progress: progress callback.
        split: the data; Digits by default.

    Raises:
        LightloomError: if scikit-learn is missing, or for an unknown target.
    """
    tell = progress or (lambda stage, done, total: None)
    seconds: dict[str, float] = {}
    chip = get(target)
    start = time.perf_counter()
    split = split or load_digits_split(seed)
    with _one_thread():
        model, history = train(
            DigitsCNN(seed=seed),
            epochs,
            seed,
            progress=lambda epoch: tell("train", epoch.number, epochs),
            split=split,
        )
    seconds["train"] = time.perf_counter() - start

    start = time.perf_counter()
    images, labels = split.test_images, split.test_labels
    program = compile_for(model, images, chip, progress=lambda _, done, total: tell("compile", done, total))
    seconds["compile"] = time.perf_counter() - start

    start = time.perf_counter()
    measure = _Measure(program, images, labels, seed, tell, runs=6 + 3 * len(sweep_bits))
    with torch.no_grad():
        exact = Row("float32 in PyTorch", "no chip, the network as trained", accuracy(model(images), labels))
    report = program.energy
    body = program.body
    tiles = sum(bank.spec.tiles for bank in body.banks.values())
    cells = sum(bank.spec.tiles * bank.spec.ports**2 for bank in body.banks.values())
    costs: dict[str, Any] = {
        "energy_j": report.amortised_j,
        "latency_s": program.schedule.makespan_s / len(images),
        "tiles": tiles,
        "utilization": sum(bank.spec.weights for bank in body.banks.values()) / cells,
    }
    rows = [
        exact,
        Row(
            "ideal chip",
            "every imperfection off",
            measure({}, ideal=True),
            tiles=tiles,
            utilization=costs["utilization"],
        ),
    ]
    rows.append(Row(f"{chip.name} as described", _describe(program), measure({}), **costs))
    for bits in (8, 6, 4):
        text = f"DAC, ADC, phases and attenuators of {bits} bits, no detector noise"
        rows.append(Row(f"{chip.name}, {bits}-bit", text, measure(_precision(bits)), **costs))
    text = "as described, with detector noise, 0.02 rad splitter error and 0.01 rad phase error, uncorrected"
    rows.append(Row(f"{chip.name}, noisy", text, measure(NOISY), **costs))
    sweeps = {
        "everything": tuple((bits, measure(_precision(bits))) for bits in sweep_bits),
        "DAC and ADC only": tuple((bits, measure(_precision(bits, CONVERTERS))) for bits in sweep_bits),
        "phases and attenuators only": tuple((bits, measure(_precision(bits, SHIFTERS))) for bits in sweep_bits),
    }
    seconds["run"] = time.perf_counter() - start
    streaming, programming = report.execution.by_part(), report.configuration.by_part()
    one = program.schedule_for(1)
    return Demo(
        target=chip.name,
        images=len(images),
        rows=tuple(rows),
        sweeps=sweeps,
        parts={
            part: {"streaming": streaming[part] / report.batch, "programming": programming[part] / report.batch}
            for part in PARTS
        },
        alone_s=one.makespan_s,
        alone_j=energy(body, one).amortised_j,
        resident=report.resident,
        history=tuple(history),
        seconds=seconds,
        program=program,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches this small gain nothing from more threads, and wait for them on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _precision(bits: int, fields: tuple[str, ...] = CONVERTERS + SHIFTERS) -> dict[str, Any]:
    return {**dict.fromkeys(fields, bits), "detection.noise": False}


@dataclass
class _Measure:
    """Accuracy of the program on changed chips; the same change is run once."""

    program: Program
    images: torch.Tensor
    labels: torch.Tensor
    seed: int
    tell: Progress
    runs: int
    known: dict[Any, float] = field(default_factory=dict)
    done: int = 0

    def __call__(self, changes: dict[str, Any], ideal: bool = False) -> float:
        key = (tuple(sorted(changes.items())), ideal)
        if key not in self.known:
            changed = what_if(self.program, changes) if changes else self.program
            self.known[key] = accuracy(changed.run(self.images, seed=self.seed, ideal=ideal), self.labels)
        self.done += 1
        self.tell("run", self.done, self.runs)
        return self.known[key]


def _describe(program: Program) -> str:
    """The chip's precision in words."""
    chip = program.target
    resolution = {
        "DAC": chip.encoding.dac_bits,
        "ADC": chip.detection.adc_bits,
        "phases": chip.mesh.phase_bits,
        "attenuators": chip.mesh.attenuator_bits,
    }
    words = [f"{bits}-bit {name}" if bits else f"exact {name}" for name, bits in resolution.items()]
    return ", ".join(words) + (", detector noise" if chip.detection.noise else "")
