"""ONNX operators: resize."""
