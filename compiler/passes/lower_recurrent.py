"""Lower a placed ``ll.recurrent`` to ``ll.recurrence``: the loop over time on declared matrices.

``ll.recurrence(x, h, c, hidden bias)`` with ``matrix``, ``projection`` (a matrix or none), ``kind``, ``reverse``.
"""

from __future__ import annotations

from dataclasses import replace

from ...runtime.errors import VerifyError
from ...runtime.values import Arg, Ref
from ..ir import Graph, Matrix, Node

Matrices = dict[tuple[object, ...], Matrix]


def lower_recurrent(node: Node, graph: Graph, matrices: Matrices, overrides: tuple[str, ...]) -> Node:
    """The loop of a recurrent layer; its matrices are added to ``matrices``, shared ones once."""
    x, h, c, weight, bias, projection = node.args
    path = node.origin.path
    hidden = _declare(weight, path or node.name, graph, matrices, overrides)
    kept = None
    if projection is not None:
        kept = _declare(projection, _projection_path(path or node.name), graph, matrices, overrides)
    attributes: tuple[tuple[str, Arg], ...] = (("matrix", hidden), ("projection", kept), *node.kwargs)
    return replace(node, op="ll.recurrence", args=(x, h, c, bias), kwargs=attributes)


def _projection_path(path: str) -> str:
    """``lstm.weight_hr_l0`` beside ``lstm.weight_hh_l0``."""
    head, found, tail = path.rpartition("weight_hh")
    return f"{head}weight_hr{tail}" if found else f"{path}.projection"


def _declare(weight: Arg, name: str, graph: Graph, matrices: Matrices, overrides: tuple[str, ...]) -> str:
    if not isinstance(weight, Ref):
        raise VerifyError(f"a recurrent layer was placed on the chip, but {weight} is no constant.")
    rows, cols = graph.store[weight.name].shape
    key = (weight.name, 1, overrides)
    if key not in matrices:
        taken = {matrix.name for matrix in matrices.values()}
        while name in taken:
            name += "$"
        matrices[key] = Matrix(name, weight.name, 1, rows, cols)
    return matrices[key].name
