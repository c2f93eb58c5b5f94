"""The rules of one recurrent step: its operands exist, and its matrices, gates and results fit each other."""

from __future__ import annotations

from ..program import ProgramBody, RecurrentStep
from ..recurrent import GATE_ELEMENTS, GATES
from ..values import TensorType
from .codec import fault, shorten


def check_recurrent(step: RecurrentStep, body: ProgramBody, known: set[str], place: str) -> None:
    """Verify one recurrent step.

    Raises:
        ArtefactError: with the first fault found.
    """
    for name in step.banks:
        if name not in body.banks:
            raise fault("The step's bank does not exist", place, name, shorten(list(body.banks)))
    if len(set(step.banks)) < len(step.banks):
        raise fault("A projection needs a bank of its own", place, step.projection)
    for name in (step.input, *step.states):
        if name not in known:
            raise fault("A reference to a value that does not exist yet", place, name)
    if step.kind not in GATES:
        raise fault("An unknown recurrent cell", place, step.kind, ", ".join(GATES))
    hidden = body.banks[step.bank].spec
    gates = GATES[step.kind]
    units = hidden.rows // gates
    specs = [body.banks[name].spec for name in step.banks]
    shapes = [(spec.groups, spec.rows, spec.cols, spec.blocks) for spec in specs]
    wanted = [(1, gates * units, hidden.cols, 1), (1, hidden.cols, units, 1)][: len(shapes)]
    if shapes != wanted or (step.projection is None and hidden.cols != units):
        raise fault("The banks of a recurrent step do not fit each other", place, shapes, f"{gates} gates a unit")
    states = 2 if step.kind == "lstm" else 1
    if len(step.states) != states:
        raise fault("A recurrent step has the wrong number of states", place, len(step.states), str(states))
    if step.bias is not None:
        bias = body.constants.get(step.bias)
        if bias is None or tuple(bias.shape) != (hidden.rows,):
            raise fault("The bias does not fit the bank", place, step.bias, f"({hidden.rows},)")
    cost = body.costs.get(step.name)
    _check_types(step, hidden.cols, units, body.example_batch * cost.vectors if cost else 0, place)
    if cost is not None and cost.elements != cost.vectors * units * GATE_ELEMENTS[step.kind]:
        raise fault("The cost of a recurrent step does not fit its gates", place, (cost.vectors, cost.elements))


def _check_types(step: RecurrentStep, kept: int, units: int, vectors: int, place: str) -> None:
    """The sequence (N, T, P), h (N, P) and, of an LSTM, c (N, H)."""
    ranks = [(3, kept), (2, kept), (2, units)][: 1 + len(step.states)]
    items = step.type.items
    found = [(len(item.shape), item.shape[-1]) for item in items if isinstance(item, TensorType) and item.shape]
    if found != ranks or len(items) != len(ranks):
        raise fault("A recurrent step yields something else", place, found, str(ranks))
    sequence = items[0]
    if isinstance(sequence, TensorType) and sequence.shape[1] == 0:
        raise fault("A recurrent step without a time step", place)
    times = sequence.shape[1] if isinstance(sequence, TensorType) else 0
    if isinstance(times, int) and times > vectors:
        raise fault("A recurrent step has more time steps than vectors", place, times, f"at most {vectors}")
