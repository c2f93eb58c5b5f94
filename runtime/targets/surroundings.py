"""What stands around the photonic cores: memories, the link to the host, and the area that everything takes."""

from __future__ import annotations

from .part import Bytes, NonNegative, Part, Positive


class MemorySpec(Part):
    """The chip's memories. None of a field: not modelled (no limit, or no energy of its own).

    Inputs and readings live in the SRAM, whose energy is ``energy.memory_j_per_byte``; settings too where a program's
    fit, else they are read from DRAM for every configuration. Every core has its own port: an equal share of each
    bandwidth. Input buffers and accumulators lie beside each core; without accumulators a core cannot work
    output-stationary, without an input buffer not input-stationary.
    """

    sram_bytes: Bytes | None = None  # settings that the chip keeps beside the cores
    sram_bytes_per_s: Positive | None = None  # all cores together
    dram_bytes_per_s: Positive | None = None  # all cores together
    dram_j_per_byte: NonNegative | None = None
    input_buffer_bytes: Bytes | None = None  # of each core: a block of input vectors, at the DAC's width
    accumulator_bytes: Bytes | None = None  # of each core: a block of sums, 4 bytes each
    local_j_per_byte: NonNegative | None = None  # input buffer and accumulators


class LinkSpec(Part):
    """Between the host, where the ops left on it run, and the chip. None throughout: they share the chip's memory."""

    latency_s: NonNegative | None = None  # of each move
    bytes_per_s: Positive | None = None
    j_per_byte: NonNegative | None = None

    @property
    def present(self) -> bool:
        """Whether numbers cross a link at all."""
        return self.latency_s is not None or self.bytes_per_s is not None or self.j_per_byte is not None


class AreaSpec(Part):
    """Footprints in m^2, pitch and wiring included. None: not counted, and said so."""

    cell_m2: NonNegative | None = None  # one MZI cell with its phase shifters
    attenuator_m2: NonNegative | None = None  # one a port
    modulator_m2: NonNegative | None = None  # one a rail, port and lane
    detector_m2: NonNegative | None = None  # one a rail, port and lane, with its amplifier
    laser_m2: NonNegative | None = None  # one a core and lane
    dac_m2: NonNegative | None = None  # one a modulator
    adc_m2: NonNegative | None = None  # one a detector
    driver_m2: NonNegative | None = None  # one a phase shifter or attenuator, and buffer
    memory_m2_per_byte: NonNegative | None = None  # of the SRAM, input buffers and accumulators that are stated
