"""Branches, loops, maps and wrappers: resolved, inlined, unrolled or chosen from, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from functorch.experimental.control_flow import map as torch_map
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

import lightloom as ll

Body = Callable[[Any, Tensor], Any]


class Held(nn.Module):
    """A layer, then an op that holds graphs with layers ``a`` and ``b``; buffers say what is constant."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.a, self.b = (nn.Linear(4, 4) for _ in range(3))
        self.body = body
        self.register_buffer("yes", torch.tensor(True))
        self.register_buffer("turns", torch.tensor(3))

    def forward(self, x: Tensor) -> Any:
        return self.body(self, self.fc(x))


def nested(m: Held, y: Tensor) -> Tensor:
    """A branch within a branch, and one that passes its operand on."""
    inner = lambda y: torch.cond(y.max() > 1, m.a, lambda y: y.clone(), (y,))  # noqa: E731
    return torch.cond(y.sum() > 0, inner, lambda y: m.b(y).relu(), (y,))


def written(m: Held, y: Tensor) -> Tensor:
    """The counter is a constant that something writes to before the loop."""
    start = torch.tensor(0)
    start.add_(1)
    return torch.while_loop(lambda i, y: i < m.turns, lambda i, y: (i + 1, m.a(y)), (start, y))[1]


def causal(m: Held, y: Tensor) -> Tensor:
    """Attention whose score and mask are functions of the place."""
    mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, y.shape[0], y.shape[0], device="cpu", BLOCK_SIZE=2)
    heads = m.a(y).reshape(1, -1, 2, 2).transpose(1, 2)
    score = lambda score, b, h, q, k: score + 0.1 * (q - k) * (h + 1)  # noqa: E731
    return flex_attention(heads, heads * 2, heads + 1, score_mod=score, block_mask=mask)


DATA: dict[str, tuple[Body, set[str]]] = {
    "branches": (lambda m, y: torch.cond(y.sum() > 0, m.a, lambda y: m.b(y).relu(), (y,)), {"fc", "a", "b"}),
    "two results": (
        lambda m, y: torch.cond(y.sum() > 0, lambda y: (m.a(y), y + 1), lambda y: (m.b(y), y * 2), (y,)),
        {"fc", "a", "b"},
    ),
    "predicate of one element": (lambda m, y: torch.cond(y[:1, 0] > 0, m.a, m.b, (y,)), {"fc", "a", "b"}),
    "nested": (nested, {"fc", "a", "b"}),
    "one that only suits its side": (
        lambda m, y: torch.cond(
            y.min() > -1,
            lambda y: m.a((y + 1).log()),
            lambda y: torch.cond(y.max() > 9, lambda y: m.b(y.clone()), lambda y: m.b((-y.min() - 1).log() + y), (y,)),
            (y,),
        ),
        {"fc", "a", "b"},
    ),
    "of a size": (lambda m, y: torch.cond(y.shape[0] > 4, m.a, m.b, (y,)), {"fc", "a", "b"}),
    "of a buffer": (lambda m, y: torch.cond(m.yes, m.a, m.b, (y,)), {"fc", "a"}),
    "computed from a buffer": (lambda m, y: torch.cond(m.turns * 2 < 6, m.a, m.b, (y,)), {"fc", "b"}),
    "of a number": (lambda m, y: torch.cond(m.training, m.a, m.b, (y,)), {"fc", "b"}),
    "turns of a number": (
        lambda m, y: torch.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, m.a(y)), (torch.tensor(0), y))[1],
        {"fc", "a"},
    ),
    "turns of a buffer": (
        lambda m, y: torch.while_loop(lambda i, y: i < m.turns, lambda i, y: (i + 1, m.a(y) + i), (torch.tensor(0), y)),
        {"fc", "a"},
    ),
    "turns of an int": (
        lambda m, y: while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, m.a(y) * i), (1, y))[1],
        {"fc", "a"},
    ),
    "no turn": (
        lambda m, y: torch.while_loop(lambda i, y: i < 0, lambda i, y: (i + 1, m.a(y)), (torch.tensor(0), y))[1],
        {"fc"},
    ),
    "map": (lambda m, y: torch_map(lambda row, *_: m.a(row).relu(), y), {"fc", "a.weight$t"}),
    "map with more": (lambda m, y: torch_map(lambda row, *s: row * s[0], y.t(), y.sum()), {"fc"}),
    "vmap": (lambda m, y: torch.vmap(lambda row: m.a(row) * row.sum())(y), {"fc", "a"}),
    "scan": (
        lambda m, y: scan(lambda c, x: (c + m.a(x), c * x), y * 0, torch.stack([y, y * 2, y * 3])),
        {"fc", "a"},
    ),
    "associative scan": (
        lambda m, y: associative_scan(lambda a, b: a + b, m.a(y), 1, combine_mode="generic"),
        {"fc", "a"},
    ),
    "checkpoint": (lambda m, y: checkpoint(lambda y: m.a(y).relu(), y, use_reentrant=False), {"fc", "a"}),
    "flex attention": (causal, {"fc", "a"}),
    "grouped flex attention": (
        lambda m, y: flex_attention(
            m.a(y).reshape(1, -1, 4, 1).transpose(1, 2),
            *(part.reshape(1, -1, 2, 1).transpose(1, 2) for part in (y[:, :2], y[:, 2:])),
            enable_gqa=True,
        ),
        {"fc", "a"},
    ),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.filterwarnings("ignore::lightloom.compiler.frontend.CaptureWarning", "ignore::UserWarning")
def test_values_and_layers(name: str) -> None:
    body, layers = DATA[name]
    model = Held(body).eval()
    torch.manual_seed(1)
    x = torch.randn(3, 4)
    program = ll.compile(model, x, "ideal")
    assert set(program.body.banks) == layers
    fixed = name in ("associative scan", "flex attention", "grouped flex attention")
    for value in (x, -x, x * 5, x[:2], torch.randn(6, 4)):
        if not fixed or len(value) == 3:
            with torch.no_grad():
                wanted = model(value)
            torch.testing.assert_close(program.run(value, ideal=True), wanted, rtol=1e-5, atol=1e-5)


def test_both_sides_of_a_branch_on_data_were_taken() -> None:
    model = Held(lambda m, y: torch.cond(y.sum() > 0, m.a, m.b, (y,))).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        signs = {bool(model.fc(x).sum() > 0) for x in (torch.randn(3, 4), -torch.randn(3, 4), torch.ones(3, 4) * 3)}
    assert signs == {True, False}


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_with_branches(strict: bool) -> None:
    body = lambda m, y: torch.cond(y.sum() > 0, m.a, lambda y: m.b(y).relu(), (y,))  # noqa: E731
    model, x = Held(body).eval(), torch.randn(3, 4)
    program = ll.compile(torch.export.export(model, (x,), strict=strict), target="ideal")
    with torch.no_grad():
        torch.testing.assert_close(program.run(x, ideal=True), model(x))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            lambda m, y: torch.while_loop(lambda i, y: y.sum() < 9, lambda i, y: (i + 1, y.abs() + 1), (m.turns, y)),
            "while_loop cannot be in a program: how often it runs depends on the input",
        ),
        (
            lambda m, y: torch.while_loop(lambda i, y: i < 2000, lambda i, y: (i + 1, y + 1), (torch.tensor(0), y)),
            "while_loop cannot be in a program: it runs more than 1024 times",
        ),
        (written, "while_loop cannot be in a program: how often it runs depends"),
    ],
    ids=["on data", "too long", "written to"],
)
def test_what_remains_is_refused_by_name(body: Body, reason: str) -> None:
    with pytest.raises(ll.CaptureError, match=reason):
        ll.compile(Held(body).eval(), torch.randn(3, 4), "ideal")
