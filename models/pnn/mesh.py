"""A mesh as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...runtime.errors import InputError, complaint
from ...runtime.meshes import mesh
from ...runtime.seeds import seed_of
from ...runtime.slicing import Imperfections, propagate
from .haar import haar_phases, uniform_phases
from .insitu import InSitu, MeasuredMesh


class Mesh(nn.Module):
    """Light through a mesh of interferometers; its phases are the parameters.

    Args:
        ports: waveguides.
        topology: a family of ``lightloom.runtime.meshes.TOPOLOGIES``.
        haar: begin with a Haar-random unitary; otherwise with uniform phases.
        seed: of the initial phases; None draws from torch's global generator.
        imperfections: of the chip; tensors in it are used as they are and not trained by this module.
        in_situ: measure the gradients of the phases instead of computing them.
        engine: of ``lightloom.runtime.slicing.propagate``.
        dtype: float32 or float64, of the phases.
        options: of the family, for example ``layers=32``.

    Shape:
        complex or real (..., ports) -> complex (..., ports); real numbers are amplitudes in phase.

    Raises:
        TargetError: unknown family or impossible width.
        InputError: ``haar`` for a family without a rule; losses together with ``in_situ``.
    """

    def __init__(
        self,
        ports: int,
        topology: str = "clements",
        *,
        haar: bool = False,
        seed: int | None = None,
        imperfections: Imperfections | None = None,
        in_situ: InSitu | None = None,
        engine: str = "auto",
        dtype: torch.dtype = torch.float32,
        **options: int,
    ) -> None:
        super().__init__()
        self.layout = mesh(topology, ports, **options)
        self.imperfections = imperfections or Imperfections()
        self.in_situ = in_situ
        self.engine = engine
        generator = None if seed is None else torch.Generator().manual_seed(seed_of(seed))
        draw = haar_phases if haar else uniform_phases
        self.phases = nn.Parameter(draw(self.layout, generator).to(dtype))
        self.noise = torch.Generator()
        if in_situ is not None:
            _check_lossless(self.imperfections)
            self.noise.manual_seed(in_situ.seed)

    def forward(self, fields: Tensor) -> Tensor:
        """Fields at the output ports."""
        if not fields.is_complex():
            fields = fields.to(fields.dtype.to_complex() if fields.is_floating_point() else torch.complex64)
        chip = self.imperfections
        if self.in_situ is None:
            return propagate(fields, self.phases, self.layout, chip, self.engine)
        realised = chip.realised_phases(self.layout, self.phases)
        noise = self.in_situ.measurement_noise
        return MeasuredMesh.apply(
            fields, realised, chip.splitter_error_rad, self.layout, self.engine, noise, self.noise
        )

    def transfer_matrix(self) -> Tensor:
        """The matrix that the mesh is, complex (ports, ports), element [i, k] from port k to port i."""
        eye = torch.eye(self.layout.ports, dtype=self.phases.dtype.to_complex(), device=self.phases.device)
        return propagate(eye, self.phases, self.layout, self.imperfections, self.engine).T

    def on(self, imperfections: Imperfections | None = None, in_situ: InSitu | None = None) -> Mesh:
        """The same phases (shared, not copied) on another chip, or with gradients gained otherwise."""
        other = Mesh.__new__(Mesh)
        nn.Module.__init__(other)
        other.layout, other.engine, other.phases = self.layout, self.engine, self.phases
        other.imperfections, other.in_situ = imperfections or Imperfections(), in_situ
        other.noise = torch.Generator().manual_seed(in_situ.seed if in_situ else 0)
        if in_situ is not None:
            _check_lossless(other.imperfections)
        return other

    def extra_repr(self) -> str:
        """Family, width and count of phases, for print."""
        layout = self.layout
        text = f"{layout.ports}, {layout.topology!r}, depth={layout.depth}, phases={layout.phases}"
        return text if self.in_situ is None else f"{text}, {self.in_situ}"


def _check_lossless(chip: Imperfections) -> None:
    losses = [loss for loss in (chip.cell_loss_db, chip.bypass_loss_db) if loss is not None]
    if any(isinstance(loss, Tensor) or loss != 0 for loss in losses):
        raise InputError(
            complaint(
                "In-situ gradients are those of a mesh without losses",
                where="imperfections",
                got=f"cell_loss_db={chip.cell_loss_db}, bypass_loss_db={chip.bypass_loss_db}",
                next_step="leave the losses out, or train without in_situ",
            )
        )
