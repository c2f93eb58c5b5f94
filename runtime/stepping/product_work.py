"""A product of two computed values in the step executor: the tiles of every sample, and what they add up to."""

from __future__ import annotations

from torch import Tensor

from ..errors import VerifyError, complaint
from ..products import Tiler, joined, per_sample
from ..program import BankSpec, ProductStep
from ..targets.schema import Target
from ..widths import HOST_BYTES, number_bytes, settings_per_tile
from .tiledriver import TileDriver
from .tilework import TileWork


class ProductWork:
    """A :class:`..program.ProductStep` under way: the tiles of sample s are numbered from s times the bank's tiles on.

    Args:
        step: the step. left, right: its operands, in the dtype of the run.
        samples: of the run. spec, target: of its bank. tiler: makes the tiles.
        ideal: exact settings and ideal converters.
    """

    def __init__(
        self,
        step: ProductStep,
        left: Tensor,
        right: Tensor,
        samples: int,
        spec: BankSpec,
        target: Target,
        tiler: Tiler,
        ideal: bool,
    ) -> None:
        self.step = step
        self.spec = spec
        self._left = left
        self.drivers: list[TileDriver] = []
        self.works: list[TileWork] = []
        for vectors, weights in per_sample(step, left, right, samples, spec):
            self.drivers.append(TileDriver(tiler(weights, spec, target), target, ideal, left.dtype))
            self.works.append(TileWork.of(vectors.contiguous(), spec))
        settings = samples * spec.tiles * settings_per_tile(spec) * number_bytes(spec.phase_bits)
        self._crossings = [settings] * any(work.left for work in self.works) + [HOST_BYTES * left.numel()]

    def place(self, tile: int) -> tuple[int, int]:
        """Sample and table row of a tile of the schedule."""
        return divmod(tile, self.spec.tiles)

    @property
    def left(self) -> int:
        """Vectors that tiles have not taken yet, each counted for each tile."""
        return sum(work.left for work in self.works)

    def crossing(self) -> int:
        """Bytes of the next move over the link to the chip: the settings of all tiles, then the left operand.

        Raises VerifyError where both are there.
        """
        if not self._crossings:
            raise VerifyError(
                complaint("the schedule moves a product's operands again", where=self.step.path or self.step.name)
            )
        return self._crossings.pop(0)

    def result(self) -> Tensor:
        """The product, once every tile has been streamed."""
        return joined(self.step, [work.total(self.spec) for work in self.works], self._left, self.spec)
