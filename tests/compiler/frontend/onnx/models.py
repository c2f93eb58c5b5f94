"""Small ONNX models for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def info(name: str, shape: Sequence[int | str] | None = None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 21,
    domains: dict[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model of these nodes; ``constants`` become initialisers."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    outs = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(list(nodes), "graph", list(inputs), outs, tensors)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions))


def one_node(
    op: str,
    inputs: Sequence[np.ndarray | None],
    outputs: int = 1,
    constant: Sequence[int] = (),
    opset: int = 21,
    **attributes: Any,
) -> tuple[onnx.ModelProto, list[np.ndarray]]:
    """A model of one node, and what to feed it; inputs at the positions ``constant`` are initialisers."""
    names = [f"x{position}" if value is not None else "" for position, value in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{position}" for position in range(outputs)], name=op.lower(), **attributes)
    constants = {names[p]: value for p, value in enumerate(inputs) if value is not None and p in constant}
    fed = [(names[p], value) for p, value in enumerate(inputs) if value is not None and p not in constant]
    infos = [info(name, value.shape, helper.np_dtype_to_tensor_dtype(value.dtype)) for name, value in fed]
    return model([node], infos, list(node.output), constants, opset), [value for _, value in fed]


def reference(proto: onnx.ModelProto, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of the reference implementation."""
    feeds = {i.name: v for i, v in zip(proto.graph.input, values, strict=True)}
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(proto).run(None, feeds)  # type: ignore[return-value]


def tensors(values: Sequence[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(value)) for value in values]


def arrays(result: torch.Tensor | tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    return [value.numpy() for value in (result if isinstance(result, tuple) else (result,))]
