"""The text report: latency, energy by part and by layer, assumptions."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..optics.budget import adc_snr_db, link_budget, required_launch_w
from ..pricing.area import area, tera
from ..pricing.counts import run_counts
from ..pricing.energy import EnergyReport, peak_power
from ..pricing.holding import MEAN_HALF_TURNS
from ..pricing.tile_energies import tile_energies
from ..program import ProgramBody
from ..scheduling.latency import latency, peak_ops_per_s
from ..scheduling.schedule import Schedule
from ..targets.schema import Target
from . import references
from .tables import Column, Table, micro_area, percent, si


def report(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> str:
    """Everything a scheduled run costs, as readable text.

    Args: the program, its schedule for a batch, and the schedule's energy.
    Returns: sections with aligned tables, ended by the target's assumptions with their sources.
    """
    sections: list[tuple[str, str]] = [
        (f"{body.name} on {body.target.name}, batch {schedule.batch}", headline(body, schedule, energy)),
        ("Latency", str(latency(body, schedule))),
        ("Schedule by layer", str(schedule.table())),
        ("Energy by part, per inference", parts_table(energy)),
        ("Energy by item, of the run", items_text(body, energy)),
        ("Events of the run", str(energy.events())),
        ("Energy by layer, of the run", str(energy.layers())),
        ("Energy by tile, of the run", tiles_text(body, schedule)),
        ("Memory and link traffic of the run", traffic_text(body, schedule, energy)),
        ("Counts of the run", counts_text(body, schedule)),
        ("Link budget", link_text(body.target)),
        *area_section(body.target),
        ("Beside digital chips, batch " + str(schedule.batch), references.text(body, schedule, energy)),
        ("The chip's numbers and where they come from", assumptions(body.target)),
    ]
    return "\n\n".join(f"{title}\n{'=' * len(title)}\n{text}" for title, text in sections) + "\n"


def headline(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> str:
    """The figures that matter most, one a line."""
    peak = peak_power(body.target)
    shared = energy.configuration_reuse
    by = f", {schedule.bound}" if schedule.bound else ""
    lines = {
        "latency": f"{si(schedule.makespan_s, 's')} ({schedule.ratio:.3f} times the lower bound{by})",
        "energy per inference, execution only": si(energy.per_inference_j, "J"),
        "energy per inference, amortised": f"{si(energy.amortised_j, 'J')} "
        f"(configuration over {shared}, calibration over {energy.reuse} inferences)",
        "energy per MAC, execution only": si(energy.per_mac_j, "J"),
        "energy per MAC, amortised": si(energy.amortised_per_mac_j, "J"),
        "average power of the run": si(energy.average_power_w, "W"),
        "rate of the run": f"{tera(energy.ops_per_s)} TOPS, {tera(energy.ops_per_j)} TOPS/W (two operations a MAC)",
        "peak of the chip": f"{si(peak_ops_per_s(body.target), 'op/s')}, {si(peak.total_w, 'W')} "
        f"of which lasers {si(peak.laser_w, 'W')}",
        "weights": _weights(body, energy),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines.items())


def _weights(body: ProgramBody, energy: EnergyReport) -> str:
    if energy.resident:
        return "stay on the chip between runs"
    if any(bank.spec.dynamic for bank in body.banks.values()):
        return "change during a run: those of products of computed values are known only then"
    return "change during a run: the cores hold fewer tiles than the program has"


def items_text(body: ProgramBody, energy: EnergyReport) -> str:
    """The price list's items, and what stands in for settings that are not known."""
    table = str(energy.table())
    unknown = any(bank.spec.dynamic for bank in body.banks.values())
    if body.target.energy.phase_shifter_pi_w is None or not unknown:
        return table
    note = f"phases of products of computed values are taken as {MEAN_HALF_TURNS:g} pi each: only a run knows them"
    return f"{table}\n{note}"


def tiles_text(body: ProgramBody, schedule: Schedule) -> str:
    """Joules of the tiles of each matrix: the least, the mean and the most that one takes, and all of them."""
    rows = [
        (name, len(joules), float(joules.min()), float(joules.mean()), float(joules.max()), float(joules.sum()))
        for name, joules in tile_energies(body, schedule).items()
        if len(joules)
    ]
    headings = ("least", "mean", "most", "all")
    columns = (
        Column("matrix", "matrix"),
        Column("tiles", "tiles", "{:,}".format),
        *(Column(f"{heading}_j", heading, _joules) for heading in headings),
    )
    return str(Table(columns, tuple(rows)))


def traffic_text(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> str:
    """Bytes and joules of each level of memory, and of the link to the host."""
    counts, items = run_counts(body, schedule), energy.run.by_item()
    rows = (
        ("SRAM", counts.memory_bytes, items["memory"]),
        ("input buffers and accumulators", counts.local_bytes, items["local memory"]),
        ("DRAM", counts.dram_bytes, items["dram"]),
        ("link to the host", counts.link_bytes, items["link"]),
    )
    grouped: Callable[[int], str] = "{:,}".format
    columns = (Column("level", "level"), Column("bytes", "bytes", grouped), Column("joules", "energy", _joules))
    return str(Table(columns, rows))


def area_section(target: Target) -> list[tuple[str, str]]:
    """The chip's area, where the target states any footprint."""
    found = area(target)
    if all(part.footprint_m2 is None for part in found.parts):
        return []
    return [("Area", str(found))]


def parts_table(energy: EnergyReport) -> str:
    """Energy of one inference by part: execution only, and amortised."""
    execution, amortised = energy.execution.by_part(), energy.amortised.by_part()
    rows = [
        (part, execution[part] / energy.batch, amortised[part], percent(amortised[part], energy.amortised_j))
        for part in execution
    ]
    rows.append(("total", energy.per_inference_j, energy.amortised_j, percent(1, 1)))
    columns = (
        Column("part", "part"),
        Column("execution_j", "execution only", _joules),
        Column("amortised_j", "amortised", _joules),
        Column("share", "share"),
    )
    return str(Table(columns, tuple(rows)))


def counts_text(body: ProgramBody, schedule: Schedule) -> str:
    """Counts of the run, one a line."""
    rows = tuple((name.replace("_", " "), value) for name, value in run_counts(body, schedule).to_dict().items())
    grouped: Callable[[int], str] = "{:,}".format
    return str(Table((Column("event", "event"), Column("count", "count", grouped)), rows))


def link_text(target: Target) -> str:
    """From the laser to a detector, one figure a line: losses, what arrives, and the light that is needed."""
    link = link_budget(target)
    lines = {
        "launched, all ports": f"{si(link.launched_w, 'W')} into {link.lit} fields",
        "longest path": f"{link.path_cells} cells, {link.path_loss_db:.4g} dB with the couplings",
        "at a detector, full scale": f"{si(link.detected_w, 'W')}, {si(link.current_a, 'A')}",
        "signal to noise, full scale": f"{link.snr_db:.4g} dB, as the rounding of {link.bits:.3g} bits",
    }
    asked: list[tuple[str, float]] = []
    if target.detection.required_snr_db is not None:
        ratio = target.detection.required_snr_db
        asked.append((f"needed into a port for {ratio:g} dB", required_launch_w(target, snr_db=ratio)))
    if (ratio := adc_snr_db(target)) is not None:
        bits = target.detection.adc_bits
        asked.append((f"needed into a port for the ADC's {bits} bits", required_launch_w(target, snr_db=ratio)))
    for name, watts in asked:
        enough = si(watts, "W") if math.isfinite(watts) else "more than any power: intensity and shot noise stay"
        lines[name] = f"{enough} (launched: {si(target.detection.launch_power_w, 'W')})"
    width = max(map(len, lines))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines.items())


def assumptions(target: Target) -> str:
    """Every number of the target with its kind and source, assumed ones first."""
    lines: list[str] = []
    titles = {
        "assumed": "Assumed (change these first)",
        "quoted": "Quoted from publications",
        "measured": "Measured",
    }
    for kind, title in titles.items():
        paths = [path for path, item in target.provenance.items() if item.kind == kind]
        if not paths:
            continue
        lines.append(f"{title}:")
        for path in paths:
            part, _, name = path.partition(".")
            item = target.provenance[path]
            value = getattr(getattr(target, part), name)
            lines.append(f"  {path} = {quantity(value, item.unit)}: {item.source}")
    return "\n".join(lines) if lines else "no number of this target has a source"


_PREFIXED = ("s", "W", "A", "Hz", "rad", "op/s", "A/W", "A/sqrt(Hz)", "byte", "byte/s")


def quantity(value: float, unit: str) -> str:
    """A number of a target with its unit, prefixed where that suits the unit."""
    if unit == "1":
        return f"{value:g}"
    if unit.startswith("m^2"):
        return micro_area(value) + unit.removeprefix("m^2")
    # Prefixes suit quantities that start with a unit, not decibels, bits or counts.
    prefixed = unit in _PREFIXED or unit.startswith("J")
    return si(value, unit) if prefixed else f"{value:g} {unit}"


def _joules(value: float) -> str:
    return si(value, "J")
