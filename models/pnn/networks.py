"""The networks of the slicing paper: two meshes in series, and photodetectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...runtime.errors import InputError, complaint
from ...runtime.seeds import seed_of
from .layers import Bias, Diagonal, Photodetector
from .mesh import Mesh


class MeshNetwork(nn.Module):
    """Two meshes in series, photodetectors, the first ``classes`` ports as class scores.

    ``scores = |U2 diag(d) U1 x|^2 + b``; without ``diagonal`` d is one, without ``bias`` b is zero.

    Args:
        ports: width of the meshes; data of fewer features are zero-padded to it.
        classes: how many outputs count, at most ``ports``.
        topology: of both meshes.
        bias: numbers added to the detected intensities.
        diagonal: a real gain a port between the meshes.
        input_gain: factor on the amplitudes that enter: the power of the light.
        seed: of the initial phases.
        options: of :class:`Mesh`, for example ``haar=True`` or ``layers=16``.

    Shape:
        real (..., features) -> real (..., classes).

    Source: arXiv 2512.22264, figures 5 and 9.
    """

    def __init__(
        self,
        ports: int,
        classes: int,
        topology: str = "clements",
        *,
        bias: bool = False,
        diagonal: bool = False,
        input_gain: float = 1.0,
        seed: int | None = None,
        **options,
    ) -> None:
        super().__init__()
        if not 1 <= classes <= ports:
            raise InputError(complaint("A class needs a port", where="classes", got=classes, allowed=f"1 to {ports}"))
        self.ports, self.classes, self.input_gain = ports, classes, input_gain
        self.first = Mesh(ports, topology, seed=seed, **options)
        self.diagonal = Diagonal(ports) if diagonal else nn.Identity()
        self.second = Mesh(ports, topology, seed=None if seed is None else seed_of(seed, bits=63) + 1, **options)
        self.detector = Photodetector()
        self.bias = Bias(classes) if bias else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        if x.shape[-1] > self.ports:
            raise InputError(
                complaint(
                    "More features than ports", where="MeshNetwork", got=tuple(x.shape), allowed=f"(..., {self.ports})"
                )
            )
        fields = torch.zeros(*x.shape[:-1], self.ports, dtype=x.dtype.to_complex(), device=x.device)
        fields[..., : x.shape[-1]] = x * self.input_gain
        fields = self.second(self.diagonal(self.first(fields)))
        return self.bias(self.detector(fields[..., : self.classes]))
