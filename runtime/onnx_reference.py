"""One ONNX node as an opaque host op, executed by the reference implementation of the onnx package.

For operators that torch has no form for. The node travels as text inside the program: it is parsed and checked every
time it is loaded, may be any single operator of the onnx package's own domains, and holds no subgraph and no file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from .errors import LightloomError, complaint

MAX_TEXT = 2**24
_CARRIERS = {1: torch.uint8, 2: torch.int16}


def encode(model: Any) -> str:
    """A one-node onnx.ModelProto as the text that :func:`evaluate` takes."""
    return base64.b64encode(model.SerializeToString()).decode("ascii")


@cache
def _evaluator(text: str) -> Any:
    """The checked node, ready to run.

    Raises:
        LightloomError: not one plain operator of a domain of the onnx package.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.reference import ReferenceEvaluator

    if len(text) > MAX_TEXT:
        raise _refused("the node is too large", f"{len(text)} characters", f"{MAX_TEXT} characters")
    try:
        model = onnx.load_model_from_string(base64.b64decode(text, validate=True))
    except (binascii.Error, DecodeError, ValueError) as error:
        raise _refused("the node cannot be read", str(error), "a serialised onnx model of one node") from error
    graph = model.graph
    if len(graph.node) != 1 or graph.initializer or graph.sparse_initializer or model.functions:
        raise _refused("not one plain node", f"{len(graph.node)} nodes", "one node and nothing else")
    node = graph.node[0]
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if not onnx.defs.has(node.op_type, versions.get(node.domain, 0), node.domain):
        raise _refused("an unknown operator", f"{node.domain}::{node.op_type}", "operators of the onnx package")
    plain = all(
        attribute.type not in (attribute.GRAPH, attribute.GRAPHS)
        and all(t.data_location != onnx.TensorProto.EXTERNAL for t in (attribute.t, *attribute.tensors))
        for attribute in node.attribute
    )
    if not plain:
        raise _refused("the node holds a graph or a file", node.op_type, "numbers, strings and tensors")
    return ReferenceEvaluator(model)


def _refused(what: str, got: str, allowed: str) -> LightloomError:
    return LightloomError(complaint(f"an ONNX host op is refused: {what}", got=got, allowed=allowed))


def can_evaluate(node: str) -> bool:
    """Whether the onnx package implements a node."""
    try:
        _evaluator(node)
    except LightloomError:
        raise
    except Exception:  # it raises errors of several kinds for what it lacks
        return False
    return True


def operator(node: str) -> str:
    """The operator's name in the text of a node, with its domain where that is not the default one."""
    found = _evaluator(node).proto_.graph.node[0]
    return f"{found.domain}::{found.op_type}" if found.domain else str(found.op_type)


def evaluate(inputs: Sequence[Any], node: str) -> list[Any]:
    """Run a node on the host.

    Args:
        inputs: Tensors or numpy arrays (strings), one for every input the node names.
        node: Text of :func:`encode`.

    Returns:
        One output for every output the node names; numpy arrays where torch has no type for them.

    Raises:
        LightloomError: the node is refused, or cannot compute with these inputs.
    """
    evaluator = _evaluator(node)
    names = evaluator.input_names
    if len(names) != len(inputs):
        raise _refused("wrong number of inputs", str(len(inputs)), str(len(names)))
    device = next((value.device for value in inputs if isinstance(value, torch.Tensor)), torch.device("cpu"))
    feeds = {name: to_numpy(value) for name, value in zip(names, inputs, strict=True)}
    try:
        results = evaluator.run(None, feeds)
    except LightloomError:
        raise
    except Exception as error:
        text = str(error).splitlines()
        raise LightloomError(
            complaint(
                "the reference implementation cannot compute this",
                where=evaluator.proto_.graph.node[0].op_type,
                got=f"{type(error).__name__}: {text[0][:300] if text else ''}",
            )
        ) from error
    return [to_torch(value, device) for value in results]


def to_numpy(value: Any) -> Any:
    """A tensor as a numpy array with the same bits; lists element by element, anything else as it is."""
    if isinstance(value, list):
        return [to_numpy(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    tensor = value.detach().cpu().contiguous()
    kind = numpy_type(tensor.dtype)
    if kind.isbuiltin == 1:
        return tensor.numpy()
    return tensor.view(_CARRIERS[kind.itemsize]).numpy().view(kind)


def numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    """The numpy type of a torch type, ml_dtypes' where numpy has none of its own."""
    import ml_dtypes

    name = str(dtype).removeprefix("torch.")
    return np.dtype(getattr(ml_dtypes, name, name))


def to_torch(value: Any, device: torch.device) -> Any:
    """A numpy array as a tensor of its own memory; strings and types that torch lacks stay arrays."""
    if isinstance(value, list):
        return [to_torch(item, device) for item in value]
    if value is None or isinstance(value, dict):
        return value
    array = np.array(value, order="C")
    if array.dtype.kind in "OSU":
        return array
    if array.dtype.kind in "biufc" and array.dtype.isbuiltin:
        return torch.from_numpy(array).to(device)
    kind = getattr(torch, array.dtype.name, None)
    if array.dtype.name in ("int4", "uint4", "int2", "uint2"):
        return torch.from_numpy(array.astype(np.int8 if array.dtype.name[0] == "i" else np.uint8)).to(device)
    if not isinstance(kind, torch.dtype):
        return array
    return torch.from_numpy(array.view(np.int16 if kind.itemsize == 2 else np.uint8)).view(kind).to(device)


@torch.library.custom_op("lightloom_onnx::reference", mutates_args=())
def reference(inputs: list[torch.Tensor], node: str) -> list[torch.Tensor]:
    """The node as an op that torch.export keeps as one step."""
    return evaluate(inputs, node)


@reference.register_fake
def _shapes(inputs: list[torch.Tensor], node: str) -> list[torch.Tensor]:
    """Types and sizes of the outputs, by ONNX's shape inference; sizes it cannot tell are new symbols."""
    import onnx
    from onnx import helper, shape_inference

    evaluator = _evaluator(node)
    graph = evaluator.proto_.graph
    step = graph.node[0]
    versions = {entry.domain: entry.version for entry in evaluator.proto_.opset_import}
    schema = onnx.defs.get_schema(step.op_type, versions[step.domain], step.domain)
    symbols: dict[str, Any] = {}
    types = {}
    for name, tensor in zip(evaluator.input_names, inputs, strict=True):
        sizes: list[int | str] = []
        for size in tensor.shape:
            if isinstance(size, int):
                sizes.append(size)
            else:
                sizes.append(f"n{len(symbols)}")
                symbols[str(sizes[-1])] = size
        code = helper.np_dtype_to_tensor_dtype(numpy_type(tensor.dtype))
        types[name] = helper.make_tensor_type_proto(code, sizes)
    inferred = shape_inference.infer_node_outputs(
        schema, step, types, opset_imports=list(evaluator.proto_.opset_import), ir_version=evaluator.proto_.ir_version
    )
    context = torch.library.get_ctx()
    results = []
    for name in evaluator.output_names:
        kind = inferred[name].tensor_type if name in inferred else None
        if kind is None or not kind.HasField("shape"):
            raise _refused(
                "the rank of an output is unknown", step.op_type, "operators whose outputs have a known rank"
            )
        shape = [
            dim.dim_value if dim.HasField("dim_value") else symbols.get(dim.dim_param) or context.new_dynamic_size()
            for dim in kind.shape.dim
        ]
        name_of_type = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
        results.append(torch.empty(shape, dtype=getattr(torch, name_of_type)))
    return results
