"""How an exported program takes its inputs and gives its outputs, as trees that a file can hold."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping
from typing import Any

from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from ...runtime.errors import CaptureError, complaint
from ...runtime.program import Parameter
from ...runtime.trees import Tree, record_name


def outputs_of(program: ExportedProgram) -> Tree:
    """The tree of the outputs; its leaves count the flat outputs.

    Raises:
        CaptureError: a container that a program cannot rebuild.
    """
    spec = program.call_spec.out_spec
    if spec is None:
        raise CaptureError(complaint("the exported program does not tell the structure of its outputs"))
    return _tree(spec, iter({"leaf": place} for place in range(spec.num_leaves)), "returns")


def parameters_of(program: ExportedProgram, called: tuple[str, ...] = ()) -> tuple[Parameter, ...]:
    """The model's parameters by name, positional ones first; leaves count its tensor inputs, constants stand as such.

    Args:
        program: what was exported.
        called: the parameters' names, where they are not those of the exported program.

    Raises:
        CaptureError: a container that a program cannot take apart.
    """
    leaves: list[Tree] = []
    tensors = 0
    for spec in program.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            continue
        if isinstance(spec.arg, ConstantArgument):
            value = spec.arg.value
            leaves.append({"none": True} if value is None else {"constant": value})
        else:
            leaves.append({"leaf": tensors})
            tensors += 1
    in_spec = program.call_spec.in_spec
    if in_spec is None or in_spec.num_leaves != len(leaves):
        return ()
    args, kwargs = in_spec.children()
    signature = program.module_call_graph[0].signature if program.module_call_graph else None
    names = list(getattr(signature, "forward_arg_names", None) or ())
    keywords = [str(key) for key in kwargs.context or ()]
    if len(names) != args.num_children + len(keywords):
        names = [str(place) for place in range(args.num_children)] + keywords
    children = [*args.children(), *kwargs.children()]
    names = list(called) if len(called) == len(children) else names
    rest = iter(leaves)
    # forward_arg_names has keywords in the order of the call, as kwargs does
    return tuple(Parameter(name, _tree(child, rest, "takes")) for name, child in zip(names, children, strict=True))


def _tree(spec: pytree.TreeSpec, leaves: Iterator[Tree], verb: str) -> Tree:
    kind: Any = spec.type
    if kind is None:
        return next(leaves)
    children = [_tree(child, leaves, verb) for child in spec.children()]
    if kind is tuple:
        return {"tuple": children}
    if kind is list:
        return {"list": children}
    if kind is namedtuple:
        kind = spec.context
        return _record(kind, kind._fields, children)
    names = getattr(kind, "_fields", None)
    if hasattr(kind, "n_sequence_fields"):  # torch.return_types: named, but no named tuples
        names = kind.__match_args__
    if isinstance(kind, type) and issubclass(kind, tuple) and names is not None:
        return _record(kind, names, children)
    found = _keys(spec.context, len(children))
    if isinstance(kind, type) and found is not None:
        keys, absent = found
        if issubclass(kind, Mapping) and not hasattr(kind, "__dataclass_fields__"):
            return {"dict": [list(pair) for pair in zip(keys, children, strict=True)]}
        if all(isinstance(key, str) for key in (*keys, *absent)):
            return _record(kind, (*keys, *absent), [*children, *({"none": True} for _ in absent)])
    raise CaptureError(
        complaint(
            f"the model {verb} a container that a program cannot rebuild",
            got=getattr(kind, "__name__", str(kind)),
            allowed="tensors in tuples, lists, dicts, named tuples and registered dataclasses",
            next_step=f"wrap the model in a module that {verb} one of these",
        )
    )


def _record(kind: type, names: Any, children: list[Tree]) -> Tree:
    return {
        "record": {"class": record_name(kind), "fields": [list(pair) for pair in zip(names, children, strict=True)]}
    }


def _keys(context: object, count: int) -> tuple[list[Any], list[Any]] | None:
    """Keys or field names of a container's children, and of fields that are None: wherever pytree keeps them."""
    if isinstance(context, list) and len(context) == count and all(isinstance(k, str | int | float) for k in context):
        return list(context), []
    if isinstance(context, list | tuple) and len(context) == 2 and all(isinstance(part, list) for part in context):
        names, absent = context
        if len(names) == count and all(isinstance(name, str) for name in (*names, *absent)):
            return list(names), list(absent)
    inner = context if isinstance(context, tuple | list) else ()
    return next((found for item in inner if (found := _keys(item, count)) is not None), None)
