"""ONNX models as torch modules."""

from __future__ import annotations

import os

from onnx import ModelProto

from .build import build_module
from .infos import InputInfo
from .load import load
from .module import OnnxModule

__all__ = ["InputInfo", "OnnxModule", "to_module"]


def to_module(
    model: str | os.PathLike[str] | bytes | ModelProto, *, folder: str | os.PathLike[str] | None = None
) -> OnnxModule:
    """An ONNX model as a torch module in eval mode.

    Args:
        model: Path of a ``.onnx`` file, its bytes, or a ModelProto.
        folder: Folder of external data, for models that are not given as a path.

    Returns:
        A module whose forward takes the model's inputs in order; torch.export traces it with a symbolic batch.

    Raises:
        InputError: no such file, or not a model at all.
        CaptureError: the model is damaged, or uses something that cannot be executed: says which node and input.
    """
    return build_module(load(model, folder))
