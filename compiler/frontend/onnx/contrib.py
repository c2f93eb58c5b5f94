"""Attributes of the com.microsoft operators: the onnx package has no schemas of this domain, onnxruntime has.

Names as onnxruntime 1.32 declares them (contrib_defs.cc, quantization_defs.cc, bert_defs.cc). An attribute that is not
among them is a slip that no runtime would take, and one that has no torch form here changes what is computed.
"""

from __future__ import annotations

from onnx import AttributeProto, NodeProto, helper

from ....runtime.errors import CaptureError, complaint
from ....runtime.targets.faults import close_names

DOMAIN = "com.microsoft"

_NAMES = {
    "Attention": (
        "do_rotary mask_filter_value num_heads past_present_share_buffer qkv_hidden_sizes "
        "rotary_embedding_dim scale unidirectional"
    ),
    "BiasAdd": "",
    "BiasGelu": "",
    "BiasSoftmax": "axis is_inner_broadcast",
    "BiasSplitGelu": "",
    "CDist": "metric",
    "ComplexMul": "",
    "ComplexMulConj": "",
    "DequantizeLinear": "axis",
    "DynamicQuantizeMatMul": "",
    "EmbedLayerNormalization": "epsilon mask_index_type",
    "ExpandDims": "",
    "FastGelu": "",
    "FusedConv": "activation activation_params auto_pad dilations group kernel_shape pads strides",
    "FusedGemm": "activation activation_alpha activation_beta activation_gamma alpha beta transA transB",
    "FusedMatMul": "alpha transA transB transBatchA transBatchB",
    "FusedMatMulActivation": (
        "activation activation_alpha activation_axis activation_beta activation_gamma alpha transA "
        "transB transBatchA transBatchB"
    ),
    "Gelu": "",
    "GemmFastGelu": "",
    "GroupNorm": "activation channels_last epsilon groups",
    "GroupQueryAttention": (
        "causal do_rotary k_norm_epsilon k_quant_type kv_cache_bit_width kv_num_heads local_window_size "
        "num_heads q_norm_epsilon qk_norm_epsilon qk_output rotary_interleaved scale "
        "sliding_window_cache smooth_softmax softcap v_quant_type"
    ),
    "Inverse": "",
    "Irfft": "normalized onesided signal_ndim",
    "IsAllFinite": "isinf_only isnan_only",
    "MatMulIntegerToFloat": "",
    "MatMulNBits": "K N accuracy_level bits block_size weight_prepacked",
    "MultiHeadAttention": "mask_filter_value num_heads scale unidirectional",
    "NhwcConv": "auto_pad dilations group kernel_shape pads strides",
    "QAttention": "do_rotary mask_filter_value num_heads past_present_share_buffer scale unidirectional",
    "QGemm": "alpha transA transB",
    "QLinearAdd": "",
    "QLinearAveragePool": "auto_pad ceil_mode channels_last count_include_pad kernel_shape pads strides",
    "QLinearConcat": "axis",
    "QLinearGlobalAveragePool": "channels_last",
    "QLinearLeakyRelu": "alpha",
    "QLinearMul": "",
    "QLinearSigmoid": "",
    "QLinearSoftmax": "axis opset",
    "QuantizeLinear": "axis",
    "QuickGelu": "alpha",
    "Rfft": "normalized onesided signal_ndim",
    "RotaryEmbedding": "interleaved is_packed_batching num_heads rotary_embedding_dim scale",
    "SkipLayerNormalization": "epsilon",
    "SkipSimplifiedLayerNormalization": "epsilon",
    "TransposeMatMul": "alpha transA transB",
    "Trilu": "upper",
    "DynamicQuantizeLSTM": "activation_alpha activation_beta activations clip direction hidden_size input_forget",
}

_HINTS = frozenset(
    {"hidden_size", "accuracy_level", "mask_index_type", "past_present_share_buffer", "kv_cache_bit_width"}
)
"""They change how something is computed or kept, not what."""
_WITHOUT_FORM = frozenset(
    {"k_norm_epsilon", "q_norm_epsilon", "qk_norm_epsilon", "k_quant_type", "v_quant_type", "weight_prepacked"}
    | {"normalized"}
)
"""They change what is computed, and only their neutral value has a form here."""


def check_attributes(node: NodeProto, where: str) -> None:
    """Check the attributes of a com.microsoft node.

    Raises:
        CaptureError: an attribute that the operator does not have, or whose value has no form here.
    """
    if node.op_type not in _NAMES:
        return
    known = _NAMES[node.op_type].split()
    for attribute in node.attribute:
        if attribute.name not in known:
            raise CaptureError(
                complaint(
                    "an attribute is unknown to the operator",
                    where=where,
                    got=repr(attribute.name),
                    allowed=", ".join(known) or "no attributes",
                    next_step=close_names(attribute.name, known) if known else "export the model again",
                )
            )
        value = helper.get_attribute_value(attribute) if attribute.type != AttributeProto.UNDEFINED else None
        if attribute.name in _WITHOUT_FORM and value not in (None, 0, 0.0, b"", b"NONE", "NONE"):
            raise CaptureError(
                complaint(
                    "an attribute has no torch form yet", where=where, got=f"{attribute.name} = {value!r}",
                    next_step="export the model without it",
                )
            )  # fmt: skip
