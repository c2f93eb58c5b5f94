"""Layers of blocks as matrix products: fields there, gradients back.

Going back, fields are recomputed through the inverse of each block, which is its adjoint where no light is lost; the
gradient of a block is one outer product over the samples. Where losses make inverses inaccurate, fields are kept in
front of groups of layers and recomputed from there.

Real and imaginary parts lie apart: a block of complex numbers is a real matrix of 4k rows, for each half of its ports
the real parts and then the imaginary ones. Fields are (rows, samples), so that the blocks of every layer are slices
of one array; the rows that hang over the end in odd layers (:mod:`.block_plan`) stand behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..threads import kernel_threads, kernels_first, spread
from .block_plan import BlockPlan
from .plan import cut
from .vector import GRAIN

_CACHE_BYTES = 1 << 19
"""Fields of a chunk of samples on a CPU, there and back: what stays close to a core from one layer to the next."""

_FEWEST_SAMPLES = 128
"""Samples of a chunk that products need to be efficient."""


@dataclass(frozen=True)
class _Shape:
    """Fields (tiles, batch, ports) as planes (rows + spare, samples): 2k real numbers for every k ports."""

    tiles: int
    batch: int
    ports: int
    side: int
    blocks: int

    @property
    def spare(self) -> int:
        """Rows of half a block."""
        return 2 * self.side

    @property
    def rows(self) -> int:
        return 2 * self.spare * self.blocks

    def shares(self, fields: Tensor) -> list[list[slice]]:
        """Samples that go through all layers together, for every thread."""
        if fields.device.type != "cpu":
            return [[slice(0, self.batch)]]
        largest = max(_CACHE_BYTES // (self.rows * fields.element_size()) // GRAIN * GRAIN, _FEWEST_SAMPLES)
        blocks = cut(1, self.batch, kernel_threads(), largest)
        starts = [range(at * blocks.blocks, (at + 1) * blocks.blocks) for at in range(blocks.chunks)]
        parts = [[slice(k * blocks.samples, min((k + 1) * blocks.samples, self.batch)) for k in own] for own in starts]
        return [[part for part in own if part.start < part.stop] for own in parts]

    def pack(self, fields: Tensor, real: torch.dtype) -> Tensor:
        """Some samples of the fields as planes."""
        parts = torch.view_as_real(fields.resolve_conj())
        padded = self.rows // (2 * self.tiles)
        samples = parts.shape[1]
        parts = torch.nn.functional.pad(parts, (0, 0, 0, padded - self.ports))
        parts = parts.view(self.tiles, samples, -1, self.side, 2).permute(0, 2, 4, 3, 1)
        planes = torch.empty((self.rows + self.spare, samples), dtype=real, device=fields.device)
        planes[: self.rows].view(parts.shape).copy_(parts)
        return planes

    def unpack(self, planes: Tensor, out: Tensor) -> None:
        """The inverse, into complex ``out`` (tiles, samples, ports)."""
        parts = planes[: self.rows].view(self.tiles, -1, 2, self.side, planes.shape[1]).permute(0, 4, 1, 3, 2)
        parts = parts.reshape(self.tiles, planes.shape[1], -1, 2)[:, :, : self.ports]
        torch.view_as_real(out).copy_(parts)

    def window(self, planes: Tensor, layer: int) -> Tensor:
        """The blocks of a layer, (blocks, 4k, samples), a view."""
        start = layer % 2 * self.spare
        return planes[start : start + self.rows].view(self.blocks, 2 * self.spare, -1)

    def hang_over(self, planes: Tensor, layer: int) -> None:
        """In front of an odd layer: the first half block also behind the last one."""
        if layer % 2:
            planes[self.rows :] = planes[: self.spare]

    def pull_in(self, planes: Tensor, layer: int) -> None:
        """Behind an odd layer: what hangs over, back to the beginning."""
        if layer % 2:
            planes[: self.spare] = planes[self.rows :]

    def through(self, matrices: Tensor, source: Tensor, target: Tensor, layer: int) -> None:
        """One layer: matrices (blocks, 4k, 4k) times the planes of the source, which already hang over."""
        torch.bmm(matrices, self.window(source, layer), out=self.window(target, layer))
        self.pull_in(target, layer)


def _real(matrices: Tensor, side: int) -> Tensor:
    """Transposed complex matrices (layers, blocks, 2k, 2k) as real ones (layers, blocks, 4k, 4k) for planes."""
    re, im = matrices.real, matrices.imag
    # (to part, from part) of every element
    parts = torch.stack([torch.stack([re, -im]), torch.stack([im, re])])
    layers, blocks = matrices.shape[:2]
    parts = parts.view(2, 2, layers, blocks, 2, side, 2, side).permute(2, 3, 6, 0, 7, 4, 1, 5)
    return parts.reshape(layers, blocks, 4 * side, 4 * side)


def _complex(gradient: Tensor, side: int) -> Tensor:
    """The gradient of transposed complex matrices from that of the real ones: the transpose of :func:`_real`."""
    layers, blocks = gradient.shape[:2]
    parts = gradient.view(layers, blocks, 2, 2, side, 2, 2, side).permute(3, 6, 0, 1, 5, 7, 2, 4)
    parts = parts.reshape(2, 2, layers, blocks, 2 * side, 2 * side)
    return torch.complex(parts[0, 0] + parts[1, 1], parts[1, 0] - parts[0, 1])


class Layers(torch.autograd.Function):
    """``apply(fields (T, B, n), matrices (layers, T * blocks, 2k, 2k), plan, tape)``: all layers of T meshes.

    The matrices are transposed, ``fields @ matrix``. ``tape`` says how fields are recomputed: None, through adjoint
    blocks; False, through inverse ones; True, from checkpoints.
    """

    @staticmethod
    def forward(ctx: Any, fields: Tensor, matrices: Tensor, plan: BlockPlan, tape: bool | None) -> Tensor:
        tiles, batch, ports = fields.shape
        shape = _Shape(tiles, batch, ports, plan.side, matrices.shape[1])
        ctx.real = _real(matrices.detach(), plan.side)
        out = torch.empty_like(fields, memory_format=torch.contiguous_format)
        source, shares = fields.detach(), shape.shares(fields)

        def work(thread: int) -> None:
            for chunk in shares[thread]:
                planes = shape.pack(source[:, chunk], ctx.real.dtype)
                shape.unpack(_run(ctx.real, shape, planes, range(len(ctx.real)))[0], out[:, chunk])

        _each(len(shares), work, fields.device)
        wanted = ctx.needs_input_grad[1]
        ctx.tape = tape
        ctx.save_for_backward(*((fields if tape else out,) if wanted else ()), *((matrices,) if tape is False else ()))
        ctx.shape = shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of fields and matrices, of those that are asked for."""
        (incoming,) = grad_outputs
        shape, real = ctx.shape, ctx.real
        to_fields = torch.empty_like(incoming, memory_format=torch.contiguous_format)
        shares = shape.shares(incoming)
        if not ctx.needs_input_grad[1]:

            def alone(thread: int) -> None:
                for chunk in shares[thread]:
                    gradient = shape.pack(incoming[:, chunk], real.dtype)
                    shape.unpack(_back(real.mT, shape, gradient), to_fields[:, chunk])

            _each(len(shares), alone, incoming.device)
            return to_fields, None, None, None
        saved = ctx.saved_tensors[0].detach()
        sums = real.new_zeros((len(shares), *real.shape))
        inverse = real.mT if ctx.tape is None else None
        if ctx.tape is False:
            inverse = _real(torch.linalg.inv(ctx.saved_tensors[1].detach()), shape.side)

        def work(thread: int) -> None:
            for chunk in shares[thread]:
                planes, gradient = (shape.pack(some[:, chunk], real.dtype) for some in (saved, incoming))
                if inverse is not None:
                    gradient = _reversed(real, inverse, shape, planes, gradient, sums[thread])
                else:
                    gradient = _taped(real, shape, planes, gradient, sums[thread])
                shape.unpack(gradient, to_fields[:, chunk])

        _each(len(shares), work, incoming.device)
        return to_fields, _complex(sums.sum(0), shape.side), None, None


def _each(threads: int, work: Callable[[int], None], device: torch.device) -> None:
    """Call ``work`` for every number below ``threads``, each on a thread of its own where they share a CPU.

    Products of a few blocks are too short for the threads of torch itself, which meet behind every one of them.
    """

    def run(first: int, last: int) -> None:
        for number in range(first, last):
            work(number)

    if device.type == "cpu":
        with kernels_first():
            spread(threads, run)
    else:
        run(0, threads)


def _run(real: Tensor, shape: _Shape, planes: Tensor, layers: range, keep: bool = False) -> list[Tensor]:
    """Planes behind some layers, alone or (``keep``) after those in front of every one; ``planes`` are used up."""
    kept, spare = [planes], torch.empty_like(planes)
    for layer in layers:
        planes = kept[-1]
        shape.hang_over(planes, layer)
        shape.through(real[layer], planes, spare, layer)
        if keep:
            kept.append(spare)
            spare = torch.empty_like(planes)
        else:
            kept, spare = [spare], planes
    return kept


def _back(adjoint: Tensor, shape: _Shape, gradient: Tensor) -> Tensor:
    """Gradients in front of all layers from those behind."""
    spare = torch.empty_like(gradient)
    for layer in reversed(range(len(adjoint))):
        shape.hang_over(gradient, layer)
        shape.through(adjoint[layer], gradient, spare, layer)
        gradient, spare = spare, gradient
    return gradient


def _outer(shape: _Shape, gradient: Tensor, fields: Tensor, layer: int, sums: Tensor) -> None:
    """Add the gradient of a layer's blocks: gradients behind them times fields in front, over the samples."""
    sums[layer].baddbmm_(shape.window(gradient, layer), shape.window(fields, layer).mT)


def _reversed(real: Tensor, inverse: Tensor, shape: _Shape, planes: Tensor, gradient: Tensor, sums: Tensor) -> Tensor:
    """Back through all layers from the fields behind them; returns the gradients in front."""
    spare, other = torch.empty_like(planes), torch.empty_like(planes)
    for layer in reversed(range(len(real))):
        shape.hang_over(planes, layer)
        shape.hang_over(gradient, layer)
        shape.through(inverse[layer], planes, spare, layer)
        _outer(shape, gradient, spare, layer, sums)
        shape.through(real[layer].mT, gradient, other, layer)
        planes, spare, gradient, other = spare, planes, other, gradient
    return gradient


def _taped(real: Tensor, shape: _Shape, planes: Tensor, gradient: Tensor, sums: Tensor) -> Tensor:
    """As _reversed, from the fields in front of all layers: those in front of groups of layers are kept."""
    layers, stride = len(real), max(1, math.isqrt(len(real)))
    groups = [range(first, min(first + stride, layers)) for first in range(0, layers, stride)]
    kept = []
    for group in groups:
        kept.append(planes.clone())
        (planes,) = _run(real, shape, planes, group)
    other = torch.empty_like(gradient)
    for group in reversed(groups):
        tape = _run(real, shape, kept.pop(), group, keep=True)
        for layer in reversed(group):
            shape.hang_over(gradient, layer)
            _outer(shape, gradient, tape[layer - group.start], layer, sums)
            shape.through(real[layer].mT, gradient, other, layer)
            gradient, other = other, gradient
    return gradient
