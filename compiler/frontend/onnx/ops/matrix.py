"""ONNX operators: matrix."""
