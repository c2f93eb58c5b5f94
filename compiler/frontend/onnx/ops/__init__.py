"""Operators of ONNX in torch, one family a file."""
