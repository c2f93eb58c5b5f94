"""Operators without a torch form: executed by the reference implementation of the onnx package, on the host.

While a model is traced such a node is one opaque op, ``lightloom_onnx.reference``, which carries the node as text
(:mod:`lightloom.runtime.onnx_reference`). Values that torch has no type for (strings) never reach the tracer: a model
that needs them runs as a module only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from onnx import NodeProto, TypeProto, defs, helper

from ....runtime.onnx_reference import can_evaluate, encode, evaluate
from .dtypes import NARROW
from .node import NodeContext
from .registry import Entry

REFUSED = frozenset({"DictVectorizer", "CastMap"})
"""They make or take maps, which are no values here."""


def reference_entry(node: NodeProto, schema: defs.OpSchema | None, opset: int, context: NodeContext) -> Entry | None:
    """An entry that runs the node by ``onnx.reference``, or None where that has no implementation either."""
    if schema is None or context.graph_protos or node.op_type in REFUSED:
        return None
    text = _text(node, context.domain, opset)
    if not can_evaluate(text):
        return None
    return Entry(context.domain, node.op_type, schema.since_version, _runner(text), note="by onnx.reference")


def _text(node: NodeProto, domain: str, opset: int) -> str:
    """The node alone, with inputs and outputs renamed by position."""
    step = NodeProto()
    step.CopyFrom(node)
    step.name, step.domain, step.doc_string = "", domain, ""
    inputs = [f"x{position}" if name else "" for position, name in enumerate(node.input)]
    outputs = [f"y{position}" if name else "" for position, name in enumerate(node.output)]
    step.input[:], step.output[:] = inputs, outputs
    graph = helper.make_graph(
        [step],
        "node",
        [helper.make_value_info(name, TypeProto()) for name in inputs if name],
        [helper.make_value_info(name, TypeProto()) for name in outputs if name],
    )
    imports = [helper.make_opsetid(domain, opset)]
    if domain:
        imports.append(helper.make_opsetid("", defs.onnx_opset_version()))
    return encode(helper.make_model(graph, opset_imports=imports))


def _runner(text: str) -> Callable[..., Any]:
    def run(node: NodeContext, *inputs: Any) -> tuple[Any, ...]:
        given = [value for name, value in zip(node.input_names, inputs, strict=True) if name]
        codes = [code for name, code in zip(node.input_names, node.narrow, strict=True) if name]
        plain = all(isinstance(value, torch.Tensor) for value in given) and not any(codes)
        if not plain and torch.compiler.is_exporting():
            raise node.error(
                "the operator needs types that torch lacks, and a compiled program holds no others",
                allowed="numbers and booleans",
                next_step="take it out of the model, or run the module by itself: to_module(model)(...)",
            )
        if torch.compiler.is_exporting():
            results = iter(torch.ops.lightloom_onnx.reference(given, text))
        else:
            results = iter(evaluate([_packed(v, c) for v, c in zip(given, codes, strict=True)], text))
        return tuple(next(results) if name else None for name in node.output_names)

    return run


def _packed(value: Any, code: int) -> Any:
    """A value narrower than a byte as the numpy type it stands for."""
    if code in NARROW and isinstance(value, torch.Tensor):
        return value.numpy().astype(helper.tensor_dtype_to_np_dtype(code))
    return np.asarray(value, dtype=object) if isinstance(value, str) else value
