"""Why an op has no place in a program: one reason a kind, for errors and for the page of host ops."""

from __future__ import annotations

import re

import torch

RANDOM = "draws random numbers, and a program gives one result for one input: draw them outside and pass them in"
_TRAINING = "part of training"
_SPARSE = "sparse tensors have no place in a program: use dense ones"
_ANSWERED = "asks about the tensor object or how its memory lies: answered while tracing, never in a graph"
_DEVICE = "a kernel of one library or device: torch traces the plain op, which the host has"

_REASONS: tuple[tuple[str, str], ...] = (
    (r"_test_\w*|_foobar", "a test of torch's own"),
    (r"sym_constrain\w*|_assert\w*|_functional_\w*assert\w*", "a check of sizes: dropped, for programs check inputs"),
    (r"bernoulli|normal\w*|rand\w*|_sobol_engine_draw|native_dropout|multinomial|_fused_dropout", RANDOM),
    (r"\w*sparse\w*|\w*_cs[rc]\w*|sspaddmm|s?smm|hspmm|to_dense|_?coalesced?|_?indices|_?values", _SPARSE),
    (r"\w*nested\w*|_jagged\w*|to_padded_tensor", "nested tensors have no place in a program: pad them"),
    (r"\w*_double_backward|\w*backward\w*|get_gradients|_rowwise_prune|_amp_\w*|gradient_\w*", _TRAINING),
    (r"\w*(cudnn|miopen|mkldnn|fbgemm|cufft|nnpack|vulkan|xla|mps|_wrapped_)\w*", _DEVICE),
    (r"(lstm|gru|rnn_tanh|rnn_relu)\.data|_?pack_padded\w*|_?pad_packed\w*|_reshape_from_tensor",
     "packed sequences: the size of each time step would depend on the data"),
    (r"quantized_\w*|_?choose_qparams\w*|_saturate_weight\w*|q_\w*|qscheme|int_repr|dequantize",
     "tensors of a quantized dtype: torch.export with quantize_pt2e gives integers, which are read"),
    (r"(_native_batch_norm_legit(_functional)?|_batch_norm_with_update\w*|_batch_norm_impl\w*)", _TRAINING),
    (r"(mm|bmm|addmm|baddbmm)\.dtype\w*", "torch has it for GPUs only"),
    (r"_(add|remove)_batch_dim|_propagate_xla_data", "part of vmap: resolved while tracing"),
    (r"ctc_loss|linalg_lstsq", "torch cannot trace it: the shapes of its results depend on data"),
    (r"(is|can|has|_has|_is|_use|_version|_debug|retains)_\w*|_version|data|output_nr|get_device|promote_types|"
     r"result_type|sym_\w*|storage_offset|dim|numel", _ANSWERED),
    (r"as_strided_\w+", "strides mean something in one layout of memory: use views such as unfold and narrow"),
    (r"set|resize\w*|_resize\w*|embedding_renorm", "changes the memory of a tensor, which programs never do"),
    (r"flatten_dense_tensors|unflatten_dense_tensors|_to_cpu", "part of distributed training"),
    (r"_fused_(adam|adamw|sgd|adagrad)", "part of optimizers"),
)  # fmt: skip
"""Patterns over ``<name>`` or ``<name>.<overload>``, the first that fits tells."""

UNDECIDED = "not among the ops of the host"


def why_refused(op: str) -> str:
    """Why the host refuses an op.

    Args:
        op: ``aten.<name>.<overload>``, or an op of another library with its name before it.
    """
    library, _, full = op.partition(".")
    if library != "aten":
        return (
            "a custom op: its kernel is code that no program can hold. Register it with torch.library.custom_op and "
            "write its body in torch ops, then it is traced through"
        )
    name = full.partition(".")[0]
    bare = name.rstrip("_") or name
    for pattern, reason in _REASONS:
        if any(re.fullmatch(pattern, text) for text in (full, name, bare)):
            return reason
    found = getattr(getattr(torch.ops.aten, name, None), full.partition(".")[2], None)
    return RANDOM if found is not None and torch.Tag.nondeterministic_seeded in found.tags else UNDECIDED
