"""What the page of a program shows, as plain data: numbers for the script, arrays as base64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..pricing.energy import EnergyReport, peak_power
from ..pricing.ledger import IDLE
from ..program import ProgramBody
from ..scheduling.latency import latency, peak_ops_per_s
from ..scheduling.schedule import EventKind, Schedule
from .explain import explain
from .page_chip import area_data, chip_data, references_data, sources_data, used_share
from .page_energy import energy_data
from .page_tiles import tiles_data
from .page_time import bounds_data, step_seconds, timeline_data
from .tables import percent, si

WARM = "The run begins with the tiles on the cores that a run like it leaves there: these are not configured again."


def page_data(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> dict[str, Any]:
    """Everything on the page, JSON-ready.

    Args: the program, its schedule for a batch, and the schedule's energy.
    """
    explained = explain(body)
    return {
        "name": body.name,
        "target": body.target.name,
        "description": body.target.description,
        "batch": schedule.batch,
        "headline": explained.headline,
        "notes": [*explained.notes, *([WARM] if schedule.warm else [])],
        "summary": summary_data(body, schedule, energy),
        "bounds": bounds_data(schedule),
        "naive": f"{si(schedule.naive_s, 's', 3)} on one core, tile by tile: {schedule.speedup:.3g} times as long"
        if schedule.speedup > 1.005
        else "",
        "chip": chip_data(body, schedule),
        "layers": _layers(body, schedule, energy),
        "idle": _idle(energy),
        "energy": energy_data(body, energy),
        "timeline": timeline_data(body, schedule, energy),
        "area": area_data(body.target, energy),
        "tiles": tiles_data(body),
        "references": references_data(body, schedule, energy),
        "sources": sources_data(body.target),
    }


def summary_data(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> list[list[str]]:
    """(figure, value, what it means) of the most important figures."""
    found, peak = latency(body, schedule), peak_power(body.target)
    rate = schedule.batch / schedule.makespan_s if schedule.makespan_s else 0.0
    ops = 2 * energy.macs
    peak_rate = peak_ops_per_s(body.target)
    tiles = sum(bank.spec.tiles for bank in body.banks.values())
    bound = f", {schedule.ratio:.3f} × its bound ({schedule.bound})" if schedule.bound else ""
    static = percent(energy.run.static_j, energy.total_j)
    cores = body.target.mesh.cores
    return [
        ["latency", si(schedule.makespan_s, "s", 3), f"batch of {schedule.batch}{bound}"],
        [
            "throughput",
            f"{_grouped(rate)} inferences/s",
            f"{si(ops * rate, 'OPS', 3)} of a peak of {si(peak_rate, 'OPS', 3)}",
        ],
        [
            "energy per inference",
            si(energy.amortised_j, "J", 3),
            f"{si(energy.per_inference_j, 'J', 3)} to execute; configuration shared by {energy.configuration_reuse:,}",
        ],
        ["energy per MAC", si(energy.amortised_per_mac_j, "J", 3), f"{si(energy.per_mac_j, 'J', 3)} to execute"],
        ["average power", si(energy.average_power_w, "W", 3), f"{static} static: lasers, held settings"],
        [
            "efficiency",
            si(ops / energy.amortised_j if energy.amortised_j else 0.0, "OPS/W", 3),
            f"at most {si(peak_rate / peak.total_w, 'OPS/W', 3)}, all cores streaming" if peak.total_w else "",
        ],
        [
            "cores busy",
            percent(found.utilization, 1),
            f"{cores} {'core' if cores == 1 else 'cores'}, configuring or streaming",
        ],
        ["tiles", f"{tiles:,}", f"{used_share(body)} of their cells hold weights"],
    ]


def _grouped(value: float) -> str:
    """A number of three digits, its thousands grouped; with a prefix from a million on."""
    return si(value, "", 3).strip() if value >= 1e6 else f"{float(f'{value:.3g}'):,.10g}"


def _layers(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> list[dict[str, Any]]:
    """One entry a step, raw numbers: the script sorts and writes them."""
    explained = explain(body)
    banks = {layer.bank: layer for layer in explained.layers}
    joules, total = energy.run.by_row(), energy.total_j
    times = schedule.table()
    seconds = step_seconds(schedule)
    found: list[dict[str, Any]] = []
    for place, (op, row) in enumerate(zip(explained.ops, times.rows, strict=True)):
        timed = dict(zip((column.key for column in times.columns), row, strict=True))
        step = body.steps[place]
        layer = banks.get(getattr(step, "bank", ""))
        matrix = ""
        if layer is not None:
            matrix = (f"{layer.groups} × " if layer.groups > 1 else "") + f"{layer.rows} × {layer.cols}"
        vectors = body.costs[op.name].vectors
        plan = schedule.plans.get(op.name)
        found.append(
            {
                "layer": op.path or op.name,
                "op": op.op,
                "where": op.where,
                "why": op.reason,
                "bank": layer.bank if layer else "",
                "matrix": matrix,
                "weights": body.banks[layer.bank].spec.weights if layer else 0,
                "tiles": body.banks[layer.bank].spec.tiles if layer else 0,
                "utilization": layer.utilization if layer else 0.0,
                "dataflow": plan.dataflow if plan else "",
                "blocks": plan.blocks(schedule.batch * vectors) if plan else 0,
                "copies": _copies(schedule, place),
                "cores": timed["cores"],
                "configures": timed["configures"],
                "vectors": vectors,
                "macs": op.macs,
                "share": op.mac_share,
                "start_s": timed["start_s"],
                "span_s": timed["end_s"] - timed["start_s"],
                "seconds": seconds[place].tolist(),
                "busy_s": float(seconds[place, [EventKind.CONFIGURE, EventKind.STREAM]].sum()),
                "energy_j": joules.get(op.name, 0.0),
                "energy_share": joules.get(op.name, 0.0) / total if total else 0.0,
            }
        )
    return found


def _idle(energy: EnergyReport) -> dict[str, float]:
    """What no layer has to answer for: the chip held ready between its events."""
    joules, total = energy.run.by_row().get(IDLE, 0.0), energy.total_j
    return {"energy_j": joules, "energy_share": joules / total if total else 0.0}


def _copies(schedule: Schedule, step: int) -> float:
    """Cores that each tile of a step streams on, the mean over its tiles; 0 without tiles."""
    rows = schedule.by_step[step]
    rows = rows[schedule.kind[rows] == EventKind.STREAM]
    pairs = np.unique(schedule.tile[rows].astype(np.int64) << 32 | schedule.core[rows])
    tiles = len(np.unique(pairs >> 32))
    return len(pairs) / tiles if tiles else 0.0
