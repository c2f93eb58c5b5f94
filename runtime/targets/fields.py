"""The plain fields of a target, part by part: what optics, limits and prices read.

In TOML a number is an inline table ``{value = 10e-6, unit = "s", source = "...", kind = "quoted"}``; in Python it is a
plain float whose name carries the unit, and :attr:`TargetFields.provenance` keeps the rest. What fields may not be
together is for :class:`.schema.Target` to say, which stands above all that.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .part import Bits, Fraction, NonNegative, Part, Positive, Seed
from .surroundings import AreaSpec, LinkSpec, MemorySpec


class Provenance(Part):
    """Where a number comes from. ``kind``: measured, quoted (published) or assumed."""

    unit: str
    source: str = Field(min_length=3)
    kind: Literal["measured", "quoted", "assumed"]


class MeshSpec(Part):
    """The photonic cores: how many, how wide, of which topology, and how imperfect."""

    topology: str = "clements"
    ports: int = Field(ge=1, le=4096)
    cores: int = Field(ge=1, le=2**20)
    buffers: int = Field(default=1, ge=1, le=2)  # settings that a core holds: one is set while light uses the other
    writes: Literal["all", "changed"] = "all"  # settings that a configuration writes: all, or those whose code changes
    layers: int | None = Field(default=None, ge=1)  # windows, for the families whose depth is an option
    phase_bits: Bits = None
    attenuator_bits: Bits = None
    phase_error_rad: NonNegative = 0.0  # std of the Gaussian error of each shifter, new each configuration
    splitter_error_rad: NonNegative = 0.0  # std of each splitter's angle error around pi/4, fixed by chip_seed
    cell_loss_db: NonNegative = 0.0  # insertion loss of one MZI cell
    coupling_loss_db: NonNegative = 0.0  # fibre-to-chip and chip-to-detector, whole path
    chip_seed: Seed = 0  # which chip of the wafer: seeds the static errors


class EncodingSpec(Part):
    """How numbers become fields.

    ``sign``: ``differential`` (two nonnegative rails, one dual-port shot), ``differential_two_shot``
    (the rails one after the other), ``phase_sign`` (amplitude |x|, phase 0 or pi) or ``offset``
    (x + B, the constant subtracted digitally). ``scale``: ``per_vector`` (adaptive block floating
    point, one scale per input vector and tile column) or ``static`` (per tile column, from calibration).
    """

    sign: Literal["differential", "differential_two_shot", "phase_sign", "offset"] = "differential"
    scale: Literal["per_vector", "static"] = "per_vector"
    dac_bits: Bits = None
    dac_rate_hz: Positive | None = None  # samples that a DAC converts in a second: one a window
    lanes: int = Field(default=1, ge=1)  # wavelengths or time slots: shots that go through a mesh in one window

    @property
    def rails(self) -> int:
        """Fields sent per input vector."""
        return 2 if self.sign.startswith("differential") else 1

    @property
    def shots(self) -> int:
        """Windows that one input vector takes."""
        return 2 if self.sign == "differential_two_shot" else 1


class DetectionSpec(Part):
    """How fields become numbers. ``kind``: balanced homodyne (``coherent``, signed) or ``intensity``."""

    kind: Literal["coherent", "intensity"] = "coherent"
    adc_bits: Bits = None
    adc_rate_hz: Positive | None = None  # samples that an ADC converts in a second: one a window
    adc_range: Literal["worst_case", "calibrated"] = "worst_case"
    noise: bool = False  # shot, thermal and dark noise on
    responsivity_a_per_w: Positive = 1.0
    dark_current_a: NonNegative = 0.0
    thermal_noise_a_per_rthz: NonNegative = 0.0
    rin_db_per_hz: float = Field(default=-200.0, le=0)
    bandwidth_hz: Positive = 1e9
    local_oscillator_w: Positive = 1e-3  # per detector, coherent detection only
    launch_power_w: Positive = 1e-3  # per input port and lane at full scale, before on-chip loss
    laser: Literal["given", "sized"] = "given"  # sized: launch_power_w follows from what the detectors are asked for
    max_launch_w: Positive | None = None  # what the lasers can launch into a port
    required_snr_db: Positive | None = None  # asked of a full-scale signal at its detector


class TimingSpec(Part):
    """What happens when. A window is encode, symbol and integration of one vector."""

    reconfigure_s: NonNegative  # full reconfiguration of one tile: drivers and settling
    update_s: NonNegative | None = None  # incremental: of a setting that is there already; reconfigure_s if not given
    window_s: Positive  # one shot: symbol plus integration
    pipeline_latency_s: NonNegative = 0.0  # first shot in to first number out: DAC, flight, ADC
    encode_s: NonNegative | None = None  # of each window: until the driven inputs have settled
    integrate_s: Positive | None = None  # of each window: the detectors integrate
    detector_skew_s: NonNegative | None = None  # from the earliest detector to the latest
    detector_margin_s: NonNegative | None = None  # from settling to the opening of the detectors; covers the skew
    control_rate_hz: Positive | None = None  # shots that the control electronics can start in a second
    required_vectors_per_s: Positive | None = None  # throughput asked of one core


class EnergySpec(Part):
    """What each event costs."""

    laser_wall_plug_efficiency: Fraction
    phase_shifter_hold_w: NonNegative | None = None  # mean static power of one phase shifter; this or the next
    phase_shifter_pi_w: NonNegative | None = None  # static power of a phase of pi: held settings are priced as they are
    control_w: NonNegative | None = None  # static power of one core's control electronics, over the whole run
    reconfigure_j_per_phase: NonNegative = 0.0
    dac_j_per_sample: NonNegative | None = None  # this or the next
    dac_j_per_step: NonNegative | None = None  # Walden figure of merit: energy of a sample over 2^bits
    modulator_j_per_sample: NonNegative = 0.0
    detector_j_per_sample: NonNegative = 0.0  # photodiode bias and TIA
    adc_j_per_sample: NonNegative | None = None  # this or one of the next two
    adc_j_per_step: NonNegative | None = None  # Walden figure of merit: energy of a sample over 2^bits
    adc_schreier_db: Positive | None = None  # Schreier figure of merit: SNDR + 10 log10(bandwidth / power)
    memory_j_per_byte: NonNegative
    host_j_per_mac: NonNegative  # multiply-accumulates left on the host
    host_j_per_op: NonNegative = 0.0  # one elementwise result: bias, accumulation, activation
    host_ops_per_s: Positive = 1e12


class TargetFields(Part):
    """A chip as the numbers that describe it."""

    name: str = Field(min_length=1)
    description: str = ""
    mesh: MeshSpec
    encoding: EncodingSpec = EncodingSpec()
    detection: DetectionSpec = DetectionSpec()
    timing: TimingSpec
    energy: EnergySpec
    memory: MemorySpec = MemorySpec()
    link: LinkSpec = LinkSpec()
    area: AreaSpec = AreaSpec()
    provenance: dict[str, Provenance] = Field(default_factory=dict, repr=False)
