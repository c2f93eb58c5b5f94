"""The slicing engine: fields pass a mesh window by window; no window ever becomes an N x N matrix."""

from .reference import propagate, transfer_matrix

__all__ = ["propagate", "transfer_matrix"]
