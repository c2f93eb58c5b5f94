"""Published networks compile, and an ideal chip computes what eager PyTorch computes, to 1e-4 of the largest output.

``benchmarks/coverage.py`` does the same for hundreds of them.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch

import lightloom as ll
from lightloom.models import zoo

TOLERANCE = 1e-4
QUICK = ("timm:test_resnet", "transformers:bert")
SLOW = (
    "torchvision:resnet18",
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_1",
    "torchvision:efficientnet_b0",
    "torchvision:regnet_y_400mf",
    "torchvision:googlenet",
    "torchvision:densenet121",
    "torchvision:swin_t",
    "torchvision:lraspp_mobilenet_v3_large",
    "timm:test_vit",
    "timm:test_nfnet",
    "timm:convnext_atto",
    "timm:mobilevit_xxs",
    "timm:edgenext_xx_small",
    "timm:ghostnet_050",
    "transformers:distilbert",
    "transformers:gpt2",
    "transformers:llama",
    "transformers:mistral",
    "transformers:t5",
    "transformers:vit",
    "transformers:swin",
    "transformers:clip",
    "transformers:whisper",
)


def tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def check(name: str) -> ll.Program:
    """Compile a network and compare it with eager for another batch than the example's."""
    if importlib.util.find_spec(name.partition(":")[0]) is None:
        pytest.skip(f"{name.partition(':')[0]} is not installed")
    sample = zoo.settle(zoo.network(name))
    program = ll.compile(sample.model, sample.inputs, "mzi16")
    inputs = torch.utils._pytree.tree_map(lambda x: torch.cat([x, x[:1].flip(-1)]), sample.inputs)
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    with torch.no_grad():
        wanted = sample.model(*args, **kwargs)
    got = program.run(*args, **kwargs, ideal=True)
    if isinstance(got, dict):
        wanted = {key: wanted[key] for key in got}
    pairs = list(zip(tensors(got), tensors(wanted), strict=True))
    assert pairs
    for mine, theirs in pairs:
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        assert 0 < theirs.abs().max() < float("inf"), "nothing to compare"
        assert (mine - theirs).abs().max() <= TOLERANCE * theirs.abs().max()
    return program


@pytest.mark.parametrize("name", QUICK)
def test_quick_networks(name: str) -> None:
    program = check(name)
    assert program.explain().photonic_macs > 0.8 * program.explain().macs


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_networks(name: str) -> None:
    check(name)


def test_a_transformer_takes_texts_of_any_length_that_it_has_positions_for() -> None:
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    sample = zoo.network("transformers:gpt2")
    length = {"input_ids": {1: "length"}, "attention_mask": {1: "length"}}
    program = ll.compile(sample.model, sample.inputs, "mzi16", dynamic_shapes=length)
    for size in (1, 12):
        ids = torch.randint(0, 100, (3, size))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            wanted = sample.model(**inputs).last_hidden_state
        torch.testing.assert_close(program.run(**inputs, ideal=True)["last_hidden_state"], wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ll.LightloomError, match=r"embedding\.default failed: index out of range .*at wpe"):
        program.run(torch.zeros(1, 65, dtype=torch.int64), torch.ones(1, 65, dtype=torch.int64))
    with pytest.raises(ll.InputError, match=r"disagree on a size .*attention_mask.*length = 4; allowed: length = 5"):
        program.run(torch.zeros(1, 5, dtype=torch.int64), torch.ones(1, 4, dtype=torch.int64))
