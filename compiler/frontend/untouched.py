"""Tracing runs a model's forward: whatever that keeps on the Python side is put back as it was.

What a model caches while it is traced (``functools.cached_property``, tables in a dict, a memoised function) would be
tensors without data, which the user's next call would stumble over; and a counter would have counted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, MutableMapping, MutableSequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_LIMIT = 1_000_000
"""Objects that are looked at; a model's are its modules, their attributes and what these hold."""


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back, at the end, what a model holds: attributes, dicts, lists, objects; and forget memoised calls.

    Memoised functions are those that are defined where the model's classes are. Values inside tensors are not looked
    at: tracing writes to none.
    """
    kept = list(_held(model))
    memos = {function: function.cache_info().misses for function in _memoised(model)}
    try:
        yield
    finally:
        for found, before in kept:
            _put_back(found, before)
        for function, misses in memos.items():
            if function.cache_info().misses != misses:
                function.cache_clear()


def _put_back(found: Any, before: Any) -> None:
    if isinstance(found, MutableMapping):
        same = found.keys() == before.keys() and all(found[key] is value for key, value in before.items())
        if not same:
            found.clear()
            found.update(before)
    elif len(found) != len(before) or any(now is not then for now, then in zip(found, before, strict=True)):
        found[:] = before


def _held(model: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Every dict and list that a model reaches, attributes of objects among them, each with a copy."""
    waiting: list[Any] = [model]
    seen = {id(model)}
    while waiting and len(seen) < _LIMIT:
        found = waiting.pop()
        if isinstance(found, dict | list):
            yield found, type(found)(found) if type(found) in (dict, list) else _plain(found)
            inner = found.values() if isinstance(found, dict) else found
        elif isinstance(found, tuple):
            inner = found
        else:
            inner = (vars(found),)
        for item in inner:
            if id(item) not in seen and _holds(item):
                seen.add(id(item))
                waiting.append(item)


def _plain(found: MutableMapping[Any, Any] | MutableSequence[Any]) -> Any:
    return dict(found) if isinstance(found, MutableMapping) else list(found)


def _holds(item: Any) -> bool:
    """Whether something may hold what a forward keeps: containers, modules, and objects of the user's own classes."""
    if isinstance(item, nn.Module | dict | list | tuple):
        return True
    return hasattr(item, "__dict__") and not isinstance(item, Tensor | type) and not _of_others(type(item))


def _memoised(model: nn.Module) -> set[Any]:
    """Functions and methods under ``functools.cache`` in the files and classes of a model's modules."""
    kinds = {kind for module in model.modules() for kind in type(module).__mro__ if not _of_others(kind)}
    homes = {kind.__module__ for kind in kinds}
    spaces = [vars(kind) for kind in kinds] + [vars(sys.modules[home]) for home in homes if home in sys.modules]
    return {item for space in spaces for item in list(space.values()) if isinstance(item, functools._lru_cache_wrapper)}


def _of_others(kind: type) -> bool:
    """Whether a class is Python's, torch's or numpy's: what forwards keep is kept elsewhere."""
    home = kind.__module__.partition(".")[0]
    return home in ("torch", "numpy") or (home in sys.stdlib_module_names and home != "types")
