"""ONNX operators: quantization."""
