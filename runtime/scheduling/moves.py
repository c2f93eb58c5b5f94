"""What crosses the link between host and chip, step by step.

Values live where they are computed: program inputs, constants and results of host ops on the host, results of matrix
steps and products on the chip. A recurrent step's gates run on the host, so its input products and states are host
values, and so are its results. A value that is read on the other side crosses the link once; later readers find it
there. Numbers cross as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..program import Conv2dGeometry, HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from ..recurrent import windows
from ..values import TensorType, references
from ..walk import reads
from ..widths import HOST_BYTES
from .latency import move_s, tile_setting_bytes


@dataclass(frozen=True, slots=True)
class StepMoves:
    """Bytes that cross the link because of a step.

    ``to_chip``: values, with their bytes, that the step reads and that no step before it has brought to the chip;
    ``to_host``: its result, where it is read there, 0 else; ``settings``: of the tiles that a product is programmed
    with, which go to the chip before anything else of the step.
    """

    to_chip: tuple[tuple[str, int], ...] = ()
    to_host: int = 0
    settings: int = 0

    @property
    def bytes(self) -> int:
        """All of them."""
        return sum(count for _, count in self.to_chip) + self.to_host + self.settings


NONE = StepMoves()


def moves(body: ProgramBody, batch: int) -> Mapping[str, StepMoves]:
    """The moves of every step for a batch of samples; :data:`NONE` throughout where the target has no link.

    Moves of no bytes are left out.
    """
    if not body.target.link.present:
        return {step.name: NONE for step in body.steps}
    made = {step.name: step for step in body.steps}
    wanted = _read_on_host(body)
    there: set[str] = set()  # host values that are on the chip as well
    found: dict[str, StepMoves] = {}
    for step in body.steps:
        if not isinstance(step, MatrixStep | ProductStep):
            found[step.name] = NONE
            continue
        source = step.input if isinstance(step, MatrixStep) else step.left
        to_chip: tuple[tuple[str, int], ...] = ()
        if not isinstance(made.get(source), MatrixStep | ProductStep) and source not in there:
            count = HOST_BYTES * _input_elements(body, step, batch)
            if count:
                there.add(source)
                to_chip = ((source, count),)
        to_host = HOST_BYTES * _result_elements(body, step, batch) if step.name in wanted else 0
        settings = 0
        if isinstance(step, ProductStep) and body.costs[step.name].vectors:
            settings = batch * body.banks[step.bank].spec.tiles * tile_setting_bytes(body.target)
        found[step.name] = StepMoves(to_chip, to_host, settings)
    return found


def loop_bytes(body: ProgramBody, step: RecurrentStep, batch: int) -> tuple[int, ...]:
    """Bytes of each move of one time step of a recurrent step: into and out of each of its matrices; () without a link.

    The vectors of a matrix go to the chip, its products come back.
    """
    times, vectors = windows(body, step, batch)
    if not body.target.link.present or not times or not vectors:
        return ()
    specs = [body.banks[name].spec for name in step.banks]
    return tuple(HOST_BYTES * vectors * size for spec in specs for size in (spec.cols, spec.rows))


def loop_move_s(body: ProgramBody, step: RecurrentStep, batch: int) -> float:
    """Seconds of the moves of one time step of a recurrent step: part of the time of its gates."""
    return sum(move_s(body.target, count) for count in loop_bytes(body, step, batch))


def _read_on_host(body: ProgramBody) -> set[str]:
    """Values that host ops, loops and factorisations read, or the program yields."""
    found = set(references(body.outputs))
    for step in body.steps:
        if isinstance(step, HostStep | RecurrentStep):
            found.update(reads(step))
        elif isinstance(step, ProductStep):
            found.add(step.right)
    return found


def _input_elements(body: ProgramBody, step: MatrixStep | ProductStep, batch: int) -> int:
    """Numbers of the value that streams through a step's tiles."""
    spec = body.banks[step.bank].spec
    vectors = batch * body.costs[step.name].vectors
    if isinstance(step, ProductStep):
        return vectors * spec.groups * spec.cols
    if not isinstance(step.geometry, Conv2dGeometry):
        return vectors * spec.cols
    geometry = step.geometry
    height, width = _image(body, step.input)
    if height is not None and width is not None:
        return vectors * geometry.channels * height * width // max(geometry.vectors_per_sample((height, width)), 1)
    # images of a size that only a run knows: a vector for every stride
    return vectors * geometry.channels * geometry.stride[0] * geometry.stride[1]


def _result_elements(body: ProgramBody, step: MatrixStep | ProductStep, batch: int) -> int:
    spec = body.banks[step.bank].spec
    return batch * body.costs[step.name].vectors * spec.groups * spec.rows


def _image(body: ProgramBody, name: str) -> tuple[int | None, int | None]:
    """Height and width of a value, None where they are symbolic."""
    kinds: dict[str, object] = {spec.name: spec.type for spec in body.inputs}
    kinds |= {step.name: step.type for step in body.steps}
    kind = kinds.get(name)
    if isinstance(kind, TensorType):
        sizes: tuple[object, ...] = kind.shape[-2:]
    elif name in body.constants:
        sizes = tuple(body.constants[name].shape[-2:])
    else:
        return None, None
    height, width = (size if isinstance(size, int) else None for size in sizes)
    return height, width
