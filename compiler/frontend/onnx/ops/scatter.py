"""ONNX operators: scatter."""
