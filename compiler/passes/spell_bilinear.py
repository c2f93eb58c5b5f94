"""A bilinear layer as a product with its weights, and a short sum over the other input on the host."""

from __future__ import annotations

from dataclasses import replace

from ...runtime.values import Arg, Ref, TensorType, ValueType
from ..ir import Node
from .constants import Constants


def spell_bilinear(node: Node, types: dict[str, ValueType], constants: Constants) -> list[Node] | None:
    """``out[o] = sum over i, j of x[i] weight[o, i, j] y[j] + bias[o]`` as a product of one input, then ops on it.

    The longer input goes through the weights, so that the host's part is the smaller. A node that is no bilinear
    layer with a constant weight and sizes that are known: None.
    """
    if node.op != "aten.bilinear.default":
        return None
    first, second, weight, *rest = node.args
    bias = rest[0] if rest else None
    kinds = [types.get(arg.name) if isinstance(arg, Ref) else None for arg in (first, second, weight)]
    if not isinstance(weight, Ref) or weight.name not in constants.store or not isinstance(node.type, TensorType):
        return None
    sizes = [kind.shape[-1] if isinstance(kind, TensorType) and kind.shape else None for kind in kinds]
    outputs, *inner = constants.store[weight.name].shape
    if sizes[:2] != inner or not constants.store[weight.name].is_floating_point():
        return None
    swapped = inner[1] > inner[0]
    through, other = (second, first) if swapped else (first, second)
    short = min(inner)
    lead, dtype = node.type.shape[:-1], node.type.dtype
    made: list[Node] = []

    def add(what: str, op: str, args: tuple[Arg, ...], shape: tuple[int | str, ...], last: bool = False) -> Ref:
        name = node.name if last else constants.unique(f"{node.name}${what}")
        made.append(replace(node, name=name, op=op, args=args, kwargs=(), type=TensorType(dtype, shape)))
        return Ref(name)

    equation = "...j,oij->...oi" if swapped else "...i,oij->...oj"
    products = add("products", "aten.einsum.default", (equation, (through, weight)), (*lead, outputs, short))
    beside = add("beside", "aten.unsqueeze.default", (other, -2), (*lead, 1, short))
    terms = add("terms", "aten.mul.Tensor", (products, beside), (*lead, outputs, short))
    total = add("sum", "aten.sum.dim_IntList", (terms, (-1,)), (*lead, outputs), last=bias is None)
    if bias is not None:
        add("out", "aten.add.Tensor", (total, bias), (*lead, outputs), last=True)
    return made
