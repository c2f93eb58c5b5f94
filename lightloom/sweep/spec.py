"""What a sweep explores: a TOML file, checked.

::

    model = "my_models:net"            # as for `lightloom compile`: a module, an .onnx or .pt2 file; or a .loom file
    target = "mzi64"
    input_shape = ["1,3,64,64"]
    method = "grid"                    # grid, random or bayes
    points = 200                       # of random and bayes
    objectives = ["latency_s", "amortised_energy_j"]

    [fields]                           # target fields: a list of values, or a range
    "mesh.cores" = [1, 4, 16]
    "timing.window_s" = {low = 1e-10, high = 1e-8, log = true}

    [options]                          # compile options: a list of values each
    exclude = [[], ["fc"]]
    dataflow = ["weight", "auto"]

    [limits]                           # optional: metrics at most (accuracy, TOPS, ...: at least) this large
    power_w = 50

    [accuracy]                         # optional: inputs and integer labels
    inputs = "x.npy"
    labels = "y.npy"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..runtime import targets
from ..runtime.errors import InputError, complaint
from ..runtime.files import as_path
from ..runtime.scheduling.plan import DATAFLOWS, OBJECTIVES
from ..runtime.targets.edit import field_names
from ..runtime.targets.faults import close_names
from ..runtime.targets.part import Seed

METRIC_NAMES = (
    "latency_s",
    "latency_per_inference_s",
    "energy_per_inference_j",
    "amortised_energy_j",
    "energy_per_mac_j",
    "edp_js",
    "power_w",
    "peak_power_w",
    "tops",
    "tops_per_w",
    "area_m2",
    "tops_per_mm2",
    "tiles",
    "utilization",
    "accuracy",
)
MAXIMISED = frozenset({"accuracy", "utilization", "tops", "tops_per_w", "tops_per_mm2"})
"""Metrics of which more is better; of all others less is."""

OPTIONS: dict[str, tuple[Any, ...] | None] = {
    "exclude": None,
    "overrides": None,
    "strict": (False, True),
    "mesh_tolerance": None,
    "pack": (False, True),
    "dynamic_matmul": ("host", "photonic"),
    "fewer_moves": (False, True),
    "dataflow": ("auto", *DATAFLOWS),
    "objective": OBJECTIVES,
}
"""Compile options, with the values they can have where these are few."""
LATE = frozenset({"fewer_moves", "dataflow", "objective"})
"""Options that a program can be given after it is compiled."""


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Checked):
    """Numbers from ``low`` to ``high``; ``log``: evenly spread in powers; ``steps``: how many a grid takes."""

    low: float
    high: float
    log: bool = False
    steps: int = Field(default=5, ge=2)
    integer: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 where log is set")
        return self


class Accuracy(_Checked):
    """Data to classify: ``.npy`` files, first dimension the samples; the class is the largest output."""

    inputs: Path
    labels: Path
    seed: Seed = 0


class SweepSpec(_Checked):
    """A checked sweep. ``folder`` is where relative paths start."""

    model: str
    target: str = "mzi64"
    input_shape: tuple[str, ...] = ()
    batch: int | None = Field(default=None, ge=1)
    method: Literal["grid", "random", "bayes"] = "grid"
    points: int = Field(default=100, ge=1)
    seed: Seed = 0
    objectives: tuple[str, ...] = ("latency_s", "amortised_energy_j")
    fields: dict[str, tuple[Any, ...] | Range] = Field(default_factory=dict)
    options: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    limits: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    accuracy: Accuracy | None = None
    folder: Path = Path()

    @model_validator(mode="after")
    def _known(self) -> SweepSpec:
        faults: list[str] = []
        known = [f"{part}.{name}" for part, names in field_names(targets.Target).items() if part for name in names]
        faults += [f"no target field {name!r}: {close_names(name, known)}" for name in self.fields if name not in known]
        faults += [
            f"no compile option {name!r}; allowed: {', '.join(OPTIONS)}" for name in self.options if name not in OPTIONS
        ]
        empty = [
            name for name, values in {**self.fields, **self.options}.items() if isinstance(values, tuple) and not values
        ]
        faults += [f"{name}: no value to take" for name in empty]
        if not self.fields and not self.options:
            faults.append("nothing to explore: give [fields] or [options]")
        faults += [
            f"{name}: {value!r} is none of {', '.join(map(repr, OPTIONS[name] or ()))}"
            for name, values in self.options.items()
            for value in values
            if OPTIONS.get(name) and not any(value is known or value == known for known in OPTIONS[name] or ())
        ]
        faults += [
            f"overrides: {value!r} is no table of tables: glob, then fields"
            for value in self.options.get("overrides", ())
            if not isinstance(value, dict) or not all(isinstance(changes, dict) for changes in value.values())
        ]
        faults += [
            f"no metric {name!r}; allowed: {', '.join(METRIC_NAMES)}"
            for name in dict.fromkeys((*self.objectives, *self.limits))
            if name not in METRIC_NAMES
        ]
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            faults.append("objectives: at least one metric, each once")
        if self.accuracy is None and "accuracy" in (*self.objectives, *self.limits):
            faults.append("accuracy is an objective or has a limit: say with which [accuracy] inputs and labels")
        late = [name for name in self.options if name not in LATE]
        if late and not self.compiles:
            faults.append(f"a .loom file is compiled already: of [options] leave {', '.join(late)} out")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def within(self, metrics: Mapping[str, float]) -> bool:
        """Whether metrics keep to the limits; one that is not known does not."""
        return all(
            name in metrics and (metrics[name] >= limit if name in MAXIMISED else metrics[name] <= limit)
            for name, limit in self.limits.items()
        )

    def counts(self, metrics: Mapping[str, float]) -> bool:
        """Whether metrics hold all objectives and keep to the limits."""
        return all(name in metrics for name in self.objectives) and self.within(metrics)

    @property
    def compiles(self) -> bool:
        """Whether the model is to be compiled; a .loom file is."""
        return Path(self.model).suffix != ".loom"

    def at(self, path: str | Path) -> Path:
        """A path of the spec, from the spec's folder."""
        return self.folder / path


def read_spec(path: str | Path) -> SweepSpec:
    """Read and check a sweep.

    Raises:
        InputError: the file is missing, is no TOML, or asks for something impossible; every fault is named.
    """
    place = as_path(path)
    try:
        data = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(complaint("the sweep cannot be read", where=str(place), got=str(error))) from error
    try:
        return SweepSpec(**{**data, "folder": place.parent})
    except ValidationError as error:
        faults = "".join(
            f"\n  - {'.'.join(map(str, fault['loc'])) or 'sweep'}: {fault['msg']}" for fault in error.errors()
        )
        raise InputError(complaint("the sweep is not possible as written", where=str(place), got=faults)) from error
