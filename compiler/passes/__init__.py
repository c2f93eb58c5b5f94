"""The passes, in the order they run."""

from __future__ import annotations

from .base import GraphPass, Options, Pass, TilePass
from .canonicalize import Canonicalize
from .dead_code import RemoveDeadCode
from .decompose import Decompose
from .dynamic_products import DynamicProducts
from .emit import emit
from .expand_recurrent import ExpandRecurrent
from .fold_batch_norm import FoldBatchNorm
from .fold_constants import FoldConstants
from .fold_quantization import FoldQuantization
from .lower import Lower
from .place import Place
from .program_meshes import ProgramMeshes
from .quantize import Quantize
from .ranges import Ranges
from .shift import Shift
from .spell_products import SpellProducts
from .tile import Tile, cut, describe, grid


def table(options: Options) -> tuple[Pass, ...]:
    """Every pass from a captured graph to full tile tables, in order."""
    return (
        Canonicalize(),
        FoldConstants(),
        FoldQuantization(options),
        SpellProducts(),
        DynamicProducts(options),
        ExpandRecurrent(options),
        FoldBatchNorm(),
        RemoveDeadCode(),
        Place(options),
        Lower(options),
        Tile(),
        *tile_passes(options),
    )


def tile_passes(options: Options) -> tuple[TilePass, ...]:
    """The passes over tile tables alone, in order."""
    return (Shift(), Decompose(), ProgramMeshes(options), Quantize(), Ranges())


NAMES = ("capture", *(step.name for step in table(Options())))
"""Names of the passes, for ``stop_after``."""

__all__ = [
    "NAMES",
    "GraphPass",
    "Options",
    "Pass",
    "TilePass",
    "cut",
    "describe",
    "emit",
    "grid",
    "table",
    "tile_passes",
]
