"""Torch's own samples of every op it tests, each beside a layer on the chip: right, or refused with a reason."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import lightloom as ll

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]


class Beside(nn.Module):
    """A layer, and an op of one input whose other arguments are constants."""

    def __init__(self, op: Any, args: Any, kwargs: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.op = op
        leaves, self.spec = pytree.tree_flatten((args, kwargs))
        self.leaves: list[Any] = []
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor):
                self.register_buffer(f"held{place}", leaf.detach())
            self.leaves.append(f"held{place}" if isinstance(leaf, Tensor) else (leaf,))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        leaves = [getattr(self, leaf) if isinstance(leaf, str) else leaf[0] for leaf in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.fc(y), self.op(x, *args, **kwargs)


def samples() -> Iterator[tuple[str, Any, Any]]:
    """Name, function and a sample of every op in torch's database, of real numbers where it has such."""
    sys.modules.setdefault("expecttest", _stand_in())  # torch's test tools import it, and use it for nothing here
    from torch.testing._internal.common_methods_invocations import op_db

    for op in op_db:
        kinds = [kind for kind in (torch.float32, torch.complex64, torch.int64, torch.bool) if kind in op.dtypes]
        if not kinds:
            continue
        found = list(op.sample_inputs("cpu", kinds[0], requires_grad=False))
        full = [s for s in found if isinstance(s.input, Tensor) and s.input.numel() and 0 not in s.input.shape]
        if full:
            yield f"{op.name} {op.variant_test_name}".strip(), op.op, full[min(1, len(full) - 1)]


def _stand_in() -> ModuleType:
    module = ModuleType("expecttest")
    vars(module).update(TestCase=__import__("unittest").TestCase, assert_expected_inline=None)
    return module


UNSET = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")
"""Torch leaves what was in the memory; a program holds zeros."""


def same(got: Any, wanted: Any) -> bool:
    """Within float noise, in every leaf; floats of 8 bits bit by bit."""
    pairs = zip(pytree.tree_leaves(got), pytree.tree_leaves(wanted), strict=True)
    return all(
        torch.equal(a.view(torch.uint8), b.view(torch.uint8))
        if isinstance(b, Tensor) and b.dtype.itemsize == 1 and b.is_floating_point()
        else torch.allclose(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-3, atol=1e-3, equal_nan=True)
        for a, b in pairs
    )


def test_every_sample_is_right_or_refused_with_a_reason() -> None:
    right, refused, faults = [], {}, {}
    torch.manual_seed(0)
    for name, op, sample in samples():
        x: Tensor = sample.input
        model = Beside(op, sample.args, sample.kwargs).eval()
        y = torch.randn(x.shape[0] if x.ndim else 2, 4)
        try:
            with torch.no_grad():
                wanted, again = (model(x.clone(), y) for _ in range(2))
            repeats = same(again, wanted)
        except Exception:  # not for this machine, or nothing that can be compared
            continue
        try:
            got = ll.compile(model, (x, y), "ideal").run(x, y, ideal=True)
            if not same(got, wanted) and name not in UNSET:
                faults[name] = "wrong" if repeats else "random, and compiled"
            right.append(name)
        except ll.LightloomError as error:
            refused[name] = str(error)
        except Exception as error:
            faults[name] = repr(error)
    assert faults == {}
    assert len(right) > 590, refused
    assert len(refused) < 60, refused
    assert all(len(reason) > 40 for reason in refused.values())
