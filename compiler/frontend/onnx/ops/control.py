"""ONNX operators: If, Loop, Scan.

Constant conditions and trip counts are resolved while the model is built or traced: a loop becomes its iterations. What
depends on data runs as it is when the module runs by itself. While the module is traced, an ``If`` on data computes
both branches and selects, and a loop that may end early runs its constant trip count and keeps the values of its last
true iteration.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from .....runtime.errors import LightloomError
from ..known import Known
from ..node import NodeContext
from ..registry import operator

MAX_ITERATIONS = 20_000
"""Iterations of one loop and the loops inside it: a damaged trip count must not run for days."""
MAX_TRACED = 10_000
"""The same where tracing writes every iteration out."""


class _Count(threading.local):
    """Iterations so far of the outermost loop that runs, and how many loops are inside each other."""

    depth = 0
    total = 0


_count = _Count()


@contextmanager
def counting(node: NodeContext, traced: bool) -> Iterator[Callable[[], None]]:
    """A function to call before each iteration of a loop: it refuses too many.

    Raises:
        CaptureError: from that function: the outermost loop and those inside it took too many iterations.
    """
    limit = MAX_TRACED if traced else MAX_ITERATIONS
    if _count.depth == 0:
        _count.total = 0
    _count.depth += 1

    def step() -> None:
        _count.total += 1
        if _count.total > limit:
            raise node.error(
                "the loop takes too many iterations",
                allowed=f"{limit}, those of loops inside it included",
                next_step="give the loop a smaller constant trip count, or a condition that ends it",
            )

    try:
        yield step
    finally:
        _count.depth -= 1


def tracing(*values: Any) -> bool:
    """Whether the values are those of a trace, so that no data can be looked at."""
    return torch.compiler.is_exporting() or any(
        isinstance(value, torch.Tensor) and type(value).__name__ == "FakeTensor" for value in values
    )


def as_tensor(value: Any) -> Any:
    """A value as a tensor; sequences and None as they are."""
    return value.tensor() if isinstance(value, Known) else value


def truth(node: NodeContext, value: Any, position: int) -> bool | torch.Tensor:
    """A condition: a Python bool where its value may be looked at, the tensor otherwise."""
    if isinstance(value, Known):
        item = node.number(value, position)
        return bool(item)
    if not isinstance(value, torch.Tensor):
        raise node.input_error(position, "a condition is no tensor", got=type(value).__name__)
    if value.numel() != 1:
        raise node.input_error(position, "a condition is not one value", got=list(value.shape))
    return value.reshape(()).to(torch.bool) if tracing(value) else bool(value)


@operator(
    "If",
    host=(0,),
    note="on data, where traced: both branches are computed and one selected; one that cannot run is left out, guarded",
)
def if_(node: NodeContext, condition: Any) -> Any:
    chosen = truth(node, condition, 0)
    if isinstance(chosen, bool):
        return tuple(node.graphs["then_branch" if chosen else "else_branch"]())
    then, otherwise = node.graphs["then_branch"], node.graphs["else_branch"]
    faults = then.fault(), otherwise.fault()
    if faults[0] is not None and faults[1] is not None:
        raise faults[0]
    if faults[0] is not None:
        return _guarded(node, chosen, False, otherwise(), faults[0])
    if faults[1] is not None:
        return _guarded(node, chosen, True, then(), faults[1])
    taken, other = then(), otherwise()
    if len(taken) != len(other):
        raise node.error("the branches have different numbers of outputs", got=f"{len(taken)} and {len(other)}")
    return tuple(_selected(node, chosen, a, b) for a, b in zip(taken, other, strict=True))


def _guarded(
    node: NodeContext, condition: torch.Tensor, wanted: bool, values: list[Any], fault: LightloomError
) -> tuple[Any, ...]:
    """The outputs of the one branch that runs at these sizes: a run in which the other is taken is refused."""
    reason = str(fault).split(";")[0][:300]

    def guard(value: Any) -> Any:
        if isinstance(value, list):
            return [guard(item) for item in value]
        tensor = as_tensor(value)
        if not isinstance(tensor, torch.Tensor):
            return tensor
        return torch.ops.lightloom_guard.expect(tensor, condition, wanted, node.where, reason)

    return tuple(guard(value) for value in values)


def _selected(node: NodeContext, condition: torch.Tensor, a: Any, b: Any) -> Any:
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [_selected(node, condition, x, y) for x, y in zip(a, b, strict=True)]
    a, b = as_tensor(a), as_tensor(b)
    if (
        not isinstance(a, torch.Tensor)
        or not isinstance(b, torch.Tensor)
        or a.ndim != b.ndim
        or a.dtype != b.dtype
        or any(isinstance(x, int) and isinstance(y, int) and x != y for x, y in zip(a.shape, b.shape, strict=True))
    ):
        got = " and ".join(
            f"{x.dtype} {list(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__ for x in (a, b)
        )
        raise node.input_error(
            0,
            "the condition depends on data, and the branches yield values of different shapes",
            got=got,
            allowed="a constant condition, or branches of one shape and type",
            next_step="make the condition an initializer, or run the module by itself: to_module(model)(...)",
        )
    return torch.where(condition, a, b)


def _carried(value: Any) -> Any:
    """Small integers stay Python numbers (they count and index); everything else travels as tensors."""
    if isinstance(value, Known) and (value.dtype.is_floating_point or value.array.size > 64):
        return value.tensor()
    return value


def _trips(node: NodeContext, limit: Any, traced: bool) -> int | None:
    if limit is None:
        return None
    count = node.number(limit, 0)
    if not isinstance(count, int):
        if not traced or isinstance(limit, Known):
            return int(count)
        raise node.input_error(
            0,
            "the trip count depends on data",
            allowed="a constant trip count where the model is compiled",
            next_step="export the model with a fixed number of iterations, or run the module by itself",
        )
    return count


@operator("Loop", host=(-1,), note="a trip count or condition on data runs only outside compiled programs")
def loop(node: NodeContext, limit: Any, condition: Any, *initial: Any) -> Any:
    body = node.graphs["body"]
    state = [_carried(value) for value in initial]
    traced = tracing(limit, condition, *state)
    if traced and isinstance(limit, torch.Tensor):
        raise node.input_error(
            0,
            "the trip count depends on data",
            allowed="a constant trip count where the model is compiled",
            next_step="export the model with a fixed number of iterations, or run the module by itself",
        )
    trips = _trips(node, limit, traced)
    alive: bool | torch.Tensor = True if condition is None else truth(node, condition, 1)
    collected: list[list[Any]] | None = None
    step = 0
    with counting(node, traced) as next_iteration:
        while (trips is None or step < trips) and alive is not False:
            if isinstance(alive, torch.Tensor) and trips is None:
                raise node.error(
                    "the loop's end depends on data",
                    allowed="a constant trip count where the model is compiled",
                    next_step="export the model with a fixed number of iterations, or run the module by itself",
                )
            next_iteration()
            passed: Any = Known.of(True, torch.bool) if alive is True else alive
            results = body(Known.of(step), passed, *state)
            going, made, scanned = results[0], results[1 : 1 + len(state)], results[1 + len(state) :]
            if isinstance(alive, torch.Tensor):
                if scanned:
                    raise node.error(
                        "a loop whose end depends on data collects outputs",
                        next_step="give the loop a constant condition, or run the module by itself",
                    )
                made = [_selected(node, alive, new, old) for new, old in zip(made, state, strict=True)]
            state = [_carried(value) for value in made]
            if collected is None:
                collected = [[] for _ in scanned]
            for values, value in zip(collected, scanned, strict=True):
                values.append(as_tensor(value))
            more = truth(node, going, 1)
            alive = torch.logical_and(alive, more) if isinstance(alive, torch.Tensor) else more  # type: ignore[arg-type]
            step += 1
    count = len(node.output_names) - len(state)
    if collected is None and count:
        # No iteration: what one would have collected tells the shape of nothing.
        sample = body(Known.of(0), Known.of(True, torch.bool), *state)[1 + len(state) :]
        return (*state, *(torch.empty_like(as_tensor(value).unsqueeze(0)[:0]) for value in sample))
    stacked = [torch.stack(values) for values in collected or ()]
    return (*state, *stacked)


def _parts(node: NodeContext, value: Any, position: int, axis: int, backward: bool) -> Sequence[torch.Tensor]:
    tensor = as_tensor(value)
    if not isinstance(tensor, torch.Tensor) or tensor.ndim == 0:
        raise node.input_error(position, "a value to scan has no axis to scan along")
    parts = tensor.unbind(node.axis(axis, tensor.ndim))
    return parts[::-1] if backward else parts


def _scan(node: NodeContext, inputs: Sequence[Any], scanned: int, backward: Sequence[int], axes: Sequence[int],
          out_backward: Sequence[int], out_axes: Sequence[int]) -> tuple[Any, ...]:  # fmt: skip
    states = len(inputs) - scanned
    if not 0 < scanned <= len(inputs):
        raise node.error("num_scan_inputs does not fit the inputs", got=scanned, allowed=f"1 to {len(inputs)}")
    state = [_carried(value) for value in inputs[:states]]
    parts = [
        _parts(node, value, states + at, axes[at] if axes else 0, bool(backward and backward[at]))
        for at, value in enumerate(inputs[states:])
    ]
    lengths = {len(part) for part in parts}
    if len(lengths) != 1:
        raise node.error("the scanned values have different lengths", got=sorted(lengths))
    length = lengths.pop()
    outputs: list[list[Any]] = [[] for _ in range(len(node.output_names) - states)]
    with counting(node, tracing(*inputs)) as next_iteration:
        for step in range(length):
            next_iteration()
            results = node.graphs["body"](*state, *(part[step] for part in parts))
            state = [_carried(value) for value in results[:states]]
            for values, value in zip(outputs, results[states:], strict=False):
                values.append(as_tensor(value))
    stacked = []
    for at, values in enumerate(outputs):
        if out_backward and out_backward[at]:
            values = values[::-1]
        axis = out_axes[at] if out_axes else 0
        if not values:
            raise node.error("a scan over nothing has outputs of unknown shape")
        stacked.append(torch.stack(values, node.axis(axis, values[0].ndim + 1)))
    return (*state, *stacked)


@operator("Scan", since=9, note="written out: one copy of the body an iteration")
def scan(node: NodeContext, *inputs: Any) -> Any:
    return _scan(
        node,
        inputs,
        node["num_scan_inputs"],
        node.get("scan_input_directions", []),
        node.get("scan_input_axes", []),
        node.get("scan_output_directions", []),
        node.get("scan_output_axes", []),
    )


@operator("Scan", since=8)
def scan_8(node: NodeContext, lengths: Any, *inputs: Any) -> Any:
    scanned = node["num_scan_inputs"]
    states = len(inputs) - scanned
    if lengths is not None and tracing(lengths):
        raise node.input_error(0, "sequence lengths depend on data", next_step="leave the input out, or export anew")
    batch = inputs[-1].shape[0]
    per_sample = [inputs[-1].shape[1]] * batch if lengths is None else node.numbers(lengths, 0)
    made = []
    for sample in range(batch):
        values = [value[sample] for value in inputs[:states]]
        values += [value[sample][: per_sample[sample]] for value in inputs[states:]]
        made.append(_scan(node, values, scanned, node.get("directions", []), [], [], []))
    return tuple(torch.stack([as_tensor(row[at]) for row in made]) for at in range(len(made[0])))
