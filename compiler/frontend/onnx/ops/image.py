"""ONNX operators: image."""
