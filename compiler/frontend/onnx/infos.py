"""What a file declares of a model's inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from onnx import ValueInfoProto

from .dtypes import FOREIGN, torch_type


@dataclass(frozen=True)
class InputInfo:
    """What the file says of an input of the model.

    Attributes:
        name: ONNX name.
        dtype: Torch type of its elements; None for sequences and undeclared types.
        shape: Sizes; text where the file leaves a dimension open; None where it leaves the rank open.
    """

    name: str
    dtype: torch.dtype | None
    shape: tuple[int | str, ...] | None


def input_info(info: ValueInfoProto) -> InputInfo:
    """Name, type and shape of an input; None where the file leaves something open."""
    kind = info.type
    while kind.HasField("optional_type"):
        kind = kind.optional_type.elem_type
    if kind.HasField("sequence_type") or kind.HasField("map_type"):
        return InputInfo(info.name, None, None)
    if not kind.HasField("tensor_type") or not kind.tensor_type.elem_type:
        return InputInfo(info.name, None, None)
    tensor = kind.tensor_type
    if tensor.elem_type in FOREIGN:
        return InputInfo(info.name, None, None)
    dtype = torch_type(tensor.elem_type, f"input {info.name!r}")
    if not tensor.HasField("shape"):
        return InputInfo(info.name, dtype, None)
    shape: list[int | str] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            shape.append(dim.dim_value)
        else:  # PaddlePaddle's converter writes -1 for a size it leaves open
            shape.append(dim.dim_param or "?")
    return InputInfo(info.name, dtype, tuple(shape))
