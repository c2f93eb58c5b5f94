"""What depends on constants alone is computed once: equal computations share, different ones do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lightloom as ll


def checked(model: nn.Module, *x: Tensor) -> ll.Program:
    program = ll.compile(model.eval(), x, target="mzi16")
    with torch.no_grad():
        wanted = model(*x)
    assert (program.run(*x, ideal=True) - wanted).abs().max() < 1e-5 * wanted.abs().max()
    return program


class Of(nn.Module):
    """x times a matrix that a function makes of two constants."""

    def __init__(self, make: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.make = make
        self.a, self.b = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.make(x, self.a, self.b)  # type: ignore[operator]


def test_a_keyword_tells_computations_apart() -> None:
    program = checked(Of(lambda x, a, b: x @ torch.sub(a, b) + x @ torch.sub(a, b, alpha=3)), torch.randn(4, 6))
    assert len(program.body.banks) == 2


def test_the_same_computation_is_one_constant() -> None:
    program = checked(
        Of(lambda x, a, b: x @ torch.sub(a, b, alpha=3) + (2 * x) @ torch.sub(a, b, alpha=3)), torch.randn(4, 6)
    )
    assert len(program.body.banks) == 1


@pytest.mark.parametrize("make", [
    lambda x, a, b: x @ a + x @ a.t(),
    lambda x, a, b: x @ a - (2 * x) @ a.t().contiguous(),
    lambda x, a, b: F.linear(x, a) + x @ a,
    lambda x, a, b: x @ a + x @ a.flip(0),
    lambda x, a, b: x @ a.reshape(-1).as_strided((6, 6), (1, 6)) + x @ a,
], ids=["transpose", "copy", "linear", "flipped", "strided"])  # fmt: skip
def test_views_of_one_memory_are_the_matrices_that_they_show(make: object) -> None:
    assert len(checked(Of(make), torch.randn(4, 6)).body.banks) == 2


@pytest.mark.parametrize(("queries", "keys"), [(3, 7), (7, 3)])
@pytest.mark.parametrize("where", ["host", "photonic"])
def test_attention_is_scaled_by_the_width_of_a_query(queries: int, keys: int, where: str) -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.mix = nn.Linear(16, 16)

        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            k = self.mix(k)
            return F.scaled_dot_product_attention(self.mix(q), k, k)

    q, k = torch.randn(2, queries, 16), torch.randn(2, keys, 16)
    model = Attend().eval()
    with torch.no_grad():
        wanted = model(q, k)
        by_hand = torch.softmax(model.mix(q) @ model.mix(k).mT / math.sqrt(16), -1) @ model.mix(k)
    assert (wanted - by_hand).abs().max() < 1e-5
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = ll.compile(model, (q, k), target="mzi16", dynamic_matmul=where)
    assert (program.run(q, k, ideal=True) - wanted).abs().max() < 1e-5 * wanted.abs().max()
