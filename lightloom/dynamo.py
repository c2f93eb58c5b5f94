"""``torch.compile(model, backend="lightloom", options={"target": "mzi64"})``: graph by graph onto the chip.

Torch finds the backend by its entry point; nothing has to be imported. Each graph that TorchDynamo cuts out of a model
becomes a program of its own, so graph breaks only mean more programs.

By default Dynamo leaves every model with an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` alone: it runs eagerly as a whole, no
backend is asked, nothing is said. Loading this backend therefore sets ``torch._dynamo.config.allow_rnn``, for the
process; recurrent layers then reach the chip as they do with :func:`lightloom.compile`. What else Dynamo cannot trace
stays on the host: ``torch.compile(..., fullgraph=True)`` makes that an error, the option ``parts`` lists what landed.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from .compiler.frontend.control import without_checkpoints
from .compiler.passes.base import matches
from .compiler.passes.place import NothingPhotonicError
from .program import Program
from .runtime.errors import CaptureError, CompileError, InputError, LightloomWarning, complaint
from .runtime.inputs import check_inputs

if hasattr(torch._dynamo.config, "allow_rnn"):  # not in torch before 2.6
    torch._dynamo.config.allow_rnn = True

_COMPILE = ("target", "exclude", "overrides", "calibration", "strict")
_RUN = ("ideal", "seed", "executor", "dtype")
_TRAINABLE = (functional.batch_norm, functional.dropout, functional.dropout2d, functional.alpha_dropout)
_OPTIONS = (*_COMPILE, *_RUN, "parts")


VARIANTS = 4
"""Programs that a graph keeps for sizes and numbers that differ from call to call; beyond it runs on the host."""


@dataclass
class Part:
    """One graph of a model that ``torch.compile`` cut, as it runs now.

    ``program``: what the chip ran last, or None for a graph that runs as it is on the host, ``reason`` says why;
    ``compiled``: how often it was compiled (again after its weights changed, or for sizes that no program of it takes).
    """

    graph: fx.GraphModule
    program: Program | None = None
    compiled: int = 0
    reason: str = ""
    variants: list[Variant] = field(default_factory=list, repr=False)


@dataclass(frozen=True)
class Variant:
    """A program of a graph, and the numbers that were compiled into it, by position."""

    program: Program
    numbers: Mapping[int, Any]


def backend(
    graph: fx.GraphModule, example_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None, **more: Any
) -> Callable[..., Any]:
    """The backend that ``torch.compile`` calls for every graph.

    Args:
        graph: A graph of torch ops; weights are inputs that Dynamo marks as static.
        example_inputs: What the graph is first called with.
        options: ``target``, ``exclude``, ``overrides``, ``calibration``, ``strict`` as for :func:`lightloom.compile`;
            ``ideal``, ``seed``, ``executor``, ``dtype`` as for :meth:`lightloom.Program.run`; ``parts``: a list that a
            :class:`Part` is appended to for every graph. A glob that matches no layer of a graph is passed over: the
            layer may be in another one.

    Returns:
        A function of the graph's inputs that returns the tuple of its outputs, without gradients. Weights that
        changed since are compiled again at the next call, however they were written to: each call compares them with
        the copy that was compiled, which costs one pass over both (about 0.1 s per GB) and the memory of the copy.
        A graph that cannot be compiled (a training step, random numbers, writes to buffers or inputs, an op that is
        not known) runs on the host, and a :class:`.LightloomWarning` says why.

    Raises:
        CompileError: An unknown option; with ``strict``, whatever keeps a graph from the chip.
        TargetError: An unknown target or override.
    """
    options = dict(options or {})
    unknown = [*more, *(name for name in options if name not in _OPTIONS)]
    if unknown:
        raise CompileError(
            complaint("unknown option of the lightloom backend", got=", ".join(unknown), allowed=", ".join(_OPTIONS))
        )
    part = Part(graph)
    if isinstance(options.get("parts"), list):
        options["parts"].append(part)
    return _Runner(part, _Signature.of(graph), options)


def _refuse_training(graph: fx.GraphModule) -> None:
    """Dropout and batch norm of a training step draw or write: not what a chip with fixed weights does."""
    for node in graph.graph.nodes:
        if node.target not in _TRAINABLE:
            continue
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs)
        given.apply_defaults()
        if given.arguments["training"] is True:
            raise CaptureError(
                complaint(
                    "the model is in training mode",
                    where=node.name,
                    allowed="eval mode: running statistics are folded into the weights",
                    next_step="call model.eval() before the compiled model",
                )
            )


@dataclass(frozen=True)
class _Signature:
    """Which placeholders are weights, tensors, sizes and numbers; ``sizes`` say where to read a size off."""

    names: tuple[str, ...]
    weights: tuple[int, ...]
    tensors: tuple[int, ...]
    sizes: tuple[tuple[int, int, int], ...]
    """(position, which of ``tensors``, dimension)"""
    numbers: tuple[int, ...] = ()
    """Positions of what is neither: numbers, compiled in."""

    @staticmethod
    def of(graph: fx.GraphModule) -> _Signature:
        holders = [node for node in graph.graph.nodes if node.op == "placeholder"]
        values = [node.meta.get("example_value") for node in holders]
        marks = [(node.meta.get("tensor_dict") or {}).get("_dynamo_static_input_type") for node in holders]
        weights = tuple(at for at, mark in enumerate(marks) if mark is not None)
        tensors = tuple(at for at, value in enumerate(values) if isinstance(value, Tensor) and at not in weights)
        sizes: list[tuple[int, int, int]] = []
        numbers: list[int] = []
        for at, value in enumerate(values):
            if at in weights or at in tensors:
                continue
            found = next(
                (
                    (place, dim)
                    for place, holder in enumerate(tensors)
                    for dim, size in enumerate(values[holder].shape)  # type: ignore[union-attr]
                    if isinstance(value, torch.SymInt) and str(size) == str(value)
                ),
                None,
            )
            if found is None:
                numbers.append(at)
            else:
                sizes.append((at, *found))
        names = tuple(_attribute(node) for node in holders)
        return _Signature(names, weights, tensors, tuple(sizes), tuple(numbers))


def _attribute(node: fx.Node) -> str:
    """The user's dotted name of a weight, from where Dynamo found it."""
    source = node.meta.get("grapharg")
    name = source.source.name if source is not None and hasattr(source, "source") else node.name
    name = name() if callable(name) else str(name)
    parts = re.split(r"[.\[\]']+", name)
    kept = [
        part
        for part in parts
        if part and part not in ("L", "G", "self", "_modules", "_parameters", "_buffers", "__dict__")
    ]
    return ".".join(kept) or node.name


class _Frozen(nn.Module):
    """A Dynamo graph with its weights as parameters of its own, and sizes read off its tensors."""

    def __init__(
        self, graph: fx.GraphModule, signature: _Signature, weights: Mapping[int, Tensor], numbers: Mapping[int, Any]
    ) -> None:
        super().__init__()
        self.numbers = dict(numbers)
        self.inner = [without_checkpoints(graph)]  # in a list: not a child, whose name would stand in every layer path
        self.signature = signature
        self.places: dict[int, tuple[nn.Module, str]] = {}
        for at, tensor in weights.items():
            home: nn.Module = self
            *path, leaf = signature.names[at].split(".")
            for step in path:
                while hasattr(home, step) and not isinstance(getattr(home, step), nn.Module):
                    step += "_"
                if not hasattr(home, step):
                    home.add_module(step, nn.Module())
                home = getattr(home, step)
            while hasattr(home, leaf):
                leaf += "_"
            home.register_buffer(leaf, tensor.detach())
            self.places[at] = (home, leaf)
        self.eval()

    def forward(self, *tensors: Tensor) -> Any:
        values: list[Any] = [None] * len(self.signature.names)
        for at, (home, leaf) in self.places.items():
            values[at] = getattr(home, leaf)
        for at, tensor in zip(self.signature.tensors, tensors, strict=True):
            values[at] = tensor
        for at, number in self.numbers.items():
            values[at] = number
        for at, place, dim in self.signature.sizes:
            values[at] = tensors[place].shape[dim]
        return self.inner[0](*values)


class _Runner:
    """Runs a part: compiles it at the first call, and again where weights, numbers or sizes are new."""

    def __init__(self, part: Part, signature: _Signature, options: Mapping[str, Any]) -> None:
        self.part = part
        self.signature = signature
        self.compile_options = {key: options[key] for key in _COMPILE if key in options}
        self.run_options = {key: options[key] for key in _RUN if key in options}
        self.kept: dict[int, Tensor] = {}
        self.untraceable = False

    def __call__(self, *inputs: Any) -> Any:
        part, signature = self.part, self.signature
        weights = {at: inputs[at] for at in signature.weights}
        tensors = tuple(inputs[at].detach() for at in signature.tensors)
        if self.untraceable or not weights or not tensors or any(0 in tensor.shape for tensor in tensors):
            return self._on_host(inputs)
        if not all(_unchanged(tensor, self.kept.get(at)) for at, tensor in weights.items()):
            part.variants.clear()
            part.reason = ""
            self.kept = {at: tensor.detach().clone() for at, tensor in weights.items()}
        if not part.reason:
            numbers = {at: inputs[at] for at in signature.numbers}
            part.program = self._found(numbers, tensors) or self._compile(numbers, tensors)
        if part.reason or part.program is None:
            part.program = None
            return self._on_host(inputs)
        return part.program.run(*tensors, **self.run_options)

    def _on_host(self, inputs: tuple[Any, ...]) -> Any:
        with torch.no_grad():
            return self.part.graph(*inputs)

    def _found(self, numbers: Mapping[int, Any], tensors: tuple[Tensor, ...]) -> Program | None:
        """The program that was compiled for these numbers and takes these sizes."""
        for variant in self.part.variants:
            if variant.numbers == numbers and _takes(variant.program, tensors):
                return variant.program
        return None

    def _compile(self, numbers: Mapping[int, Any], tensors: tuple[Tensor, ...]) -> Program | None:
        from . import compile as compile_model

        part = self.part
        if len(part.variants) == VARIANTS:
            return self._stays(f"its sizes and numbers changed more than {VARIANTS} times")
        part.compiled += 1
        module = _Frozen(part.graph, self.signature, self.kept, numbers)
        paths = [name.rpartition(".")[0] for name in (self.signature.names[at] for at in self.signature.weights)]
        try:
            _refuse_training(part.graph)
            program = compile_model(module, tensors, **_here(self.compile_options, paths))
        except NothingPhotonicError:
            part.reason = "nothing for a mesh"
            return None
        except (CaptureError, CompileError, InputError) as error:
            if self.compile_options.get("strict"):
                raise
            self.untraceable = isinstance(error, CaptureError)  # whatever the weights become
            return self._stays(str(error))
        if program.body.provenance.get("written_inputs"):
            return self._stays("it writes to its inputs, and a program would write to copies")
        part.variants.append(Variant(program, dict(numbers)))
        return program

    def _stays(self, reason: str) -> None:
        """The graph runs on the host from now on, and says so once."""
        self.part.reason = reason
        text = f"a graph that torch.compile cut runs on the host, not on the chip: {reason}"
        warnings.warn(text, LightloomWarning, stacklevel=4)


def _unchanged(tensor: Tensor, kept: Tensor | None) -> bool:
    """Whether a weight holds what it held when it was compiled; how it was written to leaves no other sign."""
    if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype or kept.device != tensor.device:
        return False
    return torch.equal(kept, tensor) or bool(((kept == tensor) | (kept.isnan() & tensor.isnan())).all())


def _takes(program: Program, tensors: tuple[Tensor, ...]) -> bool:
    """Whether a program takes inputs of these sizes."""
    try:
        check_inputs(program.body.inputs, tensors, torch.float32, program.body.ranges)
    except InputError:
        return False
    return True


def _here(options: Mapping[str, Any], paths: list[str]) -> dict[str, Any]:
    """The options, with the globs that match a layer of this graph only."""
    found = dict(options)
    exclude = found.get("exclude", ())
    globs = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    found["exclude"] = tuple(glob for glob in globs if any(matches(path, glob) for path in paths))
    overrides = found.get("overrides") or {}
    found["overrides"] = {glob: change for glob, change in overrides.items() if any(matches(p, glob) for p in paths)}
    return found
