"""ONNX operators: sequences (Python lists of tensors) and optionals (the value itself, or None)."""

from __future__ import annotations

from typing import Any

import torch

from ..dtypes import torch_type
from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .control import as_tensor


def _list(node: NodeContext, value: Any, position: int = 0) -> list[Any]:
    if not isinstance(value, list):
        raise node.input_error(position, "a sequence is needed here", got=type(value).__name__)
    return value


def _place(node: NodeContext, position: Any, length: int, at: int, extra: int = 0) -> int:
    index = int(node.number(position, at))
    if not -length <= index < length + extra:
        raise node.input_error(
            at, "a position lies outside the sequence", got=index, allowed=f"{-length} to {length + extra - 1}"
        )
    return index + length if index < 0 else index


@operator("SequenceEmpty", since=11)
def sequence_empty(node: NodeContext) -> Any:
    torch_type(node.get("dtype", 1), node.where)
    return []


@operator("SequenceConstruct", since=11)
def sequence_construct(node: NodeContext, *items: torch.Tensor) -> Any:
    return list(items)


@operator("SequenceInsert", since=11, host=(2,))
def sequence_insert(node: NodeContext, sequence: Any, item: torch.Tensor, position: Any = None) -> Any:
    items = list(_list(node, sequence))
    items.insert(len(items) if position is None else _place(node, position, len(items), 2, 1), item)
    return items


@operator("SequenceErase", since=11, host=(1,))
def sequence_erase(node: NodeContext, sequence: Any, position: Any = None) -> Any:
    items = list(_list(node, sequence))
    if not items:
        raise node.input_error(0, "the sequence is empty")
    del items[-1 if position is None else _place(node, position, len(items), 1)]
    return items


@operator("SequenceAt", since=11, host=(1,))
def sequence_at(node: NodeContext, sequence: Any, position: Any) -> Any:
    items = _list(node, sequence)
    return items[_place(node, position, len(items), 1)]


@operator("SequenceLength", since=11)
def sequence_length(node: NodeContext, sequence: Any) -> Any:
    return Known.of(len(_list(node, sequence)))


@operator("ConcatFromSequence", since=11)
def concat_from_sequence(node: NodeContext, sequence: Any) -> Any:
    items = _list(node, sequence)
    if not items:
        raise node.input_error(0, "the sequence is empty")
    rank = items[0].ndim
    if node["new_axis"]:
        return torch.stack(items, node.axis(node["axis"], rank + 1))
    return torch.cat(items, node.axis(node["axis"], rank))


@operator("SplitToSequence", since=11, host=(1,))
def split_to_sequence(node: NodeContext, data: torch.Tensor, split: Any = None) -> Any:
    axis = node.axis(node["axis"], data.ndim)
    size = data.shape[axis]
    if split is None:
        parts = data.split(1, axis)
        return [part.squeeze(axis) for part in parts] if not node["keepdims"] else list(parts)
    numbers = [int(item) for item in node.numbers(split, 1)]
    if len(split.shape) == 0:
        if numbers[0] < 1:
            raise node.input_error(1, "parts need at least one element", got=numbers[0])
        return list(data.split(numbers[0], axis))
    if any(item < 0 for item in numbers) or sum(numbers) != size:
        raise node.input_error(1, "the parts do not make up the axis", got=numbers, allowed=f"a sum of {size}")
    return list(data.split(numbers, axis))


@operator("SequenceMap", since=17)
def sequence_map(node: NodeContext, sequence: Any, *others: Any) -> Any:
    items = _list(node, sequence)
    columns: list[list[Any]] = [[] for _ in node.output_names]
    for at, item in enumerate(items):
        row = []
        for position, other in enumerate(others, 1):
            if isinstance(other, list):
                if len(other) != len(items):
                    raise node.input_error(
                        position, "the sequences have different lengths", got=len(other), allowed=str(len(items))
                    )
                row.append(other[at])
            else:
                row.append(other)
        for column, value in zip(columns, node.graphs["body"](item, *row), strict=True):
            column.append(as_tensor(value))
    return tuple(columns)


@operator("Optional", since=15)
def optional(node: NodeContext, value: Any = None) -> Any:
    return value


@operator("OptionalHasElement", since=15)
def optional_has_element(node: NodeContext, value: Any = None) -> Any:
    return Known.of(value is not None, torch.bool)


@operator("OptionalGetElement", since=15)
def optional_get_element(node: NodeContext, value: Any = None) -> Any:
    if value is None:
        raise node.input_error(0, "the optional holds nothing", next_step="test it with OptionalHasElement first")
    return value
