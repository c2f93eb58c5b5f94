"""Write the comparison of docs/chips.md: what the presets of published chips compute, beside what their makers report.

    python benchmarks/published_chips.py [--page docs/chips.md] [--check]

What stands between ``<!-- begin chips -->`` and ``<!-- end chips -->`` is written anew; the rest of the page stays.
With ``--check`` nothing is written, and a page that differs is an error.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.meshes import tile_mesh
from lightloom.runtime.optics.budget import link_budget, longest_path, snr_db
from lightloom.runtime.pricing.counts import settings_per_tile, stream_counts
from lightloom.runtime.pricing.energy import peak_power, price
from lightloom.runtime.program import HostStep
from lightloom.runtime.report.tables import si
from lightloom.runtime.scheduling.latency import move_s, peak_ops_per_s
from lightloom.runtime.scheduling.schedule import EventKind
from lightloom.runtime.targets import Target

MARKS = {"text": "", "summary": " *", "count": " +"}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "chips.md"


@dataclass(frozen=True)
class Figure:
    """A figure that a chip's makers report.

    ``known``: ``text`` (read in the paper or its abstract), ``summary`` (read in a summary of the paper only) or
    ``count`` (counted from the structure that they report).
    ``how``: ``stated`` where the preset was given numbers from which it follows, ``found`` where it was not.
    """

    chip: str
    name: str
    published: float
    unit: str
    known: str
    how: str
    compute: Callable[[Target], float]
    why: str


def small_network(target: Target, layers: int) -> ll.Program:
    """Square layers of the chip's ports with ReLU between, compiled."""
    ports = target.mesh.ports
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(ports, ports, bias=False), nn.ReLU()]
    return ll.compile(nn.Sequential(*parts[:-1]), torch.zeros(1, ports), target)


def cells(target: Target) -> float:
    """Interferometers of one mesh."""
    return float(tile_mesh(target.mesh).cells)


def network_cell_phases(target: Target) -> float:
    """Phases of the interferometers of a two-layer network, both meshes of each layer's tile."""
    banks = small_network(target, 2).body.banks.values()
    return float(sum(bank.spec.tiles * 2 * 2 * tile_mesh(bank.spec).cells for bank in banks))


def latency_after_loading(target: Target, layers: int) -> float:
    """From the first shot of a network whose weights are set to its last number out."""
    schedule = small_network(target, layers).schedule
    return schedule.makespan_s - float(schedule.start_s[schedule.kind == EventKind.STREAM].min())


def op_j(target: Target) -> float:
    """Joules of an operation (two a multiply-accumulate) of one full tile, configured and held for free, no memory."""
    ports = target.mesh.ports
    items = price(target, stream_counts(target, 1, ports, ports))
    left_out = {"memory", "accumulate", "ops", "macs", "hold"}
    return math.fsum(joules for name, joules in items.items() if name not in left_out) / (2 * ports**2)


def effective_bits(target: Target) -> float:
    """Bits of a full-scale result: detector noise and the ADC's rounding together, against an ideal quantizer."""
    steps = 2.0 ** (target.detection.adc_bits or 24) - 1
    variance = 10 ** (-snr_db(target) / 10) + 1 / (12 * steps**2)
    return -math.log2(math.sqrt(12 * variance))


def nonlinear_elements(target: Target) -> int:
    """Results of the activations of a compiled network of three layers, for one sample."""
    body = small_network(target, 3).body
    return sum(body.costs[step.name].elements for step in body.steps if isinstance(step, HostStep))


def session_s(target: Target, points: int) -> float:
    """Seconds of a session: one configuration, then so many data points."""
    return small_network(target, 1).schedule_for(points).makespan_s


SHEN, HARRIS, PAI = "shen2017", "harris2017", "pai2023"
BANDYOPADHYAY, PACE, LIGHTMATTER, QUANDELA = "bandyopadhyay2024", "pace2025", "lightmatter2025", "quandela_session"
SVD = "a tile is an SVD here, two meshes and attenuators; the chip sets one unitary a layer"
SPLIT = "by construction: the shares of the power are assumed so that they add up"

FIGURES = (
    Figure(SHEN, "rate of a layer at N = 4", 2 * 4**2 * 1e11, "op/s", "text", "stated", peak_ops_per_s,
           "the makers' projection R = 2 m N^2 10^11 at m = 1; detection at 100 GHz is the preset's window"),
    Figure(SHEN, "optical power", 4e-3, "W", "text", "stated", lambda chip: peak_power(chip).launched_w,
           "their P = N mW; the preset launches 1 mW a port"),
    Figure(SHEN, "optical energy of an operation", 5e-15 / 4, "J", "text", "stated",
           lambda chip: peak_power(chip).launched_w / peak_ops_per_s(chip), "their 5 / (m N) fJ at m = 1"),
    Figure(SHEN, "phase settings of the two-layer network", 48, "", "text", "found", network_cell_phases,
           "four 4-port unitaries of 6 interferometers, as compiled; screens and attenuators come on top"),
    Figure(SHEN, "power to hold these settings", 0.48, "W", "text", "stated",
           lambda chip: network_cell_phases(chip) * chip.energy.phase_shifter_hold_w, "10 mW a modulator"),
    Figure(HARRIS, "interferometers", 88, "", "text", "stated", cells,
           "chosen so: 7 full columns of 26 ports; the chip has 11 columns that are not full"),
    Figure(HARRIS, "phase shifters", 176, "", "text", "found", lambda chip: float(tile_mesh(chip.mesh).phases),
           "two an interferometer, and here a phase on each of the 26 outputs"),
    Figure(HARRIS, "loss from fibre to fibre", 8.0, "dB", "text", "found",
           lambda chip: chip.mesh.coupling_loss_db + longest_path(tile_mesh(chip.mesh)) * chip.mesh.cell_loss_db,
           "7 columns here, 11 on the chip, of 0.091 dB each; one mesh, as there"),
    Figure(HARRIS, "full reconfigurations per second", 1e5, "1/s", "text", "found",
           lambda chip: 1 / chip.timing.reconfigure_s,
           "they take the 130 kHz bandwidth; the preset waits until 12 bits have settled"),
    Figure(PAI, "interferometers of the whole 6-port mesh", 15, "", "summary", "found",
           lambda chip: cells(chip.with_({"mesh.ports": 6})), "the network uses 4 of its ports"),
    Figure(PAI, "projected energy of an operation at N = 128", 84e-15, "J", "summary", "stated",
           lambda chip: op_j(chip.with_({"mesh.ports": 128})),
           "their 21.5 pJ an input element over 2 N operations; phases held for free there, memory not counted"),
    Figure(BANDYOPADHYAY, "latency of three layers", 410e-12, "s", "summary", "stated",
           lambda chip: latency_after_loading(chip, 3),
           "the host ops that stand for the nonlinear units in the light take the rest"),
    Figure(BANDYOPADHYAY, "phases of its linear layers", 3 * 6**2, "", "count", "found",
           lambda chip: float(3 * settings_per_tile(chip.mesh)), SVD),
    Figure(BANDYOPADHYAY, "nonlinear results between the layers", 12, "", "text", "found",
           lambda chip: float(nonlinear_elements(chip)), "host ops here, units in the light there"),
    Figure(PACE, "peak rate", 8.19e12, "op/s", "summary", "stated", peak_ops_per_s, "64 x 64 at 1 GHz"),
    Figure(PACE, "power efficiency without lasers", 4.21e12, "op/J", "summary", "stated",
           lambda chip: peak_ops_per_s(chip) / peak_power(chip).electrical_w, SPLIT),
    Figure(PACE, "power efficiency with lasers", 2.38e12, "op/J", "summary", "stated",
           lambda chip: peak_ops_per_s(chip) / peak_power(chip).total_w, SPLIT),
    Figure(PACE, "latency of a cycle", 5e-9, "s", "summary", "stated", lambda chip: latency_after_loading(chip, 1),
           "window and pipeline; the abstract says 3 ns at the least"),
    Figure(PACE, "effective bits", 7.61, "bit", "summary", "found", effective_bits,
           "full scale is the light of one input here, the sum of 64 inputs there; receiver noise is assumed"),
    Figure(LIGHTMATTER, "peak rate", 65.5e12, "op/s", "text", "stated", peak_ops_per_s,
           "four cores of 128 x 128 at 500 MHz"),
    Figure(LIGHTMATTER, "electrical power", 78.0, "W", "text", "stated", lambda chip: peak_power(chip).electrical_w,
           SPLIT),
    Figure(LIGHTMATTER, "optical power", 1.6, "W", "text", "stated", lambda chip: peak_power(chip).launched_w, SPLIT),
    Figure(LIGHTMATTER, "operations per joule, electrical", 0.84e12, "op/J", "summary", "stated",
           lambda chip: peak_ops_per_s(chip) / peak_power(chip).electrical_w, "the rate over the power"),
    Figure(QUANDELA, "a data point in a session", 30e-3, "s", "summary", "stated",
           lambda chip: session_s(chip, 101) - session_s(chip, 100), "20 ms for the input phases, 10 ms of sampling"),
    Figure(QUANDELA, "sampling of a data point", 10e-3, "s", "text", "stated",
           lambda chip: chip.timing.integrate_s or math.nan, "about 1000 useful samples in about 10 ms"),
    Figure(QUANDELA, "round trip of the link", 3.96e-6, "s", "text", "stated", lambda chip: 2 * move_s(chip, 8),
           "NVQLink, arXiv:2510.25213, at the most; a number of 8 bytes each way"),
)  # fmt: skip
"""Every figure of the page, chip by chip."""


@lru_cache(maxsize=1)
def computed() -> tuple[tuple[Figure, float], ...]:
    """Every figure with what its preset computes."""
    return tuple((figure, figure.compute(ll.targets.get(figure.chip))) for figure in FIGURES)


def quantity(value: float, unit: str) -> str:
    """A figure with its unit, to four digits."""
    if unit in ("", "bit", "dB", "1/s"):
        return f"{value:,.4g} {unit}".strip() if value < 1e4 else f"{value:,.0f} {unit}".strip()
    return si(value, unit)


def table() -> str:
    """The comparison as a table in Markdown."""
    lines = ["| preset | figure | reported | computed | ratio | | |", "| --- | --- | ---: | ---: | ---: | --- | --- |"]
    for figure, value in computed():
        reported = quantity(figure.published, figure.unit) + MARKS[figure.known]
        lines.append(
            f"| {figure.chip} | {figure.name} | {reported} | {quantity(value, figure.unit)} | "
            f"{value / figure.published:.3f} | {figure.how} | {figure.why} |"
        )
    return "\n".join(lines)


def assumptions() -> str:
    """How many numbers of each preset are quoted and how many assumed, and its link budget."""
    names = dict.fromkeys(figure.chip for figure in FIGURES)
    lines = [
        "| preset | ports | cores | quoted | assumed | loss of the longest path | signal to noise, full scale |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        chip = ll.targets.get(name)
        kinds = [item.kind for item in chip.provenance.values()]
        link = link_budget(chip)
        lines.append(
            f"| {name} | {chip.mesh.ports} | {chip.mesh.cores} | {kinds.count('quoted')} | {kinds.count('assumed')} | "
            f"{link.path_loss_db:.2f} dB | {link.snr_db:.1f} dB, {link.bits:.1f} bit |"
        )
    return "\n".join(lines)


def render(page: str) -> str:
    """The page with its generated parts written anew. Raises ValueError where the page lacks their markers."""
    for name, text in {"chips": table(), "presets": assumptions()}.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        page, count = pattern.subn(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page)
        if count != 1:
            raise ValueError(f"the page has markers of {name!r} {count} times, wanted once")
    return page


def main() -> None:
    """Write the page, or check it."""
    from options import Options  # here, for those who load this file for its tables

    parser = Options(__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = options.page.read_text(encoding="utf-8")
    found = render(text)
    if not options.check:
        options.page.write_text(found, encoding="utf-8")
    elif found != text:
        sys.exit(f"{options.page} is not what the presets compute: write it anew")


if __name__ == "__main__":
    main()
