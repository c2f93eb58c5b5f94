"""One spelling for convolutions: ``ll.conv2d`` for batches of images, ``ll.convolution`` for all the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...runtime.values import Arg, Ref, TensorType, ValueType
from ..ir import Node

_FORWARD: tuple[tuple[str, Arg], ...] = (
    ("input", None), ("weight", None), ("bias", None), ("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)
)  # fmt: skip
_TRANSPOSED: tuple[tuple[str, Arg], ...] = (
    *_FORWARD[:5], ("output_padding", 0), ("groups", 1), ("dilation", 1), ("transposed", True)
)  # fmt: skip
_EITHER: tuple[tuple[str, Arg], ...] = (
    *_FORWARD[:6], ("transposed", False), ("output_padding", 0), ("groups", 1)
)  # fmt: skip
_SIGNATURES = {
    **{f"aten.conv{n}d.{overload}": _FORWARD for n in (1, 2, 3) for overload in ("default", "padding")},
    **{f"aten.conv_transpose{n}": _TRANSPOSED for n in ("1d.default", "2d.input", "3d.input")},
    "aten.convolution.default": _EITHER,
    **{
        f"aten._convolution.{overload}": (*_EITHER, *((f"flag {place}", None) for place in range(4)))
        for overload in ("default", "deprecated")
    },
    "aten._convolution_mode.default": _FORWARD,
}
"""Arguments of every ATen convolution, in order, with their defaults."""


def spell_convolution(node: Node, types: Mapping[str, ValueType]) -> Node:
    """A convolution in our spelling; any other node as it is.

    ``ll.conv2d(x, weight, bias)`` of (N, C, H, W) has ``stride``, ``padding`` (top, bottom, left, right), ``dilation``
    and ``groups``. ``ll.convolution`` of 1 to 3 axes, with or without a batch, has the same (padding: before and
    after each axis in turn) and ``output_padding`` and ``transposed``. A convolution whose options are computed at
    run time keeps its ATen form.
    """
    if node.op not in _SIGNATURES:
        return node
    given = dict(_SIGNATURES[node.op])
    given.update(zip(given, node.args, strict=False))
    given.update(node.kwargs)
    x, weight = (types.get(arg.name) if isinstance(arg, Ref) else None for arg in (given["input"], given["weight"]))
    if not isinstance(x, TensorType) or not isinstance(weight, TensorType):
        return node
    kernel = tuple(size for size in weight.shape[2:] if isinstance(size, int))
    axes = len(weight.shape) - 2
    spans = {name: _each(given[name], axes) for name in ("stride", "dilation")}
    extra, sides = _each(given.get("output_padding", 0), axes), None
    if len(kernel) == axes and spans["dilation"] is not None:
        sides = _sides(given["padding"], kernel, spans["dilation"])
    unknown = None in spans.values() or sides is None or extra is None or not isinstance(given["groups"], int)
    if unknown or axes not in (1, 2, 3) or len(x.shape) not in (axes + 1, axes + 2):
        return node
    attributes: tuple[tuple[str, Arg], ...] = (
        ("stride", spans["stride"]),
        ("padding", sides),
        ("dilation", spans["dilation"]),
        ("groups", given["groups"]),
    )
    transposed = given.get("transposed", False) is True
    op = "ll.conv2d"
    if transposed or axes != 2 or len(x.shape) != 4:
        op = "ll.convolution"
        attributes = (*attributes, ("output_padding", extra), ("transposed", transposed))
    return replace(
        node,
        op=op,
        args=(given["input"], given["weight"], given.get("bias")),
        kwargs=attributes,
        origin=node.origin.via("canonicalize"),
    )


def _each(arg: Arg, axes: int) -> tuple[int, ...] | None:
    """An option as one integer an axis; one integer stands for all. None where it is computed at run time."""
    values = arg if isinstance(arg, tuple) else (arg,)
    found = tuple(value for value in values if isinstance(value, int))
    if len(found) != len(values) or len(found) not in (1, axes):
        return None
    return found * axes if len(found) == 1 else found


def _sides(padding: Arg, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...] | None:
    """Padding before and after each axis in turn. ``same`` puts an odd rest after, as torch does."""
    if padding == "same":
        total = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        return tuple(side for rest in total for side in (rest // 2, rest - rest // 2))
    each = _each(0 if padding == "valid" else padding, len(kernel))
    return None if each is None else tuple(side for value in each for side in (value, value))
