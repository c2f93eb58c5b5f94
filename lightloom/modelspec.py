"""Models and inputs as they are named on a command line.

A model is ``package.module:name`` (a module, or a callable that returns one, or one with its example
inputs) or the path of an exported ``.pt2`` program or of an ``.onnx`` file.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from .runtime.errors import CaptureError, InputError, complaint
from .runtime.values import DTYPES

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from .runtime.program import ProgramBody


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode, and the example inputs that came with it (None: it came alone).

    A path is an ONNX file, imported when it is compiled.
    """

    model: nn.Module | ExportedProgram | Path
    example_inputs: object = None


def load_model(text: str) -> LoadedModel:
    """The model that a command line names.

    A module is put in eval mode. The current folder can be imported from. Naming a Python module runs it;
    a ``.pt2`` file is read by ``torch.export.load``: use only files and modules that you trust.

    Raises:
        CaptureError: if there is no such model, or loading it fails.
    """
    path = Path(text)
    if path.suffix == ".onnx":
        return LoadedModel(path)
    if path.suffix == ".pt2":
        return LoadedModel(_exported(path))
    module_name, colon, name = text.partition(":")
    if not colon or not name or not module_name:
        raise CaptureError(
            complaint("Not a model", got=repr(text), allowed="package.module:name or the path of a .pt2 or .onnx file")
        )
    found = _attribute(_import(module_name, text), name, text)
    example: object = None
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise CaptureError(complaint("Not a model", where=text, got=type(found), allowed="a module or a callable"))
        try:
            found = found()
        except Exception as error:
            raise CaptureError(
                complaint("The model's factory failed", where=text, got=f"{type(error).__name__}: {error}")
            ) from error
        if isinstance(found, tuple) and len(found) == 2:
            found, example = found
    if not isinstance(found, nn.Module):
        raise CaptureError(
            complaint(
                "The factory gives no model",
                where=text,
                got=type(found),
                allowed="a torch.nn.Module, or (module, example inputs)",
            )
        )
    return LoadedModel(found.eval(), example)


def _exported(path: Path) -> ExportedProgram:
    try:
        return torch.export.load(path)
    except Exception as error:
        raise CaptureError(
            complaint("The exported program cannot be read", where=str(path), got=f"{type(error).__name__}: {error}")
        ) from error


def _import(name: str, where: str) -> Any:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise CaptureError(
            complaint(
                f"The module {name} cannot be imported",
                where=where,
                got=f"{type(error).__name__}: {error}",
                next_step="check the name, and that it can be imported from this folder",
            )
        ) from error
    finally:
        sys.path.remove("")


def _attribute(module: Any, name: str, where: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, [item for item in dir(found) if not item.startswith("_")])
            raise CaptureError(
                complaint(
                    f"{module.__name__} has no {name}",
                    where=where,
                    next_step=f"did you mean {' or '.join(close)}?" if close else "check the name after the colon",
                )
            )
        found = getattr(found, part)
    return found


def example_inputs(shapes: Sequence[str], arrays: Sequence[torch.Tensor] = ()) -> tuple[torch.Tensor, ...] | None:
    """Example inputs of these shapes (``1,3,64,64`` or ``1,128:i64``, zeros), or these arrays.

    Returns None if both are empty. Raises InputError for both at once, and for what is no shape.
    """
    if shapes and arrays:
        raise InputError(complaint("give shapes or example files, not both"))
    return tuple(arrays) or tuple(_zeros(shape) for shape in shapes) or None


def _zeros(text: str) -> torch.Tensor:
    numbers, _, dtype = text.partition(":")
    sizes = numbers.split(",")
    if not all(size.strip().isdecimal() for size in sizes) or (dtype and dtype not in DTYPES):
        raise InputError(
            complaint(
                "Not a shape",
                got=repr(text),
                allowed=f"sizes as in 1,3,64,64; a type after a colon: {', '.join(DTYPES)}",
            )
        )
    return torch.zeros([int(size) for size in sizes], dtype=DTYPES[dtype or "f32"])


def read_array(path: Path) -> torch.Tensor:
    """The tensor in a ``.npy`` file. Raises InputError for a missing, damaged or pickled one."""
    try:
        array = np.load(path, allow_pickle=False)
        return torch.from_numpy(array)
    except (OSError, ValueError, EOFError, TypeError, AttributeError) as error:
        raise InputError(
            complaint("The array cannot be read", where=str(path), got=str(error), allowed="a .npy file of numbers")
        ) from error


def fitted(arrays: Iterable[torch.Tensor], model: nn.Module | ExportedProgram | Path) -> list[torch.Tensor]:
    """Arrays for a model that is yet to be compiled, as it takes them: numpy writes float64 unless told otherwise.

    Returns the arrays, float64 ones rounded to float32, or to what the model's own parameters or inputs are.
    """
    found = list(arrays)
    if all(array.dtype != torch.float64 for array in found):
        return found
    wanted = next((kind for kind in _types(model) if kind.is_floating_point), torch.float32)
    return [array.to(wanted) if array.dtype == torch.float64 else array for array in found]


def _types(model: nn.Module | ExportedProgram | Path) -> Iterator[torch.dtype]:
    """Element types of a module's tensors, or of what an exported program or an ONNX file takes."""
    if isinstance(model, nn.Module):
        yield from (tensor.dtype for tensor in (*model.parameters(), *model.buffers()))
    elif isinstance(model, Path):
        from .compiler.frontend import onnx

        yield from (info.dtype for info in onnx.to_module(model).inputs if info.dtype is not None)
    else:
        yield from (x.dtype for x in tree_leaves(model.example_inputs) if isinstance(x, torch.Tensor))


def as_declared(body: ProgramBody, arrays: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Arrays in the types that a program's inputs have, where that loses no more than digits of a real number.

    Reals become the declared reals, whole numbers the declared whole numbers where they fit. Anything else stays as it
    is, for the run to refuse.
    """
    wanted = [DTYPES[spec.type.dtype] for spec in body.inputs]
    if len(wanted) != len(arrays):
        return list(arrays)
    return [_as_type(array, kind) for array, kind in zip(arrays, wanted, strict=True)]


def _as_type(array: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    if array.is_floating_point() and kind.is_floating_point:
        return array.to(kind)
    if {_family(array.dtype), _family(kind)} == {"whole"} and torch.equal(array.to(kind).to(array.dtype), array):
        return array.to(kind)
    return array


def _family(kind: torch.dtype) -> str:
    return "real" if kind.is_floating_point else "other" if kind.is_complex or kind == torch.bool else "whole"


def parse_dynamic_shapes(texts: Sequence[str]) -> dict[str, dict[int, str]]:
    """``INPUT:DIM=NAME`` texts as ``dynamic_shapes`` of :func:`lightloom.compile`.

    Raises InputError for another form.
    """
    found: dict[str, dict[int, str]] = {}
    for text in texts:
        place, equals, name = text.partition("=")
        parameter, colon, dim = place.rpartition(":")
        if not (parameter and colon and equals and name and dim.removeprefix("-").isdecimal()):
            allowed = "INPUT:DIM=NAME, as in input_ids:1=length"
            raise InputError(complaint("not a dynamic size", got=repr(text), allowed=allowed))
        found.setdefault(parameter, {})[int(dim)] = name
    return found


def parse_tolerance(text: str) -> float | None:
    """A number above 0, or ``none``. Raises InputError for another text."""
    value = _value(text)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise InputError(complaint("not a tolerance", got=repr(text), allowed="a number above 0, as in 1e-6; or none"))


def parse_overrides(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``GLOB:field=value`` texts as ``overrides`` of :func:`lightloom.compile`.

    Values are ``none``, ``true``, ``false``, numbers, or text. Raises InputError for another form.
    """
    overrides: dict[str, dict[str, Any]] = {}
    for text in texts:
        glob, colon, change = text.rpartition(":")
        field, equals, value = change.partition("=")
        if not (glob and colon and field and equals and value):
            raise InputError(
                complaint(
                    "Not an override", got=repr(text), allowed="GLOB:field=value, as in 'fc*:encoding.dac_bits=6'"
                )
            )
        overrides.setdefault(glob, {})[field] = _value(value)
    return overrides


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """``field=value`` texts as changes of a target. Raises InputError for another form."""
    changes: dict[str, Any] = {}
    for text in texts:
        field, equals, value = text.partition("=")
        if not (field and equals and value):
            raise InputError(
                complaint("Not a change of the target", got=repr(text), allowed="field=value, as in mesh.cores=4")
            )
        changes[field] = _value(value)
    return changes


def _value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
