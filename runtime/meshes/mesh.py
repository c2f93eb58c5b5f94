"""A mesh as its users hold it: its windows, described and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import Windows
from .describe import MeshFacts, describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Mesh(Windows):
    """A topology: :class:`.base.Windows` of cells, and what one asks of them."""

    def describe(self, cell_loss_db: float = 0.1) -> MeshFacts:
        """Cells, depth, phases, splitters on the longest path, and insertion loss (see :class:`MeshFacts`)."""
        return describe(self, cell_loss_db)

    def draw(self) -> Figure:
        """The mesh as a matplotlib figure; needs the ``demo`` extra (see :func:`.drawing.draw`)."""
        from .drawing import draw  # it needs matplotlib

        return draw(self)

    def draw_svg(self) -> str:
        """The mesh as SVG text; needs the ``demo`` extra (see :func:`.drawing.draw_svg`)."""
        from .drawing import draw_svg  # it needs matplotlib

        return draw_svg(self)
