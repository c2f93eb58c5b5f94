"""The operator table: one entry an operator and version, found by (domain, name, opset).

An entry is a function ``(node, *inputs) -> output or tuple of outputs``. Inputs are tensors, lists (ONNX sequences) or
None (an optional input left out); those at the positions ``host`` come as :class:`.known.Known` wherever their value is
known without looking at data. An output may be a ``Known`` too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

Function = Callable[..., Any]
_F = TypeVar("_F", bound=Function)


@dataclass(frozen=True)
class Entry:
    """One operator from one opset on.

    Attributes:
        domain: "" is the default domain.
        name: ONNX operator name.
        since: First opset this entry holds for.
        function: Computes the outputs.
        host: Positions of inputs wanted as Python numbers; -1 stands for every position.
        prepare: Called once while the model is built; may exchange constant inputs (``node.replace``).
        note: A remark for the support table.
        random: Draws random numbers, so it is never folded into a constant.
    """

    domain: str
    name: str
    since: int
    function: Function
    host: tuple[int, ...] = ()
    prepare: Function | None = None
    note: str = ""
    random: bool = False


_TABLE: dict[tuple[str, str], list[Entry]] = {}
_KNOWN: dict[tuple[str, str], Function] = {}
_FAMILIES = (
    "activation",
    "attention",
    "control",
    "convolution",
    "detection",
    "elementwise",
    "indexing",
    "logic",
    "losses",
    "matrix",
    "microsoft",
    "microsoft_attention",
    "microsoft_quantized",
    "ml",
    "normalization",
    "padding",
    "pooling",
    "quantization",
    "random",
    "recurrent",
    "reduce",
    "resize",
    "sampling",
    "scatter",
    "sequence",
    "shape",
    "signal",
    "sizes",
    "sizes_moved",
    "text",
    "training",
    "trees",
)


def operator(
    *names: str,
    since: int = 1,
    domain: str = "",
    host: tuple[int, ...] = (),
    prepare: Function | None = None,
    note: str = "",
    random: bool = False,
) -> Callable[[_F], _F]:
    """Register a function as the operators ``names`` from opset ``since`` on."""

    def register(function: _F) -> _F:
        for name in names:
            entry = Entry(domain, name, since, function, host, prepare, note, random)
            entries = _TABLE.setdefault((domain, name), [])
            if any(other.since == since for other in entries):
                raise ValueError(f"{domain}::{name} since {since} is registered twice")
            entries.append(entry)
            entries.sort(key=lambda item: item.since)
        return function

    return register


def known(*names: str, domain: str = "") -> Callable[[_F], _F]:
    """Register ``function(node, *Known) -> Known | tuple | NotImplemented`` as shape arithmetic of these operators."""

    def register(function: _F) -> _F:
        for name in names:
            _KNOWN[domain, name] = function
        return function

    return register


def _load() -> None:
    global _FAMILIES
    families, _FAMILIES = _FAMILIES, ()
    for family in families:
        import_module(f".ops.{family}", __package__)


def lookup(domain: str, name: str, opset: int) -> Entry | None:
    """The newest entry whose version is not above ``opset``, or None."""
    _load()
    entries = [entry for entry in _TABLE.get((domain, name), ()) if entry.since <= opset]
    return entries[-1] if entries else None


def known_rule(domain: str, name: str) -> Function | None:
    """Shape arithmetic of an operator, if it has any."""
    _load()
    return _KNOWN.get((domain, name))


def entries() -> list[Entry]:
    """Every entry, by domain, name and version."""
    _load()
    return [entry for key in sorted(_TABLE) for entry in _TABLE[key]]
