"""A second model of the chip, in plain numpy and Python integers, written from the arithmetic alone.

It shares no code with ``lightloom.runtime``: own gauge, own mesh product (2x2 cells embedded in n x n
matrices and multiplied out), own quantizers, one vector and one tile at a time. No noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

TURN = 2**32


def phase_code(turns: int, bits: int | None) -> float:
    """Radians that a driver of ``bits`` bits makes of a 32-bit word: round half up on the circle."""
    if bits is None:
        return turns * 2 * np.pi / TURN
    code = ((turns + (1 << (31 - bits))) >> (32 - bits)) % 2**bits if bits < 32 else turns
    return code * 2 * np.pi / 2**bits


def cells_of(ports: int) -> list[int]:
    """Upper ports of a rectangular mesh's cells, window by window, top to bottom."""
    return [port for window in range(ports if ports > 1 else 0) for port in range(window % 2, ports - 1, 2)]


def gauge_words(theta: list[int], bits: list[int], ports: int) -> list[int]:
    """All phase words [theta | phi | screen] of a real mesh, psi carried in turns / 2**33."""
    psi = [0] * ports
    phi = []
    for cell, (upper, angle) in enumerate(zip(cells_of(ports), theta, strict=True)):
        phi.append((((psi[upper + 1] - psi[upper]) >> 1) + (bits[cell] << 31)) % TURN)
        psi[upper] = psi[upper + 1] = psi[upper + 1] + 2**31 + angle
    screen = [(((-psi[port]) >> 1) + (bits[len(theta) + port] << 31)) % TURN for port in range(ports)]
    return [*theta, *phi, *screen]


def mesh_matrix(words: list[int], ports: int, bits: int | None) -> np.ndarray:
    """The n x n matrix of a mesh: every cell BS P(theta) BS P(phi), then the screen."""
    uppers = cells_of(ports)
    splitter = np.array([[1, 1j], [1j, 1]]) / np.sqrt(2)
    total = np.eye(ports, dtype=complex)
    for cell, upper in enumerate(uppers):
        theta, phi = phase_code(words[cell], bits), phase_code(words[len(uppers) + cell], bits)
        small = splitter @ np.diag([np.exp(1j * theta), 1]) @ splitter @ np.diag([np.exp(1j * phi), 1])
        layer = np.eye(ports, dtype=complex)
        layer[upper : upper + 2, upper : upper + 2] = small
        total = layer @ total
    screen = [np.exp(1j * phase_code(word, bits)) for word in words[2 * len(uppers) :]]
    return np.diag(screen) @ total


@dataclass
class Readings:
    """What passed the converters: {(vector, group, row, col): (rails, n)} and {(vector, group, col): ...}."""

    adc: dict = field(default_factory=dict)
    dac: dict = field(default_factory=dict)


@dataclass
class NumpyChip:
    """A bank on a chip. ``columns`` are the arrays of the bank's table; bits None is unquantized."""

    columns: dict
    ports: int
    groups: int
    rows: int
    cols: int
    phase_bits: int | None = None
    attenuator_bits: int | None = None
    sign: str = "differential"
    static: bool = False
    dac_bits: int | None = None
    adc_bits: int | None = None
    intensity: bool = False

    def __post_init__(self) -> None:
        tiles = len(self.columns["scale"])
        self.matrices = [self._tile(tile) for tile in range(tiles)]

    def _tile(self, tile: int) -> np.ndarray:
        n, cells = self.ports, len(cells_of(self.ports))
        sides = []
        for side in ("left", "right"):
            if f"{side}.phases" in self.columns:
                words = [int(word) for word in self.columns[f"{side}.phases"][tile]]
            else:
                theta = [int(word) for word in self.columns[f"{side}.theta"][tile]]
                packed = self.columns[f"{side}.sign"][tile]
                bits = [(int(packed[k // 8]) >> (7 - k % 8)) & 1 for k in range(cells + n)]
                words = gauge_words(theta, bits, n)
            sides.append(mesh_matrix(words, n, self.phase_bits))
        a = self.columns["attenuation"][tile] / (TURN - 1)
        if self.attenuator_bits is not None:
            levels = 2**self.attenuator_bits - 1
            a = np.rint(a * levels) / levels
        t = sides[0] @ np.diag(a) @ sides[1]
        grid = np.rint(t.real * TURN) / TURN
        return grid + 1j * np.rint(t.imag * TURN) / TURN if self.intensity else grid

    def run(self, x: np.ndarray) -> tuple[np.ndarray, Readings]:
        """Vectors (V, groups * cols) to (V, groups * rows), and the codes of every converter."""
        n = self.ports
        high, wide = -(-self.rows // n), -(-self.cols // n)
        out = np.zeros((len(x), self.groups, high * n))
        seen = Readings()
        places = zip(self.columns["group"], self.columns["row"], self.columns["col"], strict=True)
        tile_at = {tuple(int(i) for i in place): tile for tile, place in enumerate(places)}
        for v, g, c in np.ndindex(len(x), self.groups, wide):
            block = np.zeros(n)
            piece = x[v].reshape(self.groups, self.cols)[g, c * n : (c + 1) * n]
            block[: len(piece)] = piece
            tiles = [(r, tile_at[g, r, c]) for r in range(high) if (g, r, c) in tile_at]
            a = self._full_scale(block, tiles)
            codes = self._dac(block, a, len(piece))
            seen.dac[v, g, c] = codes
            for r, tile in tiles:
                value, seen.adc[v, g, r, c] = self._shot(tile, codes, len(piece))
                out[v, g, r * n : (r + 1) * n] += value * a
        return out[:, :, : self.rows].reshape(len(x), -1), seen

    def _full_scale(self, block: np.ndarray, tiles: list[tuple[int, int]]) -> float:
        if not self.static:
            return float(np.max(np.abs(block)))
        return float(self.columns["input_full_scale"][tiles[0][1]]) if tiles else 0.0

    def _dac(self, block: np.ndarray, a: float, used: int) -> np.ndarray:
        """Codes of the rails (rails, n); without DAC bits the fields themselves."""
        top = 1 if self.dac_bits is None else 2**self.dac_bits - 1
        block = np.clip(block, -a, a)
        if self.sign in ("differential", "differential_two_shot"):
            rails = np.array([np.where(block > 0, block, 0), np.where(block < 0, -block, 0)])
        elif self.sign == "phase_sign":
            rails = block[None]
        else:
            rails = (block[None] + a) / 2
            rails[:, used:] = 0  # unused ports are dark
        if a == 0:
            return np.zeros_like(rails)
        if self.dac_bits is None:
            return rails / a
        magnitude = np.minimum(np.rint(np.abs(rails) / (a / top)), top)
        return np.sign(rails) * magnitude

    def _shot(self, tile: int, codes: np.ndarray, used: int) -> tuple[np.ndarray, np.ndarray]:
        """One tile: (what it adds, in units of A, and its ADC codes (rails, n))."""
        top = 1 if self.dac_bits is None else 2**self.dac_bits - 1
        t, scale = self.matrices[tile], float(self.columns["scale"][tile])
        full = np.asarray(self.columns["adc_full_scale"][tile], np.float64)
        lit = (np.arange(self.ports) < used).astype(float)
        shift = float(self.columns["shift"][tile]) if self.intensity else 0.0
        signal = np.array([t @ rail for rail in codes]) / top
        if self.intensity:
            signal, full = np.abs(signal) ** 2, full**2
            steps, low = (2**self.adc_bits - 1 if self.adc_bits else 1), 0
        else:
            steps = max(2 ** (self.adc_bits - 1) - 1, 1) if self.adc_bits else 1
            low = -steps
        if self.adc_bits is None:
            read = number = signal
        else:
            read = np.zeros_like(signal)
            live = full > 0
            read[:, live] = np.clip(np.rint(signal[:, live] / (full[live] / steps)), low, steps)
            number = read * (full / steps)
        if self.intensity:
            number = np.sqrt(np.maximum(number, 0))
        number = number * scale - shift * codes.sum(1)[:, None] / top
        if len(codes) == 2:
            return number[0] - number[1], read
        if self.sign == "offset":
            alone = t @ lit
            constant = scale * (np.abs(alone) if self.intensity else alone) - shift * lit.sum()
            return 2 * number[0] - constant, read
        return number[0], read
