"""ONNX operators: logic."""
