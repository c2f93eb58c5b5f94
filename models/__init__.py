"""Reference networks in plain torch, used by the demo, the tests and the benchmarks."""

from .digits_cnn import DigitsCNN
from .mlp import MLP
from .residual_cnn import ResidualCNN

__all__ = ["MLP", "DigitsCNN", "ResidualCNN"]
