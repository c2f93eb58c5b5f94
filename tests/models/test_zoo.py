"""The zoo: names, seeds, and a global random state that is left alone."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from lightloom.models import zoo
from lightloom.models.zoo_timm import FAMILIES
from lightloom.runtime.errors import LightloomError


def needs(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def test_transformers_by_pattern() -> None:
    assert zoo.names("transformers:bert*") == ["transformers:bert", "transformers:bert_classifier"]
    assert len(zoo.names("transformers:*")) >= 50


def test_families_are_distinct() -> None:
    assert len(set(FAMILIES)) == len(FAMILIES) >= 100
    assert zoo.names("timm:families")[0] == f"timm:{FAMILIES[0]}"


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet18", "unknown network"), ("keras:resnet", "unknown network"), ("transformers:berd", "no network of that")],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(LightloomError, match=message):
        zoo.names(name)


def test_families_exist() -> None:
    needs("timm")
    known = {name.partition(":")[2] for name in zoo.names("timm:*")}
    assert [name for name in FAMILIES if name not in known] == []


def test_a_seed_decides_the_weights_and_nothing_else_is_drawn() -> None:
    needs("transformers")
    before = torch.get_rng_state()
    first, again, other = (zoo.network("transformers:bert", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [next(iter(sample.model.parameters())) for sample in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not first.model.training


def test_settled_networks_hold_no_zero_parameters_and_no_fresh_statistics() -> None:
    needs("transformers")
    sample = zoo.settle(zoo.network("transformers:resnet"))
    assert all(bool(parameter.any()) for parameter in sample.model.parameters())
    norms = [m for m in sample.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(bool(norm.running_mean.any()) for norm in norms if norm.running_mean is not None)
