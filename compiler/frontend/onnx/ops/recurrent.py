"""LSTM, GRU and RNN: torch's own where it computes the same, else cells written out step by step.

torch's operators keep their loop over time to themselves, so that a compiler sees one recurrent layer. They take the
gates in another order than ONNX: constant weights are put into torch's order once, while the model is built. Peepholes,
clipping, coupled gates, other activations, sequence lengths, and a GRU that resets before its product are written out,
with the products of the inputs taken for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .control import MAX_TRACED
from .quantization import dynamically_quantized

Tensor = torch.Tensor

_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""ONNX's gates (iofc, zrh) in torch's order (ifco, rzn)."""
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _kind(node: NodeContext) -> str:
    """The cell: onnxruntime's quantized LSTM is one, too."""
    return node.op.removeprefix("DynamicQuantize")


def _reordered(node: NodeContext, stacked: Tensor) -> Tensor:
    """Gates along axis 1 of (directions, gates * hidden, ...) in torch's order; a view where the order is the same."""
    order = _ORDER[_kind(node)]
    if len(order) == 1:
        return stacked
    parts = stacked.unflatten(1, (len(order), -1))
    return torch.cat([parts[:, gate] for gate in order], 1)


def _biases(node: NodeContext, stacked: Tensor) -> Tensor:
    """Biases (directions, 2 * gates * hidden) as (directions, 2, gates * hidden) in torch's order."""
    halves = stacked.unflatten(1, (2, -1))
    return torch.stack([_reordered(node, halves[:, at]) for at in (0, 1)], 1)


def _hold(node: NodeContext) -> None:
    """Constant weights in torch's order, once."""
    ready = node.constants[1] is not None and node.constants[2] is not None
    biased = len(node.input_names) > 3 and node.input_names[3] != ""
    if not ready or (biased and node.constants[3] is None):
        return
    if any(constant is not None and constant.ndim != 3 for constant in node.constants[1:3]):
        return
    for position in (1, 2):
        node.replace(position, _reordered(node, node.constants[position]), f"gates_of_{node.op}")  # type: ignore[arg-type]
    if biased and node.constants[3] is not None:
        node.replace(3, _biases(node, node.constants[3]), f"biases_of_{node.op}")
    node.state["ordered"] = True


@dataclass(frozen=True)
class _Layer:
    """One direction, its weights in torch's order."""

    w: Tensor
    r: Tensor
    wb: Tensor | None
    rb: Tensor | None
    peepholes: Tensor | None


@operator("LSTM", prepare=_hold, note="peepholes, clip and sequence lengths are written out step by step")
def lstm(
    node: NodeContext,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | Known | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> tuple[Any, ...]:
    return _recurrent(node, x, w, r, b, lengths, h, c, peepholes)


@operator("GRU", prepare=_hold, note="linear_before_reset=0 and sequence lengths are written out step by step")
@operator("RNN", prepare=_hold, note="clip and sequence lengths are written out step by step")
def without_cell_state(
    node: NodeContext,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | Known | None = None,
    h: Tensor | None = None,
) -> tuple[Any, ...]:
    return _recurrent(node, x, w, r, b, lengths, h, None, None)


def _of_columns(parameter: Tensor, codes: Tensor) -> Tensor:
    """A scale or zero point of a direction, or of each of its columns, beside codes (directions, inputs, columns)."""
    return parameter.reshape(codes.shape[0], 1, -1).to(torch.float32)


def _hold_quantized(node: NodeContext) -> None:
    """Constant weights of eight bits (directions, inputs, gates * hidden) as the reals they stand for, transposed."""
    constants = (*node.constants, *[None] * 12)[:12]
    for at, scale_at, zero_at in ((1, 8, 9), (2, 10, 11)):
        codes, scale, zero = constants[at], constants[scale_at], constants[zero_at]
        if codes is None or scale is None or codes.ndim != 3:
            return
        centred = codes.to(torch.float32)
        if zero is not None:
            centred = centred - _of_columns(zero, codes)
        by = "_".join(node.input_names[scale_at : zero_at + 1])  # what else decides the reals: nodes share equal ones
        node.replace(at, _reordered(node, (centred * _of_columns(scale, codes)).transpose(1, 2)), f"reals_by_{by}")
    if constants[3] is not None:
        node.replace(3, _biases(node, constants[3]), "biases_of_LSTM")
    node.state["ordered"] = constants[3] is not None or len(node.input_names) < 4 or not node.input_names[3]


@operator(
    "DynamicQuantizeLSTM",
    domain="com.microsoft",
    prepare=_hold_quantized,
    note="constant weights; the input is quantized as a whole, the hidden state is not",
)
def dynamic_quantize_lstm(
    node: NodeContext,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | Known | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
    peepholes: Tensor | None = None,
    *scales: Tensor | None,
) -> tuple[Any, ...]:
    if not node.state.get("ordered"):
        raise node.error("weights of eight bits that are no constants have no torch form")
    return _recurrent(node, dynamically_quantized(x), w, r, b, lengths, h, c, peepholes)


def _recurrent(
    node: NodeContext,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | Known | None,
    h: Tensor | None,
    c: Tensor | None,
    peepholes: Tensor | None,
) -> tuple[Any, ...]:
    if x.ndim != 3:
        raise node.input_error(0, "sequences have three dimensions", got=list(x.shape))
    batch_first = bool(node.get("layout", 0))
    if batch_first:
        x = x.transpose(0, 1)
        h, c = (state if state is None else state.transpose(0, 1) for state in (h, c))
    direction = node.get("direction", "forward")
    directions = {"forward": 1, "reverse": 1, "bidirectional": 2}.get(direction)
    if directions is None:
        raise node.error("an unknown direction", got=direction, allowed="forward, reverse or bidirectional")
    if w.shape[0] != directions:
        raise node.input_error(
            1, "the weights are for another number of directions", got=w.shape[0], allowed=str(directions)
        )
    if not node.state.get("ordered"):
        w, r = _reordered(node, w), _reordered(node, r)
        b = None if b is None else _biases(node, b)
    zeros = torch.zeros((directions, x.shape[1], r.shape[2]), dtype=x.dtype, device=x.device)
    h = zeros if h is None else h
    c = zeros if c is None and _kind(node) == "LSTM" else c
    steps = _lengths(node, lengths, x)
    if steps is None and _is_native(node, peepholes):
        y, last = _native(node, x, w, r, b, h, c, direction)
    else:
        made = [
            _written_out(node, at, x, _layer(at, w, r, b, peepholes), h[at], None if c is None else c[at], steps,
                         backward=direction == "reverse" or at == 1)
            for at in range(directions)
        ]  # fmt: skip
        y = torch.stack([one for one, _ in made], 1)
        last = tuple(torch.stack(list(states)) for states in zip(*(states for _, states in made), strict=True))
    if batch_first:
        y = y.permute(2, 0, 1, 3)
        last = tuple(state.transpose(0, 1) for state in last)
    return (y, *last)


def _layer(at: int, w: Tensor, r: Tensor, b: Tensor | None, peepholes: Tensor | None) -> _Layer:
    return _Layer(
        w[at],
        r[at],
        None if b is None else b[at, 0],
        None if b is None else b[at, 1],
        None if peepholes is None else peepholes[at],
    )


def _lengths(node: NodeContext, lengths: Tensor | Known | None, x: Tensor) -> Tensor | None:
    """Sequence lengths where they shorten anything; a constant that covers every step does not."""
    if lengths is None:
        return None
    if not torch.compiler.is_exporting() and bool((lengths == x.shape[0]).all()):  # type: ignore[union-attr]
        return None
    return lengths if isinstance(lengths, Tensor) else lengths.tensor(x.device)


def _is_native(node: NodeContext, peepholes: Tensor | None) -> bool:
    """Whether torch's operator computes what the node asks for."""
    if peepholes is not None or node["clip"] is not None or node.get("input_forget", 0):
        return False
    if node.op == "GRU" and not node.get("linear_before_reset", 0):
        return False
    return set(_native_activations(node)) <= ({"Tanh", "Relu"} if node.op == "RNN" else {"default"}) and (
        len(set(_native_activations(node))) == 1
    )


def _native_activations(node: NodeContext) -> list[str]:
    given = node["activations"]
    default = _DEFAULTS[_kind(node)]
    if not given:
        return ["Tanh"] if node.op == "RNN" else ["default"]
    if node.op == "RNN":
        return [name.capitalize() for name in given[: 2 if node.get("direction", "") == "bidirectional" else 1]]
    count = len(default)
    rows = [given[at : at + count] for at in range(0, len(given), count)]
    same = all([name.lower() for name in row] == [name.lower() for name in default] for row in rows)
    return ["default" if same else "other"]


def _native(
    node: NodeContext, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, h: Tensor, c: Tensor | None, direction: str
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """torch's operator: (steps, directions, batch, hidden) and the last states."""
    directions, hidden = r.shape[0], r.shape[2]
    parameters: list[Tensor] = []
    for at in range(directions):
        parameters += [w[at], r[at]]
        if b is not None:
            parameters += [b[at, 0], b[at, 1]]
    both = directions == 2
    if direction == "reverse":
        x = x.flip(0)
    options = (b is not None, 1, 0.0, False, both, False)
    if _kind(node) == "LSTM":
        y, *last = torch.lstm(x, [h, c], parameters, *options)  # type: ignore[list-item]
    elif node.op == "GRU":
        y, *last = torch.gru(x, h, parameters, *options)
    elif _native_activations(node)[0] == "Relu":
        y, *last = torch.rnn_relu(x, h, parameters, *options)
    else:
        y, *last = torch.rnn_tanh(x, h, parameters, *options)
    if direction == "reverse":
        y = y.flip(0)
    return y.reshape(y.shape[0], y.shape[1], directions, hidden).transpose(1, 2), tuple(last)


# Cells written out ---------------------------------------------------------------------------------------------------


def _activations(node: NodeContext, at: int) -> list[Callable[[Tensor], Tensor]]:
    """The activation functions of direction ``at``, with their parameters."""
    defaults = _DEFAULTS[_kind(node)]
    names = node["activations"] or defaults * 2
    if len(names) < len(defaults) * (at + 1):
        names = [*names, *defaults * 2]
    alphas, betas = iter(node["activation_alpha"] or []), iter(node["activation_beta"] or [])
    made = [_activation(node, name, alphas, betas) for name in names[: len(defaults) * (at + 1)]]
    return made[len(defaults) * at :]


def _activation(
    node: NodeContext, name: str, alphas: Iterator[float], betas: Iterator[float]
) -> Callable[[Tensor], Tensor]:
    key = name.lower()
    plain: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": torch.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softsign": F.softsign,
        "softplus": F.softplus,
    }
    if key in plain:
        return plain[key]
    defaults = {
        "affine": (1.0, 0.0),
        "leakyrelu": (0.01, 0.0),
        "thresholdedrelu": (1.0, 0.0),
        "scaledtanh": (1.0, 1.0),
        "hardsigmoid": (0.2, 0.5),
        "elu": (1.0, 0.0),
    }
    if key not in defaults:
        raise node.error("an unknown activation", got=name, allowed=", ".join([*plain, *defaults]))
    alpha = next(alphas, defaults[key][0])
    beta = next(betas, defaults[key][1]) if key in ("affine", "scaledtanh", "hardsigmoid") else 0.0
    with_parameters: dict[str, Callable[[Tensor], Tensor]] = {
        "affine": lambda v: alpha * v + beta,
        "leakyrelu": lambda v: F.leaky_relu(v, alpha),
        "thresholdedrelu": lambda v: torch.where(v > alpha, v, torch.zeros_like(v)),
        "scaledtanh": lambda v: alpha * torch.tanh(beta * v),
        "hardsigmoid": lambda v: torch.clamp(alpha * v + beta, 0.0, 1.0),
        "elu": lambda v: F.elu(v, alpha),
    }
    return with_parameters[key]


def _written_out(
    node: NodeContext,
    at: int,
    x: Tensor,
    layer: _Layer,
    h: Tensor,
    c: Tensor | None,
    lengths: Tensor | None,
    backward: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One direction step by step: (steps, batch, hidden) and the last states."""
    functions = _activations(node, at)
    cell = {"LSTM": _lstm_cell, "GRU": _gru_cell, "RNN": _rnn_cell}[_kind(node)]
    projected = F.linear(x, layer.w, layer.wb).unbind(0)
    if len(projected) > MAX_TRACED:
        raise node.input_error(0, "the sequence is too long to write out", got=len(projected), allowed=f"{MAX_TRACED}")
    state = (h,) if c is None else (h, c)
    rows: list[Tensor] = [x] * len(projected)
    order: Sequence[int] = range(len(projected))
    for step in reversed(order) if backward else order:
        new = cell(node, layer, functions, projected[step], state)
        if lengths is None:
            state = new
            rows[step] = new[0]
            continue
        # Past its end a sequence keeps its state and yields zeros.
        alive = (lengths > step).reshape(-1, 1)
        state = tuple(torch.where(alive, after, before) for after, before in zip(new, state, strict=True))
        rows[step] = torch.where(alive, new[0], torch.zeros_like(new[0]))
    return torch.stack(rows), state


def _clipped(node: NodeContext, value: Tensor) -> Tensor:
    limit = node["clip"]
    return value if limit is None or limit <= 0 else torch.clamp(value, -limit, limit)


def _lstm_cell(
    node: NodeContext, layer: _Layer, functions: list[Callable[[Tensor], Tensor]], x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    h, c = state
    i, f, g, o = (x + F.linear(h, layer.r, layer.rb)).chunk(4, -1)
    gate, squash, out = functions
    p_i, p_o, p_f = layer.peepholes.chunk(3, -1) if layer.peepholes is not None else (None, None, None)
    i = gate(_clipped(node, i if p_i is None else i + p_i * c))
    f = 1 - i if node.get("input_forget", 0) else gate(_clipped(node, f if p_f is None else f + p_f * c))
    c = f * c + i * squash(_clipped(node, g))
    o = gate(_clipped(node, o if p_o is None else o + p_o * c))
    # As onnxruntime does, the cell's state itself is not clipped.
    return o * out(c), c


def _gru_cell(
    node: NodeContext, layer: _Layer, functions: list[Callable[[Tensor], Tensor]], x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    (h,) = state
    hidden = h.shape[-1]
    gate, squash = functions
    x_r, x_z, x_n = x.chunk(3, -1)
    if node.get("linear_before_reset", 0):
        r, z, n = F.linear(h, layer.r, layer.rb).chunk(3, -1)
        r, z = gate(_clipped(node, x_r + r)), gate(_clipped(node, x_z + z))
        candidate = squash(_clipped(node, x_n + r * n))
    else:
        bias = (None, None) if layer.rb is None else (layer.rb[: 2 * hidden], layer.rb[2 * hidden :])
        r, z = F.linear(h, layer.r[: 2 * hidden], bias[0]).chunk(2, -1)
        r, z = gate(_clipped(node, x_r + r)), gate(_clipped(node, x_z + z))
        candidate = squash(_clipped(node, x_n + F.linear(r * h, layer.r[2 * hidden :], bias[1])))
    return ((1 - z) * candidate + z * h,)


def _rnn_cell(
    node: NodeContext, layer: _Layer, functions: list[Callable[[Tensor], Tensor]], x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    (h,) = state
    return (functions[0](_clipped(node, x + F.linear(h, layer.r, layer.rb))),)
