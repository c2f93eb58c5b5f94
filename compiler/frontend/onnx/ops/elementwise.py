"""ONNX operators: elementwise."""

from __future__ import annotations

import torch

from ..node import NodeContext
from ..registry import operator


@operator("Relu")
def relu(node: NodeContext, x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x)
