"""Every convolution on the chip as patches of one: a 2-d convolution, with views before and after it.

- 1-d: images one line high.
- 3-d: slices of the depth under the kernel are channels side by side; every output slice is a sample.
- Transposed: each input pixel is a vector of its own (a 1 x 1 convolution) whose result is a patch of the output;
  the host adds up the patches where they overlap (``col2im``; 3-d: first in the plane, then along the depth).

The weight of a convolution is never copied; that of a transposed one only where it has groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from ...runtime.errors import VerifyError
from ...runtime.values import Arg, Dim, Ref, ScalarType, TensorType, ValueType
from ..ir import Matrix, Node, Origin, Placement
from .constants import Constants
from .dims import plus, product

Declare = Callable[[Node, str, int, int, int], Matrix]
"""Declares the matrix of a layer: (layer, its constant, groups, rows, cols)."""

_END = 2**63 - 1


def lower_conv2d(node: Node, constants: Constants, declare: Declare) -> Node:
    """An ``ll.conv2d`` on the chip as an ``ll.mvm``."""
    options = _Options.of(node, constants)
    matrix = _forward_matrix(node, options, declare)
    attributes = _attributes(
        matrix, options.channels, options.kernel, options.stride, options.padding, options.dilation
    )
    return replace(node, op="ll.mvm", args=(node.args[0], node.args[2]), kwargs=attributes, origin=_via(node))


def lower_convolution(
    node: Node, types: dict[str, ValueType], constants: Constants, declare: Declare
) -> tuple[Node, ...]:
    """An ``ll.convolution`` on the chip as host ops around an ``ll.mvm``; the last node has the layer's name."""
    options = _Options.of(node, constants)
    source = node.args[0]
    kind = types[source.name] if isinstance(source, Ref) else None
    if not isinstance(source, Ref) or not isinstance(kind, TensorType):
        raise VerifyError(f"%{node.name}: a convolution reads a tensor, got {kind}.")
    chain = _Chain(node, source, kind)
    batched = len(kind.shape) == options.axes + 2
    if not batched:
        chain.then("unsqueeze.default", (1, *chain.shape), 0, label="batch")
    if options.transposed:
        _transposed(chain, options, constants, declare)
    elif options.axes == 3:
        _slices(chain, options, declare)
    else:
        _images(chain, options, declare)
    if not batched:
        chain.then("squeeze.dim", chain.shape[1:], 0, label="unbatched")
    return chain.finish()


@dataclass(frozen=True)
class _Options:
    """What a convolution computes; tuples have an entry an axis, ``padding`` two."""

    weight: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    extra: tuple[int, ...]
    transposed: bool

    @classmethod
    def of(cls, node: Node, constants: Constants) -> _Options:
        weight = node.args[1]
        if not isinstance(weight, Ref):
            raise VerifyError(f"%{node.name} was placed on the chip, but its weight is no constant.")
        named = dict(node.kwargs)
        values = (named[key] for key in ("stride", "padding", "dilation", "groups"))
        last = named.get("output_padding", ()), named.get("transposed", False)
        return cls(weight.name, tuple(constants.store[weight.name].shape), *values, *last)  # type: ignore[arg-type]

    @property
    def axes(self) -> int:
        return len(self.shape) - 2

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.shape[2:]

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.shape[0] if self.transposed else self.shape[1] * self.groups

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.shape[1] * self.groups if self.transposed else self.shape[0]


class _Chain:
    """Nodes that follow one another, each reading the one before."""

    def __init__(self, layer: Node, source: Ref, kind: TensorType) -> None:
        self.layer = layer
        self.value = source
        self.dtype = kind.dtype
        self.shape = kind.shape
        self.nodes: list[Node] = []
        self._origin = _via(layer)
        path = layer.origin.path or layer.name
        self._placement = Placement("host", f"lays out what {path} reads from and writes to the chip")

    def then(self, op: str, shape: tuple[Dim, ...], *args: Arg, label: str) -> None:
        """Apply an ATen op to the value; ``shape`` is that of its result."""
        self._add(label, f"aten.{op}", (self.value, *args), TensorType(self.dtype, shape))
        self.value, self.shape = Ref(self.nodes[-1].name), shape

    def through(self, attributes: tuple[tuple[str, Arg], ...], shape: tuple[Dim, ...], bias: Arg) -> None:
        """Send the value through a matrix."""
        self._add("chip", "ll.mvm", (self.value, bias), TensorType(self.dtype, shape))
        self.nodes[-1] = replace(self.nodes[-1], kwargs=attributes, placement=self.layer.placement)
        self.value, self.shape = Ref(self.nodes[-1].name), shape

    def size(self, axis: int, label: str) -> Arg:
        """The size of an axis: a number, or a node that measures it."""
        dim = self.shape[axis]
        if isinstance(dim, int):
            return dim
        self._add(label, "aten.sym_size.int", (self.value, axis), ScalarType("int"))
        return Ref(self.nodes[-1].name)

    def number(self, op: str, left: Arg, right: Arg, label: str) -> Arg:
        """A sum or product of sizes: computed now where both are numbers, else a node."""
        if isinstance(left, int) and isinstance(right, int):
            return left + right if op == "add" else left * right
        self._add(label, f"py.{op}", (left, right), ScalarType("int"))
        return Ref(self.nodes[-1].name)

    def _add(self, label: str, op: str, args: tuple[Arg, ...], kind: ValueType) -> None:
        name = f"{self.layer.name}${label}"
        self.nodes.append(Node(name, op, args, kind, (), self._origin, self._placement))

    def finish(self) -> tuple[Node, ...]:
        """The nodes; the last takes the layer's name and type."""
        last = replace(self.nodes[-1], name=self.layer.name, type=self.layer.type)
        return (*self.nodes[:-1], last)


def _images(chain: _Chain, options: _Options, declare: Declare) -> None:
    """1-d: images one line high. 2-d, without a batch until now: as it is."""
    flat = options.axes == 1
    if flat:
        chain.then("unsqueeze.default", (*chain.shape[:2], 1, chain.shape[2]), 2, label="line")
    matrix = _forward_matrix(chain.layer, options, declare)
    kernel, stride, dilation = (((1,) * flat) + part for part in (options.kernel, options.stride, options.dilation))
    padding = ((0, 0) * flat) + options.padding
    spans = ((1,) * flat) + _output(chain.layer, options)[-options.axes :]
    attributes = _attributes(matrix, options.channels, kernel, stride, padding, dilation)
    chain.through(attributes, (chain.shape[0], options.outputs, *spans), chain.layer.args[2])
    if flat:
        chain.then("squeeze.dim", (chain.shape[0], options.outputs, spans[1]), 2, label="unlined")


def _slices(chain: _Chain, options: _Options, declare: Declare) -> None:
    """3-d: (N, C, D, H, W) to (N * D', C * kd, H, W), through the matrix, and back to (N, O, D', H', W')."""
    batch, channels, depth, height, width = chain.shape
    (span, *kernel), (stride, *strides), (dilation, *dilations) = options.kernel, options.stride, options.dilation
    before, after, *padding = options.padding
    if before or after:
        depth = plus(depth, before + after)
        sides = (0, 0, 0, 0, before, after)
        chain.then("constant_pad_nd.default", (batch, channels, depth, height, width), sides, 0.0, label="padded")
    out_depth, out_height, out_width = _output(chain.layer, options)[-3:]
    reach = dilation * (span - 1) + 1
    shape = (batch, channels, out_depth, height, width)
    chain.then("unfold.default", (*shape, reach), 2, reach, stride, label="slices")
    if dilation > 1:
        chain.then("slice.Tensor", (*shape, span), 5, 0, _END, dilation, label="dilated")
    count = chain.size(2, "depth")
    chain.then(
        "permute.default", (batch, out_depth, channels, span, height, width), (0, 2, 1, 5, 3, 4), label="stacked"
    )
    chain.then("flatten.using_ints", (batch, out_depth, options.channels * span, height, width), 2, 3, label="channels")
    samples = product(batch, out_depth)
    chain.then("flatten.using_ints", (samples, options.channels * span, height, width), 0, 1, label="samples")
    matrix = _forward_matrix(chain.layer, options, declare)
    attributes = _attributes(
        matrix, options.channels * span, tuple(kernel), tuple(strides), tuple(padding), tuple(dilations)
    )
    chain.through(attributes, (samples, options.outputs, out_height, out_width), chain.layer.args[2])
    shape = (batch, out_depth, options.outputs, out_height, out_width)
    chain.then("unflatten.int", shape, 0, (-1, count), label="unstacked")
    shape = (batch, options.outputs, out_depth, out_height, out_width)
    chain.then("permute.default", shape, (0, 2, 1, 3, 4), label="volume")


def _transposed(chain: _Chain, options: _Options, constants: Constants, declare: Declare) -> None:
    """A vector an input pixel, overlap-add, bias."""
    matrix = _transposed_matrix(chain.layer, options, constants, declare)
    batch, channels = chain.shape[:2]
    outputs = _output(chain.layer, options)[-options.axes :]
    # rows and columns that only the cropping at the end takes away, where col2im cannot know of them
    late = any(extra >= step for extra, step in zip(options.extra, options.stride, strict=True))
    spans = [_grown(chain, options, axis, late) for axis in range(options.axes)]
    full = tuple(dim for _, dim in spans) if late else outputs
    sizes = [size for size, _ in spans]
    sides = tuple(0 if late else side for side in options.padding[::2])
    kernel, stride, dilation = options.kernel, options.stride, options.dilation
    if options.axes == 1:
        chain.then("unsqueeze.default", (batch, channels, 1, chain.shape[2]), 2, label="line")
        kernel, stride, dilation, sides = (1, *kernel), (1, *stride), (1, *dilation), (0, *sides)
        sizes, full = [1, *sizes], (1, *full)
    if options.axes == 3:
        plane = product(*chain.shape[3:])
        chain.then("flatten.using_ints", (batch, channels, chain.shape[2], plane), 3, 4, label="planes")
    each = options.outputs * prod(kernel)
    ones: tuple[int, int] = (1, 1)
    attributes = _attributes(matrix, options.channels, ones, ones, (0, 0, 0, 0), ones)
    chain.through(attributes, (batch, each, *chain.shape[2:]), None)
    if options.axes == 3:
        _add_volumes(chain, options, sizes, full, sides)
    else:
        chain.then("flatten.using_ints", (batch, each, product(*chain.shape[2:])), 2, 3, label="patches")
        shape = (batch, options.outputs, *full)
        chain.then("col2im.default", shape, tuple(sizes), kernel, dilation, sides, stride, label="added")
        if options.axes == 1:
            chain.then("squeeze.dim", (batch, options.outputs, full[1]), 2, label="unlined")
    if late:
        crop = [(-side, extra - side) for side, extra in zip(options.padding[::2], options.extra, strict=True)]
        flat = tuple(side for pair in reversed(crop) for side in pair)
        chain.then("constant_pad_nd.default", (batch, options.outputs, *outputs), flat, 0.0, label="cropped")
    bias = chain.layer.args[2]
    if isinstance(bias, Ref):
        shape = (-1, *([1] * options.axes))
        column = constants.made(
            (bias.name, "column", options.axes),
            f"{bias.name}$column",
            lambda: constants.store[bias.name].reshape(shape),
        )
        chain.then("add.Tensor", chain.shape, column, label="biased")


def _add_volumes(
    chain: _Chain, options: _Options, sizes: list[Arg], full: tuple[Dim, ...], sides: tuple[int, ...]
) -> None:
    """Overlap-add of (N, O * kd * kh * kw, D, H * W): the plane of every slice, then the slices."""
    batch, _, depth, plane = chain.shape
    kernel, deep = options.kernel, options.outputs * options.kernel[0]
    patch, count = kernel[1] * kernel[2], chain.size(2, "depth")
    chain.then("unflatten.int", (batch, deep, patch, depth, plane), 1, (deep, patch), label="kernels")
    chain.then("permute.default", (batch, deep, depth, patch, plane), (0, 1, 3, 2, 4), label="slices")
    columns = product(deep, depth)
    chain.then("flatten.using_ints", (batch, product(columns, patch), plane), 1, 3, label="patches")
    options_of_plane = (kernel[1:], options.dilation[1:], sides[1:], options.stride[1:])
    chain.then(
        "col2im.default", (batch, columns, *full[1:]), (sizes[1], sizes[2]), *options_of_plane, label="planes_added"
    )
    plane = product(*full[1:])
    chain.then("flatten.using_ints", (batch, columns, plane), 2, 3, label="lines")
    chain.then("unflatten.int", (batch, deep, depth, plane), 1, (deep, count), label="stacked")
    chain.then("flatten.using_ints", (batch, deep, product(depth, plane)), 2, 3, label="columns")
    size = chain.number("mul", sizes[1], sizes[2], "plane_size")
    options_of_depth = ((kernel[0], 1), (options.dilation[0], 1), (sides[0], 0), (options.stride[0], 1))
    shape = (batch, options.outputs, full[0], plane)
    chain.then("col2im.default", shape, (sizes[0], size), *options_of_depth, label="added")
    chain.then("unflatten.int", (batch, options.outputs, *full), 3, (sizes[1], sizes[2]), label="volume")


def _grown(chain: _Chain, options: _Options, axis: int, late: bool) -> tuple[Arg, Dim]:
    """The size of an axis after overlap-add, as argument and as type; cropped by the padding unless ``late``."""
    reach = options.dilation[axis] * (options.kernel[axis] - 1) + 1
    stride = options.stride[axis]
    rest = reach - stride if late else reach - stride - 2 * options.padding[2 * axis] + options.extra[axis]
    size = chain.size(2 + axis, f"size{axis}")
    grown = chain.number("add", chain.number("mul", size, stride, f"strided{axis}"), rest, f"grown{axis}")
    return grown, plus(product(chain.shape[2 + axis], stride), rest)


def _forward_matrix(node: Node, options: _Options, declare: Declare) -> Matrix:
    rows, cols = options.outputs // options.groups, prod(options.shape[1:])
    return declare(node, options.weight, options.groups, rows, cols)


def _transposed_matrix(node: Node, options: _Options, constants: Constants, declare: Declare) -> Matrix:
    """From the channels of a pixel to a patch of every output channel, group by group."""
    rows, cols = prod(options.shape[1:]), options.channels // options.groups
    turned = constants.made(
        (options.weight, "transposed", options.groups),
        f"{options.weight}$transposed",
        lambda: constants.store[options.weight].reshape(options.groups, cols, rows).transpose(1, 2),
    )
    return declare(node, turned.name, options.groups, rows, cols)


def _attributes(
    matrix: Matrix,
    channels: int,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[str, Arg], ...]:
    """The attributes of an ``ll.mvm`` on patches; packed groups are one group to it."""
    return (
        ("matrix", matrix.name),
        ("kind", "conv2d"),
        ("channels", channels),
        ("kernel", kernel),
        ("stride", stride),
        ("padding", padding),
        ("dilation", dilation),
        ("groups", matrix.groups),
    )


def _output(node: Node, options: _Options) -> tuple[Dim, ...]:
    if not isinstance(node.type, TensorType):
        raise VerifyError(f"%{node.name}: a convolution of {options.axes} axes yields a tensor, got {node.type}.")
    return node.type.shape


def _via(node: Node) -> Origin:
    return node.origin.via("lower")
