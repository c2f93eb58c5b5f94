"""What an operator's function sees of its node: attributes with their defaults, opset, names, subgraphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import onnx
import torch
from onnx import AttributeProto, NodeProto
from onnx.defs import OpSchema

from ....runtime.errors import CaptureError, InputError, LightloomError, complaint
from .known import Known, Value
from .tensors import tensor_of

_A = AttributeProto
MAX_ELEMENTS = 2**27
"""Elements of the largest value an operator may make from sizes alone (512 MiB of float32)."""


class Subgraph(Protocol):
    """A subgraph attribute with the outer values it reads."""

    def __call__(self, *inputs: Any) -> list[Any]:
        """Its outputs."""
        ...

    def fault(self) -> LightloomError | None:
        """Why it cannot run, where it takes no inputs."""
        ...


class NodeContext:
    """One node of the model, as its operator's function sees it.

    Attributes:
        name: The node's ONNX name, or one made of its operator and position.
        op, domain: Its operator; "" is the default domain.
        opset: The opset the model imports for that domain.
        since: The version of the operator in that opset (its schema's), 1 where onnx knows no schema.
        input_names, output_names: ONNX value names, "" where left out.
        constants: While the model is built, the constant inputs as tensors (None where not constant).
        narrow: ONNX types of the inputs that are narrower than a byte, 0 for all others.
        known: Small tensor attributes as Python numbers.
        graphs: Subgraph attributes; called with their inputs they return the list of their outputs.
        path: Name of the node's module.
    """

    def __init__(
        self, proto: NodeProto, name: str, opset: int, schema: OpSchema | None, attributes: Mapping[str, AttributeProto]
    ) -> None:
        self.name = name
        self.op = proto.op_type
        self.domain = "" if proto.domain == "ai.onnx" else proto.domain
        self.opset = opset
        self.since = schema.since_version if schema is not None else 1
        self.input_names = tuple(proto.input)
        self.output_names = tuple(proto.output)
        self.constants: tuple[torch.Tensor | None, ...] = (None,) * len(proto.input)
        self.narrow: tuple[int, ...] = (0,) * len(proto.input)
        self.graphs: dict[str, Subgraph] = {}
        self.path = name
        self.state: dict[str, Any] = {}
        self.replaced: dict[int, tuple[str, torch.Tensor]] = {}
        self.graph_protos: dict[str, onnx.GraphProto] = {}
        self.attributes: dict[str, Any] = {}
        self.known: dict[str, Known | None] = {}
        if schema is not None:
            for key, spec in schema.attributes.items():
                if spec.default_value.type != _A.UNDEFINED:
                    self.attributes[key] = self._value(spec.default_value)
        for key, attribute in attributes.items():
            if attribute.type == _A.GRAPH:
                self.graph_protos[key] = attribute.g
            else:
                self.attributes[key] = self._value(attribute)

    def __getitem__(self, key: str) -> Any:
        """An attribute, its ONNX default, or None."""
        return self.attributes.get(key)

    def __contains__(self, key: str) -> bool:
        """Whether the attribute is given or has a default."""
        return key in self.attributes

    def get(self, key: str, default: Any) -> Any:
        """An attribute, or ``default`` where it is neither given nor has an ONNX default."""
        value = self.attributes.get(key)
        return default if value is None else value

    def wants(self, output: int) -> bool:
        """Whether anything may read this output."""
        return output < len(self.output_names) and self.output_names[output] != ""

    def replace(self, position: int, tensor: torch.Tensor, how: str) -> None:
        """Exchange a constant input while the model is built (only from ``prepare``).

        Args:
            position: Input position.
            tensor: The new constant, best a view of the old one.
            how: What was done to it; with the constant's name it identifies the result, which nodes share.
        """
        self.replaced[position] = (how, tensor)

    @property
    def where(self) -> str:
        """The node, for messages."""
        domain = f"{self.domain}::" if self.domain else ""
        return f"node {self.name!r} ({domain}{self.op}, opset {self.opset})"

    def error(self, what: str, *, got: object = None, allowed: str = "", next_step: str = "") -> LightloomError:
        """An error about the node itself: raise it."""
        return CaptureError(complaint(what, where=self.where, got=got, allowed=allowed, next_step=next_step))

    def input_error(
        self, position: int, what: str, *, got: object = None, allowed: str = "", next_step: str = ""
    ) -> LightloomError:
        """An error about what arrives at one of its inputs: raise it."""
        name = self.input_names[position] if position < len(self.input_names) else "?"
        where = f"{self.where}, input {position} {name!r}"
        return InputError(complaint(what, where=where, got=got, allowed=allowed, next_step=next_step))

    def numbers(self, value: Value, position: int = 0) -> list[Any]:
        """Numbers of an input, flat: known ones as they are, a tensor's by reading its data."""
        if isinstance(value, Known):
            return value.tolist()
        if isinstance(value, torch.Tensor):
            self._refuse_traced(value, position)
            return value.reshape(-1).tolist()
        raise self.input_error(position, "a tensor is needed here", got=type(value).__name__)

    def number(self, value: Value, position: int = 0) -> Any:
        """The only number of an input."""
        if isinstance(value, Known) and value.array.size == 1:
            return value.item()
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            self._refuse_traced(value, position)
            return value.reshape(()).item()
        got = getattr(value, "shape", type(value).__name__)
        raise self.input_error(position, "one number is needed here", got=got)

    def _refuse_traced(self, value: torch.Tensor, position: int) -> None:
        """Refuse to look at the data of a value while the model is traced: there is none."""
        if torch.compiler.is_exporting() or type(value).__name__ == "FakeTensor":
            raise self.input_error(
                position,
                "the value decides about sizes, and a compiled program needs to know it beforehand",
                got="a value that depends on data",
                allowed="a constant, or sizes of the inputs",
                next_step="make it an initializer, or run the module by itself: to_module(model)(...)",
            )

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front.

        Raises:
            CaptureError: it lies outside the rank.
        """
        if not -rank <= axis < max(rank, 1):
            raise self.error("an axis lies outside the tensor", got=axis, allowed=f"{-rank} to {rank - 1}")
        return axis + rank if axis < 0 else axis

    def axes(self, axes: Sequence[int] | None, rank: int) -> list[int]:
        """Axes counted from the front; all of them for None."""
        return list(range(rank)) if axes is None else [self.axis(axis, rank) for axis in axes]

    def check_size(self, shape: Sequence[Any]) -> Sequence[Any]:
        """Refuse sizes that no model means before memory is asked for; returns ``shape``."""
        total = 1
        for size in shape:
            if isinstance(size, int):
                if size < 0:
                    raise self.error("a size is negative", got=list(shape))
                total *= size
        if total > MAX_ELEMENTS:
            raise self.error("a value is too large", got=f"shape {list(shape)}", allowed=f"{MAX_ELEMENTS} elements")
        return shape

    def _value(self, attribute: AttributeProto) -> Any:
        where = f"node {self.name!r} ({self.op}), attribute {attribute.name!r}"
        match attribute.type:
            case _A.INT:
                return attribute.i
            case _A.FLOAT:
                return attribute.f
            case _A.STRING:
                return attribute.s.decode("utf-8", "replace")
            case _A.INTS:
                return list(attribute.ints)
            case _A.FLOATS:
                return list(attribute.floats)
            case _A.STRINGS:
                return [item.decode("utf-8", "replace") for item in attribute.strings]
            case _A.TENSOR:
                tensor = tensor_of(attribute.t, where)
                # Read now: while the model is traced, a tensor's elements would be unknown.
                self.known[attribute.name] = Known.from_tensor(tensor)
                return tensor
            case _A.TENSORS:
                return [tensor_of(item, where) for item in attribute.tensors]
            case _A.SPARSE_TENSOR:
                return attribute.sparse_tensor
            case _A.TYPE_PROTO:
                return attribute.tp
        raise CaptureError(complaint("an attribute has a type that no operator takes", where=where))
