"""Operators without a torch form: executed by the reference implementation of the onnx package, on the host.

They run when the module runs by itself. A program holds no Python code, so a traced model refuses them by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, defs, helper

from .arrays import to_numpy, to_torch
from .node import NodeContext
from .order import subgraphs
from .registry import Entry

NOTE = "onnx.reference, outside compiled programs"


def has_reference(domain: str, name: str, version: int) -> bool:
    """Whether the onnx package implements an operator itself."""
    from onnx.reference.ops import load_op

    try:
        implementation = load_op(domain, name, version)
    except Exception:  # it raises errors of several kinds for what it lacks
        return False
    return not isinstance(implementation, type(None))


def reference_entry(node: NodeProto, schema: defs.OpSchema | None, opset: int, context: NodeContext) -> Entry | None:
    """An entry that runs the node by ``onnx.reference``, or None where that has no implementation either."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if schema is None or any(True for _ in subgraphs(node)) or not has_reference(domain, node.op_type, opset):
        return None
    context.state["host"] = True
    copy = NodeProto()
    copy.CopyFrom(node)
    evaluators: list[Any] = []

    def run(context: NodeContext, *inputs: Any) -> tuple[Any, ...]:
        return _run(context, copy, domain, opset, evaluators, inputs)

    return Entry(domain, node.op_type, schema.since_version, run, note=NOTE)


def _run(
    context: NodeContext, node: NodeProto, domain: str, opset: int, evaluators: list[Any], inputs: tuple[Any, ...]
) -> tuple[Any, ...]:
    from .ops.control import tracing

    if tracing(*inputs):
        raise context.error(
            "the operator has no torch form, and a compiled program holds no other code",
            allowed="operators of docs/onnx-operators.md",
            next_step="take it out of the model, or run the module by itself: to_module(model)(...)",
        )
    names = [name for name in node.input if name]
    arrays = [to_numpy(value) for value, name in zip(inputs, node.input, strict=False) if name]
    if not evaluators:
        from onnx.reference import ReferenceEvaluator

        infos = [onnx.ValueInfoProto(name=name) for name in names]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], node.op_type, infos, outputs)
        imports = [helper.make_opsetid(domain, opset)]
        if domain:
            imports.append(helper.make_opsetid("", onnx.defs.onnx_opset_version()))
        evaluators.append(ReferenceEvaluator(helper.make_model(graph, opset_imports=imports)))
    try:
        with np.errstate(all="ignore"):
            results = evaluators[0].run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # the reference raises whatever numpy and Pillow raise
        lines = str(error).splitlines() or [""]
        raise context.error(
            "the reference implementation cannot execute the node", got=f"{type(error).__name__}: {lines[0][:200]}"
        ) from error
    made = iter(results)
    return tuple(to_torch(next(made), context.where) if name else None for name in node.output)
