"""The rules of one bank: its spec, and the shape, dtype and range of every column."""

from __future__ import annotations

import numpy as np

from ..errors import TargetError
from ..meshes import TOPOLOGIES, Mesh, tile_mesh
from ..pricing.counts import tile_weights
from ..program import BankSpec, TileBank
from ..targets.schema import Target
from .codec import fault

MAX_PORTS = 4096


def check_bank(name: str, bank: TileBank, target: Target, where: str) -> None:
    """Verify one bank.

    Args:
        name: its key in the program.
        bank: spec and columns.
        target: the chip, whose encoding and detection say which columns are needed.
        where: what to call the program in messages.

    Raises:
        ArtefactError: with the first fault found.
    """
    place = f"{where}, bank {name}"
    spec = bank.spec
    if spec.name != name:
        raise fault("A bank and its spec have different names", place, spec.name)
    _check_spec(spec, place)
    chip = target.mesh
    if (spec.topology, spec.ports, spec.layers) != (chip.topology, chip.ports, chip.layers):
        got, allowed = f"{spec.topology} of {spec.ports} ports", f"{chip.topology} of {chip.ports} ports"
        raise fault("A bank is for another mesh than the chip's", place, got, allowed)
    # The narrow columns first: they prove that the file really holds a table of this width before
    # a mesh of that many ports is built.
    if spec.dynamic:
        _check_dynamic(bank, place)
        return
    needed = _plain_columns(spec, target)
    given = set(bank.columns)
    if needed.keys() - given:
        raise fault("A column is missing", place, sorted(needed.keys() - given), ", ".join(needed))
    _check_columns(bank, needed, place)
    try:
        topology = tile_mesh(spec)
    except TargetError as error:
        raise fault("A mesh that cannot be built", place, str(error)) from error
    phases = _phase_columns(spec, topology, given)
    if given != needed.keys() | phases.keys():
        odd = sorted(given ^ (needed.keys() | phases.keys()))
        raise fault("A column is missing or unknown", place, odd, ", ".join([*needed, *phases]))
    _check_columns(bank, phases, place)
    _check_grid(bank, place)
    _check_ranges(bank, place)


def _check_dynamic(bank: TileBank, place: str) -> None:
    """A bank that is programmed at run time: the places of its whole grid, and nothing else."""
    columns: Columns = {name: (np.dtype(np.int32), (bank.spec.tiles,)) for name in ("group", "row", "col")}
    if set(bank.columns) != set(columns) or bank.spec.blocks != 1 or bank.spec.tiles != bank.spec.grid_tiles:
        raise fault("A dynamic bank has every place of its grid, and nothing else", place, sorted(bank.columns))
    _check_columns(bank, columns, place)
    _check_grid(bank, place)


def _check_spec(spec: BankSpec, place: str) -> None:
    if spec.topology not in TOPOLOGIES:
        raise fault("An unknown topology", place, spec.topology, ", ".join(TOPOLOGIES))
    if not 1 <= spec.ports <= MAX_PORTS:
        raise fault("An impossible number of ports", place, spec.ports, f"1 to {MAX_PORTS}")
    if min(spec.groups, spec.rows, spec.cols) < 1:
        raise fault("An impossible matrix", place, (spec.groups, spec.rows, spec.cols))
    if spec.blocks < 1 or spec.rows % spec.blocks or spec.cols % spec.blocks:
        got = f"{spec.blocks} blocks in {spec.rows} x {spec.cols}"
        raise fault("The blocks of a packed matrix are not equal", place, got, "a divisor of rows and columns")
    if not 0 <= spec.tiles <= spec.grid_tiles:
        raise fault("More tiles than the grid has places", place, spec.tiles, f"0 to {spec.grid_tiles}")
    for bits in (spec.phase_bits, spec.attenuator_bits):
        if bits is not None and not 1 <= bits <= 32:
            raise fault("An impossible resolution", place, bits, "1 to 32 bits, or none")


Columns = dict[str, tuple[np.dtype, tuple[int, ...]]]


def _plain_columns(spec: BankSpec, target: Target) -> Columns:
    tiles, ports = spec.tiles, spec.ports
    columns: Columns = {
        "group": (np.dtype(np.int32), (tiles,)),
        "row": (np.dtype(np.int32), (tiles,)),
        "col": (np.dtype(np.int32), (tiles,)),
        "scale": (np.dtype(np.float64), (tiles,)),
        "attenuation": (np.dtype(np.uint32), (tiles, ports)),
        "adc_full_scale": (np.dtype(np.float32), (tiles, ports)),
    }
    if target.encoding.scale == "static":
        columns["input_full_scale"] = (np.dtype(np.float32), (tiles,))
    if target.detection.kind == "intensity":
        columns["shift"] = (np.dtype(np.float64), (tiles,))
    return columns


def _phase_columns(spec: BankSpec, topology: Mesh, given: set[str]) -> Columns:
    """For each side every phase, or internal phases and signs where the mesh has a real gauge."""
    word, byte = np.dtype(np.uint32), np.dtype(np.uint8)
    columns: Columns = {}
    for side in ("left", "right"):
        if f"{side}.phases" in given or not topology.has_gauge:
            columns[f"{side}.phases"] = (word, (spec.tiles, topology.phases))
        else:
            packed = -(-(topology.cells + topology.ports) // 8)
            columns[f"{side}.theta"] = (word, (spec.tiles, topology.cells))
            columns[f"{side}.sign"] = (byte, (spec.tiles, packed))
    return columns


def _check_columns(bank: TileBank, columns: Columns, place: str) -> None:
    for column, (dtype, shape) in columns.items():
        array = bank.columns[column]
        if array.dtype != dtype or array.shape != shape:
            raise fault(
                "A column has the wrong shape or type",
                f"{place}, column {column}",
                f"{array.dtype} {array.shape}",
                f"{dtype} {shape}",
            )


def _check_grid(bank: TileBank, place: str) -> None:
    """Tiles lie in the grid, in order, none twice."""
    spec = bank.spec
    group, row, col = (bank.columns[column].astype(np.int64) for column in ("group", "row", "col"))
    for column, index, limit in (
        ("group", group, spec.groups),
        ("row", row, spec.grid_rows),
        ("col", col, spec.grid_cols),
    ):
        if index.size and not (index.min() >= 0 and index.max() < limit):
            got = f"{index.min()} to {index.max()}"
            raise fault("A tile lies outside the grid", f"{place}, column {column}", got, f"0 to {limit - 1}")
    order = (group * spec.grid_rows + row) * spec.grid_cols + col
    if (np.diff(order) <= 0).any():
        raise fault("Tiles are out of order or listed twice", place)
    if (tile_weights(bank) < 1).any():
        raise fault("A tile of a packed matrix lies off its diagonal blocks", place)


def _check_ranges(bank: TileBank, place: str) -> None:
    for column in ("scale", "adc_full_scale", "input_full_scale", "shift"):
        array = bank.columns.get(column)
        if array is not None and not (np.isfinite(array).all() and (array >= 0).all()):
            raise fault("A column holds impossible numbers", f"{place}, column {column}", None, "finite, 0 or more")
