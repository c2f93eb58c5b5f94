"""Transposed convolutions: a vector an input pixel through the matrix, then overlap-add on the host.

The vector of a pixel becomes a patch of the output; ``col2im`` adds up patches where they overlap. In 3-d it does so
twice: in the plane of every slice, then along the depth, each line of which it takes for the line of an image.
"""

from __future__ import annotations

from math import prod

from ...runtime.values import Arg, Dim, Ref
from ..ir import Matrix, Node
from .chain import Chain
from .constants import Constants
from .convolution import Convolution, Declare, output_shape, patch_attributes
from .dims import plus, product


def lower_transposed(chain: Chain, options: Convolution, constants: Constants, declare: Declare) -> None:
    """A vector an input pixel, overlap-add, bias."""
    matrix = _turned_matrix(chain.layer, options, constants, declare)
    batch, channels = chain.shape[:2]
    outputs = output_shape(chain.layer, options)[-options.axes :]
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
    attributes = patch_attributes(matrix, options.channels, ones, ones, (0, 0, 0, 0), ones)
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
    chain: Chain, options: Convolution, sizes: list[Arg], full: tuple[Dim, ...], sides: tuple[int, ...]
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


def _grown(chain: Chain, options: Convolution, axis: int, late: bool) -> tuple[Arg, Dim]:
    """The size of an axis after overlap-add, as argument and as type; cropped by the padding unless ``late``."""
    reach = options.dilation[axis] * (options.kernel[axis] - 1) + 1
    stride = options.stride[axis]
    rest = reach - stride if late else reach - stride - 2 * options.padding[2 * axis] + options.extra[axis]
    size = chain.size(2 + axis, f"size{axis}")
    grown = chain.number("add", chain.number("mul", size, stride, f"strided{axis}"), rest, f"grown{axis}")
    return grown, plus(product(chain.shape[2 + axis], stride), rest)


def _turned_matrix(node: Node, options: Convolution, constants: Constants, declare: Declare) -> Matrix:
    """From the channels of a pixel to a patch of every output channel, group by group."""
    rows, cols = prod(options.shape[1:]), options.channels // options.groups
    turned = constants.made(
        (options.weight, "transposed", options.groups),
        f"{options.weight}$transposed",
        lambda: constants.store[options.weight].reshape(options.groups, cols, rows).transpose(1, 2),
    )
    return declare(node, turned.name, options.groups, rows, cols)
