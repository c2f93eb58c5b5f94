"""In-place ops are read as functional ones where nobody can tell, and traced anew where somebody could."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightloom.compiler.frontend import capture
from lightloom.compiler.frontend.functional import functional
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.executor import Runner


class Net(nn.Module):
    def __init__(self, rest: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)
        self.rest = rest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.fc(x), x)


def twice(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    a = F.relu(h, inplace=True)
    a += x
    return h * 2 + a


def read_before(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    before = h + 1
    h.relu_()
    return h * before


def view_before(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    view = h.view(-1)
    h.mul_(2)
    return view.sum() + h


def view_between(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    a = h.relu_()
    view = h.t()
    a.add_(1)
    return view.t() * 3


def view_after(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return h.relu_().view(-1, 2).sum(1)


def through_view(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    h[:, 1:].mul_(0.5)
    return h


def dtype_kept(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    h += x.double()
    return h


PLAIN = [twice, read_before, view_after]
SHARED = [view_before, view_between, through_view, dtype_kept]


@pytest.mark.parametrize("rest", PLAIN + SHARED, ids=lambda rest: rest.__name__)
def test_writes_compute_what_eager_computes(rest: Callable[..., torch.Tensor]) -> None:
    model = Net(rest).eval()
    x = torch.randn(3, 4)
    body = compile_model(model, x, targets.get("ideal")).body
    assert body is not None
    with torch.no_grad():
        wanted = model(x.clone())
    got = Runner(body).run((x,), ideal=True)
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("rest", PLAIN + SHARED, ids=lambda rest: rest.__name__)
def test_only_plain_writes_are_read_as_they_stand(rest: Callable[..., torch.Tensor]) -> None:
    exported = torch.export.export(Net(rest).eval(), (torch.randn(3, 4),))
    program, in_place = functional(exported)
    assert (program is exported) is (rest in PLAIN)
    assert bool(in_place) is (rest in PLAIN)


def test_a_write_to_an_input_is_not_lost() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.relu_())

    with pytest.raises(Exception, match=r"writes to its own state|cannot be traced"):
        capture(Writes(), torch.randn(2, 4))
