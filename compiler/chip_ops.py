"""The ATen ops that the chip computes, by name."""

CHIP = frozenset(
    """linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution _convolution
    _convolution_mode mm bmm mv dot vdot addmm baddbmm addmv addbmm matmul linalg_matmul inner tensordot linalg_vecdot
    einsum linalg_multi_dot chain_matmul bilinear lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell
    rnn_relu_cell _int_mm""".split()  # noqa: SIM905
)
"""Ops whose product with a constant weight goes to the chip."""
