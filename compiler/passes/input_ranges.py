"""The range of a layer's inputs where the model quantizes them: a static full scale that needs no calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...runtime.calibrate import MARGIN
from ...runtime.quantized import DEQUANTIZE
from ...runtime.targets import Target
from ...runtime.values import Arg, Ref
from ..ir import Graph, Node
from .costs import is_view

_WITHIN = {
    f"aten.{name}"
    for name in (
        "relu.default", "relu6.default", "clone.default", "contiguous.default", "reshape.default", "unfold.default",
        "max_pool1d.default", "max_pool2d.default", "max_pool3d.default", "repeat.default", "flip.default",
        "avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default", "reflection_pad1d.default",
        "reflection_pad2d.default", "replication_pad1d.default", "replication_pad2d.default", "dropout.default",
    )
}  # fmt: skip
"""Ops, besides views, whose results never leave the range of their input and zero."""
_PADS = ("aten.constant_pad_nd.default", "aten.pad.default")
_PER_TENSOR = "quantized_decomposed.dequantize_per_tensor."
_FAKE = "aten.fake_quantize_per_tensor_affine."


@dataclass(frozen=True, slots=True)
class InputRange:
    """Inputs are whole multiples of ``step``, at most ``levels`` of them from zero; ``zero`` is their zero point."""

    step: float
    levels: int
    zero: int

    def full_scale(self, target: Target) -> float:
        """The input value of DAC full scale.

        The widest input, or up to MARGIN times that where it makes every step a whole number of DAC codes: the
        converter then adds no error to what the model's own quantizer left.
        """
        widest = self.step * self.levels
        if target.encoding.dac_bits is None or target.encoding.sign == "offset":
            return widest
        codes = 2**target.encoding.dac_bits - 1
        whole = self.step * codes / (codes // self.levels) if codes >= self.levels else widest
        return whole if whole <= MARGIN * widest else widest


def input_range(
    source: Arg, producers: Mapping[str, Node], store: Mapping[str, torch.Tensor]
) -> InputRange | str | None:
    """The range that a quantizer gives a value.

    Args:
        source: What a layer reads.
        producers: The graph's nodes by name.
        store: Constants by name.

    Returns:
        The range; why a quantizer gives none; or None where nothing quantizes the value.
    """
    while isinstance(source, Ref) and source.name in producers:
        node = producers[source.name]
        if node.op in DEQUANTIZE or node.op.startswith(_FAKE):
            return _of_quantizer(node, store)
        zero_padded = node.op in _PADS and all(value in (0, 0.0, None, "constant") for value in node.args[2:])
        tensor_view = is_view(node.op) and not node.op.startswith("py.")
        if not node.args or not (tensor_view or zero_padded or node.op in _WITHIN):
            return None
        source = node.args[0]
    return None


def _of_quantizer(node: Node, store: Mapping[str, torch.Tensor]) -> InputRange | str:
    if node.op.startswith((_PER_TENSOR, _FAKE)):
        values = [_number(arg, store) for arg in node.args[1:5]]
    elif node.op == "torchao.dequantize_affine.default":
        named = dict(node.kwargs)
        low, high = (
            node.args[place] if len(node.args) > place else named.get(key)
            for place, key in ((5, "quant_min"), (6, "quant_max"))
        )
        values = [_number(arg, store) for arg in (node.args[2], 0 if node.args[3] is None else node.args[3], low, high)]
    else:
        return "its input has scales for each channel or vector: quantized on the host"
    scale, zero, low, high = values
    if scale is None or zero is None or low is None or high is None:
        return "its input has several scales, or scales chosen at run time: quantized on the host"
    levels = int(max(abs(low - zero), abs(high - zero)))
    if not scale > 0 or not levels:
        return "the scale of its input is not positive"
    return InputRange(float(scale), levels, int(zero))


def _number(arg: Arg, store: Mapping[str, torch.Tensor]) -> float | None:
    """A constant number, given as such or as a tensor of one element."""
    if isinstance(arg, Ref) and arg.name in store:
        tensor = store[arg.name]
        return tensor.item() if tensor.numel() == 1 else None
    return arg if isinstance(arg, int | float) else None


def bank_ranges(graph: Graph) -> dict[str, InputRange]:
    """The range of each bank of a tile graph whose every user reads quantized inputs: the widest of theirs."""
    producers = {node.name: node for node in graph.nodes}
    found: dict[str, InputRange] = {}
    unknown: set[str] = set()
    for node in graph.nodes:
        if node.op == "ll.recurrence":  # its hidden states have no quantizer
            unknown.update(str(value) for key, value in node.kwargs if key in ("matrix", "projection"))
        if node.op != "ll.mvm":
            continue
        name, mine = str(node.attribute("matrix")), input_range(node.args[0], producers, graph.store)
        if not isinstance(mine, InputRange):
            unknown.add(name)
        elif name not in found or mine.step * mine.levels > found[name].step * found[name].levels:
            found[name] = mine
    return {name: mine for name, mine in found.items() if name not in unknown}
