"""TorchScript modules as torch modules: their graph, read op by op in Python, so that it is traced as any model is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import CaptureError, complaint
from .torchscript_ops import PYTHON, as_arguments, is_number_op

_LOOPS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def from_torchscript(script: torch.jit.ScriptModule) -> nn.Module:
    """A scripted, traced or frozen module as a plain one, of the same class name, weights and forward parameters.

    Raises:
        CaptureError: its graph has something that Python has no form of; the error names it.
    """
    kind = type(str(getattr(script, "original_name", "") or "Scripted"), (_Scripted,), {})
    return kind(script).eval()


class _Place(str):
    """Where a submodule stands: its dotted path."""


class _Scripted(nn.Module):
    """Runs the graph of a TorchScript module's forward."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        method = script._c._get_method("forward")
        graph = method.graph.copy()
        torch._C._jit_pass_inline(graph)
        self.source = [script, graph]  # in a list: not a child
        self.tensors: dict[str, str] = {}
        for name, tensor in (
            *script.named_parameters(remove_duplicate=False),
            *script.named_buffers(remove_duplicate=False),
        ):
            self._hold(name, tensor)
        self._constants(graph)
        _, *taken = method.schema.arguments
        self.names = [argument.name for argument in taken]
        self.forward = self._forward(taken)  # type: ignore[method-assign]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Scripted:
        return type(self)(deepcopy(self.source[0], memo)).eval()  # a graph cannot be copied so, the module can

    def _hold(self, name: str, tensor: Tensor) -> None:
        home: nn.Module = self
        *path, leaf = name.split(".")
        for step in path:
            if step not in home._modules:
                home.add_module(step, nn.Module())
            home = home._modules[step]  # type: ignore[assignment]
        while hasattr(home, leaf):
            leaf += "_"
        if isinstance(tensor, nn.Parameter):
            home.register_parameter(leaf, tensor)
        else:
            home.register_buffer(leaf, tensor)
        self.tensors[name] = ".".join((*path, leaf))

    def _constants(self, block: Any) -> None:
        """Tensors that a graph holds itself, as the weights of a frozen module, under the names it has for them."""
        for node in block.nodes():
            if node.kind() == "prim::Constant" and node.output().type().kind() == "TensorType":
                tensor = node.output().toIValue()
                if isinstance(tensor, Tensor):
                    self._hold(node.output().debugName().removeprefix("self."), tensor)
            for inner in node.blocks():
                self._constants(inner)

    def _forward(self, taken: list[Any]) -> Callable[..., Any]:
        """A forward of the parameters that TorchScript tells."""
        empty, kind = inspect.Parameter.empty, inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature(
            [
                inspect.Parameter(item.name, kind, default=item.default_value if item.has_default_value() else empty)
                for item in taken
            ]
        )

        def forward(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            graph = self.source[1]
            _, *inputs = graph.inputs()
            run = _Run(self, {next(graph.inputs()).debugName(): _Place("")})
            run.values.update(zip((item.debugName() for item in inputs), bound.arguments.values(), strict=True))
            results = run.block(graph)
            return results[0] if len(results) == 1 else tuple(results)

        forward.__signature__ = signature  # type: ignore[attr-defined]
        return forward

    def attribute(self, path: str, name: str) -> Any:
        """An attribute of a submodule: a weight, the place of another submodule, or what else it holds."""
        full = f"{path}.{name}" if path else name
        if full in self.tensors:
            return self.tensor(full)
        found: Any = self.source[0]
        for step in full.split("."):
            found = getattr(found, step)
        return _Place(full) if isinstance(found, torch.jit.ScriptModule) else found

    def tensor(self, name: str) -> Tensor:
        """A weight or a constant by the name it had."""
        home, _, leaf = self.tensors[name].rpartition(".")
        return getattr(self.get_submodule(home), leaf)


class _Run:
    """One run of a graph: values by name."""

    def __init__(self, module: _Scripted, values: dict[str, Any]) -> None:
        self.module = module
        self.values = values

    def block(self, block: Any) -> list[Any]:
        """Run all nodes of a block; what it returns."""
        for node in block.nodes():
            results = self.node(node)
            for output, result in zip(node.outputs(), results, strict=True):
                self.values[output.debugName()] = result
        return [self.values[value.debugName()] for value in block.outputs()]

    def node(self, node: Any) -> list[Any]:
        """The results of one node."""
        kind = node.kind()
        if kind == "prim::Constant":
            return [self._constant(node.output())]
        args = [self.values[value.debugName()] for value in node.inputs()]
        match kind:
            case "prim::GetAttr":
                owner = args[0]
                found = node.s("name")
                return [self.module.attribute(owner, found) if isinstance(owner, _Place) else getattr(owner, found)]
            case "prim::If":
                yes, no = node.blocks()
                return self.block(yes if bool(args[0]) else no)
            case "prim::Loop":
                return self._loop(node, *args)
            case "prim::ListConstruct":
                return [args]
            case "prim::TupleConstruct":
                return [tuple(args)]
            case "prim::DictConstruct":
                return [dict(zip(args[::2], args[1::2], strict=True))]
            case "prim::ListUnpack" | "prim::TupleUnpack":
                return list(args[0])
        result = self._op(node, kind, args)
        return [result] if node.outputsSize() == 1 else list(result or ())

    def _constant(self, output: Any) -> Any:
        name = output.debugName().removeprefix("self.")
        if name in self.module.tensors:
            return self.module.tensor(name)
        return output.toIValue() if output.type().kind() != "FunctionType" else None

    def _loop(self, node: Any, turns: Any, going_on: Any, *carried: Any) -> list[Any]:
        (body,) = node.blocks()
        names = [value.debugName() for value in body.inputs()]
        state, turn = list(carried), 0
        while turn < turns and bool(going_on):
            self.values.update(zip(names, (turn, *state), strict=True))
            going_on, *state = self.block(body)
            turn += 1
        return state

    def _op(self, node: Any, kind: str, args: list[Any]) -> Any:
        library, _, name = kind.partition("::")
        python = PYTHON.get(kind)
        if python is not None and (kind.startswith("prim::") or not is_number_op(name) or not _has_tensor(args)):
            return python(*args)
        if library != "prim" and name in _LOOPS:
            return getattr(torch, name)(*args)
        schema = None if node.schema() == "(no schema)" else torch._C.parse_schema(node.schema())
        packet = getattr(getattr(torch.ops, library), name, None) if library != "prim" else None
        if packet is None or schema is None:
            raise CaptureError(
                complaint(
                    "a TorchScript module holds something that Python has no form of",
                    got=kind,
                    where=(node.sourceRange().strip().splitlines() or [""])[0][:100],
                    next_step="compile the torch.nn.Module that it was made of",
                )
            )
        positional, named = as_arguments(schema, args)
        return getattr(packet, schema.overload_name or "default")(*positional, **named)


def _has_tensor(args: list[Any]) -> bool:
    return any(isinstance(arg, Tensor) for arg in args)
