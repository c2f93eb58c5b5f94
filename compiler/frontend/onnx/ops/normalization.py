"""ONNX operators: normalization."""
