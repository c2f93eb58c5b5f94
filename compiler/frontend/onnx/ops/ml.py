"""ONNX operators: ml."""
