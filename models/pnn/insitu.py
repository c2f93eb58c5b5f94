"""In-situ backpropagation: the gradient of every phase as the chip itself can measure it.

Light goes through the mesh three times. Forward, with the data x; backward, with the gradient at the outputs (the
time-reversed field runs through the conjugate transpose of the mesh); and forward once more with ``x + j g``, where
g is what came out of the backward pass. A tap at each phase shifter reads the intensities I_f, I_b and I_s, and

    dL/dphase = -(I_s - I_f - I_b) / 2,

summed over samples: the forward pass carries g to every place where the backward pass had it, so the interference
term is 2 Im(g* y). The backward light is sent in with the power of the forward light (noise of the taps is relative
to what they read), and the result scaled back.

Source: Hughes et al., Optica 5, 864 (2018); Pai et al., Science 380, 398 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...runtime.errors import InputError, complaint
from ...runtime.meshes import Mesh
from ...runtime.seeds import seed_of
from ...runtime.slicing import Imperfections, propagate
from ...runtime.slicing.cells import cell_matrices


@dataclass(frozen=True)
class InSitu:
    """Measure gradients instead of computing them.

    Args:
        measurement_noise: standard deviation of a tap's reading, relative to the reading.
        seed: of the noise.

    Raises:
        InputError: noise below zero.
    """

    measurement_noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", seed_of(self.seed))
        if not 0 <= self.measurement_noise < math.inf:
            raise InputError(
                complaint(
                    "Noise has a size", where="measurement_noise", got=self.measurement_noise, allowed="0 or more"
                )
            )


class MeasuredMesh(torch.autograd.Function):
    """``apply(fields (..., n), realised phases (phases,), errors or None, mesh, engine, noise, generator)``."""

    @staticmethod
    def forward(
        ctx: Any,
        fields: Tensor,
        phases: Tensor,
        errors: Tensor | None,
        mesh: Mesh,
        engine: str,
        noise: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Fields behind the mesh."""
        ctx.save_for_backward(fields, phases)
        ctx.chip, ctx.mesh, ctx.engine, ctx.noise, ctx.generator = Imperfections(errors), mesh, engine, noise, generator
        return propagate(fields, phases, mesh, ctx.chip, engine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of the fields, exact, and of the phases, measured."""
        fields, phases = ctx.saved_tensors
        with torch.enable_grad():
            entering = fields.detach().requires_grad_()
            out = propagate(entering, phases, ctx.mesh, ctx.chip, ctx.engine)
            (back,) = torch.autograd.grad(out, entering, grad_outputs[0])
        measured = None
        if ctx.needs_input_grad[1]:
            measured = measure(ctx.mesh, phases, ctx.chip.splitter_error_rad, fields, back, ctx.noise, ctx.generator)
        return back if ctx.needs_input_grad[0] else None, measured, *(None,) * 5


def measure(
    mesh: Mesh,
    phases: Tensor,
    errors: Tensor | None,
    fields: Tensor,
    back: Tensor,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Gradients of the phases of a lossless mesh from intensities at its shifters.

    Args:
        mesh: windows and cells.
        phases: real (phases,), what the shifters do.
        errors: of the splitters, real (cells, splitters), or None.
        fields: complex (..., n), the data at the inputs.
        back: complex (..., n), gradients of the fields at the inputs: what leaves in the backward pass.
        noise: of a reading, relative to it.
        generator: of the noise.

    Returns:
        real (phases,).
    """
    x, g = fields.reshape(-1, mesh.ports), back.reshape(-1, mesh.ports)
    power, strength = x.abs().square().sum(-1, keepdim=True), g.abs().square().sum(-1, keepdim=True)
    scale = torch.where(strength > 0, (power / strength).sqrt(), torch.ones_like(power))
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    light = torch.stack([x, g * scale, x + 1j * scale * g])

    def read(fields: Tensor) -> Tensor:
        """Gradients at shifters that pass the three lights (3, samples, shifters)."""
        intensity = fields.real.square() + fields.imag.square()
        if noise:
            # drawn in one order whatever the precision
            shape, device = intensity.shape, intensity.device
            draw = torch.randn(shape, generator=generator, dtype=torch.float64).to(device, intensity.dtype)
            intensity = intensity * (1 + noise * draw)
        forward, backward, both = intensity
        return (-(both - forward - backward) / (2 * scale)).sum(0)

    result = torch.zeros_like(phases)
    for where, passing in _shifters(mesh, phases, errors, light):
        result[where] = read(passing).to(result.dtype)
    return result


def _shifters(mesh: Mesh, phases: Tensor, errors: Tensor | None, light: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Places among the phases, and the light (..., shifters) that passes them, column by column."""
    layout, dtype, device = mesh.phase_layout, light.dtype, phases.device
    matrices = cell_matrices(mesh, phases, errors, None, dtype)
    phi = torch.full((mesh.cells,), -1, dtype=torch.int64)
    phi[torch.from_numpy(mesh.phi_cells.astype("int64"))] = torch.arange(mesh.phases)[layout["phi"]]
    windows = torch.from_numpy(mesh.cell_windows.astype("int64"))
    uppers, lowers = (torch.from_numpy(ports.astype("int64")) for ports in (mesh.cell_ports, mesh.cell_lower))
    light = light.clone()
    for window in range(mesh.depth):
        cells = torch.nonzero(windows == window)[:, 0]
        p, q = uppers[cells].to(device), lowers[cells].to(device)
        top, bottom = light[..., p], light[..., q]
        shifted = phi[cells] >= 0
        yield phi[cells][shifted].to(device), top[..., shifted.to(device)]
        arms = (top, bottom)
        if mesh.cell_splitters == 2:
            turn = torch.where(shifted.to(device), phases[phi[cells].clamp(min=0)], 0)
            angle = torch.full_like(turn, math.pi / 4) if errors is None else errors[cells, 0] + math.pi / 4
            first, second = top * torch.polar(torch.ones_like(turn), turn), bottom
            cos, sin = angle.cos(), angle.sin()
            arms = cos * first + 1j * sin * second, 1j * sin * first + cos * second
        for name, arm in zip(mesh.kind.phases, arms, strict=False):
            yield (layout[name].start + cells).to(device), arm
        m00, m01, m10, m11 = (element[cells] for element in matrices)
        light[..., p], light[..., q] = m00 * top + m01 * bottom, m10 * top + m11 * bottom
    screen = torch.from_numpy(mesh.screen_ports.astype("int64")).to(device)
    yield layout["screen"].start + torch.arange(len(screen), device=device), light[..., screen]
