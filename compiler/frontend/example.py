"""Example inputs and dynamic sizes in one form, whatever form the user gives them in.

Positional inputs come as a tensor or a tuple, keyword inputs as a dict; either may nest tuples, lists and dicts, and
hold constants (None, numbers, text) that are compiled into the program.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.export import Dim as TorchDim
from torch.utils import _pytree as pytree

from ...runtime.errors import InputError, complaint

Constant = None | bool | int | float | str


@dataclass(frozen=True)
class NamedDim:
    """A size that the user named: of which tensor and dimension, and the range they allow."""

    name: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Leaf:
    """One tensor of the example: what to call it in messages, the tensor, and its named dimensions.

    A dimension whose entry in ``named`` is None stays constant. ``batched``: the first dimension is the batch.
    """

    where: str
    tensor: Tensor
    named: Mapping[int, NamedDim | None]
    batched: bool = False


@dataclass(frozen=True)
class Example:
    """Inputs as ``torch.export`` takes them, and their tensors in its order.

    ``batch`` is the size of the first tensor's first dimension.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    leaves: tuple[Leaf, ...]
    batch: int

    @classmethod
    def of(cls, inputs: object, dynamic: object = None, forward: Callable[..., Any] | None = None) -> Example:
        """Read example inputs and dynamic sizes.

        Args:
            inputs: A tensor, a tuple or list of positional inputs, or a dict of keyword inputs.
            dynamic: Sizes that may vary: a tree like ``inputs``, or a dict by parameter name, with a dict
                ``{dimension: name or torch.export.Dim}`` or a sequence of these for each tensor; None for the rest.
                An input whose first dimension is as large as the batch is taken to hold samples, too:
                ``{"table": {0: None}}`` keeps it as it is.
            forward: Where the names of positional parameters are read.

        Raises:
            InputError: no tensors, no samples, or dynamic sizes that do not fit the inputs.
        """
        args, kwargs = _arguments(inputs)
        _check_fit(forward, args, kwargs)
        names, keywords = _parameters(forward, len(args))
        kwargs = {name: kwargs[name] for name in sorted(kwargs, key=lambda name: keywords.get(name, len(keywords)))}
        wanted = _by_name(dynamic, names, kwargs)
        leaves: list[Leaf] = []
        for name, value in (*zip(names, args, strict=True), *kwargs.items()):
            leaves += _leaves(f"input {name!r}", value, wanted.get(name))
        shaped = [leaf for leaf in leaves if leaf.tensor.ndim]
        if not shaped:
            raise InputError(
                complaint(
                    "compile needs example inputs",
                    got=", ".join(leaf.where + " is a single number" for leaf in leaves) or "no tensor among them",
                    allowed="at least one tensor whose first dimension is the batch",
                )
            )
        batch = shaped[0].tensor.shape[0]
        leaves = [replace(leaf, batched=_is_batched(leaf, batch, leaf is shaped[0])) for leaf in leaves]
        return cls(args, kwargs, tuple(leaves), batch)

    def traced(self, dynamic_batch: bool) -> tuple[tuple[Any, ...], dict[str, Any], Any, Any]:
        """Inputs to trace with, and their dynamic shapes, for args and kwargs.

        ``torch.export`` takes a dimension of size 1 for a constant, so sizes of 1 that are to vary are traced as 2.
        """
        pairs = iter([_traced(leaf, dynamic_batch) for leaf in self.leaves])
        auto = iter([_auto(leaf, dynamic_batch) for leaf in self.leaves])

        def tensors(tree: Any) -> Any:
            return pytree.tree_map(lambda x: next(pairs) if isinstance(x, Tensor) else x, tree)

        def shapes(tree: Any) -> Any:
            # torch.export wants the sizes of a dataclass as a list
            return pytree.tree_map(lambda x: next(auto) if isinstance(x, Tensor) else listed(x), tree, is_leaf=_record)

        def listed(value: Any) -> Any:
            if not _record(value):
                return None
            return [shapes(item) for item in pytree.SUPPORTED_NODES[type(value)].flatten_fn(value)[0]]

        args, kwargs = tensors(self.args), tensors(dict(self.kwargs))
        return args, kwargs, shapes(self.args), shapes(dict(self.kwargs))


def _record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and type(value) in pytree.SUPPORTED_NODES


def _arguments(inputs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, Mapping) and inputs:
        return (), {str(name): value for name, value in inputs.items()}
    if isinstance(inputs, tuple | list) and inputs:
        return tuple(inputs), {}
    raise InputError(
        complaint(
            "compile needs example inputs",
            got=type(inputs).__name__ if not isinstance(inputs, tuple | list | Mapping) else f"empty {inputs!r}",
            allowed="a tensor, a tuple of tensors, or a dict of keyword inputs, first dimension the batch",
            next_step="pass compile(model, torch.zeros(1, ...), target=...)",
        )
    )


def _check_fit(forward: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if forward is None:
        return
    try:
        signature = inspect.signature(forward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        given = ", ".join([type(value).__name__ for value in args] + list(kwargs))
        raise InputError(
            complaint(f"the example inputs do not fit the model: {error}", got=given, allowed=f"forward{signature}")
        ) from error


def _parameters(forward: Callable[..., Any] | None, count: int) -> tuple[list[str], dict[str, int]]:
    """Names of the positional inputs (numbers where forward takes ``*args``), and the places of all parameters."""
    names: list[str] = []
    try:
        parameters = list(inspect.signature(forward).parameters.values()) if forward is not None else []
    except (TypeError, ValueError):
        parameters = []
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    places = {parameter.name: place for place, parameter in enumerate(parameters)}
    return (names + [f"{place}" for place in range(len(names), count)])[:count], places


def _by_name(dynamic: object, names: list[str], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The dynamic sizes of each input by its name."""
    known = [*names, *kwargs]
    if dynamic is None:
        return {}
    if isinstance(dynamic, Mapping):
        if len(known) == 1 and all(isinstance(key, int) for key in dynamic):
            return {known[0]: dynamic}
        unknown = [name for name in dynamic if name not in known]
        if unknown:
            raise InputError(
                complaint("dynamic_shapes names an input that is not there", got=unknown[0], allowed=", ".join(known))
            )
        return {str(name): spec for name, spec in dynamic.items()}
    if isinstance(dynamic, tuple | list) and len(dynamic) == len(known):
        return dict(zip(known, dynamic, strict=True))
    raise InputError(
        complaint(
            "dynamic_shapes does not fit the inputs",
            got=repr(dynamic)[:200],
            allowed=f"one entry for each of {', '.join(known)}: {{dimension: name}} or None",
        )
    )


def _leaves(where: str, value: Any, wanted: Any) -> list[Leaf]:
    if isinstance(value, Tensor):
        if value.ndim and value.shape[0] == 0:
            raise InputError(
                complaint(
                    "an example input has no samples",
                    where=where,
                    got=f"shape {tuple(value.shape)}",
                    allowed="at least one sample along the first dimension",
                )
            )
        return [Leaf(where, value, _named(where, value, wanted))]
    if isinstance(value, Mapping):
        specs: Any = wanted if isinstance(wanted, Mapping) else {}
        return [leaf for key, item in value.items() for leaf in _leaves(f"{where}[{key!r}]", item, specs.get(key))]
    if isinstance(value, tuple | list):
        specs = wanted if isinstance(wanted, Sequence) else [None] * len(value)
        if len(specs) != len(value):
            raise InputError(complaint("dynamic_shapes does not fit the inputs", where=where, got=repr(wanted)[:200]))
        pairs = enumerate(zip(value, specs, strict=True))
        return [leaf for place, (item, spec) in pairs for leaf in _leaves(f"{where}[{place}]", item, spec)]
    if value is None or isinstance(value, bool | int | float | str):
        return []
    if _record(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        specs = wanted if isinstance(wanted, Mapping) else {}
        return [leaf for key, item in fields.items() for leaf in _leaves(f"{where}.{key}", item, specs.get(key))]
    raise InputError(
        complaint(
            "an example input is not a tensor",
            where=where,
            got=type(value).__name__,
            allowed="tensors; tuples, lists, dicts and registered dataclasses of them; and None, numbers and text, "
            "which become constants",
        )
    )


def _named(where: str, tensor: Tensor, wanted: Any) -> dict[int, NamedDim | None]:
    """The named dimensions of one tensor."""
    if wanted is None:
        return {}
    if isinstance(wanted, tuple | list):
        wanted = {dim: spec for dim, spec in enumerate(wanted) if spec is not None}
    if not isinstance(wanted, Mapping):
        raise InputError(
            complaint("dynamic sizes of an input are a dict", where=where, got=repr(wanted)[:100],
                      allowed='{dimension: name}, such as {1: "length"}')
        )  # fmt: skip
    named: dict[int, NamedDim | None] = {}
    for dim, spec in wanted.items():
        if not isinstance(dim, int) or not -tensor.ndim <= dim < tensor.ndim:
            raise InputError(
                complaint("dynamic_shapes names a dimension that is not there", where=where, got=repr(dim),
                          allowed=f"0 to {tensor.ndim - 1}")
            )  # fmt: skip
        named[dim % tensor.ndim] = _dim(where, dim, spec)
    return named


def _dim(where: str, dim: int, spec: Any) -> NamedDim | None:
    """One dynamic size, with ``""`` as its name where the user gave none; None for a constant one."""
    if spec is None or isinstance(spec, int) or spec == TorchDim.STATIC:
        return None
    if isinstance(spec, str) and spec.isidentifier():
        return NamedDim(spec)
    if isinstance(spec, type(TorchDim.AUTO)):
        return NamedDim("", getattr(spec, "min", None), getattr(spec, "max", None))
    if isinstance(spec, TorchDim):
        # a size derived from another, 2 * d, has a root: the relation is found again by tracing
        name = "" if hasattr(spec, "root") else spec.__name__
        high = getattr(spec, "max", None)
        return NamedDim(name, getattr(spec, "min", None), high if isinstance(high, int) and high < 2**31 else None)
    raise InputError(
        complaint("not a dynamic size", where=f"{where}, dimension {dim}", got=repr(spec)[:100],
                  allowed="a name (an identifier), a torch.export.Dim, or None")
    )  # fmt: skip


def _is_batched(leaf: Leaf, batch: int, first: bool) -> bool:
    return leaf.tensor.ndim > 0 and (first or leaf.tensor.shape[0] == batch) and 0 not in leaf.named


def _traced(leaf: Leaf, dynamic_batch: bool) -> Tensor:
    varying = {dim for dim, named in leaf.named.items() if named} | ({0} if leaf.batched and dynamic_batch else set())
    shape = [2 if dim in varying and size == 1 else size for dim, size in enumerate(leaf.tensor.shape)]
    return leaf.tensor.expand(shape)


def _auto(leaf: Leaf, dynamic_batch: bool) -> Any:
    spec: dict[int, Any] = {dim: _hint(named) for dim, named in leaf.named.items() if named}
    if leaf.batched and dynamic_batch:
        spec[0] = TorchDim.AUTO
    return spec or None


def _hint(named: NamedDim) -> Any:
    if named.low is None and named.high is None:
        return TorchDim.AUTO
    low = None if named.low is None or named.low < 2 else named.low
    return TorchDim.AUTO(min=low, max=named.high)
