"""ONNX operators: microsoft."""
