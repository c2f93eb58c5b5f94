"""Settings that move the phases less: the same matrices, a shorter way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.compiler.programming._settling import _choose, settle
from lightloom.compiler.settling import fewer_moves
from lightloom.models import ResidualCNN
from lightloom.runtime.banks import effective_matrices, phase_words
from lightloom.runtime.meshes import mesh
from lightloom.runtime.meshes.gauge import expand, pack_signs
from lightloom.runtime.pricing.movement import chains, movement
from lightloom.runtime.slicing.cpu import transfer_matrices

TURN = 2.0**32


def random_setting(layout: object, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    theta = (rng.random((1, layout.cells)) ** 2 * 2**31).astype(np.uint32)  # type: ignore[attr-defined]
    return theta, rng.random((1, layout.cells + layout.ports)) < 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("topology", ["clements", "reck", "diamond"])
@pytest.mark.parametrize("ports", [2, 4, 8])
def test_a_settled_mesh_is_the_same_mesh(topology: str, ports: int) -> None:
    rng = np.random.default_rng(ports)
    layout = mesh(topology, ports)
    starts = np.searchsorted(layout.cell_windows, np.arange(layout.depth + 1))
    for _ in range(20):
        theta, signs = random_setting(layout, rng)
        theta[0, rng.integers(layout.cells)] = 0  # a cell without a choice
        before = rng.integers(0, 2**32, layout.phases)
        plain = expand(layout, theta, pack_signs(signs))
        wide, bits, phases = theta[0].astype(np.int64), signs[0].astype(np.int64), plain[0].astype(np.int64)
        own = (layout.cell_ports, layout.cell_lower, starts, layout.cell_index, layout.ports)
        travel = settle(*own, wide, bits, before, phases)
        chosen = expand(layout, wide[None].astype(np.uint32), pack_signs(bits[None].astype(bool)))
        np.testing.assert_array_equal(chosen[0], phases)  # what it compared is what is stored
        way = np.abs((phases - before + 2**31) % 2**32 - 2**31)
        assert travel == way.sum()
        assert travel <= np.abs((plain[0].astype(np.int64) - before + 2**31) % 2**32 - 2**31).sum()
        matrices = transfer_matrices(layout, np.concatenate([plain, chosen]) * (2 * np.pi / TURN))
        np.testing.assert_allclose(matrices[1], matrices[0], atol=1e-8)


def test_the_choice_along_a_window_is_the_best_there_is() -> None:
    """On one window of cells nothing lies ahead: every combination tried by hand."""
    layout = mesh("rectangular", 6, layers=1)
    rng = np.random.default_rng(3)
    starts = np.array([0, layout.cells])
    for _ in range(30):
        theta, signs = random_setting(layout, rng)
        before = rng.integers(0, 2**32, layout.phases)
        cells = layout.cells
        best = 0
        for k in range(cells):  # cells are independent: each at its own best, screens aside
            ways = []
            for o in (0, 1):
                angle = int(theta[0, k]) if o == 0 else 2**32 - int(theta[0, k])
                phi = ((int(signs[0, k]) ^ o) << 31) & 0xFFFFFFFF
                arcs = [(angle - int(before[k])) % 2**32, (phi - int(before[cells + k])) % 2**32]
                ways.append(sum(min(arc, 2**32 - arc) for arc in arcs))
            best += min(ways)
        wide, bits, phases = theta[0].astype(np.int64), signs[0].astype(np.int64), np.zeros(layout.phases, np.int64)
        own = (layout.cell_ports, layout.cell_lower, starts, layout.cell_index, layout.ports)
        _choose(*own, wide, bits, before, phases)
        way = np.abs((phases - before + 2**31) % 2**32 - 2**31)[: 2 * cells].sum()
        assert way == best


@pytest.fixture(scope="module")
def plain() -> ll.Program:
    torch.manual_seed(0)
    return ll.compile(ResidualCNN().eval(), torch.zeros(2, 1, 16, 16), target="mzi16")


def test_a_program_computes_the_same_and_moves_less(plain: ll.Program, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settled = ll.compile(ResidualCNN().eval(), torch.zeros(2, 1, 16, 16), target="mzi16", fewer_moves=True)
    x = torch.randn(3, 1, 16, 16)
    expected = plain.run(x, ideal=True, dtype=torch.float64)
    torch.testing.assert_close(settled.run(x, ideal=True, dtype=torch.float64), expected, rtol=0, atol=1e-8)
    for name, bank in settled.body.banks.items():
        matrices = [effective_matrices(b, plain.target, ideal=True) for b in (bank, plain.body.banks[name])]
        torch.testing.assert_close(*matrices, rtol=0, atol=1e-8)
    before, after = (movement(program.body, program.schedule) for program in (plain, settled))
    assert before.phases == after.phases > 0
    assert after.travel_rad < 0.8 * before.travel_rad
    settled.save(tmp_path / "settled.loom")
    assert torch.equal(ll.load(tmp_path / "settled.loom").run(x), settled.run(x))
    runs = [settled.run(x, executor=executor, dtype=torch.float64) for executor in ("batched", "step")]
    torch.testing.assert_close(*runs, rtol=1e-12, atol=1e-12)


def test_movement_is_counted_from_configuration_to_configuration(plain: ll.Program) -> None:
    body, schedule = plain.body, plain.schedule
    names = list(body.banks)
    way, phases = 0.0, 0
    for chain in chains(body, schedule):
        held: dict[str, np.ndarray] = {}
        for bank, tile in chain.tolist():
            for side in ("left", "right"):
                words = phase_words(body.banks[names[bank]], side, slice(tile, tile + 1))[0] * (2 * np.pi / TURN)
                if side in held:
                    way += float(np.abs(np.angle(np.exp(1j * (words - held[side])))).sum())
                    phases += len(words)
                held[side] = words
    found = movement(body, schedule)
    assert found.phases == phases
    assert found.travel_rad == pytest.approx(way, rel=1e-9)
    assert 0 < found.moved <= found.phases


def test_wide_meshes_save_a_third() -> None:
    torch.manual_seed(0)
    program = ll.compile(torch.nn.Linear(512, 128), torch.zeros(1, 512), target="mzi64")
    settled = fewer_moves(program.body)
    saved = 1 - movement(settled, program.schedule).travel_rad / movement(program.body, program.schedule).travel_rad
    assert saved >= 0.3


def test_meshes_without_a_gauge_stay_as_they_are() -> None:
    target = ll.targets.get("mzi16").with_({"mesh.topology": "clements_bell"})
    body = ll.compile(torch.nn.Linear(40, 20), torch.zeros(1, 40), target=target).body
    assert fewer_moves(body) is body
