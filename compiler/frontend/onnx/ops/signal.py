"""ONNX operators: signal."""
