"""Where a model fixes its batch at k, a run is k samples: every count, time and price is that of a free batch at k."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lightloom as ll

K = 4


class Attention(nn.Module):
    """Layers around two products of computed values, over two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.mix(x).chunk(3, -1))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Loop(nn.Module):
    """A recurrent layer and what reads its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.out = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = F.pad(x[:, 0], (0, 2))[None]  # not zeros, which a fixed batch folds away
        return self.out(self.loop(x, first)[0][:, -1])


def models() -> dict[str, tuple[nn.Module, Tensor, dict[str, Any]]]:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5))
    cnn = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(64, 5))
    volume = nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    return {
        "mlp": (mlp, torch.randn(K, 20), {}),
        "cnn": (cnn, torch.randn(K, 2, 8, 8), {}),
        "volume": (volume, torch.randn(K, 1, 4, 4, 4), {}),
        "sequence": (nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(K, 7, 6), {}),
        "loop": (Loop(), torch.randn(K, 5, 6), {}),
        "attention": (Attention(), torch.randn(K, 3, 8), {}),
        "attention on chip": (Attention(), torch.randn(K, 3, 8), {"dynamic_matmul": "photonic"}),
    }


def pair(name: str) -> tuple[ll.Program, ll.Program, Tensor]:
    model, x, options = models()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free = ll.compile(model.eval(), x, target="mzi16", **options)
        fixed = ll.compile(torch.export.export(model.eval(), (x,)), None, target="mzi16", **options)
    return free, fixed, x


@pytest.mark.parametrize("name", models())
def test_a_fixed_batch_counts_as_a_free_one(name: str, tmp_path: Path) -> None:
    free, fixed, x = pair(name)
    assert not free.body.batch_is_fixed
    assert fixed.body.batch_is_fixed
    assert fixed.body.unit == "sample"
    assert fixed.body.example_batch == free.body.example_batch == K
    assert sum(c.macs for c in fixed.body.costs.values()) == sum(c.macs for c in free.body.costs.values())
    fixed.save(tmp_path / "fixed.loom")
    for program in (fixed, ll.load(tmp_path / "fixed.loom")):
        assert program.explain().headline.split(",")[0] == free.explain().headline.split(",")[0]
        assert program.schedule.batch == K
        assert program.schedule.makespan_s == pytest.approx(free.schedule.makespan_s, rel=1e-12)
        assert program.energy.per_inference_j == pytest.approx(free.energy.per_inference_j, rel=1e-12)
        assert program.energy.amortised_j == pytest.approx(free.energy.amortised_j, rel=1e-12)
        assert program.energy.macs == free.energy.macs
    for executor in ("batched", "step"):
        wanted = free.run(x, seed=3, executor=executor)
        counts = free._runner.counts
        assert torch.equal(fixed.run(x, seed=3, executor=executor), wanted) or name == "loop"  # one host op less
        assert fixed._runner.counts == counts


def test_a_schedule_is_of_whole_runs() -> None:
    _, fixed, _ = pair("mlp")
    assert fixed.schedule_for(2 * K).batch == 2 * K
    for batch in (1, K + 1, 2 * K - 1):
        with pytest.raises(ll.InputError, match=r"batch of this program is fixed.*multiple of 4"):
            fixed.schedule_for(batch)


def test_an_onnx_file_of_a_fixed_batch() -> None:
    model, x, _ = models()["mlp"]
    free = ll.compile(model.eval(), x, target="mzi16")
    file = io.BytesIO()
    torch.onnx.export(model.eval(), (x,), file, dynamo=False)
    fixed = ll.compile(file.getvalue(), target="mzi16")
    assert fixed.body.example_batch == K
    assert fixed.energy.macs == free.energy.macs
    assert fixed.energy.per_inference_j == pytest.approx(free.energy.per_inference_j, rel=1e-12)


def test_a_module_that_fixes_its_batch_keeps_a_free_length() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.reshape(K, -1, 6)) + x

    x = torch.randn(K, 5, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = ll.compile(Fixed().eval(), x, target="mzi16", dynamic_shapes={"x": {1: "length"}})
    assert program.body.example_batch == K
    assert program.energy.macs == 5 * 36
    program.run(torch.randn(K, 9, 6))
    long = program._runner.counts
    program.run(x)
    assert long.dac_samples == 9 * program._runner.counts.dac_samples // 5


class Pooled(nn.Module):
    """One result for the whole input: nothing tells how many samples that is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum(0)


def test_where_samples_cannot_be_told_the_unit_is_a_run() -> None:
    x = torch.randn(K, 6)
    program = ll.compile(torch.export.export(Pooled().eval(), (x,)), None, target="mzi16")
    assert program.body.unit == "run"
    assert program.schedule.batch == 1
    assert program.energy.macs == K * 36
    assert "144 MACs per run on the chip" in program.explain().headline


def test_one_sample_is_a_sample() -> None:
    x = torch.randn(1, 6)
    program = ll.compile(torch.export.export(nn.Linear(6, 6).eval(), (x,)), None, target="mzi16")
    assert program.body.unit == "sample"
    assert program.schedule_for(8).batch == 8


def test_vectors_that_do_not_share_out_among_the_samples_make_a_run_the_unit() -> None:
    """Four rows come in and go out, but the layer sees three."""

    class Regrouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.reshape(3, 8)).reshape(K, 6)

    x = torch.randn(K, 6)
    program = ll.compile(torch.export.export(Regrouped().eval(), (x,)), None, target="mzi16")
    assert program.body.unit == "run"
    assert program.energy.macs == 3 * 64
    assert int(program.schedule.vectors.sum()) == 3
