"""Values as they are, and values in another shape."""

from __future__ import annotations

from typing import Any

import torch

from ..node import NodeContext
from ..registry import operator
from ..tensors import sparse_tensor_of


@operator("Constant")
def constant(node: NodeContext) -> torch.Tensor:
    given = [key for key in node.attributes if key.startswith(("value", "sparse_value"))]
    if len(given) != 1:
        raise node.error("a constant needs exactly one value", got=", ".join(given) or "none")
    value: Any = node[given[0]]
    match given[0]:
        case "value":
            return value
        case "sparse_value":
            return sparse_tensor_of(value, node.where)
        case "value_int" | "value_ints":
            return torch.tensor(value, dtype=torch.int64)
        case "value_float" | "value_floats":
            return torch.tensor(value, dtype=torch.float32)
    raise node.error("torch has no strings", got=given[0], allowed="numbers and booleans")


@operator("Identity")
def identity(node: NodeContext, x: Any) -> Any:
    return x
