"""Ambient modes of torch change neither what is compiled nor what is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from torch import nn

import lightloom as ll


@contextmanager
def float64_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "default dtype": float64_default,
    "default device": lambda: torch.device("meta"),
}


class Network(nn.Module):
    """Layers for the chip; on the host a product of two values, an activation and a new tensor."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
        self.loop = nn.LSTM(8, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        h = torch.softmax(h @ h.mT, -1) @ h + torch.arange(8, dtype=h.dtype) / 8
        return self.last(self.loop(h)[0])


@pytest.fixture(scope="module")
def settled() -> tuple[Network, torch.Tensor, ll.Program]:
    model, x = Network().eval(), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
    return model, x, ll.compile(model, x, target="mzi16")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ideal", [True, False], ids=["ideal", "noisy"])
def test_a_run_is_deaf(settled: tuple[Network, torch.Tensor, ll.Program], mode: str, ideal: bool) -> None:
    _, x, program = settled
    wanted = program.run(x, ideal=ideal)
    with MODES[mode]():
        got = program.run(x, ideal=ideal)
    assert got.dtype == torch.float32
    assert got.device.type == "cpu"
    assert not got.requires_grad
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("mode", MODES)
def test_a_compile_is_deaf(settled: tuple[Network, torch.Tensor, ll.Program], mode: str) -> None:
    model, x, program = settled
    with MODES[mode]():
        other = ll.compile(model, x, target="mzi16")
    assert other.dump() == program.dump()
    assert other.dump("tile") == program.dump("tile")
    assert torch.equal(other.run(x), program.run(x))


def test_inputs_made_in_inference_mode(settled: tuple[Network, torch.Tensor, ll.Program]) -> None:
    model, x, program = settled
    with torch.inference_mode():
        inside = x * 1.0
    assert torch.equal(program.run(inside), program.run(x))
    assert torch.equal(ll.compile(model, inside, target="mzi16").run(x), program.run(x))


def test_the_mode_is_as_it_was_afterwards(settled: tuple[Network, torch.Tensor, ll.Program]) -> None:
    _, x, program = settled
    with torch.autocast("cpu", torch.bfloat16), float64_default():
        program.run(x)
        with pytest.raises(ll.InputError):
            program.run(x[:, :, :3])
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
        assert torch.is_grad_enabled()


def test_phases_are_searched_for_without_gradients_around() -> None:
    chip = ll.targets.get("mzi16").with_({"mesh.topology": "fldzhyan", "mesh.ports": 4})
    model, x = nn.Linear(4, 4), torch.randn(2, 4)
    with torch.no_grad():
        inside = ll.compile(model, x, target=chip, mesh_tolerance=1e-3)
    assert (inside.run(x, ideal=True) - model(x)).abs().max() < 1e-2
