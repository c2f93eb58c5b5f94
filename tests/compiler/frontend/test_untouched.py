"""A compile leaves the model as it was, and threads may compile at once."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

import lightloom as ll
from lightloom.runtime.ambient import plain_torch


@functools.cache
def table(size: int) -> Tensor:
    """A memoised table, as rotary embeddings have."""
    return torch.arange(size, dtype=torch.float32)


class Keeps(nn.Module):
    """A model that keeps what it computes, in every way that Python has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)
        self.tables: dict[str, Tensor] = {}
        self.seen: list[Tensor] = []
        self.state = SimpleNamespace(last=None)
        self.calls = 0

    @functools.cached_property
    def mask(self) -> Tensor:
        """Computed once, kept in the instance."""
        return torch.ones(4) * 2

    @functools.lru_cache  # noqa: B019
    def scale(self, factor: float) -> Tensor:
        """Memoised by instance."""
        return torch.full((4,), factor)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if "bias" not in self.tables:
            self.tables["bias"] = torch.linspace(0, 1, 4)
        self.seen.append(x)
        self.state.last = self.fc(x)
        return self.state.last * self.mask + self.tables["bias"] + table(4) * self.scale(0.5)


def everything(model: Keeps) -> list[Any]:
    """All that the model may have kept."""
    return [*vars(model).values(), *model.tables.values(), *model.seen, model.state.last, table(4), model.scale(0.5)]


@pytest.mark.parametrize("dynamic", [True, False])
def test_nothing_that_a_trace_kept_stays(dynamic: bool) -> None:
    model, x = Keeps().eval(), torch.randn(3, 4)
    keys = set(vars(model))
    program = ll.compile(model if dynamic else nn.Sequential(model, FixedAt(3)), x, "ideal")
    assert set(vars(model)) == keys
    assert (model.calls, model.tables, model.seen, model.state.last) == (0, {}, [], None)
    again = ll.compile(model, x, "ideal")
    with torch.no_grad():
        wanted = model(x)
    torch.testing.assert_close(program.run(x, ideal=True), wanted)
    torch.testing.assert_close(again.run(x, ideal=True), wanted)
    assert not [item for item in everything(model) if isinstance(item, FakeTensor)]


class FixedAt(nn.Module):
    """Makes the first ways of tracing fail: the batch must be this one."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.batch, 4)


def test_what_a_model_kept_before_is_still_there() -> None:
    model, x = Keeps().eval(), torch.randn(3, 4)
    with torch.no_grad():
        wanted = model(x)
    mask, bias = model.mask, model.tables["bias"]
    program = ll.compile(model, x, "ideal")
    torch.testing.assert_close(program.run(x, ideal=True), wanted)
    assert model.mask is mask
    assert model.tables["bias"] is bias
    assert model.calls == 1


def test_threads_compile_at_once() -> None:
    start = threading.Barrier(4)

    def compiled(width: int) -> float:
        torch.manual_seed(width)
        model = nn.Sequential(nn.Linear(4, width), nn.ReLU(inplace=True), nn.LSTM(width, 3, batch_first=True)).eval()
        x = torch.randn(2, 5, 4)
        start.wait(60)
        program = ll.compile(model, x, "ideal")
        with torch.no_grad():
            return float((program.run(x, ideal=True)[0] - model(x)[0]).abs().max())

    with ThreadPoolExecutor(4) as pool:
        errors = list(pool.map(compiled, (3, 4, 5, 6)))
    assert max(errors) < 1e-5


def test_the_default_dtype_outlives_threads_that_compile() -> None:
    inside, leave = threading.Barrier(3), threading.Event()

    def within(_: int) -> torch.dtype:
        with plain_torch():
            inside.wait(60)
            leave.wait(60)
            return torch.get_default_dtype()

    torch.set_default_dtype(torch.float64)
    try:
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(within, number) for number in range(2)]
            inside.wait(60)
            leave.set()
            assert [item.result() for item in found] == [torch.float32] * 2
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
