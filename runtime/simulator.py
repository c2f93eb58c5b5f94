"""The simulated chip behind the device protocol: codes in, light through the slicing engine, codes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import fixedpoint
from .bankloop import ChipArithmetic
from .bankloop.arithmetic import adc_codes, add_noise
from .banks import GRID, SIDES, on_every_port, phase_errors, splitter_errors
from .device import (
    ConfigureRequest,
    ConfigureResponse,
    Header,
    StreamRequest,
    StreamResponse,
    UpdateRequest,
    statistics,
)
from .errors import DeviceError, complaint
from .meshes import tile_mesh
from .optics.noise import counter_keys, normal_pairs, stream_key
from .protocol import Session
from .seeds import seed_of
from .sessions.updates import updated
from .slicing.cpu import tile_matrices
from .targets.schema import Target


@dataclass(frozen=True, eq=False)
class _Core:
    """What a buffer of a core holds: its configuration's number, its tile's transfer matrix (n, n), its ADC full scales
    (n,), and its rules."""

    configuration: int
    chip: ChipArithmetic
    matrix: Tensor
    full_scale: Tensor


class SimulatorDevice:
    """A chip of a target, simulated window by window. Implements :class:`.device.PhotonicDevice`.

    Args:
        target: the chip.
        seed: of its phase errors and detector noise.
        ideal: every imperfection off.
        dtype: of the signals, float32 or float64.
        layer_targets: the target of each bank whose layer overrides fields of the chip's.

    The splitters that a tile meets are those of core ``index mod cores``, whichever core holds it, so that
    results do not depend on how a schedule for another batch size deals the tiles.
    """

    def __init__(
        self,
        target: Target,
        seed: int = 0,
        *,
        ideal: bool = False,
        dtype: torch.dtype = torch.float64,
        layer_targets: Mapping[str, Target] | None = None,
    ) -> None:
        self.target = target
        self.seed = seed_of(seed)
        self.ideal = ideal
        self.dtype = dtype
        self._layer_targets = dict(layer_targets or {})
        self._mesh = tile_mesh(target.mesh)
        self._session = Session(target.mesh.cores, target.mesh.ports, target.mesh.buffers)
        self._cores: dict[tuple[int, int], _Core] = {}  # by core and buffer
        self._settings: dict[tuple[int, int], ConfigureRequest] = {}  # the same, as they were asked for
        self._windows: dict[int, StreamResponse] = {}

    def reserve(self, cores: int) -> None:
        """See :class:`.device.PhotonicDevice`."""
        self._session.reserve(cores)

    def release(self) -> None:
        """See :class:`.device.PhotonicDevice`."""
        self._session.release()
        self._cores.clear()
        self._settings.clear()
        self._windows.clear()

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Turn a tile's codes into its transfer matrix, once for all windows to come."""
        self._session.configure(request, self._mesh.phases)
        target = self._target_of(request.header)
        chip = arithmetic(target, self._mesh.depth, self.ideal)
        exact = self._transfer(request, target, chip.intensity)
        wide = torch.complex128 if chip.intensity else torch.float64
        narrow = self.dtype.to_complex() if chip.intensity else self.dtype
        # the matrix is rounded to the run's dtype, sums are taken in double
        matrix = exact.to(narrow).to(wide)
        full_scale = torch.from_numpy(np.array(request.adc_full_scale)).to(self.dtype)
        header = request.header
        self._cores[header.core, request.buffer] = _Core(header.configuration, chip, matrix, full_scale)
        self._settings[header.core, request.buffer] = request
        if not request.measure_offset:
            return ConfigureResponse(request.header)
        sums = exact[:, : request.lit_ports].sum(1)
        return ConfigureResponse(request.header, (sums.abs() if chip.intensity else sums).numpy())

    def update(self, request: UpdateRequest) -> ConfigureResponse:
        """See :class:`.device.UpdatingDevice`."""
        held = self._settings.get((request.header.core, request.buffer))
        if held is None:
            raise DeviceError(complaint("an update of a buffer that holds nothing", next_step="configure it first"))
        return self.configure(updated(held, request))

    def stream(self, request: StreamRequest) -> None:
        """Send a window through the tile: light, detection, noise, ADC."""
        target = self._target_of(request.header)
        chip = arithmetic(target, self._mesh.depth, self.ideal)
        low = -chip.dac_levels if chip.sign == "phase_sign" else 0
        self._session.stream(request, chip.rails, low, chip.dac_levels, chip.dac_bits is not None)
        held = (self._cores.get((request.header.core, buffer)) for buffer in range(self.target.mesh.buffers))
        # the session has found the configuration in one of them
        core = next(own for own in held if own and own.configuration == request.header.configuration)
        codes = request.codes.to(self.dtype)
        signal = self._detect(core, codes)
        if chip.noise is not None:
            signal = add_noise(chip, signal, self._normals(request.header, chip.rails, codes.shape[1]))
        read = adc_codes(chip, signal, core.full_scale)
        bottom = 0 if chip.intensity else -chip.adc_levels
        limits = (None, None) if chip.adc_bits is None else (bottom, chip.adc_levels)
        rails, vectors, ports = read.shape
        self._windows[request.header.sequence] = StreamResponse(
            request.header, (rails, vectors, ports), read, statistics(read, *limits)
        )

    def read_out(self, header: Header) -> StreamResponse:
        """See :class:`.device.PhotonicDevice`."""
        window = self._windows.get(header.sequence)
        if window is None or window.header != header:
            raise DeviceError(
                complaint(
                    "no such window to read out",
                    got=f"sequence {header.sequence}",
                    allowed="the header of a window that was streamed and not yet read",
                )
            )
        return self._windows.pop(header.sequence)

    def _target_of(self, header: Header) -> Target:
        return self._layer_targets.get(header.tile.bank, self.target)

    def _transfer(self, request: ConfigureRequest, target: Target, intensity: bool) -> Tensor:
        """The realised normalised transfer matrix (n, n): float64, or complex128 where intensity is detected."""
        tile, layout = request.header.tile, self._mesh
        phases: dict[str, np.ndarray] = {}
        splitters: dict[str, np.ndarray | None] = dict.fromkeys(SIDES)
        for side, codes in zip(SIDES, (request.left, request.right), strict=True):
            realised = fixedpoint.realised_phase_rad(codes[None], request.phase_bits)
            if not self.ideal:
                error = phase_errors(target, self.seed, tile.bank_index, side, np.array([tile.index]), layout.phases)
                realised = realised if error is None else realised + error
                spread = splitter_errors(target, tile.index % target.mesh.cores, side, layout)
                splitters[side] = None if spread is None else spread[None]
            phases[side] = realised
        found = tile_matrices(
            layout,
            phases["left"],
            on_every_port(layout, fixedpoint.realised_attenuation(request.attenuators[None], request.attenuator_bits)),
            phases["right"],
            splitters["left"],
            splitters["right"],
            part="complex" if intensity else "real",
        )
        ports = target.mesh.ports
        matrix = torch.from_numpy(found)[0, :ports, :ports].contiguous()
        if not self.ideal:
            planes = torch.view_as_real(matrix) if intensity else matrix
            planes.mul_(GRID).round_().div_(GRID)
        return matrix

    def _detect(self, core: _Core, codes: Tensor) -> Tensor:
        """Detector signals (rails, V, n) of DAC codes (rails, V, n)."""
        fields = codes.to(core.matrix.dtype) @ core.matrix.mT
        if core.chip.intensity:
            fields = fields / core.chip.dac_levels
            return (fields.real * fields.real + fields.imag * fields.imag).to(codes.dtype)
        return fields.to(codes.dtype) / core.chip.dac_levels

    def _normals(self, header: Header, rails: int, vectors: int) -> Tensor:
        """Detector noise of a window, float32 (rails, V, n): a function of seed, step, vector, column and row."""
        groups, _, columns = header.tile.grid
        group, row, column = header.tile.place
        vector = torch.arange(header.batch, header.batch + vectors)
        counters = vector * (groups * columns) + group * columns + column
        k0, k1 = counter_keys(stream_key(self.seed, header.step), counters)
        ports = self.target.mesh.ports
        rows = torch.arange(row * ports, (row + 1) * ports)
        return torch.stack(normal_pairs(k0[:, None], k1[:, None], rows)[:rails])


def arithmetic(target: Target, depth: int, ideal: bool) -> ChipArithmetic:
    """The chip's arithmetic in a step run; ideal converters pass values as they are, without noise."""
    found = ChipArithmetic.of(target, depth, quantized=not ideal, noisy=not ideal)
    # an ideal run needs no calibrated range: amplitudes are scaled vector by vector
    if not ideal or not found.static:
        return found
    return ChipArithmetic(found.sign, False, None, None, found.intensity, None)
