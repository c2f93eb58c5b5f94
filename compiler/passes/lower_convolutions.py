"""Every convolution on the chip as patches of one: a 2-d convolution, with views before and after it.

- 1-d: images one line high.
- 3-d: slices of the depth under the kernel are channels side by side; every output slice is a sample.
- Transposed: see :mod:`.lower_transposed`.

The weight of a convolution is never copied; that of a transposed one only where it has groups.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ...runtime.errors import VerifyError
from ...runtime.values import Ref, TensorType, ValueType
from ..ir import Matrix, Node
from .chain import Chain
from .constants import Constants
from .convolution import Convolution, Declare, output_shape, patch_attributes
from .dims import plus, product
from .lower_transposed import lower_transposed

_END = 2**63 - 1


def lower_conv2d(node: Node, constants: Constants, declare: Declare) -> Node:
    """An ``ll.conv2d`` on the chip as an ``ll.mvm``."""
    options = Convolution.of(node, constants)
    matrix = _forward_matrix(node, options, declare)
    attributes = patch_attributes(
        matrix, options.channels, options.kernel, options.stride, options.padding, options.dilation
    )
    return replace(
        node, op="ll.mvm", args=(node.args[0], node.args[2]), kwargs=attributes, origin=node.origin.via("lower")
    )


def lower_convolution(
    node: Node, types: dict[str, ValueType], constants: Constants, declare: Declare
) -> tuple[Node, ...]:
    """An ``ll.convolution`` on the chip as host ops around an ``ll.mvm``; the last node has the layer's name."""
    options = Convolution.of(node, constants)
    source = node.args[0]
    kind = types[source.name] if isinstance(source, Ref) else None
    if not isinstance(source, Ref) or not isinstance(kind, TensorType):
        raise VerifyError(f"%{node.name}: a convolution reads a tensor, got {kind}.")
    chain = Chain(node, source, kind)
    batched = len(kind.shape) == options.axes + 2
    if not batched:
        chain.then("unsqueeze.default", (1, *chain.shape), 0, label="batch")
    if options.transposed:
        lower_transposed(chain, options, constants, declare)
    elif options.axes == 3:
        _slices(chain, options, declare)
    else:
        _images(chain, options, declare)
    if not batched:
        chain.then("squeeze.dim", chain.shape[1:], 0, label="unbatched")
    return chain.finish()


def _images(chain: Chain, options: Convolution, declare: Declare) -> None:
    """1-d: images one line high. 2-d, without a batch until now: as it is."""
    flat = options.axes == 1
    if flat:
        chain.then("unsqueeze.default", (*chain.shape[:2], 1, chain.shape[2]), 2, label="line")
    matrix = _forward_matrix(chain.layer, options, declare)
    kernel, stride, dilation = (((1,) * flat) + part for part in (options.kernel, options.stride, options.dilation))
    padding = ((0, 0) * flat) + options.padding
    spans = ((1,) * flat) + output_shape(chain.layer, options)[-options.axes :]
    attributes = patch_attributes(matrix, options.channels, kernel, stride, padding, dilation)
    chain.through(attributes, (chain.shape[0], options.outputs, *spans), chain.layer.args[2])
    if flat:
        chain.then("squeeze.dim", (chain.shape[0], options.outputs, spans[1]), 2, label="unlined")


def _slices(chain: Chain, options: Convolution, declare: Declare) -> None:
    """3-d: (N, C, D, H, W) to (N * D', C * kd, H, W), through the matrix, and back to (N, O, D', H', W')."""
    batch, channels, depth, height, width = chain.shape
    (span, *kernel), (stride, *strides), (dilation, *dilations) = options.kernel, options.stride, options.dilation
    before, after, *padding = options.padding
    if before or after:
        depth = plus(depth, before + after)
        sides = (0, 0, 0, 0, before, after)
        chain.then("constant_pad_nd.default", (batch, channels, depth, height, width), sides, 0.0, label="padded")
    out_depth, out_height, out_width = output_shape(chain.layer, options)[-3:]
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
    attributes = patch_attributes(
        matrix, options.channels * span, tuple(kernel), tuple(strides), tuple(padding), tuple(dilations)
    )
    chain.through(attributes, (samples, options.outputs, out_height, out_width), chain.layer.args[2])
    shape = (batch, out_depth, options.outputs, out_height, out_width)
    chain.then("unflatten.int", shape, 0, (-1, count), label="unstacked")
    shape = (batch, options.outputs, out_depth, out_height, out_width)
    chain.then("permute.default", shape, (0, 2, 1, 3, 4), label="volume")


def _forward_matrix(node: Node, options: Convolution, declare: Declare) -> Matrix:
    rows, cols = options.outputs // options.groups, prod(options.shape[1:])
    return declare(node, options.weight, options.groups, rows, cols)
