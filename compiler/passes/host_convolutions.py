"""Convolutions that stay on the host: back to one ATen op each."""

from __future__ import annotations

from dataclasses import replace

from ...runtime.errors import VerifyError
from ...runtime.values import Arg, Ref, TensorType, ValueType
from ..ir import Node
from .dims import plus


def host_convolution(node: Node, types: dict[str, ValueType]) -> tuple[Node, ...]:
    """The ATen form of an ``ll.conv2d`` or ``ll.convolution``; uneven padding is an op of its own."""
    stride, padding, dilation = (_numbers(node, key) for key in ("stride", "padding", "dilation"))
    axes, groups = len(stride), node.attribute("groups")
    before, after = padding[::2], padding[1::2]
    x, weight, bias = node.args
    if dict(node.kwargs).get("transposed", False):
        op = f"aten.conv_transpose{axes}d.{'default' if axes == 1 else 'input'}"
        extra = node.attribute("output_padding")
        args: tuple[Arg, ...] = (x, weight, bias, stride, before, extra, groups, dilation)
        return (replace(node, op=op, args=args, kwargs=()),)
    op = f"aten.conv{axes}d.default"
    if before == after:
        return (replace(node, op=op, args=(x, weight, bias, stride, before, dilation, groups), kwargs=()),)
    kind = types[x.name] if isinstance(x, Ref) else None
    if not isinstance(kind, TensorType):
        raise VerifyError(f"%{node.name}: a convolution reads a tensor, got {kind}.")
    sides = tuple(side for axis in reversed(range(axes)) for side in (before[axis], after[axis]))
    lead, spans = kind.shape[:-axes], kind.shape[-axes:]
    grown = (plus(span, low + high) for span, low, high in zip(spans, before, after, strict=True))
    padded = replace(
        node,
        name=f"{node.name}$padded",
        op="aten.constant_pad_nd.default",
        args=(x, sides, 0.0),
        kwargs=(),
        type=TensorType(kind.dtype, (*lead, *grown)),
    )
    args = (Ref(padded.name), weight, bias, stride, (0,) * axes, dilation, groups)
    return padded, replace(node, op=op, args=args, kwargs=())


def _numbers(node: Node, key: str) -> tuple[int, ...]:
    found = node.attribute(key)
    return tuple(value for value in found if isinstance(value, int)) if isinstance(found, tuple) else ()
