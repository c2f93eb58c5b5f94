"""The host's side of one tile: codes for its drivers, vectors to DAC codes, ADC codes back to numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .. import fixedpoint
from ..bankloop import ChipArithmetic
from ..bankloop.arithmetic import readout
from ..banks import bank_mesh, phase_words
from ..device import ConfigureRequest, ConfigureResponse, Header, PhotonicDevice, StreamRequest, StreamResponse
from ..errors import DeviceError, TargetError, complaint
from ..optics.encoding import block_full_scale, encode
from ..program import TileBank
from ..simulator import arithmetic
from ..targets.schema import Target

Settings = tuple[np.ndarray, ...]
"""What the drivers of one tile make of its settings: phases of U and V^H in turns / 2**32, amplitudes."""


class TileDriver:
    """Drives the tiles of one bank on a device.

    Args:
        bank, target: the table, and the chip as this bank's layer sees it.
        ideal: exact codes and ideal converters.
        dtype: of the digital side, float32 or float64.
    """

    def __init__(self, bank: TileBank, target: Target, ideal: bool, dtype: torch.dtype) -> None:
        self.bank = bank
        self.target = target
        self.dtype = dtype
        self.chip: ChipArithmetic = arithmetic(target, bank_mesh(bank).depth, ideal)
        self.phase_bits = None if ideal else bank.spec.phase_bits
        self.attenuator_bits = None if ideal else bank.spec.attenuator_bits
        self._offsets: dict[int, Tensor] = {}
        self._scale = _column(bank.columns, "scale", dtype)
        self._shift = _column(bank.columns, "shift", dtype)
        self._inputs = self._required("input_full_scale") if self.chip.static else None
        if self.chip.adc_bits is not None:
            self._adc = self._required("adc_full_scale")
        else:
            self._adc = torch.ones((bank.spec.tiles, bank.spec.ports), dtype=dtype)

    def configure(self, device: PhotonicDevice, header: Header, buffer: int = 0) -> None:
        """Program a tile into a buffer of its core. Raises DeviceError where the device answers another request."""
        bank, tile = self.bank, header.tile.index
        row = slice(tile, tile + 1)
        request = ConfigureRequest(
            header,
            fixedpoint.phase_codes(phase_words(bank, "left", row), self.phase_bits)[0],
            fixedpoint.phase_codes(phase_words(bank, "right", row), self.phase_bits)[0],
            fixedpoint.attenuator_codes(np.asarray(bank.columns["attenuation"][row]), self.attenuator_bits)[0],
            self.phase_bits,
            self.attenuator_bits,
            self._adc[tile].float().numpy(),
            self.lit(header),
            measure_offset=self.chip.sign == "offset",
            buffer=buffer,
        )
        response = device.configure(request)
        _expect(response, header)
        if request.measure_offset:
            if response.offset is None:
                raise DeviceError(complaint("the device measured no offset", where=f"{bank.spec.name}[{tile}]"))
            self._offsets[tile] = self._constant(tile, response.offset, request.lit_ports)

    def settings(self, tile: int) -> Settings:
        """The tile's settings as the chip's drivers realise them, also in an ideal run."""
        spec, row = self.bank.spec, slice(tile, tile + 1)
        bits = spec.phase_bits
        phases = [phase_words(self.bank, side, row)[0] for side in ("left", "right")]
        if bits is not None:
            phases = [fixedpoint.phase_codes(words, bits) << np.uint32(32 - bits) for words in phases]
        codes = fixedpoint.attenuator_codes(np.asarray(self.bank.columns["attenuation"][tile]), spec.attenuator_bits)
        return (*phases, fixedpoint.realised_attenuation(codes, spec.attenuator_bits))

    def send(self, device: PhotonicDevice, header: Header, x: Tensor) -> Tensor:
        """A window x (V, n) through the tile: what it adds to its grid row's accumulator, (V, n)."""
        chip, tile = self.chip, header.tile.index
        if self._inputs is not None:
            scale = self._inputs[tile].expand(len(x))
            x = torch.maximum(torch.minimum(x, scale[:, None]), -scale[:, None])
        else:
            scale = block_full_scale(x)
        codes, scale = encode(x, scale, chip.sign, chip.dac_bits)
        codes[..., self.lit(header) :] = 0  # unused ports stay dark
        device.stream(StreamRequest(header, codes))
        response = device.read_out(header)
        _expect(response, header)
        shape = (codes.shape[0], codes.shape[1], self.bank.spec.ports)
        if response.shape != shape or tuple(response.codes.shape) != shape:
            raise DeviceError(
                complaint("readings of the wrong shape", got=tuple(response.codes.shape), allowed=str(shape))
            )
        shifted = chip.intensity and self._shift is not None
        return readout(
            chip,
            response.codes.to(self.dtype),
            self._adc[tile],
            self._required("scale")[tile],
            scale[:, None],
            constant=self._offsets.get(tile),
            shift=self._shift[tile] if shifted and self._shift is not None else None,
            light=(codes.sum(-1) / chip.dac_levels)[..., None] if shifted else None,
        )

    def lit(self, header: Header) -> int:
        """Input ports of a tile that carry data: fewer than n in the last tile column."""
        spec = self.bank.spec
        return min(spec.ports, spec.cols - header.tile.place[2] * spec.ports)

    def _constant(self, tile: int, offset: np.ndarray, lit: int) -> Tensor:
        """What the tile reads of the offset alone, in W's units, (n,)."""
        constant = float(self.bank.columns["scale"][tile]) * torch.from_numpy(np.asarray(offset, np.float64))
        if self.chip.intensity and self._shift is not None:
            constant = constant - float(self.bank.columns["shift"][tile]) * lit
        return constant.to(self.dtype)

    def _required(self, name: str) -> Tensor:
        column = self._scale if name == "scale" else _column(self.bank.columns, name, self.dtype)
        if column is None:
            raise TargetError(
                complaint(
                    f"the bank has no {name} column",
                    where=self.bank.spec.name,
                    next_step="compile the model again for this target",
                )
            )
        return column


def _column(columns: Mapping[str, np.ndarray], name: str, dtype: torch.dtype) -> Tensor | None:
    return torch.from_numpy(np.array(columns[name])).to(dtype) if name in columns else None


def _expect(response: ConfigureResponse | StreamResponse, header: Header) -> None:
    if response.header != header:
        raise DeviceError(
            complaint(
                "the device answered another request",
                got=f"sequence {response.header.sequence}, tile {response.header.tile.index}",
                allowed=f"sequence {header.sequence}, tile {header.tile.index}",
            )
        )
