"""Digital chips that a network's energy and time are set beside: their published peak, with its source.

Peak rate and full power: what a datasheet promises and no network reaches. The comparison flatters the digital chip.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..pricing.ledger import EnergyReport
from ..program import ProgramBody
from ..scheduling.schedule import Schedule
from .tables import Column, Table, si


@dataclass(frozen=True, slots=True)
class Reference:
    """A digital chip at its published peak: 8-bit integer operations, two a multiply-accumulate (MAC)."""

    name: str
    ops_per_s: float
    power_w: float
    source: str

    @property
    def ops_per_j(self) -> float:
        """Operations per second and watt at peak rate and full power."""
        return self.ops_per_s / self.power_w

    @property
    def j_per_mac(self) -> float:
        """Energy of a MAC at peak rate and full power."""
        return 2 * self.power_w / self.ops_per_s

    def time_s(self, macs: int) -> float:
        """Seconds for so many MACs at peak rate."""
        return 2 * macs / self.ops_per_s

    def energy_j(self, macs: int) -> float:
        """Joules for so many MACs at peak rate."""
        return macs * self.j_per_mac


REFERENCES = (
    Reference(
        "edge NPU, 8 bit (Google Coral Edge TPU)",
        4e12,
        2.0,
        "Coral Edge TPU datasheet (coral.ai): 4 TOPS of 8-bit integers at 2 TOPS per watt; without its host",
    ),
    Reference(
        "data-centre GPU, 8 bit (NVIDIA H100 SXM)",
        1978.9e12,
        700.0,
        "NVIDIA H100 Tensor Core GPU architecture (2022): 1978.9 TOPS of dense 8-bit integers, up to 700 W",
    ),
)
"""The chips of the table."""


def beside(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> Table:
    """The program on its chip and on every reference: one row each, of one inference and of one MAC.

    The chip's energy is amortised, and so is its rate per watt; its time is the makespan over the batch. References
    count the program's MACs alone.
    """
    macs = energy.macs
    mac_j = energy.amortised_per_mac_j
    seconds = schedule.makespan_s / schedule.batch
    per_j = 2 / mac_j if mac_j else 0.0
    rows = [(f"{body.target.name} (this program)", seconds, energy.amortised_j, mac_j, per_j, 1.0)]
    for chip in REFERENCES:
        joules = chip.energy_j(macs)
        ratio = energy.amortised_j / joules if joules else 0.0
        rows.append((chip.name, chip.time_s(macs), joules, chip.j_per_mac, chip.ops_per_j, ratio))
    columns = (
        Column("chip", "chip"),
        Column("time_s", "time per inference", lambda value: si(value, "s")),
        Column("energy_j", "energy per inference", lambda value: si(value, "J")),
        Column("mac_j", "per MAC", lambda value: si(value, "J")),
        Column("ops_per_j", "TOPS/W", lambda value: f"{value * 1e-12:.4g}"),
        Column("ratio", "energy of this program over it", lambda value: f"{value:.4g}"),
    )
    return Table(columns, tuple(rows))


def text(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> str:
    """The table, and under it where the figures of the references come from."""
    notes = [f"{chip.name}: peak rate and full power; {chip.source}" for chip in REFERENCES]
    return "\n".join([str(beside(body, schedule, energy)), *notes])
