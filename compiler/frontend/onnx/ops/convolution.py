"""ONNX operators: convolution."""
