"""Which tensors are one, and what a copy of one takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.compiler.ir.identity import Owned, identity, same_memory


def views() -> dict[str, torch.Tensor]:
    base = torch.arange(16.0).reshape(4, 4)
    wave = torch.complex(base, base + 1)
    return {
        "base": base,
        "transpose": base.T,
        "row": base[0],
        "column": base[:, 0],
        "other row": base[1],
        "flat": base.reshape(16),
        "integers": base.view(torch.int32),
        "complex": wave,
        "conjugate": wave.conj(),
        "imaginary": wave.imag,
        "negative": wave.conj().imag,
        "expanded": base[:1].expand(4, 4),
    }


def test_every_view_is_itself_alone() -> None:
    tensors = views()
    keys = {name: identity(tensor) for name, tensor in tensors.items()}
    assert len(set(keys.values())) == len(tensors)
    again = {name: tensor.view_as(tensor) for name, tensor in tensors.items() if name not in ("conjugate", "negative")}
    assert all(identity(tensor) == keys[name] for name, tensor in again.items())


def test_strides_of_single_rows_do_not_tell_tensors_apart() -> None:
    base = torch.arange(4.0)
    assert identity(base.as_strided((1, 4), (4, 1))) == identity(base.as_strided((1, 4), (9, 1)))


def test_nothing_has_no_identity_and_no_memory() -> None:
    empty = torch.zeros(0, 3)
    assert identity(empty) is None
    assert not same_memory(empty, torch.zeros(0))


@pytest.mark.parametrize("name", list(views()))
def test_a_copy_holds_the_same_numbers_in_memory_of_its_own(name: str) -> None:
    tensor = views()[name]
    copy = Owned().copy(tensor)
    assert torch.equal(copy, tensor)
    assert not same_memory(copy, tensor)
    assert not copy.is_conj()
    assert not copy.is_neg()


def test_copies_are_no_larger_than_what_they_copy() -> None:
    owned = Owned()
    base = torch.arange(16.0).reshape(4, 4)
    both = owned.copy(base), owned.copy(base.T)
    assert same_memory(*both)
    assert torch.equal(both[1], base.T)
    assert owned.copy(torch.ones(1).expand(1 << 20)).untyped_storage().nbytes() == 4
    assert owned.copy(torch.zeros(1 << 10, 1 << 10)[:, 0]).untyped_storage().nbytes() == 4 << 10


class Halves(nn.Module):
    """A buffer and its lazy conjugate: x @ Im(w) - x @ Im(conj w) = 2 x @ Im(w)."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        wave = torch.randn(6, 6, dtype=torch.complex64)
        pair = [wave, wave.conj()]
        self.register_buffer("w", pair[not first])
        self.register_buffer("v", pair[first])
        self.sign = 1.0 if first else -1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w.imag - x @ self.v.imag


class Negatives(nn.Module):
    """Buffers that share their memory, one of them lazily negated."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        wave = torch.randn(6, 6, dtype=torch.complex64)
        self.register_buffer("w", wave.imag)
        self.register_buffer("v", wave.conj().imag)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w - x @ self.v


@pytest.mark.parametrize("model", [Halves(True), Halves(False), Negatives()], ids=["conj", "conj first", "negative"])
def test_lazy_views_are_constants_of_their_own(model: nn.Module) -> None:
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    wanted = model(x)
    assert wanted.abs().max() > 1
    got = ll.compile(model.eval(), x, target="mzi16").run(x, ideal=True)
    assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()
