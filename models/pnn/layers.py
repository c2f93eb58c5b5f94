"""What stands around meshes: detectors, attenuators, diagonals, and a whole linear layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...runtime.errors import InputError, complaint
from ...runtime.seeds import seed_of
from .mesh import Mesh


class Photodetector(nn.Module):
    """Power of a field: ``|x|^2``. complex (..., n) -> real (..., n)."""

    def forward(self, fields: Tensor) -> Tensor:
        """Intensities."""
        return fields.real.square() + fields.imag.square()


class Attenuators(nn.Module):
    """One variable attenuator a port, field amplitudes ``cos(angle)``: trainable, and never a gain.

    Args:
        ports: waveguides.
        start: the amplitude that every attenuator passes at first, 0 to 1.

    Shape:
        (..., ports) -> (..., ports), real or complex.
    """

    def __init__(self, ports: int, start: float = 1 / math.sqrt(2)) -> None:
        super().__init__()
        if not 0 <= start <= 1:
            raise InputError(
                complaint("An attenuator passes part of the light", where="start", got=start, allowed="0 to 1")
            )
        self.angle = nn.Parameter(torch.full((ports,), math.acos(start)))

    @property
    def amplitude(self) -> Tensor:
        """What each attenuator passes, real (ports,)."""
        return self.angle.cos().abs()

    def forward(self, fields: Tensor) -> Tensor:
        """Attenuated fields."""
        return fields * self.amplitude


class Diagonal(nn.Module):
    """A trainable real gain a port, ones at first. (..., ports) -> (..., ports)."""

    def __init__(self, ports: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(ports))

    def forward(self, fields: Tensor) -> Tensor:
        """Scaled fields."""
        return fields * self.gain


class Bias(nn.Module):
    """A trainable real number added to every port, zeros at first. (..., ports) -> (..., ports)."""

    def __init__(self, ports: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(ports))

    def forward(self, values: Tensor) -> Tensor:
        """Shifted values."""
        return values + self.offset


class MeshLinear(nn.Module):
    """A real linear layer on two meshes: ``y = Re(U diag(a) V^H x) * scale + bias``, the way a chip holds a matrix.

    Inputs are zero-padded to the width of the meshes, outputs cut to ``out_features``; the field is detected
    coherently (its real part). Begins with a Haar-random matrix whose outputs are as large as those of nn.Linear.

    Args:
        in_features, out_features: as in nn.Linear; the meshes are as wide as the larger of them.
        bias: whether a bias is added after detection.
        topology: of both meshes.
        seed: of the initial phases.
        options: of :class:`Mesh`, for example ``imperfections``.

    Shape:
        real or complex (..., in_features) -> real (..., out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        topology: str = "clements",
        seed: int | None = None,
        **options,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        ports = max(in_features, out_features)
        options = {"haar": topology in ("clements", "clements_bell", "reck"), **options}
        second = None if seed is None else seed_of(seed, bits=63) + 1
        self.right = Mesh(ports, topology, seed=seed, **options)
        self.attenuators = Attenuators(ports)
        self.left = Mesh(ports, topology, seed=second, **options)
        # entries of a Haar unitary have variance 1/n, half of it real; attenuators pass half the power
        self.scale = nn.Parameter(torch.tensor(2 * math.sqrt(ports / (3 * in_features))))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the layer."""
        if x.shape[-1] != self.in_features:
            raise InputError(
                complaint(
                    "Wrong number of features",
                    where="MeshLinear",
                    got=tuple(x.shape),
                    allowed=f"(..., {self.in_features})",
                )
            )
        padded = nn.functional.pad(x, (0, self.right.layout.ports - self.in_features))
        fields = self.left(self.attenuators(self.right(padded)))
        out = fields.real[..., : self.out_features] * self.scale
        return out if self.bias is None else out + self.bias

    def weight(self) -> Tensor:
        """The matrix of the layer, real (out_features, in_features)."""
        matrix = self.left.transfer_matrix() * self.attenuators.amplitude @ self.right.transfer_matrix()
        return matrix.real[: self.out_features, : self.in_features] * self.scale
