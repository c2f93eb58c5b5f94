"""A matrix step in the step executor: its vectors, samples first, and its result in the shape of the step."""

from __future__ import annotations

from torch import Tensor

from ..geometry import output_shape, store
from ..layout import samples_back, samples_first
from ..program import BankSpec, Conv2dGeometry, MatrixStep
from .tilework import TileWork


class MatrixWork:
    """A :class:`..program.MatrixStep` under way.

    Args:
        step: the step. x: its input, in the dtype of the run. spec: of its bank.
        before: positions before the samples in x, see :mod:`..layout`. samples: of the run.
    """

    def __init__(self, step: MatrixStep, x: Tensor, spec: BankSpec, before: int, samples: int) -> None:
        self._step = step
        self._spec = spec
        self._shape = tuple(x.shape)
        self._before = before
        self._samples = samples
        self.work = TileWork.of(samples_first(x, before, samples) if before != 1 else x, spec, step.geometry)

    def result(self, bias: Tensor | None) -> Tensor:
        """The step's result once every tile has taken every vector: edge rows off, bias on."""
        spec, geometry = self._spec, self._step.geometry
        rows = spec.groups * spec.rows
        flat = self.work.total(spec)
        image = isinstance(geometry, Conv2dGeometry)
        if image:
            result = flat.new_empty(output_shape(self._shape, geometry, rows))
            if self.work.vectors:
                store(result, 0, flat.reshape(self._shape[0], -1, rows).transpose(1, 2), geometry)
        elif self._before != 1:
            result = samples_back(flat, self._before, self._samples, self._shape)
        else:
            result = flat.reshape(*self._shape[:-1], rows)
        if bias is None:
            return result
        return result + bias.to(result.dtype).view((-1, 1, 1) if image else (-1,))
