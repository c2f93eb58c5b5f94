"""ONNX operators: padding."""
