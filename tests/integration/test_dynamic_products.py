"""Products of two computed values on reprogrammed tiles: equal to eager, to both executors, to their schedule."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lightloom as ll
from lightloom.compiler.ir import parse, show
from lightloom.compiler.tiling import tile_weights
from lightloom.runtime.banks import assembled_matrix, effective_matrices
from lightloom.runtime.pricing.counts import run_counts
from lightloom.runtime.program import BankSpec, HostStep, ProductStep


class Attention(nn.Module):
    def __init__(self, mask: str = "") -> None:
        super().__init__()
        self.mask = mask
        self.inner = nn.Linear(12, 36)
        self.outer = nn.Linear(12, 5)
        self.register_buffer("hidden", torch.rand(6, 6) < 0.6)
        self.register_buffer("bias", torch.randn(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (part.unflatten(2, (3, 4)).transpose(1, 2) for part in self.inner(x).chunk(3, dim=2))
        mask = {"boolean": self.hidden | torch.eye(6, dtype=torch.bool), "float": self.bias}.get(self.mask)
        y = F.scaled_dot_product_attention(query, key, value, mask, is_causal=self.mask == "causal", scale=0.4)
        return self.outer(y.transpose(1, 2).flatten(2))


class Gram(nn.Module):
    """A plain product of computed values, wider than a tile."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(20, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        return y @ y.transpose(1, 2)


def compiled(model: nn.Module, x: torch.Tensor, target: Any = "mzi16", **options: Any) -> ll.Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ll.LightloomWarning)
        return ll.compile(model.eval(), x, target, dynamic_matmul="photonic", **options)


def products(program: ll.Program) -> list[ProductStep]:
    return [step for step in program.body.steps if isinstance(step, ProductStep)]


@pytest.mark.parametrize("mask", ["", "causal", "boolean", "float"])
def test_attention_equals_eager(mask: str) -> None:
    torch.manual_seed(0)
    model, x = Attention(mask), torch.randn(3, 6, 12)
    program = compiled(model, x)
    assert len(products(program)) == 2
    with torch.no_grad():
        wanted = model(x)
    torch.testing.assert_close(program.run(x, ideal=True), wanted, rtol=1e-5, atol=1e-6)
    # the tiles themselves, exactly programmed and without converters
    exact = program.run(x, ideal=True, executor="step", dtype=torch.float64)
    torch.testing.assert_close(exact.float(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", [Attention("float"), Gram()], ids=["attention", "gram"])
def test_both_executors_agree_on_a_noisy_chip(model: nn.Module) -> None:
    torch.manual_seed(1)
    width = next(model.parameters()).shape[1]
    x = torch.randn(2, 6 if width == 12 else 19, width)
    target = ll.targets.get("mzi16").with_({"mesh.splitter_error_rad": 0.01, "mesh.phase_error_rad": 0.01})
    program = compiled(model, x, target)
    runs = [program.run(x, seed=4, executor=executor, dtype=torch.float64) for executor in ("batched", "step")]
    torch.testing.assert_close(*runs, rtol=1e-12, atol=1e-12)
    assert not torch.equal(runs[0], program.run(x, seed=5, dtype=torch.float64))
    with torch.no_grad():
        assert 0 < float((runs[0] - model(x)).abs().max()) < 0.3 * float(model(x).abs().max()) + 0.1


def test_a_sample_sees_the_same_noise_in_any_batch() -> None:
    torch.manual_seed(2)
    program = compiled(Attention(), torch.zeros(2, 6, 12))
    x = torch.randn(4, 6, 12)
    whole = program.run(x, seed=1, dtype=torch.float64)
    assert torch.equal(whole[:2], program.run(x[:2], seed=1, dtype=torch.float64))
    assert program.run(x[:0]).shape == (0, 6, 5)
    assert program.run(x[:0], executor="step").shape == (0, 6, 5)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_schedule_is_what_happens(batch: int) -> None:
    program = compiled(Attention(), torch.zeros(2, 6, 12))
    schedule = program.schedule_for(batch)
    schedule.verify(program.body)
    x = torch.randn(batch, 6, 12)
    for executor in ("batched", "step"):
        program.run(x, executor=executor)
        assert program._runner.counts == run_counts(program.body, schedule)
    (step, _) = products(program)
    index = [s.name for s in program.body.steps].index(step.name)
    events = schedule.by_step[index]
    kinds = schedule.kind[events]
    tiles = program.body.banks[step.bank].spec.tiles
    assert [(kinds == kind).sum() for kind in range(3)] == [batch * tiles, batch * tiles, 1]
    report = program.report()
    assert step.name in report


def test_a_configuration_waits_for_its_weights() -> None:
    from dataclasses import replace

    from lightloom.runtime.errors import VerifyError

    program = compiled(Attention(), torch.zeros(2, 6, 12))
    schedule = program.schedule_for(2)
    (step, _) = products(program)
    index = [s.name for s in program.body.steps].index(step.name)
    rows = schedule.by_step[index]
    configure = rows[schedule.kind[rows] == 0][0]
    start, end = schedule.start_s.copy(), schedule.end_s.copy()
    start[configure] -= 5e-6
    end[configure] -= 5e-6
    order = np.argsort(start, kind="stable")
    columns = {name: getattr(schedule, name)[order] for name in ("kind", "step", "tile", "core", "vectors")}
    early = replace(schedule, start_s=start[order], end_s=end[order], **columns)
    with pytest.raises(VerifyError, match="before its weights are there"):
        early.verify(program.body)


def test_files_graphs_and_pages_know_the_step(tmp_path: Path) -> None:
    program = compiled(Attention("float"), torch.zeros(2, 6, 12))
    program.save(tmp_path / "net.loom")
    loaded = ll.load(tmp_path / "net.loom")
    x = torch.randn(2, 6, 12)
    assert torch.equal(loaded.run(x), program.run(x))
    for stage in ("mvm", "tile"):
        text = program.dump(stage)
        assert show(parse(text)) == text
    assert "programmed for every sample" in program.dump()
    assert "product (reprogrammed)" in str(program.explain())
    assert {program.graph("step").nodes[step.name]["kind"] for step in products(program)} == {"product"}
    program.to_html(tmp_path / "page.html")


def test_the_user_is_told_what_it_costs_and_may_decline() -> None:
    x = torch.zeros(2, 6, 12)
    with pytest.warns(ll.LightloomWarning, match=r"2 product\(s\) program 6 tiles anew for every sample.*host itself"):
        ll.compile(Attention().eval(), x, "mzi16", dynamic_matmul="photonic")
    plain = ll.compile(Attention().eval(), x, "mzi16")
    reasons = [op.reason for op in plain.explain().ops if "scaled_dot_product" in op.op]
    assert ["dynamic_matmul" in reason for reason in reasons] == [True]
    assert not products(plain)
    with pytest.raises(ll.CompileError, match=r"dynamic_matmul.*'host' or 'photonic'"):
        ll.compile(Attention().eval(), x, "mzi16", dynamic_matmul="chip")  # type: ignore[arg-type]
    static = ll.targets.get("mzi16").with_({"encoding.scale": "static"})
    with pytest.raises(ll.CompileError, match="no static range"):
        ll.compile(Attention().eval(), x, static, dynamic_matmul="photonic", calibration=[x])


def test_open_sizes_stay_on_the_host() -> None:
    model = Attention().eval()
    model.mask = ""
    program = ll.compile(
        model, torch.zeros(2, 6, 12), "mzi16", dynamic_matmul="photonic", dynamic_shapes={"x": {1: "t"}}
    )
    assert not products(program)
    assert any(isinstance(step, HostStep) and "scaled_dot" in step.op for step in program.body.steps)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 4), (3, 9, 17), (1, 16, 8)])
def test_tiles_made_at_run_time_hold_their_weights(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(shape, generator=generator)
    weights[0] = 0  # dark: a factorisation of nothing
    target = ll.targets.get("mzi16").with_({"mesh.ports": 8})
    spec = BankSpec("w", "clements", 8, *shape, tiles=0, dynamic=True)
    spec = BankSpec("w", "clements", 8, *shape, tiles=spec.grid_tiles, dynamic=True)
    bank = tile_weights(weights, spec, target)
    found = assembled_matrix(bank, effective_matrices(bank, target, ideal=True))
    torch.testing.assert_close(found.float(), weights, rtol=1e-5, atol=1e-6)
