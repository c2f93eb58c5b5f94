"""The line between host and chip: what a photonic device must be able to do, and in which words.

An owner of hardware implements :class:`PhotonicDevice` and passes it to the step executor
(``Runner(body).run(..., executor="step", device=...)``). What an implementation does:

- ``reserve`` takes the cores for one run and ``release`` gives them back; requests outside are refused.
- ``configure`` writes the phase and attenuator codes of one tile to a core's drivers, sets the receivers
  so that the ADC's largest code is ``adc_full_scale``, waits until everything has settled, and only then
  returns. The core holds that configuration until the next one; a core with several buffers (``mesh.buffers``)
  until the next one into the same ``buffer``, and may be configured while light runs through another. A request names
  every setting; a driver whose settings change faster from one to the next (``timing.update_s``), or that writes only
  those that change (``mesh.writes``), compares them with what the buffer holds.
- ``update``, which a driver may leave out, writes some settings of a configuration that a buffer holds; see
  :class:`UpdatingDevice`.
- ``stream`` starts a window of input vectors: each rail of each vector is one shot through the tile (the
  two rails of dual-port differential encoding go together). Codes are what the DACs take. A device with several
  lanes (``encoding.lanes``) has that many shots in the mesh at once, each with light of its own; codes and readings
  keep the order of the vectors. Blocks of vectors may reach a tile in any order, and the same tile on several cores:
  the header says which vectors they are, and readings depend on nothing else.
- ``read_out`` waits for a window and returns the raw ADC codes with detector statistics. Numbers are
  decoded on the host; a device never scales, subtracts or rounds anything. Accumulators beside the cores
  (``memory.accumulator_bytes``) spare the memory its traffic, but change no sum and no request.

A warm schedule begins with tiles on the cores: the step executor configures them before the run, in the order in which
their buffers come, and a :class:`.sessions.session.Session` finds them in place.

Every request carries a :class:`Header`, and the response returns the same header, so that host and device
can prove to each other which weights, which calibration and which samples a number belongs to. Sequence
numbers grow by at least one from request to request. A device refuses a request by raising DeviceError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TileId:
    """A tile of a program: row ``index`` of the table of bank ``bank`` (the program's ``bank_index``-th).

    ``place`` is (group, row, col) in the bank's grid, ``grid`` the grid's (groups, rows, cols).
    """

    bank: str
    bank_index: int
    index: int
    place: tuple[int, int, int]
    grid: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """Who a request is about; responses echo it.

    ``core``: the core that holds or takes the tile; ``step``: index of the program's step; ``batch``: index
    in the whole run of the request's first vector; ``configuration``: number of the weight configuration;
    ``calibration``: number of the calibration that the host decodes with; ``sequence``: grows with every
    request of a reservation.
    """

    tile: TileId
    core: int
    step: int
    batch: int
    configuration: int
    calibration: int
    sequence: int


@dataclass(frozen=True, slots=True, eq=False)
class ConfigureRequest:
    """Program a core with a tile: U diag(a) V^H as codes of the drivers.

    - ``left``, ``right`` uint32 (phases,): codes of U's and V^H's phase shifters in 2 pi / 2**phase_bits;
    - ``attenuators`` uint32 (n,): field amplitudes in 1 / (2**attenuator_bits - 1);
    - ``adc_full_scale`` float32 (n,): receiver gain, as the signal at the ADC's largest code in units of
      the normalised output; ``lit_ports``: input ports that carry data, the others stay dark;
    - ``measure_offset``: whether the host needs the tile's reading with every lit port at full amplitude;
    - ``buffer``: which of the core's settings it replaces, from 0.
    """

    header: Header
    left: np.ndarray
    right: np.ndarray
    attenuators: np.ndarray
    phase_bits: int | None
    attenuator_bits: int | None
    adc_full_scale: np.ndarray
    lit_ports: int
    measure_offset: bool = False
    buffer: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ConfigureResponse:
    """The core has settled. ``offset``: float64 (n,), the averaged detector signal (the field's magnitude,
    where intensity is detected) with every lit port at full amplitude, where it was asked for."""

    header: Header
    offset: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class UpdateRequest:
    """Change some settings of a tile that a buffer of a core holds; all others stay as they are.

    - ``base``: number of the configuration that the buffer holds; the header's is its number from now on;
    - ``at`` uint32 (K,): which settings, ascending, counted through ``left``, then ``right``, then ``attenuators`` of
      that configuration; ``codes`` uint32 (K,): their codes, in the same bits. K may be 0: the same settings are the
      tile of the header from now on;
    - ``adc_full_scale``: as of :class:`ConfigureRequest`, None where it stays; ``lit_ports``, ``measure_offset``,
      ``buffer`` as there.
    """

    header: Header
    base: int
    at: np.ndarray
    codes: np.ndarray
    adc_full_scale: np.ndarray | None
    lit_ports: int
    measure_offset: bool = False
    buffer: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StreamRequest:
    """Send a window of vectors: ``codes`` (rails, V, n), DAC codes as integer-valued floats, negative where
    the sign is an optical phase; without DAC bits (ideal converters) the field amplitudes themselves."""

    header: Header
    codes: Tensor


@dataclass(frozen=True, slots=True)
class DetectorStatistics:
    """Of the ADC codes of one window: extremes, mean, root mean square, and how many are saturated."""

    minimum: float
    maximum: float
    mean: float
    rms: float
    saturated: int


@dataclass(frozen=True, slots=True, eq=False)
class StreamResponse:
    """A window's readings: ADC ``codes`` of ``shape`` (rails, V, n), integer-valued floats."""

    header: Header
    shape: tuple[int, int, int]
    codes: Tensor
    statistics: DetectorStatistics


@runtime_checkable
class PhotonicDevice(Protocol):
    """A chip, or something that behaves like one. See the module's text for what each call must do."""

    def reserve(self, cores: int) -> None:
        """Take ``cores`` cores for one run. Raises DeviceError where they are not free or not there."""
        ...

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Program a core with a tile, and return once it has settled."""
        ...

    def stream(self, request: StreamRequest) -> None:
        """Start a window of vectors through a tile that the core holds: that of the header's configuration."""
        ...

    def read_out(self, header: Header) -> StreamResponse:
        """Wait for the window that was started with this header, and return its readings once."""
        ...

    def release(self) -> None:
        """Give the cores back. Allowed at any time, also twice."""
        ...


@runtime_checkable
class UpdatingDevice(PhotonicDevice, Protocol):
    """A chip that can change single settings of a tile. Sessions send it changes only.

    A driver that keeps the whole configuration can make one of an update by :func:`.sessions.updates.updated`.
    """

    def update(self, request: UpdateRequest) -> ConfigureResponse:
        """Write some settings, and return once they have settled. Raises DeviceError where the base is not held."""
        ...


def statistics(codes: Tensor, low: float | None, high: float | None) -> DetectorStatistics:
    """Detector statistics of a window of codes; ``low`` and ``high`` are the ADC's extreme codes."""
    if not codes.numel():
        return DetectorStatistics(0.0, 0.0, 0.0, 0.0, 0)
    wide = codes.double()
    saturated = 0
    if low is not None and high is not None:
        saturated = int(((codes <= low) & (codes < 0)).sum() + (codes >= high).sum())
    return DetectorStatistics(
        float(wide.min()),
        float(wide.max()),
        float(wide.mean()),
        float(wide.square().mean().sqrt()),
        saturated,
    )
