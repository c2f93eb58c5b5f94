"""Matrix products. A constant right-hand side becomes the weight of a linear layer, by reference."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


def _linear_weight(node: NodeContext) -> None:
    """A constant (in, out) matrix as a (out, in) view of the same memory, as torch's linear wants it."""
    weight = node.constants[1]
    if weight is not None and weight.ndim == 2 and weight.dtype.is_floating_point:
        node.replace(1, weight.t(), "transposed")
        node.state["linear"] = True


@operator("MatMul", prepare=_linear_weight)
def matmul(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    if node.state.get("linear"):
        return F.linear(a, b)
    return integer_matmul(a, b) if not a.dtype.is_floating_point else torch.matmul(a, b)


def integer_matmul(a: Tensor, b: Tensor) -> Tensor:
    """A product of integers, modulo the range of their type."""
    if a.dtype.is_complex:
        return torch.matmul(a, b)
    return torch.matmul(a.to(torch.int64), b.to(torch.int64)).to(a.dtype)


def _gemm_weight(node: NodeContext) -> None:
    weight, bias = node.constants[1], node.constants[2] if len(node.constants) > 2 else None
    if node["alpha"] != 1.0 or weight is None or weight.ndim != 2 or not weight.dtype.is_floating_point:
        return
    given = len(node.input_names) > 2 and node.input_names[2] != ""
    out = weight.shape[0 if node["transB"] else 1]
    if given and bias is not None:
        # F.linear takes one bias an output.
        if node["beta"] != 1.0 or bias.ndim > 2 or (bias.ndim == 2 and bias.shape[0] != 1):
            return
        if bias.numel() == out:
            if bias.ndim == 2:
                node.replace(2, bias.reshape(-1), "flat")
        elif bias.numel() == 1:
            node.replace(2, bias.reshape(-1).expand(out).contiguous(), f"of_{out}")
        else:
            return
    elif given:
        return
    if not node["transB"]:
        node.replace(1, weight.t(), "transposed")
    node.state["linear"] = True


@operator("Gemm", prepare=_gemm_weight)
def gemm(node: NodeContext, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    if node["transA"]:
        a = a.t()
    if node.state.get("linear"):
        return F.linear(a, b, c)
    if a.ndim != 2 or b.ndim != 2:
        raise node.input_error(0, "Gemm multiplies matrices", got=f"ranks {a.ndim} and {b.ndim}", allowed="rank 2")
    b = b.t() if node["transB"] else b
    result = torch.mm(a, b) if a.dtype.is_floating_point else integer_matmul(a, b)
    if node["alpha"] != 1.0:
        result = (node["alpha"] * result).to(a.dtype)
    if c is not None:
        result = result + (c if node["beta"] == 1.0 else (node["beta"] * c).to(a.dtype))
    return result


@operator("Einsum")
def einsum(node: NodeContext, *values: Tensor) -> Tensor:
    equation = node["equation"].replace(" ", "")
    return torch.einsum(equation, *values)


@operator("Det")
def det(node: NodeContext, x: Tensor) -> Tensor:
    return torch.linalg.det(x)
