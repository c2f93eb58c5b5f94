"""What a chip covers: how many parts of each kind it has, times their footprints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..meshes import tile_mesh
from ..report.tables import Column, Table, micro_area
from ..scheduling.latency import peak_ops_per_s
from ..targets.schema import Target
from ..widths import settings_per_tile
from .energy import peak_power

PHOTONIC = ("cells", "attenuators", "modulators", "detectors", "lasers")
"""Parts that light goes through; the others are electronics."""


@dataclass(frozen=True, slots=True)
class Part:
    """Parts of one kind: ``number`` of them (bytes, of memory), and the footprint of one in m^2; None if not stated."""

    name: str
    number: int
    footprint_m2: float | None

    @property
    def area_m2(self) -> float:
        """All of them; 0 without a footprint."""
        return self.number * (self.footprint_m2 or 0.0)


@dataclass(frozen=True)
class AreaReport:
    """The area of a chip, and its peak rate and power, which the area is set against.

    Parts without a footprint are not counted, and neither are memories of no stated size.
    """

    parts: tuple[Part, ...]
    ops_per_s: float
    power_w: float

    @property
    def total_m2(self) -> float:
        """All parts that have a footprint."""
        return sum(part.area_m2 for part in self.parts)

    @property
    def photonic_m2(self) -> float:
        """What light goes through: cells, attenuators, modulators, detectors, lasers."""
        return sum(part.area_m2 for part in self.parts if part.name in PHOTONIC)

    @property
    def electronic_m2(self) -> float:
        """Converters, drivers, memories."""
        return sum(part.area_m2 for part in self.parts if part.name not in PHOTONIC)

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Parts that the chip has and that have no footprint."""
        return tuple(part.name for part in self.parts if part.footprint_m2 is None and part.number)

    @property
    def ops_per_j(self) -> float:
        """Peak operations per second and watt."""
        return self.ops_per_s / self.power_w if self.power_w else 0.0

    @property
    def ops_per_s_m2(self) -> float:
        """Peak operations per second and square metre; 0 without any footprint."""
        return self.ops_per_s / self.total_m2 if self.total_m2 else 0.0

    def table(self) -> Table:
        """One row a kind of part."""
        rows = [(part.name, part.number, part.footprint_m2, part.area_m2) for part in self.parts]
        columns = (
            Column("part", "part"),
            Column("number", "number", "{:,}".format),
            Column("footprint_m2", "footprint of one", _footprint),
            Column("area_m2", "area", square_mm),
        )
        return Table(columns, tuple(rows), notes=self._notes())

    def _notes(self) -> dict[str, Any]:
        return {
            "total_m2": self.total_m2,
            "photonic_m2": self.photonic_m2,
            "electronic_m2": self.electronic_m2,
            "not_counted": list(self.not_counted),
            "peak_ops_per_s": self.ops_per_s,
            "peak_power_w": self.power_w,
            "peak_ops_per_j": self.ops_per_j,
            "peak_ops_per_s_m2": self.ops_per_s_m2,
        }

    def to_dict(self) -> dict[str, Any]:
        """Totals, and the table of parts."""
        return self.table().to_dict()

    def __repr__(self) -> str:
        return f"AreaReport({len(self.parts)} parts, {self.total_m2 * 1e6:.4g} mm²)"

    def __str__(self) -> str:
        lines = [
            str(self.table()),
            f"total {square_mm(self.total_m2)}: photonics {square_mm(self.photonic_m2)}, "
            f"electronics {square_mm(self.electronic_m2)}",
            f"peak: {tera(self.ops_per_s)} TOPS, {tera(self.ops_per_j)} TOPS/W",
        ]
        if self.total_m2:
            lines[-1] += f", {tera(self.ops_per_s_m2 * 1e-6)} TOPS/mm²"
        if self.not_counted:
            lines.append(f"not counted, having no footprint: {', '.join(self.not_counted)}")
        return "\n".join(lines)


def area(target: Target) -> AreaReport:
    """The area of a chip: every core with its two meshes, what feeds and reads it, and the memories.

    Modulators and detectors are those of the rails that are lit at once, one for each port and lane, a converter each;
    phase shifters and attenuators have a driver for every buffer.
    """
    mesh, encoding, memory, each = target.mesh, target.encoding, target.memory, target.area
    cores = mesh.cores
    fields = cores * encoding.lanes * mesh.ports * (encoding.rails // encoding.shots)
    bytes_ = (memory.sram_bytes or 0) + cores * ((memory.input_buffer_bytes or 0) + (memory.accumulator_bytes or 0))
    parts = (
        Part("cells", cores * 2 * tile_mesh(mesh).cells, each.cell_m2),
        Part("attenuators", cores * mesh.ports, each.attenuator_m2),
        Part("modulators", fields, each.modulator_m2),
        Part("detectors", fields, each.detector_m2),
        Part("lasers", cores * encoding.lanes, each.laser_m2),
        Part("DACs", fields, each.dac_m2),
        Part("ADCs", fields, each.adc_m2),
        Part("drivers", cores * mesh.buffers * settings_per_tile(mesh), each.driver_m2),
        Part("memory bytes", bytes_, each.memory_m2_per_byte),
    )
    return AreaReport(parts, peak_ops_per_s(target), peak_power(target).total_w)


def square_mm(area_m2: float) -> str:
    """An area in square millimetres."""
    return f"{area_m2 * 1e6:.4g} mm²"


def tera(value: float) -> str:
    """A number in units of 10^12."""
    return f"{value * 1e-12:.4g}"


def _footprint(area_m2: float | None) -> str:
    return "not stated" if area_m2 is None else micro_area(area_m2)
