"""What runs where, and why: every op of a program, and every layer's tiles."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..program import ChipStep, HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep, Step
from .tables import Column, Table, si


@dataclass(frozen=True, slots=True)
class OpRow:
    """One op: where it runs, why, and its multiply-accumulates (MACs) for one sample.

    ``computes``: whether it computes numbers; views, sizes and picking one of several results do not.
    """

    name: str
    path: str
    op: str
    where: str
    reason: str
    macs: int
    mac_share: float
    computes: bool


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One matrix on the chip: its tiles, the all-zero tiles left out, the share of mesh cells used, its layers.

    The matrix is ``groups`` parts of ``rows x cols``; ``packed`` neighbouring parts share one grid of tiles, and
    ``unpacked_tiles`` and ``unpacked_utilization`` are what a grid for each part would take.
    """

    bank: str
    layers: tuple[str, ...]
    groups: int
    rows: int
    cols: int
    packed: int
    grid: tuple[int, int]
    tiles: int
    zero_tiles: int
    utilization: float
    unpacked_tiles: int
    unpacked_utilization: float
    vectors_per_sample: int
    overrides: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to "what runs where, and why?". Prints as text; ``to_dict`` and ``to_json`` for programs.

    ``notes``: what the capture could not keep as asked for, such as a batch of any size. ``macs`` are those of one
    ``unit``: a sample, or a run where its samples cannot be told.
    """

    program: str
    target: str
    macs: int
    photonic_macs: int
    ops: tuple[OpRow, ...]
    layers: tuple[LayerRow, ...]
    notes: tuple[str, ...] = ()
    unit: str = "sample"

    @property
    def headline(self) -> str:
        """One line: the share of the multiply-accumulates on the chip, and the ops that the host computes."""
        share = self.photonic_macs / self.macs if self.macs else 0.0
        host = sum(op.where == "host" and op.computes for op in self.ops)
        return f"{share:.1%} of {si(self.macs, 'MACs', 3)} per {self.unit} on the chip, {host} ops on the host"

    def to_dict(self) -> dict[str, object]:
        """Plain dicts and lists."""
        return {"headline": self.headline, **asdict(self)}

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def op_table(self) -> Table:
        """One row an op."""
        rows = tuple((op.path or op.name, op.op, op.where, op.macs, op.mac_share, op.reason) for op in self.ops)
        columns = (
            Column("layer", "layer"),
            Column("op", "op"),
            Column("where", "runs on"),
            Column("macs", "MACs", _count),
            Column("mac_share", "share", _share),
            Column("reason", "why"),
        )
        return Table(columns, rows, left=3)

    def layer_table(self) -> Table:
        """One row a bank; where layers are packed, also what they would take unpacked."""
        packed = any(layer.packed > 1 for layer in self.layers)
        rows = tuple(
            (
                layer.bank + (" (overrides)" if layer.overrides else ""),
                ", ".join(layer.layers),
                (f"{layer.groups} x " if layer.groups > 1 else "") + f"{layer.rows} x {layer.cols}",
                f"{layer.grid[0]} x {layer.grid[1]}",
                layer.tiles,
                layer.zero_tiles,
                layer.utilization,
                *((layer.packed, layer.unpacked_tiles, layer.unpacked_utilization) if packed else ()),
                layer.vectors_per_sample,
            )
            for layer in self.layers
        )
        columns = (
            Column("bank", "bank"),
            Column("layers", "layers"),
            Column("matrix", "matrix"),
            Column("grid", "grid"),
            Column("tiles", "tiles"),
            Column("zero_tiles", "zero tiles"),
            Column("utilization", "utilization", _share),
            *(_PACKING if packed else ()),
            Column("vectors_per_sample", "vectors/sample"),
        )
        return Table(columns, rows, left=2)

    def __repr__(self) -> str:
        return f"Explanation({self.program!r} on {self.target!r}: {self.headline})"

    def __str__(self) -> str:
        title = f"{self.program} on {self.target}: {self.headline}"
        notes = "".join(f"\nnote: {note}" for note in self.notes)
        return f"{title}{notes}\n\n{self.op_table()}\n\n{self.layer_table()}"


_PICKS = ("py.getitem",)
"""Host ops that hand on what is there."""


def explain(body: ProgramBody) -> Explanation:
    """Explain a program.

    Args:
        body: The program.

    Returns:
        Every op in program order with placement, reason and share of the MACs, and every bank.
    """
    total = sum(cost.macs for cost in body.costs.values())
    ops: list[OpRow] = []
    users: dict[str, list[ChipStep]] = {name: [] for name in body.banks}
    for step in body.steps:
        macs = body.costs[step.name].macs
        if not isinstance(step, HostStep):
            for name in step.banks:
                users[name].append(step)
        where = "host" if isinstance(step, HostStep) else "chip"
        share = macs / total if total else 0.0
        computes = not (isinstance(step, HostStep) and (not body.costs[step.name].elements or step.op in _PICKS))
        ops.append(OpRow(step.name, step.path, _op(step), where, step.reason, macs, share, computes))
    layers = tuple(_layer(body, name, steps) for name, steps in users.items())
    photonic_macs = sum(op.macs for op in ops if op.where == "chip")
    return Explanation(body.name, body.target.name, total, photonic_macs, tuple(ops), layers, _notes(body), body.unit)


def _notes(body: ProgramBody) -> tuple[str, ...]:
    """What the capture had to say; a file from elsewhere may hold anything in its place."""
    notes = body.provenance.get("notes")
    return tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list | tuple) else ()


def _op(step: Step) -> str:
    """What a step is called: its ATen op, or the layer that the chip runs."""
    if isinstance(step, RecurrentStep):
        return f"{step.kind} (recurrent)"
    if isinstance(step, ProductStep):
        return "product (reprogrammed)"
    return type(step.geometry).__name__.removesuffix("Geometry").lower() if isinstance(step, MatrixStep) else step.op


def _layer(body: ProgramBody, name: str, steps: list[ChipStep]) -> LayerRow:
    spec = body.banks[name].spec
    return LayerRow(
        bank=name,
        layers=tuple(step.path or step.name for step in steps),
        groups=spec.groups * spec.blocks,
        rows=spec.block_shape[0],
        cols=spec.block_shape[1],
        packed=spec.blocks,
        grid=(spec.grid_rows, spec.grid_cols),
        tiles=spec.tiles,
        zero_tiles=spec.grid_tiles - spec.tiles,
        utilization=spec.utilization,
        unpacked_tiles=spec.unpacked_tiles,
        unpacked_utilization=spec.unpacked_utilization,
        vectors_per_sample=sum(body.costs[step.name].vectors for step in steps),
        overrides=name in body.layer_targets,
    )


_PACKING = (
    Column("packed", "packed", lambda blocks: str(blocks) if blocks > 1 else ""),
    Column("unpacked_tiles", "unpacked tiles"),
    Column("unpacked_utilization", "unpacked utilization", lambda share: _share(share)),
)


def _count(macs: int) -> str:
    return si(macs, "", 3).rstrip() if macs else ""


def _share(value: float) -> str:
    return f"{value:.1%}" if value else ""
