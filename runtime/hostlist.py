"""The names of the ATen overloads that the host may compute; :mod:`.hostops` says what that means.

Every one is functional: it writes to none of its arguments, draws no random numbers and touches no file.
"""

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

_LOSSES = """
mse_loss.default l1_loss.default smooth_l1_loss.default huber_loss.default
binary_cross_entropy.default binary_cross_entropy_with_logits.default
cross_entropy_loss.default nll_loss.default nll_loss_nd.default nll_loss_forward.default
nll_loss2d.default nll_loss2d_forward.default kl_div.default poisson_nll_loss.default
cosine_embedding_loss.default hinge_embedding_loss.default margin_ranking_loss.default multi_margin_loss.default
multilabel_margin_loss.default multilabel_margin_loss_forward.default soft_margin_loss.default
triplet_margin_loss.default
"""

_SPECIAL = """
special_airy_ai.default special_bessel_j0.default special_bessel_j1.default special_bessel_y0.default
special_bessel_y1.default special_chebyshev_polynomial_t.default special_chebyshev_polynomial_t.n_scalar
special_chebyshev_polynomial_t.x_scalar special_chebyshev_polynomial_u.default
special_chebyshev_polynomial_u.n_scalar special_chebyshev_polynomial_u.x_scalar
special_chebyshev_polynomial_v.default special_chebyshev_polynomial_v.n_scalar
special_chebyshev_polynomial_v.x_scalar special_chebyshev_polynomial_w.default
special_chebyshev_polynomial_w.n_scalar special_chebyshev_polynomial_w.x_scalar special_digamma.default
special_entr.default special_erf.default special_erfc.default special_erfinv.default special_exp2.default
special_expm1.default special_gammainc.default special_gammaincc.default special_gammaln.default
special_hermite_polynomial_h.default special_hermite_polynomial_h.n_scalar special_hermite_polynomial_h.x_scalar
special_hermite_polynomial_he.default special_hermite_polynomial_he.n_scalar
special_hermite_polynomial_he.x_scalar special_i0.default special_i0e.default special_i1.default
special_i1e.default special_laguerre_polynomial_l.default special_laguerre_polynomial_l.n_scalar
special_laguerre_polynomial_l.x_scalar special_legendre_polynomial_p.default
special_legendre_polynomial_p.n_scalar special_legendre_polynomial_p.x_scalar special_log1p.default
special_log_ndtr.default special_log_softmax.default special_logit.default special_logsumexp.default
special_modified_bessel_i0.default special_modified_bessel_i1.default special_modified_bessel_k0.default
special_modified_bessel_k1.default special_multigammaln.default special_ndtr.default special_ndtri.default
special_polygamma.default special_psi.default special_round.default special_scaled_modified_bessel_k0.default
special_scaled_modified_bessel_k1.default special_shifted_chebyshev_polynomial_t.default
special_shifted_chebyshev_polynomial_t.n_scalar special_shifted_chebyshev_polynomial_t.x_scalar
special_shifted_chebyshev_polynomial_u.default special_shifted_chebyshev_polynomial_u.n_scalar
special_shifted_chebyshev_polynomial_u.x_scalar special_shifted_chebyshev_polynomial_v.default
special_shifted_chebyshev_polynomial_v.n_scalar special_shifted_chebyshev_polynomial_v.x_scalar
special_shifted_chebyshev_polynomial_w.default special_shifted_chebyshev_polynomial_w.n_scalar
special_shifted_chebyshev_polynomial_w.x_scalar special_sinc.default special_softmax.default
special_spherical_bessel_j0.default special_xlog1py.default special_xlog1py.other_scalar
special_xlog1py.self_scalar special_xlogy.default special_xlogy.other_scalar special_xlogy.self_scalar
special_zeta.default special_zeta.other_scalar special_zeta.self_scalar
igamma.default igammac.default mvlgamma.default frexp.Tensor isin.Scalar_Tensor subtract.Scalar
bitwise_left_shift.Scalar_Tensor bitwise_right_shift.Scalar_Tensor _conj_physical.default
"""

_LINEAR_ALGEBRA = """
linalg_matrix_norm.default linalg_matrix_norm.str_ord linalg_norm.ord_str nuclear_norm.dim
norm.ScalarOpt_dtype norm_except_dim.default native_norm.default native_norm.ScalarOpt_dim_dtype
linalg_cond.default linalg_cond.p_str linalg_matrix_rank.default linalg_matrix_rank.tol_tensor
linalg_matrix_rank.atol_rtol_float linalg_matrix_rank.atol_rtol_tensor
linalg_solve_triangular.default triangular_solve.default linalg_solve_ex.default _linalg_solve_ex.default
linalg_tensorinv.default linalg_tensorsolve.default linalg_inv_ex.default
linalg_pinv.atol_rtol_float linalg_pinv.atol_rtol_tensor linalg_pinv.rcond_tensor pinverse.default
linalg_eig.default linalg_eigvals.default linalg_eigvalsh.default _linalg_eigvals.default _linalg_eigh.default
linalg_svdvals.default _linalg_svd.default svd.default qr.default geqrf.default orgqr.default ormqr.default
linalg_householder_product.default cholesky.default cholesky_inverse.default cholesky_solve.default
_cholesky_solve_helper.default linalg_cholesky_ex.default linalg_lu.default linalg_lu_factor.default
linalg_lu_factor_ex.default _lu_with_info.default
linalg_lu_solve.default lu_solve.default lu_unpack.default linalg_ldl_factor.default linalg_ldl_factor_ex.default
linalg_ldl_solve.default linalg_slogdet.default _linalg_slogdet.default slogdet.default logdet.default
_linalg_det.default linalg_matrix_exp.default linalg_vander.default linalg_diagonal.default ger.default addr.default
_euclidean_dist.default _cdist_forward.default _pdist_forward.default _trilinear.default
"""

_MORE = """
rrelu.default fractional_max_pool2d.default fractional_max_pool3d.default segment_reduce.default hash_tensor.default
_scaled_mm_v2.default embedding_bag.default _embedding_bag.default _embedding_bag_forward_only.default
_native_batch_norm_legit.no_stats as_strided.default
_convolution.default _convolution.deprecated _convolution_mode.default slow_conv3d.default thnn_conv2d.default
conv_tbc.default _scaled_mm.default _weight_int8pack_mm.default
fft_hfft2.default fft_ihfft2.default fft_hfftn.default fft_ihfftn.default
hamming_window.periodic_alpha hamming_window.periodic_alpha_beta kaiser_window.periodic kaiser_window.beta
bartlett_window.periodic blackman_window.periodic
gradient.scalarint gradient.scalararray gradient.array gradient.scalarrayint gradient.scalarrayarray
gradient.tensorarrayint gradient.tensorarray histogram.bins_tensor histogram.bin_ct
histogramdd.default histogramdd.int_bins histogramdd.TensorList_bins
linspace.Scalar_Tensor linspace.Tensor_Scalar linspace.Tensor_Tensor
logspace.Scalar_Tensor logspace.Tensor_Scalar logspace.Tensor_Tensor
_cast_Byte.default _cast_Char.default _cast_Double.default _cast_Float.default _cast_Half.default _cast_Int.default
_cast_Long.default _cast_Short.default _shape_as_tensor.default _dim_arange.default chalf.default
atleast_1d.Sequence atleast_2d.Sequence atleast_3d.Sequence _pad_circular.default _pad_enum.default
_chunk_cat.default _stack.default narrow_copy.default diagonal_copy.default unfold_copy.default view_copy.dtype
_reshape_alias.default nonzero_numpy.default where.default nanmedian.dim _aminmax.default _aminmax.dim
unique_dim_consecutive.default _unique.default nonzero_static.default
item.default _local_scalar_dense.default is_nonzero.default allclose.default
empty_strided.default empty_permuted.default new_empty_strided.default
_upsample_lanczos2d_aa.default _upsample_lanczos2d_aa.vec
"""

ATEN: frozenset[str] = frozenset(
    name
    for group in (
        _ELEMENTWISE,
        _ACTIVATIONS,
        _NORMALIZATION,
        _MATRIX,
        _POOLING,
        _REDUCTIONS,
        _SHAPES,
        _CREATION,
        _SPECTRA,
        _LOSSES,
        _SPECIAL,
        _LINEAR_ALGEBRA,
        _MORE,
    )
    for name in group.split()
)
"""``<name>.<overload>`` of every ATen op that a host step may name."""
