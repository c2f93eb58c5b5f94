"""Converter ranges from data: what inputs and outputs of each tile really reach."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .bankloop import BankTables, ChipArithmetic, ColumnRecord, RangeRecorder
from .banks import bank_mesh
from .errors import InputError, LightloomWarning, complaint
from .executor import Runner
from .inputs import arrange, check_inputs
from .program import ChipStep, ProgramBody, TileBank
from .targets.schema import Target

MARGIN = 1.05
"""Full scale over the largest value seen: a little headroom for inputs that calibration did not hold."""

TINY = 1e-4
"""Calibration inputs that are all smaller are told: hardly any model takes such, many a mistake makes them."""


def calibrate(
    body: ProgramBody, data: Iterable[object], *, margin: float = MARGIN, keep: Collection[str] = ()
) -> ProgramBody:
    """The program with its static ranges set from data.

    Runs the data through the ideal chip and records, over all samples and both rails, the largest |x| of
    each tile column and the largest detected |y| of each tile's output ports. Where a bank's target has
    ``encoding.scale = static``, ``input_full_scale`` becomes margin * max |x|; where it has
    ``detection.adc_range = calibrated``, ``adc_full_scale`` becomes margin * max |y|. A tile column that
    saw only zeros takes the widest range of its bank; a port that saw only darkness keeps its worst case.

    Args:
        body: the program.
        data: an iterable of inputs: each a tensor, a tuple of arguments, or a dict of arguments by name, as a run
            takes them; a tensor or a dict alone is one of them.
        margin: full scale over the largest value seen, at least 1.
        keep: banks whose ``input_full_scale`` stays as it is: that of the model's own quantizers.

    Raises:
        InputError: no samples in the data, nothing but zeros, data that does not fit the program, or a margin below 1.
    """
    if not margin >= 1:
        raise InputError(complaint("a margin below 1 would clip the calibration data", got=margin, allowed=">= 1"))
    one_batch = isinstance(data, Tensor | np.ndarray | Mapping)
    batches = [_as_inputs(body, item) for item in ((data,) if one_batch else data)]
    if not any(item[0].numel() for item in batches if item):
        raise InputError(
            complaint("calibration data is empty", got=f"{len(batches)} batches without a sample",
                      allowed="an iterable with at least one sample",
                      next_step="pass a list: a generator that was already consumed is empty")
        )  # fmt: skip
    _check_light(batches)
    static = {name for name in body.banks if _is_static(body.target_for(name)) and name not in keep}
    if static:
        ranges = _observe(body, batches, static=False)
        _tell_dark(body, ranges, static)
        body = _replaced(body, ranges, "input_full_scale", _input_full_scale, margin, static)
    calibrated = {name for name in body.banks if _is_calibrated(body.target_for(name))}
    if calibrated:
        ranges = _observe(body, batches, static=True)
        body = _replaced(body, ranges, "adc_full_scale", _adc_full_scale, margin, calibrated)
    return body


def _check_light(batches: list[tuple[Tensor, ...]]) -> None:
    """Raise InputError for data that is nothing but zeros, which says nothing of the ranges; warn where it is tiny."""
    reals = [value for batch in batches for value in batch if value.is_floating_point() and value.numel()]
    largest = max((float(value.abs().nan_to_num(nan=1.0, posinf=1.0).max()) for value in reals), default=1.0)
    if not largest:
        raise InputError(
            complaint(
                "calibration data holds nothing but zeros: it tells no range",
                next_step="pass inputs as the model will see them",
            )
        )
    if largest < TINY:
        text = (
            f"the largest value of the calibration data is {largest:.3g}: whatever is larger in a run will be clipped"
        )
        warnings.warn(text, LightloomWarning, stacklevel=2)


def _tell_dark(body: ProgramBody, ranges: dict[str, _Ranges], names: set[str]) -> None:
    """Warn of layers that saw no light at all: their ranges are guesses."""
    dark = [name for name in names if body.banks[name].spec.tiles and name in ranges and not ranges[name].inputs.any()]
    if dark:
        layers = [step.path or step.name for step in body.matrix_steps if step.bank in dark] or dark
        warnings.warn(
            f"calibration data is zero at every input of {', '.join(layers[:6])}{' and more' * (len(layers) > 6)}: "
            "the range there is taken to be 1, and whatever is larger in a run will be clipped",
            LightloomWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, eq=False)
class _Ranges:
    """Largest input of each tile column (G, C), and largest signal at each tile's ports (T, n)."""

    inputs: np.ndarray
    outputs: np.ndarray


def _is_static(target: Target) -> bool:
    return target.encoding.scale == "static"


def _is_calibrated(target: Target) -> bool:
    return target.detection.adc_range == "calibrated"


def _as_inputs(body: ProgramBody, item: object) -> tuple[Tensor, ...]:
    tensors = arrange(body, item if isinstance(item, tuple | list) else (item,), {})
    return tuple(check_inputs(body.inputs, tensors, torch.float32, body.ranges).values())


def _observe(body: ProgramBody, batches: list[tuple[Tensor, ...]], *, static: bool) -> dict[str, _Ranges]:
    """Ranges by bank; banks that several layers share see the data of all of them."""

    def chip(bank: TileBank) -> ChipArithmetic:
        target = body.target_for(bank.spec.name)
        found = ChipArithmetic.of(target, bank_mesh(bank).depth, quantized=False, noisy=False)
        return found if static else replace(found, static=False)

    runner = Runner(body, chip=chip, exact=True)
    recorders: dict[str, RangeRecorder] = {}

    def observe(step: ChipStep, tables: BankTables, record: ColumnRecord) -> None:
        del step
        name = tables.spec.name
        if name not in recorders:
            recorders[name] = RangeRecorder(tables)
        recorders[name](record)

    for batch in batches:
        runner.run(batch, observe=observe, dtype=torch.float32)
    return {name: _Ranges(found.max_input, found.max_output) for name, found in recorders.items()}


def _replaced(body, ranges, column, values_of, margin, names) -> ProgramBody:  # type: ignore[no-untyped-def]
    """The program with one column of some of its banks replaced by what was seen."""
    banks = dict(body.banks)
    for name, bank in body.banks.items():
        if name in names:
            values = values_of(bank, body.target_for(name), ranges.get(name), margin)
            banks[name] = TileBank(bank.spec, {**bank.columns, column: values.astype(np.float32)})
    return replace(body, banks=banks)


def _input_full_scale(bank: TileBank, target: Target, ranges: _Ranges | None, margin: float) -> np.ndarray:
    """Of each tile (T,), that of its column."""
    del target
    if ranges is None:
        return np.ones(bank.spec.tiles)
    widest = ranges.inputs.max(initial=0.0) or 1.0
    seen = np.where(ranges.inputs > 0, ranges.inputs, widest)
    return margin * seen[bank.columns["group"], bank.columns["col"]]


def _adc_full_scale(bank: TileBank, target: Target, ranges: _Ranges | None, margin: float) -> np.ndarray:
    """Of each port (T, n). Where intensity is detected, a port's range is the square of its full scale."""
    worst = np.asarray(bank.columns["adc_full_scale"])
    if ranges is None:
        return worst
    seen = np.sqrt(ranges.outputs) if target.detection.kind == "intensity" else ranges.outputs
    return np.where(seen > 0, margin * seen, worst)
