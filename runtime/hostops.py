"""The allow-list of host ops: what a program may ask the host to compute, and nothing else.

A host step names an ATen overload (``relu.default``) or Python arithmetic on sizes (``py.mul``). Every
entry is functional: it writes to none of its arguments, draws no random numbers and touches no file,
so that a program loaded from a file can neither run code nor change the machine it runs on.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Protocol

import torch

from .errors import LightloomError, complaint
from .expectations import EXPECT
from .quantized import QUANTIZED
from .values import Arg, Ref, Token

_ELEMENTWISE = """
abs.default acos.default acosh.default asin.default asinh.default atan.default atan2.default atanh.default
add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Tensor rsub.Scalar mul.Tensor mul.Scalar
div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode floor_divide.default floor_divide.Scalar
remainder.Tensor remainder.Scalar fmod.Tensor fmod.Scalar true_divide.Tensor
pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar square.default sqrt.default rsqrt.default reciprocal.default
exp.default exp2.default expm1.default log.default log2.default log10.default log1p.default
sin.default cos.default tan.default sinh.default cosh.default tanh.default sigmoid.default logit.default
erf.default erfc.default erfinv.default sinc.default hypot.default lerp.Scalar lerp.Tensor
ceil.default floor.default round.default round.decimals trunc.default frac.default sign.default sgn.default
neg.default positive.default deg2rad.default rad2deg.default
addcmul.default addcdiv.default clamp.default clamp.Tensor clamp_min.default clamp_min.Tensor
clamp_max.default clamp_max.Tensor clip.default
maximum.default minimum.default fmax.default fmin.default max.other min.other
nan_to_num.default isnan.default isinf.default isfinite.default
eq.Tensor eq.Scalar ne.Tensor ne.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar
gt.Tensor gt.Scalar ge.Tensor ge.Scalar
logical_and.default logical_or.default logical_not.default logical_xor.default
bitwise_and.Tensor bitwise_and.Scalar bitwise_or.Tensor bitwise_or.Scalar
bitwise_xor.Tensor bitwise_xor.Scalar
bitwise_not.default bitwise_left_shift.Tensor bitwise_left_shift.Tensor_Scalar
bitwise_right_shift.Tensor bitwise_right_shift.Tensor_Scalar
where.self where.ScalarSelf where.ScalarOther where.Scalar
masked_fill.Scalar masked_fill.Tensor
real.default imag.default conj.default view_as_real.default view_as_complex.default angle.default
polar.default
complex.default
__and__.Tensor __and__.Scalar __or__.Tensor __or__.Scalar __xor__.Tensor __xor__.Scalar
__lshift__.Tensor __lshift__.Scalar __rshift__.Tensor __rshift__.Scalar
absolute.default negative.default subtract.Tensor multiply.Tensor multiply.Scalar divide.Tensor divide.Scalar
divide.Tensor_mode divide.Scalar_mode true_divide.Scalar greater.Tensor greater.Scalar greater_equal.Tensor
greater_equal.Scalar less.Tensor less.Scalar less_equal.Tensor less_equal.Scalar not_equal.Tensor not_equal.Scalar
arccos.default arccosh.default arcsin.default arcsinh.default arctan.default arctan2.default arctanh.default
fix.default float_power.Tensor_Tensor float_power.Tensor_Scalar float_power.Scalar ldexp.Tensor
logaddexp.default logaddexp2.default xlogy.Tensor xlogy.Scalar_Other xlogy.Scalar_Self heaviside.default
copysign.Tensor copysign.Scalar signbit.default nextafter.default gcd.default lcm.default
isposinf.default isneginf.default isreal.default isclose.default isin.Tensor_Tensor isin.Tensor_Scalar
lgamma.default digamma.default polygamma.default i0.default special_expit.default special_erfcx.default
remainder.Scalar_Tensor clip.Tensor bitwise_and.Scalar_Tensor bitwise_or.Scalar_Tensor bitwise_xor.Scalar_Tensor
masked_scatter.default conj_physical.default _conj.default resolve_conj.default resolve_neg.default
fill.Scalar fill.Tensor
"""

_ACTIVATIONS = """
relu.default relu6.default leaky_relu.default prelu.default _prelu_kernel.default elu.default selu.default
celu.default gelu.default silu.default mish.default hardtanh.default hardswish.default hardsigmoid.default
softplus.default softshrink.default hardshrink.default threshold.default log_sigmoid.default
log_sigmoid_forward.default glu.default
softmax.int _softmax.default _safe_softmax.default log_softmax.int _log_softmax.default
dropout.default feature_dropout.default alpha_dropout.default feature_alpha_dropout.default
"""

_NORMALIZATION = """
batch_norm.default _native_batch_norm_legit_no_training.default native_batch_norm.default
_batch_norm_no_update.default
layer_norm.default native_layer_norm.default rms_norm.default group_norm.default native_group_norm.default
instance_norm.default
norm.Scalar norm.ScalarOpt_dim norm.ScalarOpt_dim_dtype linalg_vector_norm.default linalg_norm.default
frobenius_norm.dim nuclear_norm.default _weight_norm.default renorm.default
"""

_MATRIX = """
linear.default matmul.default mm.default bmm.default addmm.default baddbmm.default addbmm.default mv.default
addmv.default dot.default vdot.default inner.default tensordot.default linalg_vecdot.default linalg_matmul.default
linalg_multi_dot.default chain_matmul.default outer.default einsum.default bilinear.default kron.default
_int_mm.default _weight_norm.default _weight_norm_interface.default
fake_quantize_per_tensor_affine.default fake_quantize_per_tensor_affine.tensor_qparams
fake_quantize_per_channel_affine.default
conv1d.default conv1d.padding conv2d.default conv2d.padding conv3d.default conv3d.padding
conv_transpose1d.default conv_transpose2d.input conv_transpose3d.input convolution.default
scaled_dot_product_attention.default _scaled_dot_product_flash_attention_for_cpu.default
_scaled_dot_product_attention_math.default
lstm.input gru.input rnn_tanh.input rnn_relu.input lstm_cell.default gru_cell.default rnn_tanh_cell.default
rnn_relu_cell.default
embedding.default embedding_bag.padding_idx one_hot.default cdist.default cosine_similarity.default
"""

_POOLING = """
max_pool1d.default max_pool2d.default max_pool3d.default max_pool2d_with_indices.default
max_pool1d_with_indices.default max_pool3d_with_indices.default
avg_pool1d.default avg_pool2d.default avg_pool3d.default
adaptive_avg_pool1d.default adaptive_avg_pool2d.default adaptive_avg_pool3d.default
_adaptive_avg_pool2d.default _adaptive_avg_pool3d.default
adaptive_max_pool1d.default adaptive_max_pool2d.default adaptive_max_pool3d.default
upsample_nearest1d.default upsample_nearest1d.vec upsample_nearest2d.default upsample_nearest2d.vec
_upsample_nearest_exact2d.default _upsample_nearest_exact2d.vec
upsample_bilinear2d.default upsample_bilinear2d.vec _upsample_bilinear2d_aa.default
_upsample_bilinear2d_aa.vec upsample_bicubic2d.default upsample_bicubic2d.vec
upsample_nearest3d.default upsample_nearest3d.vec upsample_trilinear3d.default upsample_trilinear3d.vec
_upsample_nearest_exact1d.default _upsample_nearest_exact1d.vec
_upsample_nearest_exact3d.default _upsample_nearest_exact3d.vec
max_unpool2d.default max_unpool3d.default grid_sampler_3d.default
_upsample_bicubic2d_aa.default _upsample_bicubic2d_aa.vec upsample_linear1d.default upsample_linear1d.vec
grid_sampler.default grid_sampler_2d.default affine_grid_generator.default
im2col.default col2im.default unfold.default
pixel_shuffle.default pixel_unshuffle.default channel_shuffle.default native_channel_shuffle.default
"""

_REDUCTIONS = """
sum.default sum.dim_IntList mean.default mean.dim prod.default prod.dim_int
amax.default amin.default aminmax.default max.default max.dim min.default min.dim
argmax.default argmin.default all.default all.dim any.default any.dim any.dims
var.default var.dim var.correction std.default std.dim std.correction var_mean.correction
cumsum.default cumprod.default logsumexp.default logcumsumexp.default
topk.default sort.default sort.stable argsort.default argsort.stable kthvalue.default median.dim
count_nonzero.default count_nonzero.dim_IntList bucketize.Tensor searchsorted.Tensor
bucketize.Scalar searchsorted.Scalar all.dims cummax.default cummin.default diff.default
std_mean.default std_mean.dim std_mean.correction var_mean.default var_mean.dim nansum.default nanmean.default
nanmedian.default median.default mode.default msort.default quantile.default quantile.scalar
nanquantile.default nanquantile.scalar trace.default trapezoid.x trapezoid.dx trapz.x trapz.dx
cumulative_trapezoid.x cumulative_trapezoid.dx histc.default bincount.default unique_consecutive.default
unique_dim.default _unique2.default dist.default pairwise_distance.default pdist.default cov.default
corrcoef.default cross.default linalg_cross.default vander.default equal.default
"""

_SHAPES = """
view.default view.dtype _unsafe_view.default view_as.default reshape.default reshape_as.default
flatten.using_ints unflatten.int ravel.default squeeze.default squeeze.dim squeeze.dims unsqueeze.default
permute.default transpose.int t.default numpy_T.default mT.default movedim.int movedim.intlist
swapaxes.default
swapdims.default adjoint.default
expand.default expand_as.default broadcast_to.default repeat.default repeat_interleave.self_int tile.default
cat.default concat.default concatenate.default stack.default hstack.default vstack.default dstack.default
split.Tensor split.sizes split_with_sizes.default chunk.default tensor_split.sections tensor_split.indices
unbind.int unsafe_chunk.default unsafe_split.Tensor
select.int slice.Tensor narrow.default index.Tensor index_select.default gather.default take.default
take_along_dim.default masked_select.default nonzero.default
scatter.src scatter.value scatter_add.default scatter_reduce.two index_put.default index_add.default
zero.default copy.default
index_fill.int_Scalar index_copy.default slice_scatter.default select_scatter.default
flip.default fliplr.default flipud.default roll.default rot90.default tril.default triu.default
diagonal.default
diag_embed.default meshgrid.default meshgrid.indexing
pad.default constant_pad_nd.default reflection_pad1d.default reflection_pad2d.default reflection_pad3d.default
replication_pad1d.default replication_pad2d.default replication_pad3d.default
clone.default contiguous.default alias.default detach.default lift_fresh_copy.default
to.dtype to.dtype_layout to.device to.other _to_copy.default type_as.default
sym_size.int sym_numel.default sym_stride.int
atleast_1d.default atleast_2d.default atleast_3d.default block_diag.default broadcast_tensors.default
cartesian_prod.default combinations.default column_stack.default row_stack.default
diag.default diagflat.default diagonal_scatter.default dsplit.int dsplit.array hsplit.int hsplit.array
vsplit.int vsplit.array index_fill.int_Tensor index_reduce.default put.default mH.default matrix_H.default
moveaxis.int moveaxis.intlist narrow.Tensor argwhere.default pad_sequence.default repeat_interleave.Tensor
repeat_interleave.self_Tensor scatter.reduce scatter.value_reduce sum_to_size.default
tensor_split.tensor_indices_or_sections unsafe_split_with_sizes.default _unsafe_index.Tensor
_unsafe_index_put.default squeeze_copy.default squeeze_copy.dims view_as_real_copy.default
view_as_complex_copy.default lift.default lift_fresh.default slice_inverse.default
to.dtype_layout size.int stride.int
permute_copy.default transpose_copy.int view_copy.default unsqueeze_copy.default squeeze_copy.dim
select_copy.int slice_copy.Tensor split_copy.Tensor split_with_sizes_copy.default expand_copy.default
unbind_copy.int alias_copy.default detach_copy.default t_copy.default
"""

_CREATION = """
zeros.default ones.default full.default empty.memory_format arange.default arange.start arange.start_step
linspace.default eye.default eye.m scalar_tensor.default
zeros_like.default ones_like.default full_like.default empty_like.default
new_zeros.default new_ones.default new_full.default new_empty.default
tril_indices.default triu_indices.default
logspace.default range.default range.step hann_window.default hann_window.periodic hamming_window.default
hamming_window.periodic bartlett_window.default blackman_window.default kaiser_window.default
"""

_SPECTRA = """
fft_fft.default fft_ifft.default fft_rfft.default fft_irfft.default fft_hfft.default fft_ihfft.default
fft_fft2.default fft_ifft2.default fft_rfft2.default fft_irfft2.default
fft_fftn.default fft_ifftn.default fft_rfftn.default fft_irfftn.default fft_fftshift.default fft_ifftshift.default
fft_fftfreq.default fft_rfftfreq.default _fft_c2c.default _fft_c2r.default _fft_r2c.default
stft.default stft.center istft.default
matrix_exp.default matrix_power.default linalg_matrix_power.default linalg_inv.default inverse.default
linalg_det.default det.default linalg_solve.default linalg_cholesky.default linalg_qr.default
linalg_svd.default linalg_eigh.default linalg_pinv.default
"""


def _power(base: float, exponent: float) -> float:
    """A power of sizes, small enough to be computed at once whatever a file asks for."""
    if abs(exponent) > _MAX_EXPONENT or abs(base) > _MAX_BASE:
        raise ValueError(f"{base} ** {exponent} is no size")
    return base**exponent


_MAX_EXPONENT, _MAX_BASE = 64, 2**63

_PYTHON: dict[str, Callable[..., Any]] = {
    "py.add": operator.add,
    "py.pow": _power,
    "py.pos": operator.pos,
    "py.and_": operator.and_,
    "py.or_": operator.or_,
    "py.not_": operator.not_,
    "py.round": round,
    "py.math.sqrt": math.sqrt,
    "py.sym_sqrt": math.sqrt,
    "py.sym_sum": sum,
    "py.sym_ite": lambda condition, yes, no: yes if condition else no,
    "py.sub": operator.sub,
    "py.mul": operator.mul,
    "py.floordiv": operator.floordiv,
    "py.truediv": operator.truediv,
    "py.mod": operator.mod,
    "py.neg": operator.neg,
    "py.getitem": operator.getitem,
    "py.abs": operator.abs,
    "py.math.ceil": math.ceil,
    "py.math.floor": math.floor,
    "py.math.trunc": math.trunc,
    "py.eq": operator.eq,
    "py.ne": operator.ne,
    "py.lt": operator.lt,
    "py.le": operator.le,
    "py.gt": operator.gt,
    "py.ge": operator.ge,
    "py.sym_int": torch.sym_int,
    "py.sym_float": torch.sym_float,
    "py.sym_max": torch.sym_max,
    "py.sym_min": torch.sym_min,
    "py.sym_not": torch.sym_not,
}

_GROUPS = (
    _ELEMENTWISE,
    _ACTIVATIONS,
    _NORMALIZATION,
    _MATRIX,
    _POOLING,
    _REDUCTIONS,
    _SHAPES,
    _CREATION,
    _SPECTRA,
)

ONNX_REFERENCE = "lightloom_onnx.reference.default"
"""One ONNX node without a torch form, executed by the onnx package; see :mod:`.onnx_reference`."""

ALLOWED: frozenset[str] = frozenset(
    {*(name for group in _GROUPS for name in group.split()), *_PYTHON, *QUANTIZED, ONNX_REFERENCE, EXPECT}
)
"""Every op a host step may name."""

# A flag of these names turns on training: random masks, or running statistics written in place.
_TRAINING_FLAGS = ("train", "training", "use_input_stats", "dropout_p")

# Programs are traced with the strides of one example; values are never written to, so a copy where
# a view is impossible changes no result.
_INSTEAD = {"view.default": "reshape.default", "_unsafe_view.default": "reshape.default"}

# Uninitialised memory would make a run depend on what the process did before.
_ZEROED = {
    "empty.memory_format": "zeros.default",
    "empty_like.default": "zeros_like.default",
    "new_empty.default": "new_zeros.default",
}


def is_allowed(op: str) -> bool:
    """Whether a host step may name this op."""
    return op in ALLOWED


def close_to(op: str) -> tuple[str, ...]:
    """Up to three allowed ops whose names are close to ``op``: same base name first."""
    base = op.partition(".")[0]
    functional = base.rstrip("_")
    same = sorted(name for name in ALLOWED if name.partition(".")[0] in (base, functional))
    return tuple(dict.fromkeys(same + difflib.get_close_matches(op, sorted(ALLOWED), n=3, cutoff=0.6)))[:3]


@cache
def resolve(op: str) -> Callable[..., Any]:
    """The function behind an op of the allow-list.

    Args:
        op: ``<name>.<overload>`` of ``torch.ops.aten``, ``py.<name>`` for arithmetic on sizes, or an op of
            :mod:`.quantized` with its library's name before it.

    Returns:
        A callable that writes to none of its arguments.

    Raises:
        LightloomError: the op is not on the list (close names are given), or this torch lacks it.
    """
    if op not in ALLOWED:
        close = close_to(op)
        raise LightloomError(
            complaint(
                "host op is not on the allow-list",
                got=repr(op),
                allowed=", ".join(close) if close else f"{len(ALLOWED)} functional ATen overloads",
                next_step="rewrite the model with an allowed op; runtime/hostops.py holds the list",
            )
        )
    if op in _PYTHON:
        return _PYTHON[op]
    if op in QUANTIZED:
        return QUANTIZED[op]
    if op == EXPECT:
        return torch.ops.lightloom_guard.expect.default
    if op == ONNX_REFERENCE:
        from .onnx_reference import evaluate

        return evaluate
    op = _INSTEAD.get(op, _ZEROED.get(op, op))
    name, overload = op.split(".")
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or overload not in packet.overloads():
        raise LightloomError(
            complaint(
                "this torch has no such host op",
                got=f"aten.{op}, torch {torch.__version__}",
                next_step="run the program with the torch version that compiled it",
            )
        )
    function = getattr(packet, overload)
    return _inference_only(op, function)


class Lookup(Protocol):
    """Values by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def arguments(
    args: Iterable[Arg],
    kwargs: Iterable[tuple[str, Arg]],
    values: Lookup,
    *,
    device: torch.device | None = None,
    widen: torch.dtype = torch.float32,
) -> tuple[list[Any], dict[str, Any]]:
    """The torch and Python objects that the arguments of a host op stand for; tuples become lists.

    Args:
        args, kwargs: as in a host step.
        values: what references resolve to.
        device: what device tokens resolve to, whichever device the example ran on; the CPU by default.
        widen: what the float32 token resolves to (float64 in a float64 run).

    Raises:
        LightloomError: a token that is no torch dtype, layout, memory format or device.
    """
    place = device or torch.device("cpu")

    def resolved(arg: Arg) -> Any:
        if isinstance(arg, Ref):
            return values[arg.name]
        if isinstance(arg, Token):
            found = _token(arg.text, place)
            return widen if found == torch.float32 else found
        if isinstance(arg, tuple):
            return [resolved(item) for item in arg]
        return arg

    return [resolved(arg) for arg in args], {name: resolved(arg) for name, arg in kwargs}


def _token(text: str, device: torch.device) -> Any:
    """A torch enumeration by its name; no other attribute of torch can be reached."""
    name = text.removeprefix("torch.")
    found = getattr(torch, name, None) if name.isidentifier() else None
    if isinstance(found, torch.dtype | torch.layout | torch.memory_format):
        return found
    if re.fullmatch(r"(device:)?(cpu|cuda|mps|xpu|meta)(:\d+)?", name):
        return device
    raise LightloomError(
        complaint(
            "unknown token",
            got=repr(text),
            allowed="the name of a torch dtype, layout, memory format or device",
        )
    )


def _inference_only(op: str, function: Any) -> Callable[..., Any]:
    """``function``, refusing to run with a training flag set.

    A normalisation without running statistics takes those of its input and writes nothing: allowed.
    """
    places = {argument.name: place for place, argument in enumerate(function._schema.arguments)}
    flags = [flag for flag in _TRAINING_FLAGS if flag in places]
    if not flags:
        return function

    def value(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = places.get(name, len(args))
        return args[place] if place < len(args) else kwargs.get(name)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        for flag in flags:
            stateless = "running_mean" in places and value("running_mean", args, kwargs) is None
            if value(flag, args, kwargs) and not stateless:
                raise LightloomError(
                    complaint(
                        f"host op {op} asks for training behaviour",
                        got=f"{flag} on",
                        allowed="inference only",
                        next_step="call model.eval() before compiling",
                    )
                )
        return function(*args, **kwargs)

    return guarded
