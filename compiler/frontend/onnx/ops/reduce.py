"""ONNX operators: reduce."""
