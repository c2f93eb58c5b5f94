"""The chip as the page describes it: cores, light, times, memories and link; sources; digital chips beside it."""

from __future__ import annotations

from typing import Any

from ..meshes import tile_mesh
from ..optics.budget import link_budget
from ..pricing.area import area, square_mm, tera
from ..pricing.counts import run_counts
from ..pricing.energy import EnergyReport, peak_power
from ..program import ProgramBody
from ..scheduling.latency import configure_s, peak_ops_per_s, spills, tile_setting_bytes, vectors_per_s
from ..scheduling.schedule import Schedule
from ..targets.schema import Target
from ..widths import settings_per_tile
from .references import REFERENCES, beside
from .tables import micro_area, percent, si
from .text import quantity

Facts = list[list[str]]
"""Rows of a small table: name and value."""


def chip_data(body: ProgramBody, schedule: Schedule) -> list[dict[str, Any]]:
    """Panels of (name, value) rows."""
    target = body.target
    return [
        {"title": "Cores", "rows": _cores(target)},
        {"title": "Light and converters", "rows": _light(target)},
        {"title": "Times", "rows": _times(body)},
        {"title": "Memories and link", "rows": _memories(body, schedule)},
    ]


def _cores(target: Target) -> Facts:
    mesh, layout, peak = target.mesh, tile_mesh(target.mesh), peak_power(target)
    return [
        ["cores", f"{mesh.cores:,}"],
        ["meshes of a core", f"2 × {mesh.topology}, {mesh.ports} ports"],
        ["cells of a mesh", f"{layout.cells:,} in {layout.depth} windows"],
        ["settings of a tile", f"{settings_per_tile(mesh):,}"],
        ["settings held by a core", "one tile" if mesh.buffers == 1 else f"{mesh.buffers} tiles"],
        ["a configuration writes", "every setting" if mesh.writes == "all" else "settings whose code changes"],
        ["phases, attenuators", f"{_bits(mesh.phase_bits)}, {_bits(mesh.attenuator_bits)}"],
        ["peak rate", si(peak_ops_per_s(target), "OPS", 3)],
        ["peak power", f"{si(peak.total_w, 'W', 3)}, lasers {si(peak.laser_w, 'W', 3)}"],
    ]


def _light(target: Target) -> Facts:
    encoding, detection, link = target.encoding, target.detection, link_budget(target)
    sized = "sized by the detectors' need" if detection.laser == "sized" else "given"
    return [
        ["sign encoding", f"{encoding.sign.replace('_', ' ')}, {_count(encoding.shots, 'shot')} a vector"],
        ["lanes", "one shot a window" if encoding.lanes == 1 else f"{encoding.lanes} shots share a window"],
        ["scale of inputs", encoding.scale.replace("_", " ")],
        ["detection", f"{detection.kind}, noise {'on' if detection.noise else 'off'}"],
        ["DAC, ADC", f"{_bits(encoding.dac_bits)}, {_bits(detection.adc_bits)}"],
        ["launched, all ports", f"{si(link.launched_w, 'W', 3)}, {sized}"],
        ["longest path", f"{link.path_cells} cells, {link.path_loss_db:.3g} dB"],
        ["at a detector, full scale", si(link.detected_w, "W", 3)],
        ["signal to noise", f"{link.snr_db:.3g} dB, as {link.bits:.3g} bits"],
    ]


def _times(body: ProgramBody) -> Facts:
    target, timing = body.target, body.target.timing
    found = configure_s(body)
    rows = [["configuration of a tile", si(found.first_s, "s", 3)]]
    if found.later_s != found.first_s:
        rows.append(["update of a set tile", si(found.later_s, "s", 3)])
    rows += [
        ["window", si(timing.window_s, "s", 3)],
        ["vectors, each core", si(vectors_per_s(target), "/s", 3)],
        ["first shot in to first number out", si(timing.pipeline_latency_s, "s", 3)],
        ["host", si(target.energy.host_ops_per_s, "op/s", 3)],
    ]
    for name, value in (
        ("encode", timing.encode_s),
        ("detector margin", timing.detector_margin_s),
        ("integration", timing.integrate_s),
    ):
        if value is not None:
            rows.append([f"{name}, of each window", si(value, "s", 3)])
    return rows


def _memories(body: ProgramBody, schedule: Schedule) -> Facts:
    target, memory, link = body.target, body.target.memory, body.target.link
    counts = run_counts(body, schedule).to_dict()
    settings = sum(b.spec.tiles for b in body.banks.values() if not b.spec.dynamic) * tile_setting_bytes(target)
    fits = "read from DRAM" if spills(body) else "fit" if memory.sram_bytes is not None else ""
    rows = [
        ["settings of the program", ", ".join(filter(None, [si(settings, "B", 3), fits]))],
        ["SRAM", _memory(memory.sram_bytes, memory.sram_bytes_per_s, target.energy.memory_j_per_byte)],
        ["DRAM", _memory(None, memory.dram_bytes_per_s, memory.dram_j_per_byte)],
        ["input buffer, each core", _memory(memory.input_buffer_bytes, None, memory.local_j_per_byte)],
        ["accumulators, each core", _memory(memory.accumulator_bytes, None, memory.local_j_per_byte)],
    ]
    if link.present:
        latency = f"{si(link.latency_s, 's', 3)} a move" if link.latency_s else ""
        rows.append(
            ["link to the host", ", ".join(filter(None, [latency, _memory(None, link.bytes_per_s, link.j_per_byte)]))]
        )
    else:
        rows.append(["link to the host", "none: they share the memory"])
    for name, key in (
        ("moved in the SRAM", "memory_bytes"),
        ("in buffers and accumulators", "local_bytes"),
        ("from the DRAM", "dram_bytes"),
        ("over the link", "link_bytes"),
    ):
        if counts.get(key):
            rows.append([name, f"{si(counts[key], 'B', 3)} in the run"])
    return rows


def _memory(size: float | None, rate: float | None, joules: float | None) -> str:
    found = [
        si(size, "B", 3) if size is not None else "",
        si(rate, "B/s", 3) if rate is not None else "",
        f"{si(joules, 'J', 3)}/B" if joules is not None else "",
    ]
    return ", ".join(filter(None, found)) or "not modelled"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _bits(bits: int | None) -> str:
    return "continuous" if bits is None else f"{bits} bits"


def area_data(target: Target, energy: EnergyReport) -> dict[str, Any]:
    """Rows of the chip's parts, largest first, a sentence on the total, and one on what is missing."""
    found = area(target)
    fields = {f"area.{name}": getattr(target.area, name) for name in type(target.area).model_fields}
    if not found.total_m2:
        missing = [name for name, value in fields.items() if value is None]
        text = f"No footprint is stated, so no area is known: give {missing[0]} and its neighbours, in m^2."
        return {"rows": [], "text": text, "missing": ""}
    largest = max(part.area_m2 for part in found.parts)
    run, peak = energy.ops_per_s / found.total_m2, found.ops_per_s_m2
    dense = f"{tera(peak * 1e-6)} TOPS/mm² at the peak, {tera(run * 1e-6)} in this run"
    parts = sorted((part for part in found.parts if part.area_m2), key=lambda part: -part.area_m2)
    return {
        "rows": [
            {
                "name": part.name,
                "count": f"{part.number:,}",
                "each": micro_area(part.footprint_m2 or 0.0),
                "area": square_mm(part.area_m2),
                "share": percent(part.area_m2, found.total_m2),
                "width": f"{100 * part.area_m2 / largest:.2f}",
            }
            for part in parts
        ],
        "text": f"{square_mm(found.total_m2)}: photonics {square_mm(found.photonic_m2)}, "
        f"electronics {square_mm(found.electronic_m2)}. {dense}.",
        "missing": f"Not counted, having no footprint: {', '.join(found.not_counted)}." if found.not_counted else "",
    }


def sources_data(target: Target) -> list[list[str]]:
    """(field, value, kind, source) of every number, assumed ones first."""
    order = {"assumed": 0, "quoted": 1, "measured": 2}
    found: list[list[str]] = []
    for path, item in sorted(target.provenance.items(), key=lambda pair: order[pair[1].kind]):
        part, _, field = path.partition(".")
        found.append([path, _written(getattr(getattr(target, part), field), item.unit), item.kind, item.source])
    return found


def _written(value: Any, unit: str) -> str:
    """A field's value with its unit; bytes with a prefix."""
    if isinstance(value, int | float) and unit.startswith("byte"):
        return si(value, f"B{unit.removeprefix('byte')}", 4)
    return quantity(value, unit)


def references_data(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> dict[str, Any]:
    """The program beside digital chips at their published peak."""
    table = beside(body, schedule, energy)
    return {
        "header": [column.heading for column in table.columns],
        "rows": [[c.text(value) for c, value in zip(table.columns, row, strict=True)] for row in table.rows],
        "notes": [f"{chip.name}: {chip.source}." for chip in REFERENCES],
    }


def used_share(body: ProgramBody) -> str:
    """Share of the tiles' cells that hold weights, as text."""
    cells = sum(bank.spec.tiles * bank.spec.ports**2 for bank in body.banks.values())
    return percent(sum(bank.spec.weights for bank in body.banks.values()), cells)
