"""What the page of a program shows, as plain data: numbers for the script, arrays as base64."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ..banks import phase_words
from ..counts import active_cols, active_rows
from ..energy import EnergyReport, peak_power
from ..latency import latency, peak_ops_per_s
from ..ledger import IDLE, ITEMS, PARTS
from ..meshes import Mesh, tile_mesh
from ..program import ProgramBody
from ..schedule import EventKind, Schedule
from .explain import explain
from .tables import percent, si
from .text import quantity

TIMELINE_EVENTS = 60_000
"""Events that the timeline shows one by one; beyond, neighbours of one core and step are drawn as one."""

SETTINGS_BYTES = 1 << 20
"""Mesh settings that the page holds, shared evenly by the layers: at least one tile a layer."""


def page_data(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> dict[str, Any]:
    """Everything on the page, JSON-ready.

    Args: the program, its schedule for a batch, and the schedule's energy.
    """
    return {
        "name": body.name,
        "target": body.target.name,
        "description": body.target.description,
        "batch": schedule.batch,
        "headline": explain(body).headline,
        "notes": [str(note) for note in body.provenance.get("notes", ())],  # type: ignore[union-attr]
        "summary": _summary(body, schedule, energy),
        "layers": _layers(body, schedule, energy),
        "energy": _energy(body, energy),
        "timeline": _timeline(body, schedule),
        "tiles": _tiles(body),
        "assumptions": _assumptions(body),
    }


def _summary(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> list[list[str]]:
    """(figure, value, what it means) of the cards at the top."""
    found, peak = latency(body, schedule), peak_power(body.target)
    cells = sum(bank.spec.tiles for bank in body.banks.values()) * body.target.mesh.ports**2
    used = sum(bank.spec.weights for bank in body.banks.values()) / cells if cells else 0.0
    batch = f"batch of {schedule.batch}"
    by = f" ({schedule.bound}), {schedule.speedup:.4g} times as fast as one core tile by tile" if schedule.bound else ""
    return [
        ["latency", si(schedule.makespan_s, "s", 3), f"{batch}, {schedule.ratio:.3f} times its lower bound{by}"],
        ["energy per inference", si(energy.per_inference_j, "J", 3), "execution only"],
        [
            "with configuration",
            si(energy.amortised_j, "J", 3),
            f"per inference, shared by {energy.configuration_reuse}",
        ],
        ["energy per MAC", si(energy.per_mac_j, "J", 3), "execution only"],
        ["average power", si(energy.average_power_w, "W", 3), "energy of the run over its time"],
        [
            "tiles",
            f"{sum(bank.spec.tiles for bank in body.banks.values()):,}",
            f"{percent(used, 1)} of their cells used",
        ],
        ["cores busy", percent(found.utilization, 1), f"{body.target.mesh.cores} core(s), configuring or streaming"],
        [
            "peak of the chip",
            si(peak_ops_per_s(body.target), "op/s", 3),
            f"at {si(peak.total_w, 'W', 3)}, lasers {si(peak.laser_w, 'W', 3)}",
        ],
    ]


def _layers(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> list[dict[str, Any]]:
    """One entry a step, raw numbers: the script sorts and writes them."""
    explained = explain(body)
    banks = {layer.bank: layer for layer in explained.layers}
    joules = energy.run.by_row()
    times = schedule.table()
    found: list[dict[str, Any]] = []
    for op, row in zip(explained.ops, times.rows, strict=True):
        timed = dict(zip((column.key for column in times.columns), row, strict=True))
        step = next(step for step in body.steps if step.name == op.name)
        layer = banks.get(getattr(step, "bank", ""))
        matrix = ""
        if layer is not None:
            matrix = (f"{layer.groups} × " if layer.groups > 1 else "") + f"{layer.rows} × {layer.cols}"
        found.append(
            {
                "layer": op.path or op.name,
                "op": op.op,
                "where": op.where,
                "why": op.reason,
                "matrix": matrix,
                "weights": body.banks[layer.bank].spec.weights if layer else 0,
                "tiles": body.banks[layer.bank].spec.tiles if layer else 0,
                "utilization": layer.utilization if layer else 0.0,
                "vectors": body.costs[op.name].vectors,
                "macs": op.macs,
                "share": op.mac_share,
                "start_s": timed["start_s"],
                "end_s": timed["end_s"],
                "busy_s": timed["busy_s"],
                "energy_j": joules.get(op.name, 0.0),
            }
        )
    return found


def _energy(body: ProgramBody, energy: EnergyReport) -> dict[str, Any]:
    """Joules of the run by row and part, and by item."""
    table = energy.run.table()
    keys = [column.key for column in table.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in table.rows if row[0] != "total"]
    paths = {step.name: step.path or step.name for step in body.steps}
    execution, configuration = energy.execution.by_item(), energy.configuration.by_item()
    return {
        "parts": list(PARTS),
        "idle": IDLE,
        "rows": [
            {"layer": paths.get(row["row"], row["row"]), "joules": [row[f"{part}_j"] for part in PARTS]} for row in rows
        ],
        "items": [
            {
                "part": part,
                "item": item,
                "static": static,
                "execution_j": execution[item],
                "configuration_j": configuration[item],
            }
            for item, (part, static) in ITEMS.items()
        ],
        "total_j": energy.total_j,
    }


def _timeline(body: ProgramBody, schedule: Schedule) -> dict[str, Any]:
    paths = {step.name: step.path for step in body.steps}
    kind, step, core = (getattr(schedule, name).astype(np.int64) for name in ("kind", "step", "core"))
    start, end = schedule.start_s, schedule.end_s
    count = np.ones(len(kind), np.int64)
    merged = len(kind) > TIMELINE_EVENTS
    if merged:
        # with two buffers configurations lie beside streams, not between them
        lane = 2 * core + (kind == EventKind.CONFIGURE if schedule.buffers > 1 else 0)
        order = np.lexsort((start, step, lane))
        kind, step, core, start, end, lane = (column[order] for column in (kind, step, core, start, end, lane))
        run = len(kind) // TIMELINE_EVENTS + 1
        place = np.arange(len(kind))
        first = (place == 0) | (np.diff(lane, prepend=-4) != 0) | (np.diff(step, prepend=-2) != 0)
        since = place - np.maximum.accumulate(np.where(first, place, 0))
        heads = np.flatnonzero(first | (since % run == 0))
        end = np.maximum.reduceat(end, heads)
        count = np.diff(np.append(heads, len(kind)))
        kind, step, core, start = (column[heads] for column in (kind, step, core, start))
    return {
        "steps": [paths.get(name) or name for name in schedule.steps],
        "events": len(schedule),
        "merged": bool(merged),
        "makespan_s": schedule.makespan_s,
        "buffers": schedule.buffers,
        "kind": _packed(kind, np.uint8),
        "step": _packed(step, np.uint16 if len(schedule.steps) < 65536 else np.uint32),
        "step_bytes": 2 if len(schedule.steps) < 65536 else 4,
        "core": _packed(core, np.int16),
        "start": _packed(start, np.float64),
        "duration": _packed(end - start, np.float32),
        "count": _packed(count, np.uint32),
    }


def _tiles(body: ProgramBody) -> list[dict[str, Any]]:
    """Every bank's grid, and the mesh settings of some of its tiles."""
    share = SETTINGS_BYTES // max(1, len(body.banks))
    return [_bank(body, name, share) for name, bank in body.banks.items() if not bank.spec.dynamic]


def _bank(body: ProgramBody, name: str, share: int) -> dict[str, Any]:
    bank = body.banks[name]
    spec, layout = bank.spec, tile_mesh(bank.spec)
    tile_bytes = 2 * layout.cells + spec.ports
    kept = min(spec.tiles, max(1, share // max(1, tile_bytes)))
    chosen = (
        np.unique(np.linspace(0, spec.tiles - 1, kept).round().astype(np.int64)) if spec.tiles else np.empty(0, int)
    )
    used = active_rows(bank) * active_cols(bank) / spec.ports**2
    return {
        "bank": name,
        "groups": spec.groups,
        "rows": spec.rows,
        "cols": spec.cols,
        "grid": [spec.grid_rows, spec.grid_cols],
        "ports": spec.ports,
        "tiles": spec.tiles,
        "group": _packed(bank.columns["group"], np.uint32),
        "row": _packed(bank.columns["row"], np.uint32),
        "col": _packed(bank.columns["col"], np.uint32),
        "scale": _packed(bank.columns["scale"], np.float32),
        "used": _packed(used, np.float32),
        "mesh": _layout(layout),
        "chosen": chosen.tolist(),
        "settings": [_settings(body, name, int(tile), layout) for tile in chosen],
    }


def _layout(layout: Mesh) -> dict[str, Any]:
    return {
        "topology": layout.topology,
        "ports": layout.ports,
        "windows": layout.depth,
        "window": _packed(layout.cell_windows, np.uint16),
        "upper": _packed(layout.cell_ports, np.uint16),
        "lower": _packed(layout.cell_lower, np.uint16),
    }


def _settings(body: ProgramBody, name: str, tile: int, layout: Mesh) -> dict[str, str]:
    """Inner phases of both meshes in 1/256 turns, and attenuations in 1/255."""
    bank = body.banks[name]
    row = slice(tile, tile + 1)
    found = {
        side: _packed((phase_words(bank, side, row)[0, : layout.cells] >> np.uint32(24)), np.uint8)
        for side in ("left", "right")
    }
    return {**found, "attenuation": _packed(bank.columns["attenuation"][tile] >> np.uint32(24), np.uint8)}


def _assumptions(body: ProgramBody) -> list[list[str]]:
    """(field, value, kind, source), assumed ones first."""
    target = body.target
    order = {"assumed": 0, "quoted": 1, "measured": 2}
    found: list[list[str]] = []
    for path, item in sorted(target.provenance.items(), key=lambda pair: order[pair[1].kind]):
        part, _, field = path.partition(".")
        found.append([path, quantity(getattr(getattr(target, part), field), item.unit), item.kind, item.source])
    return found


def _packed(array: np.ndarray, dtype: Any) -> str:
    """An array as base64 of its little-endian bytes."""
    plain = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(plain.tobytes()).decode("ascii")
