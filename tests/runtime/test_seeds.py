"""One rule for seeds, wherever one is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.models import MLP
from lightloom.models.pnn import InSitu, Mesh, MeshLinear, Training
from lightloom.runtime.seeds import seed_of
from lightloom.runtime.simulator import SimulatorDevice

SAME = [
    3,
    np.int64(3),
    np.uint8(3),
    torch.tensor(3),
    torch.tensor([3]),
    np.array(3),
    torch.tensor(3, dtype=torch.uint8),
]
REFUSED = [3.0, "3", None, True, -1, 2**64, torch.tensor(3.0), np.float64(3), torch.tensor([1, 2]), [3], 1j]
REFUSED += [torch.tensor(True), np.True_]


@pytest.mark.parametrize("seed", SAME, ids=repr)
def test_one_integer_is_one_seed(seed: Any) -> None:
    assert seed_of(seed) == 3
    assert type(seed_of(seed)) is int


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.uint64(2**64 - 1)])
def test_the_whole_range_is_taken(seed: Any) -> None:
    assert seed_of(seed) == int(seed)


@pytest.mark.parametrize("seed", REFUSED, ids=repr)
def test_anything_else_is_refused_by_name(seed: Any) -> None:
    with pytest.raises(ll.InputError, match="not a seed"):
        seed_of(seed)


@pytest.fixture(scope="module")
def program() -> ll.Program:
    torch.manual_seed(0)
    return ll.compile(nn.Linear(8, 8), torch.zeros(1, 8), target="mzi16")


@pytest.mark.parametrize("seed", SAME, ids=repr)
@pytest.mark.parametrize("executor", ["batched", "step"])
def test_a_run_draws_the_same_noise(program: ll.Program, seed: Any, executor: str) -> None:
    x = torch.ones(2, 8)
    assert torch.equal(program.run(x, seed=seed, executor=executor), program.run(x, seed=3))
    assert not torch.equal(program.run(x, seed=4), program.run(x, seed=3))


def _target(seed: Any) -> Any:
    return ll.targets.get("mzi16").with_({"mesh.chip_seed": seed}).mesh.chip_seed


TAKERS = {
    "target": _target,
    "simulator": lambda seed: SimulatorDevice(ll.targets.get("mzi16"), seed).seed,
    "training": lambda seed: Training(seed=seed).seed,
    "in situ": lambda seed: InSitu(seed=seed).seed,
    "mesh": lambda seed: Mesh(4, seed=seed).phases.detach().numpy().tobytes(),
    "layer": lambda seed: MeshLinear(4, 4, seed=seed).left.phases.detach().numpy().tobytes(),
    "model": lambda seed: MLP(seed=seed).state_dict().popitem()[1].numpy().tobytes(),
}


@pytest.mark.parametrize("taker", TAKERS)
def test_all_takers_follow_the_rule(taker: str) -> None:
    take = TAKERS[taker]
    assert take(3) == take(np.int64(3)) == take(torch.tensor(3)) != take(4)
    for bad in ("a", 3.0, -1, True):
        with pytest.raises((ll.InputError, ll.TargetError), match="not a seed"):
            take(bad)
