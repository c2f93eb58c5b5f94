"""A network compiled for chips of other meshes: ideal light computes what eager PyTorch computes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.models import MLP
from lightloom.runtime import targets
from lightloom.runtime.banks import effective_matrices
from lightloom.runtime.errors import CompileError, TargetError
from lightloom.runtime.meshes import UNIVERSAL, mesh

IMPERFECT = {"mesh.splitter_error_rad": 0.01, "mesh.phase_error_rad": 0.01, "mesh.cell_loss_db": 0.05}


def chip(topology: str, ports: int, **changes: object) -> ll.Target:
    return targets.get("mzi16").with_({"mesh.topology": topology, "mesh.ports": ports} | changes)


@pytest.mark.parametrize("topology", [*sorted(UNIVERSAL), "diamond"])
@pytest.mark.parametrize("ports", [7, 16])
def test_ideal_equals_eager(topology: str, ports: int) -> None:
    torch.manual_seed(0)
    model = MLP().eval()
    program = ll.compile(model, torch.zeros(1, 1, 8, 8), target=chip(topology, ports))
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        wanted = model(x)
    for executor in ("batched", "step"):
        got = program.run(x, ideal=True, executor=executor)
        assert float((got - wanted).abs().max() / wanted.abs().max()) <= 1e-5


@pytest.mark.parametrize("topology", ["reck", "clements_bell", "diamond"])
def test_both_executors_agree_with_every_imperfection(topology: str) -> None:
    torch.manual_seed(0)
    program = ll.compile(MLP().eval(), torch.zeros(1, 1, 8, 8), target=chip(topology, 8, **IMPERFECT))
    x = torch.randn(2, 1, 8, 8)
    runs = [program.run(x, seed=3, executor=executor, dtype=torch.float64) for executor in ("batched", "step")]
    torch.testing.assert_close(*runs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("topology", ["reck", "clements_bell", "diamond"])
def test_programs_survive_a_file(topology: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    program = ll.compile(MLP().eval(), torch.zeros(1, 1, 8, 8), target=chip(topology, 8))
    program.save(tmp_path / "net.loom")
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(ll.load(tmp_path / "net.loom").run(x), program.run(x), atol=0, rtol=0)
    columns = next(iter(program.body.banks.values())).columns
    # symmetric cells have no real gauge: every phase is stored
    assert ("left.phases" in columns) == (topology == "clements_bell")
    assert ("left.theta" in columns) == (topology != "clements_bell")


SEARCHED = {"fldzhyan": 20, "fldzhyan_bell": 20}
NOT_UNIVERSAL = ("butterfly", "rectangular")


def small(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(11, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3)).eval()


@pytest.mark.parametrize(("topology", "layers"), SEARCHED.items())
def test_families_without_a_rule_are_searched(topology: str, layers: int, tmp_path: Path) -> None:
    model, x = small(), torch.randn(4, 11)
    target = chip(topology, 8, **{"mesh.layers": layers})
    program = ll.compile(model, x, target=target)
    with torch.no_grad():
        wanted = model(x)
    for executor in ("batched", "step"):
        assert float((program.run(x, ideal=True, executor=executor) - wanted).abs().max()) <= 1e-6
    program.save(tmp_path / "net.loom")
    loaded = ll.load(tmp_path / "net.loom")
    assert torch.equal(loaded.run(x), program.run(x))
    assert next(iter(loaded.body.banks.values())).spec.layers == layers
    assert f"layers={layers}" in program.dump("tile")


@pytest.mark.parametrize("topology", NOT_UNIVERSAL)
def test_families_that_cannot_hold_a_tile_say_how_close_they_come(topology: str) -> None:
    x = torch.randn(4, 11)
    with pytest.raises(CompileError, match=r"(?s)do not hold the tiles.*fidelity 0\.\d+.*mesh_tolerance="):
        ll.compile(small(), x, target=chip(topology, 4))
    with pytest.warns(ll.LightloomWarning, match="fidelity"):
        program = ll.compile(small(), x, target=chip(topology, 4), mesh_tolerance=None)
    runs = [program.run(x, seed=1, executor=executor, dtype=torch.float64) for executor in ("batched", "step")]
    torch.testing.assert_close(*runs, atol=1e-12, rtol=1e-12)
    # the ADC ranges follow what the meshes hold, not what they were asked to hold
    for bank in program.body.banks.values():
        held = effective_matrices(bank, program.target, ideal=True).numpy()
        bound = np.maximum(np.clip(held, 0, None).sum(2), np.clip(-held, 0, None).sum(2))
        np.testing.assert_allclose(bank.columns["adc_full_scale"], bound, rtol=1e-5, atol=1e-6)


def test_layers_are_checked_with_the_target() -> None:
    with pytest.raises(TargetError, match=r"does not know this option.*layers"):
        chip("clements", 8, **{"mesh.layers": 3})
    with pytest.raises(TargetError, match="power of two"):
        chip("butterfly", 6)


def test_a_diamond_takes_more_waveguides_than_ports() -> None:
    model, x = small(), torch.randn(4, 11)
    program = ll.compile(model, x, target=chip("diamond", 5, **IMPERFECT))
    (bank, _) = program.body.banks.values()
    assert bank.columns["left.theta"].shape[1] == mesh("diamond", 8).cells
    assert bank.columns["attenuation"].shape[1] == 5


def test_unknown_families_are_refused_by_the_target() -> None:
    with pytest.raises(TargetError, match="unknown mesh topology"):
        chip("torus", 8)


def test_splitter_errors_of_symmetric_cells_reach_the_matrices() -> None:
    torch.manual_seed(0)
    target = chip("clements_bell", 8, **{"mesh.splitter_error_rad": 0.02})
    program = ll.compile(torch.nn.Linear(8, 8, bias=False), torch.zeros(1, 8), target=target)
    (bank,) = program.body.banks.values()
    exact = effective_matrices(bank, target, ideal=True)
    real = effective_matrices(bank, target)
    off = float((exact - real).abs().max())
    assert 1e-3 < off < 0.2
    assert np.asarray(bank.columns["left.phases"]).shape == (1, mesh("clements_bell", 8).phases)
