"""ONNX operators: sequence."""
