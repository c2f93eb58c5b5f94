"""Recurrent layers: the gates of one time step on the host, and the loop over time that both executors run.

With x the input products of a time step (bias included) and y the hidden products W h + b (torch's order of
gates along the rows, ``torch.nn.LSTM``, ``GRU`` and ``RNN``):

- ``lstm``: i, f, g, o = x + y; c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c')
- ``gru``: r, z = sigmoid(x + y); n = tanh(x_n + r y_n); h' = n + z (h - n)
- ``rnn_tanh``, ``rnn_relu``: h' = tanh(x + y), relu(x + y)

Noise: time step t of a loop counts its vectors from :func:`first_vector`, sample by sample, so that a sample sees
the same noise whatever the batch and the length of the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .errors import InputError, complaint
from .inputs import check_finite
from .program import ProgramBody, RecurrentStep
from .values import DTYPES, TensorType

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
"""Gates of each kind: rows of its matrices for one hidden unit."""

GATE_ELEMENTS = {"lstm": 13, "gru": 10, "rnn_tanh": 2, "rnn_relu": 2}
"""Numbers that the host computes for one hidden unit and time step: every sum, product and activation above."""

Product = Callable[[Tensor, int], Tensor]
"""Vectors (N, cols) of time step t through a matrix, bias included: (N, rows)."""


def gates(kind: str, x: Tensor, y: Tensor, h: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """One time step: (h', c') from input products x and hidden products y (N, gates * H).

    Args:
        kind: one of :data:`GATES`. h: the last h (N, P), read by ``gru`` only. c: the last c (N, H), of ``lstm``.

    Returns:
        h' (N, H) before any projection, and c' (N, H) or None.
    """
    if kind == "lstm" and c is not None:
        i, f, g, o = (x + y).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    if kind == "gru":
        x_r, x_z, x_n = x.chunk(3, 1)
        y_r, y_z, y_n = y.chunk(3, 1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + y_r) * y_n)
        return n + torch.sigmoid(x_z + y_z) * (h - n), None
    return (torch.tanh if kind == "rnn_tanh" else torch.relu)(x + y), None


def first_vector(time: int, *, projection: bool = False) -> int:
    """Index in the run of the first sample's vector at a time step of the loop."""
    return (time << 32) | (projection << 31)


class Recurrence:
    """A recurrent step under way: its state, and its sequence as far as it is known.

    Args:
        step: the step.
        x: input products (N, T, gates * H).
        states: h (N, P) and, of an LSTM, c (N, H), in the dtype of x.

    ``time`` counts the time steps done, of ``times`` in all.
    """

    def __init__(self, step: RecurrentStep, x: Tensor, states: Sequence[Tensor]) -> None:
        self.step = step
        self.x = x
        self.h = states[0]
        self.c = states[1] if len(states) > 1 else None
        self.time = 0
        self.times = x.shape[1]
        self._sequence = x.new_empty((x.shape[0], self.times, self.h.shape[1]))

    def gates(self, product: Tensor) -> Tensor:
        """The gates of the current time step, from its hidden products: h' before any projection."""
        h, self.c = gates(self.step.kind, self.x[:, self._position], product, self.h, self.c)
        return h

    def advance(self, h: Tensor) -> None:
        """The current time step ends with this h."""
        if self.step.kind == "rnn_relu":  # the only kind that can grow without bound
            what = f"the hidden state became NaN or infinite at time step {self._position}"
            check_finite(h, what, self.step.path or self.step.name)
        self.h = h
        self._sequence[:, self._position] = h
        self.time += 1

    def finish(self, hidden: Product, project: Product | None) -> None:
        """Run all time steps that are left."""
        while self.time < self.times:
            h = self.gates(hidden(self.h, self.time))
            self.advance(h if project is None else project(h, self.time))

    def results(self, run_dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The sequence, h and c, as declared; a float64 run keeps float64 for float32."""
        found = (self._sequence, self.h) if self.c is None else (self._sequence, self.h, self.c)
        declared = [kind.dtype for kind in self.step.type.items if isinstance(kind, TensorType)]
        dtypes = [torch.float64 if run_dtype == torch.float64 and name == "f32" else DTYPES[name] for name in declared]
        return tuple(value.to(dtype) for value, dtype in zip(found, dtypes, strict=True))

    @property
    def _position(self) -> int:
        return self.times - 1 - self.time if self.step.reverse else self.time


def sizes(body: ProgramBody, step: RecurrentStep) -> tuple[int, int, int]:
    """Of a recurrent step: rows of its hidden matrix, H hidden units, and P of them kept."""
    spec = body.banks[step.bank].spec
    return spec.rows, spec.rows // GATES[step.kind], spec.cols


def start(body: ProgramBody, step: RecurrentStep, x: Tensor, states: Sequence[Tensor]) -> Recurrence:
    """A recurrence at its first time step.

    Raises:
        InputError: input products or states that do not fit the step, or hold NaN or infinity.
    """
    rows, hidden, kept = sizes(body, step)
    where = step.path or step.name
    samples, times = x.shape[:2] if x.ndim == 3 else (0, 0)
    wanted = [("input products", x, (samples, times, rows)), ("h", states[0], (samples, kept))]
    wanted += [("c", state, (samples, hidden)) for state in states[1:]]
    for what, value, shape in wanted:
        if tuple(value.shape) != shape:
            raise InputError(
                complaint(f"{what} do not fit the recurrent layer", where=where, got=f"shape {tuple(value.shape)}",
                          allowed=str(shape))
            )  # fmt: skip
        check_finite(value, f"{what} on the way into a recurrent layer became NaN or infinite", where)
    return Recurrence(step, x, [state.to(x.dtype) for state in states])


def windows(body: ProgramBody, step: RecurrentStep, batch: int) -> tuple[int, int]:
    """Time steps of a recurrent step for a batch of samples, and the vectors of each.

    The batch may be the sequences or, in a model of one sequence, the time steps.
    """
    vectors = batch * body.costs[step.name].vectors
    first = step.type.items[0]
    sequences, times = first.shape[:2] if isinstance(first, TensorType) else (1, 1)
    symbols = {spec.type.shape[0] for spec in body.inputs if spec.type.shape}
    if isinstance(times, int):
        count = times
    elif isinstance(sequences, int):
        count = vectors // sequences if sequences else 0
    elif times in symbols and sequences not in symbols:
        count = batch
    else:
        count = vectors // batch
    return (count, vectors // count) if count else (0, 0)
