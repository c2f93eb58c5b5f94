"""lightloom as an ``onnx.backend``: the weighted operators of a model run on the simulated chip, the rest on the host.

``prepare(model)`` imports the model. At the first run, when the sizes of the inputs are known, a model that multiplies
by constants is compiled for the preset ``ideal`` and run on the simulator without imperfections; any other runs as a
torch module on the host. ``BackendRep.placement`` and ``BackendRep.reason`` say which, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.backend.base import Backend as OnnxBackend
from onnx.backend.base import BackendRep as OnnxBackendRep

from ....runtime import targets
from ....runtime.errors import InputError, LightloomError, complaint
from ....runtime.executor import Runner
from ....runtime.targets import Target
from ...pipeline import compile_model
from . import to_module
from .arrays import element_types, to_numpy, to_torch
from .dtypes import TORCH_TYPES, type_name
from .module import OnnxGraph, OnnxModule
from .order import subgraphs

WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Attention": (1,),
    "Conv": (1,),
    "ConvInteger": (1,),
    "ConvTranspose": (1,),
    "DynamicQuantizeMatMul": (1,),
    "FusedConv": (1,),
    "FusedGemm": (0, 1),
    "FusedMatMul": (0, 1),
    "Gemm": (0, 1),
    "GemmFastGelu": (1,),
    "GRU": (1, 2),
    "LSTM": (1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (1,),
    "MatMulNBits": (1,),
    "NhwcConv": (1,),
    "QAttention": (1,),
    "QGemm": (3,),
    "QLinearConv": (3,),
    "QLinearMatMul": (0, 3),
    "RNN": (1, 2),
}
"""Operators that the chip may hold, and the inputs that must be constant for it: any one of them."""

_LOG = logging.getLogger(__name__)


class BackendRep(OnnxBackendRep):
    """A model ready to run.

    Attributes:
        module: The model as a torch module.
        placement: After a run: ``chip`` where the products with constants ran on the simulated chip, else ``host``.
        reason: Why.
    """

    def __init__(self, proto: ModelProto, module: OnnxModule, target: Target) -> None:
        self.module = module
        self.placement = "host"
        self.reason = "not run yet"
        self._target = target
        self._kinds = [info.type for info in proto.graph.output]
        self._runners: dict[tuple[Any, ...], Runner | None] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run the model.

        Args:
            inputs: Numpy arrays in the order of the model's inputs (lists for sequences, None for absent optionals),
                a dict of them by name, or the only one.

        Returns:
            Numpy arrays in the order of the model's outputs.

        Raises:
            InputError: inputs that do not fit the model: names the input and what is allowed.
        """
        values = tuple(self._values(inputs))
        runner = self._runner(values)
        with torch.no_grad():
            if runner is None:
                result = self.module(*values)
            else:
                wide = any(value.dtype == torch.float64 for value in values)
                result = runner.run(values, ideal=True, dtype=torch.float64 if wide else torch.float32)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(to_numpy(value, kind) for value, kind in zip(results, self._kinds, strict=True))

    def _values(self, inputs: Any) -> Iterator[Any]:
        infos = self.module.inputs
        if isinstance(inputs, Mapping):
            names = {info.name for info in infos}
            unknown = [str(name) for name in inputs if name not in names]
            if unknown or len(inputs) < len(names):
                raise InputError(
                    complaint(
                        "wrong names of inputs",
                        where=self.module.name,
                        got=", ".join(map(str, inputs)) or "none",
                        allowed=", ".join(info.name for info in infos),
                    )
                )
            inputs = [inputs[info.name] for info in infos]
        if isinstance(inputs, (np.ndarray, torch.Tensor)):
            inputs = [inputs]
        for position, value in enumerate(inputs):
            name = infos[position].name if position < len(infos) else f"{position}"
            yield to_torch(value, f"input {name!r}")

    def _runner(self, values: tuple[Any, ...]) -> Runner | None:
        """The compiled program for inputs of these sizes, or None where the model runs on the host."""
        key = tuple((v.dtype, tuple(v.shape)) if isinstance(v, torch.Tensor) else type(v) for v in values)
        if key not in self._runners:
            self._runners[key] = self._compiled(values)
        return self._runners[key]

    def _compiled(self, values: tuple[Any, ...]) -> Runner | None:
        weighted = weighted_nodes(self.module)
        if not weighted:
            self.reason = "no operator multiplies by a constant"
            return None
        if not values or not all(isinstance(value, torch.Tensor) for value in values):
            self.reason = "an input is no tensor"
            return None
        try:
            with torch.no_grad():
                # The sizes are those of the inputs at hand: a file that fixes its batch is traced with that batch.
                exported = torch.export.export(self.module, values, strict=False)
            body = compile_model(exported, values, self._target).body
        except LightloomError as error:
            return self._on_host(weighted, str(error))
        except Exception as error:  # whatever tracing raises: the eager module computes the same
            return self._on_host(weighted, f"cannot be traced: {type(error).__name__}: {_line(error)}")
        if body is None or not body.banks:
            return self._on_host(weighted, "the compiler placed nothing on the chip")
        self.placement = "chip"
        self.reason = f"{len(body.banks)} matrices on the chip"
        return Runner(body)

    def _on_host(self, weighted: Sequence[str], why: str) -> None:
        self.reason = f"{len(weighted)} operators with constants stay on the host: {why}"
        _LOG.warning("%s: %s", self.module.name, self.reason)


class Backend(OnnxBackend):
    """The standard interface of ``onnx.backend``."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether lightloom runs on the device; what a model lacks is said by :meth:`prepare`."""
        return cls.supports_device(device)

    @classmethod
    def prepare(
        cls, model: ModelProto, device: str = "CPU", target: str | Target = "ideal", **kwargs: Any
    ) -> BackendRep:
        """Import a model.

        Args:
            model: The model.
            device: ``CPU``.
            target: The chip; its imperfections are switched off when the model runs.

        Raises:
            InputError: another device.
            CaptureError: the model cannot be imported; names the node.
        """
        if not cls.supports_device(device):
            raise InputError(complaint("lightloom does not run on this device", got=device, allowed="CPU"))
        return BackendRep(model, to_module(model), targets.get(target))

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Prepare a model and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one operator. Its weights arrive as inputs, so that it runs on the host.

        Args:
            node: The node.
            inputs: Numpy arrays for the inputs that are not left out, in order; or a dict by name.
            device: ``CPU``.
            outputs_info: Types and shapes of the outputs; not needed.
            opset_version: Opset of the node's domain (keyword); the newest by default.
        """
        names = [name for name in node.input if name]
        if isinstance(inputs, Mapping):
            inputs = [inputs[name] for name in names]
        opset = kwargs.pop("opset_version", None) or _newest(node.domain)
        declared = [_value_info(name, value) for name, value in zip(names, inputs, strict=False)]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], node.op_type, declared, outputs)
        imports = [helper.make_opsetid(node.domain, opset)]
        model = helper.make_model(graph, opset_imports=imports)
        return cls.prepare(model, device, **kwargs).run(list(inputs))

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether lightloom runs there: on ``CPU``."""
        return device.partition(":")[0] == "CPU"


def _newest(domain: str) -> int:
    return (
        max((s.since_version for s in onnx.defs.get_all_schemas() if s.domain == domain), default=1)
        if (domain not in ("", "ai.onnx"))
        else onnx.defs.onnx_opset_version()
    )


def _value_info(name: str, value: Any) -> onnx.ValueInfoProto:
    if value is None or isinstance(value, (list, tuple)):
        return onnx.ValueInfoProto(name=name)
    array = np.asarray(value)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def weighted_nodes(graph: OnnxGraph) -> list[str]:
    """Names of the nodes that multiply by constants: those the chip may hold."""
    found: list[str] = []
    for child in graph.modules():
        if isinstance(child, OnnxGraph):
            constant = {slot for slot, _, _ in child._constant_slots}
            for step in child._steps:
                node = step.module.node
                wanted = WEIGHTS.get(node.op, ())
                if any(at < len(step.inputs) and step.inputs[at] in constant for at in wanted):
                    found.append(node.name)
    return found


def missing_types(model: ModelProto) -> list[str]:
    """ONNX element types that the model uses and torch has no type for, by name: those parts run by onnx.reference."""
    kinds = [info.type for info in (*model.graph.input, *model.graph.output, *model.graph.value_info)]
    codes = element_types(kinds)
    for function in model.functions:
        codes |= _types_of_nodes(function.node)
    codes |= _types_of_graph(model.graph)
    return sorted(type_name(code) for code in codes if code and code not in TORCH_TYPES)


def _types_of_graph(graph: GraphProto) -> set[int]:
    codes = {tensor.data_type for tensor in graph.initializer}
    return codes | _types_of_nodes(graph.node)


def _types_of_nodes(nodes: Sequence[NodeProto]) -> set[int]:
    codes: set[int] = set()
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                codes.add(attribute.t.data_type)
            elif attribute.name in ("value_string", "value_strings"):
                codes.add(TensorProto.STRING)
            elif attribute.name == "to" and node.op_type == "Cast":
                codes.add(attribute.i)
        for graph in subgraphs(node):
            codes |= _types_of_graph(graph)
    return codes


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else ""


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device

__all__ = [
    "Backend",
    "BackendRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]
