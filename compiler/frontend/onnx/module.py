"""The model as a torch module: one child a node, values passed along and dropped when nothing reads them any more."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

from ....runtime.errors import InputError, LightloomError, complaint
from .constants import Constants
from .guard import check_result
from .infos import InputInfo
from .known import Known, Value
from .names import identifier
from .node import NodeContext
from .registry import Entry, known_rule

Pair = tuple[Value, Known | None]
"""A value, and its twin as Python numbers where it is a constant that has one."""


@dataclass(frozen=True)
class Step:
    """One node of a graph: its module and the slots of its values (-1: left out)."""

    path: str
    module: OnnxNode
    inputs: tuple[int, ...]
    captured: tuple[int, ...]
    outputs: tuple[int, ...]


class OnnxNode(nn.Module):
    """One ONNX node."""

    def __init__(self, node: NodeContext, entry: Entry) -> None:
        super().__init__()
        self.node = node
        self.entry = entry
        self.known = known_rule(node.domain, node.op)
        self.captures: dict[str, list[int]] = {}

    def extra_repr(self) -> str:
        return f"{self.node.op}, opset {self.node.opset}"

    def add_graph(self, key: str, body: OnnxGraph, captured: Sequence[int]) -> None:
        """Attach a subgraph attribute and the outer slots it reads."""
        self.add_module(key, body)
        self.captures[key] = list(captured)

    def forward(self, inputs: list[Pair], captured: Mapping[int, Pair]) -> tuple[Value, ...]:
        """Compute the node's outputs."""
        return self.run(inputs, captured)

    def run(self, inputs: list[Pair], captured: Mapping[int, Pair]) -> tuple[Value, ...]:
        """Compute the node's outputs from values and their twins.

        Raises:
            InputError: the inputs do not fit the operator; names the node.
        """
        node = self.node
        try:
            if self.known is not None:
                twins = [_twin(value, twin) for value, twin in inputs]
                if all(twin is not NotImplemented for twin in twins):
                    result = self.known(node, *twins)
                    if result is not NotImplemented:
                        return result if isinstance(result, tuple) else (result,)
            device = next((v.device for v, _ in inputs if isinstance(v, torch.Tensor)), None)
            host = self.entry.host
            arguments = [
                _host(value, twin) if position in host or -1 in host else _tensor(value, device)
                for position, (value, twin) in enumerate(inputs)
            ]
            if self.captures:
                # A copy for this call: two threads may run one module.
                node = copy(node)
                node.graphs = {
                    key: _Bound(self.get_submodule(key), [captured[slot] for slot in slots])
                    for key, slots in self.captures.items()
                }
            check_result(node, arguments)
            result = self.entry.function(node, *arguments)
        except LightloomError:
            raise
        except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as e:
            raise InputError(
                complaint(
                    "the operator cannot compute with these inputs",
                    where=node.where,
                    got=", ".join(_shape(value) for value, _ in inputs) + f": {_line(e)}",
                )
            ) from e
        return result if isinstance(result, tuple) else (result,)


class _Bound:
    """A subgraph with the outer values it reads."""

    def __init__(self, body: Any, outer: list[Pair]) -> None:
        self.body = body
        self.outer = outer

    def __call__(self, *inputs: Value) -> list[Value]:
        pairs = [*((value, None) for value in inputs), *self.outer]
        return self.body.execute(pairs) if _trial.runs else self.body(pairs)

    def fault(self) -> LightloomError | None:
        """Why the subgraph, which takes no inputs, cannot run with these values; nothing of the trial is traced."""
        # modules are left uncalled: a tracer that keeps account of them would miss the end of one that fails
        before, _trial.runs = _trial.runs, True
        try:
            with disable_proxy_modes_tracing():
                self()
        except LightloomError as error:
            return error
        finally:
            _trial.runs = before
        return None


class _Trial(threading.local):
    """Whether this thread only tries whether a subgraph runs."""

    runs = False


_trial = _Trial()


def _twin(value: Value, twin: Known | None) -> Any:
    if isinstance(value, Known) or value is None:
        return value
    return NotImplemented if twin is None else twin


def _host(value: Value, twin: Known | None) -> Value:
    return value if twin is None else twin


def _tensor(value: Value, device: torch.device | None) -> Value:
    return value.tensor(device) if isinstance(value, Known) else value


def _shape(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return str(value) if isinstance(value, Known) else type(value).__name__


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


class OnnxGraph(nn.Module):
    """A graph: constants, and nodes in execution order."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[Step] = []
        self._dead: list[tuple[int, ...]] = []
        self._constant_slots: list[tuple[int, str, Known | None]] = []
        self._values: list[tuple[int, Value]] = []
        self._inputs: list[int] = []
        self._outputs: list[int] = []

    def finish(
        self, steps: Sequence[Step], constants: Constants, inputs: Sequence[int], outputs: Sequence[int]
    ) -> None:
        """Take over what a builder made; constants that nothing reads are dropped."""
        self._inputs, self._outputs = list(inputs), list(outputs)
        self._steps = _live(steps, outputs)
        used = dict.fromkeys(
            slot for step in self._steps for slot in (*step.inputs, *step.captured) if slot >= 0
        ) | dict.fromkeys(outputs)
        for step in self._steps:
            self.add_module(step.path, step.module)
        for slot in used:
            if slot in constants.tensors:
                name = self._register(constants.names[slot], constants.tensors[slot])
                self._constant_slots.append((slot, name, constants.known.get(slot)))
            elif slot in constants.values:
                self._values.append((slot, constants.values[slot]))
        self._dead = _dead_after(self._steps, set(outputs))

    def _register(self, name: str, tensor: torch.Tensor) -> str:
        base = identifier(name)
        unique, count = base, 1
        while hasattr(self, unique):
            unique, count = f"{base}_{count}", count + 1
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            self.register_parameter(unique, nn.Parameter(tensor, requires_grad=False))
        else:
            self.register_buffer(unique, tensor)
        return unique

    def forward(self, inputs: list[Pair]) -> list[Value]:
        """Execute the graph on its inputs, followed by the outer values it reads."""
        return self.execute(inputs)

    def execute(self, inputs: list[Pair]) -> list[Value]:
        """Execute the nodes in order; values are dropped after their last reader.

        Raises:
            InputError: another number of inputs than the graph has.
        """
        if len(inputs) != len(self._inputs):
            raise InputError(complaint("wrong number of inputs", got=len(inputs), allowed=str(len(self._inputs))))
        values: dict[int, Pair] = {-1: (None, None)}
        for slot, name, known in self._constant_slots:
            values[slot] = (getattr(self, name), known)
        for slot, value in self._values:
            values[slot] = (value, None)
        values.update(zip(self._inputs, inputs, strict=True))
        for step, dead in zip(self._steps, self._dead, strict=True):
            arguments = [values[slot] for slot in step.inputs]
            captured = {slot: values[slot] for slot in step.captured}
            results = step.module.run(arguments, captured) if _trial.runs else step.module(arguments, captured)
            if len(results) < len(step.outputs):
                results = (*results, *([None] * (len(step.outputs) - len(results))))
            for slot, result in zip(step.outputs, results, strict=False):
                if slot >= 0:
                    values[slot] = (result, None)
            for slot in dead:
                del values[slot]
        return [values[slot][0] for slot in self._outputs]


class OnnxModule(OnnxGraph):
    """An ONNX model as a torch module.

    ``forward`` takes the model's inputs in the file's order as tensors and returns its output, or the tuple of its
    outputs. Every node is a child module named after the node; weights are parameters named after their initialisers.

    Attributes:
        inputs: What the file says of the inputs.
        outputs: Names of the outputs.
        name: The graph's name.
        parameter_names: What the inputs are called where a name must be Python's, in their order.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.inputs: tuple[InputInfo, ...] = ()
        self.outputs: tuple[str, ...] = ()
        self.parameter_names: tuple[str, ...] = ()

    def describe(self, inputs: tuple[InputInfo, ...], outputs: tuple[str, ...]) -> None:
        """Say what the file says of inputs and outputs."""
        self.inputs, self.outputs = inputs, outputs
        self.eval()

    @property
    def node_names(self) -> dict[str, str]:
        """Module path to ONNX node name."""
        return {path: child.node.name for path, child in self.named_modules() if isinstance(child, OnnxNode)}

    def forward(self, *inputs: Any) -> Any:  # type: ignore[override]
        """Run the model.

        Raises:
            InputError: number, type, rank or a fixed size of the inputs is not what the file declares.
        """
        self._check(inputs)
        device = next((value.device for value in inputs if isinstance(value, torch.Tensor)), None)
        # What operators make from sizes alone has to lie where the inputs lie.
        place = nullcontext() if device is None or device.type == "cpu" else device
        with place:
            results = self.execute([(value, None) for value in inputs])
        outputs = [_tensor(value, device) for value in results]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _converted(self, declared: torch.dtype, given: torch.dtype) -> bool:
        """Whether .double() or .half() made the weights what is given: then the inputs may be that as well."""
        return declared.is_floating_point and any(parameter.dtype == given for parameter in self.parameters())

    def _check(self, inputs: Sequence[Any]) -> None:
        if len(inputs) != len(self.inputs):
            names = ", ".join(info.name for info in self.inputs)
            raise InputError(
                complaint("wrong number of inputs", got=len(inputs), allowed=f"{len(self.inputs)}: {names}")
            )
        for info, value in zip(self.inputs, inputs, strict=True):
            if not isinstance(value, torch.Tensor) or info.dtype is None:
                continue
            where = f"input {info.name!r}"
            if value.dtype != info.dtype and not self._converted(info.dtype, value.dtype):
                raise InputError(
                    complaint("wrong type of elements", where=where, got=value.dtype, allowed=str(info.dtype))
                )
            if info.shape is None:
                continue
            fits = value.ndim == len(info.shape) and all(
                not isinstance(size, int) or not isinstance(wanted, int) or size == wanted
                for size, wanted in zip(value.shape, info.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    complaint(
                        "wrong shape",
                        where=where,
                        got=list(value.shape),
                        allowed=f"[{', '.join(map(str, info.shape))}]",
                    )
                )


def _live(steps: Sequence[Step], outputs: Sequence[int]) -> list[Step]:
    """Steps that an output depends on."""
    needed = set(outputs)
    result: list[Step] = []
    for step in reversed(steps):
        if needed.intersection(slot for slot in step.outputs if slot >= 0):
            needed.update((*step.inputs, *step.captured))
            result.append(step)
    return result[::-1]


def _dead_after(steps: Sequence[Step], kept: set[int]) -> list[tuple[int, ...]]:
    """For each step, the slots that nothing reads afterwards."""
    last: dict[int, int] = {}
    for position, step in enumerate(steps):
        for slot in (*step.inputs, *step.captured, *step.outputs):
            if slot >= 0:
                last[slot] = position
    dead: list[list[int]] = [[] for _ in steps]
    for slot, position in last.items():
        if slot not in kept:
            dead[position].append(slot)
    return [tuple(slots) for slots in dead]
