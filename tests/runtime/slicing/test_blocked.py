"""The blocked engine against the plain torch reference, and the diamonds that it cuts meshes into."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import Mesh, mesh
from lightloom.runtime.slicing import Imperfections, block_cost, block_layers, blocked, engine, engine_for, propagate
from lightloom.runtime.slicing.block_plan import block_plan

from .test_engine import CASES, close, compare, leaf

NEIGHBOURS = ["clements", "clements_bell", "reck", "diamond", "fldzhyan", "fldzhyan_bell"]


@pytest.fixture(autouse=True)
def _fresh_sides():
    block_cost.best_side.cache_clear()
    yield
    block_cost.best_side.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("family", NEIGHBOURS)
def test_every_family_and_imperfection(family, dtype, monkeypatch):
    torch.manual_seed(0)
    for side, case in enumerate(CASES):
        monkeypatch.setattr(block_cost, "SIDES", (1 + side % 4,))
        block_cost.best_side.cache_clear()
        compare(mesh(family, 8), case, dtype, engine="blocked")


@pytest.mark.parametrize("ports", range(1, 66))
def test_sizes(ports):
    torch.manual_seed(ports)
    family = ("clements", "fldzhyan", "reck")[ports % 3]
    case = ("losses", "splitters")[ports % 2]
    compare(mesh(family, ports), case, torch.float64, tiles=1 + ports % 2, batch=2, engine="blocked")


@st.composite
def layouts(draw):
    """Meshes of random cells between neighbours, in any windows."""
    ports = draw(st.integers(1, 12))
    windows = []
    for _ in range(draw(st.integers(0, 9))):
        free, window = 0, []
        for port in range(ports - 1):
            if port >= free and draw(st.booleans()):
                window.append(port)
                free = port + 2
        windows.append(tuple(window))
    kind = draw(st.sampled_from(["mzi", "symmetric", "fldzhyan", "fldzhyan_bell"]))
    screen = tuple(p for p in range(ports) if draw(st.booleans()))
    return Mesh("random", ports, tuple(windows), None, kind, None, screen)


@settings(max_examples=40, deadline=None)
@given(layouts(), st.sampled_from(CASES), st.integers(1, 5), st.integers(0, 3), st.integers(0, 9))
def test_random_topologies(layout, case, side, tiles, batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_cost, "SIDES", (side,))
        block_cost.best_side.cache_clear()
        torch.manual_seed(side)
        compare(layout, case, torch.float64, tiles=tiles, batch=batch, engine="blocked")


@pytest.mark.parametrize("side", [1, 2, 3, 8])
@pytest.mark.parametrize("family", ["clements", "reck", "diamond"])
def test_light_meets_blocks_in_the_order_of_cells(family, side):
    layout = mesh(family, 12)
    plan = block_plan(layout, side)
    where = {}
    last = {}
    for cell in range(layout.cells):
        at = (plan.layer[cell], plan.diamond.cell_windows[plan.place[cell]])
        spot = (plan.layer[cell], plan.block[cell], plan.place[cell])
        assert spot not in where
        where[spot] = cell
        for port in (layout.cell_ports[cell], layout.cell_lower[cell]):
            assert last.get(port, (-1, 0)) < at
            last[port] = at
        # the ports that the block's own mesh gives this cell, in the layer's order of ports
        start = 2 * side * plan.block[cell] + side * (plan.layer[cell] % 2)
        assert start + plan.diamond.cell_ports[plan.place[cell]] == layout.cell_ports[cell]


@pytest.mark.parametrize(
    ("ports", "side", "layers", "blocks"), [(64, 8, 9, 4), (65, 8, 9, 5), (66, 8, 10, 5), (3, 8, 2, 1)]
)
def test_a_rectangle_in_diamonds(ports, side, layers, blocks):
    plan = block_plan(mesh("clements", ports), side)
    assert (plan.layers, plan.blocks) == (layers, blocks)


def test_matrices_of_blocks_are_unitary_and_the_same_from_plain_torch():
    torch.manual_seed(0)
    layout = mesh("clements", 9)
    plan = block_plan(layout, 2)
    angle = torch.randn(2, layout.cells, dtype=torch.float64)
    cos, sin = angle.cos() + 0j, 1j * angle.sin()
    cells = torch.stack([cos, sin, sin, cos], -1)
    made = blocked.block_matrices(plan, cells, True)
    assert made.shape == (plan.layers, 2 * plan.blocks, 4, 4)
    torch.testing.assert_close(made @ made.mH, torch.eye(4, dtype=made.dtype).expand_as(made))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocked, "_kernels", lambda device: blocked._by_torch)
        torch.testing.assert_close(made, blocked.block_matrices(plan, cells, True))


@pytest.mark.parametrize("case", ["splitters", "losses", "heavy losses"])
@pytest.mark.parametrize("batch", [0, 1, 300])
def test_chunks_of_a_batch(batch, case, monkeypatch):
    monkeypatch.setattr(block_layers, "_CACHE_BYTES", 1)
    monkeypatch.setattr(block_cost, "SIDES", (4,))
    torch.manual_seed(0)
    monkeypatch.setattr(block_layers, "_FEWEST_SAMPLES", 16)
    shares = block_layers._Shape(1, batch, 6, 4, 1).shares(torch.empty(0, dtype=torch.complex128))
    assert sum(map(len, shares)) == -(-batch // 16) or batch > 16
    covered = [sample for own in shares for part in own for sample in range(part.start, part.stop)]
    assert covered == [*range(batch)]
    compare(mesh("rectangular", 6, layers=19), case, torch.float64, tiles=1, batch=batch, engine="blocked")


def test_gradients_of_some_inputs_alone():
    torch.manual_seed(0)
    layout = mesh("clements", 9)
    for imperfections in (Imperfections(), Imperfections(None, torch.rand(layout.cells, dtype=torch.float64), 0.1)):
        for name in ("fields", "phases"):
            fields = torch.randn(7, 9, dtype=torch.complex128)
            phases = torch.randn(layout.phases, dtype=torch.float64)
            one = {"fields": fields, "phases": phases}[name].requires_grad_()
            wanted, got = (
                torch.autograd.grad(propagate(fields, phases, layout, imperfections, e).abs().sum(), one)[0]
                for e in ("torch", "blocked")
            )
            close(got, wanted, 1e-12)


def test_a_blocked_path_has_gradients():
    torch.manual_seed(0)
    layout = mesh("clements", 6)
    losses = torch.zeros(layout.cells, dtype=torch.float64)
    losses[4] = torch.inf
    phases, fields = leaf(layout.phases, dtype=torch.float64), leaf(7, 6, dtype=torch.complex128)
    wanted, got = (
        torch.autograd.grad(
            propagate(fields, phases, layout, Imperfections(None, losses, 0.0), engine).abs().sum(), [fields, phases]
        )
        for engine in ("torch", "blocked")
    )
    for ours, theirs in zip(got, wanted, strict=True):
        close(ours, theirs, 1e-10)


def test_leading_dimensions_broadcast_as_in_the_reference():
    torch.manual_seed(0)
    layout = mesh("clements", 4)
    for lead, tiles in [((), ()), ((3,), ()), ((), (2,)), ((2, 1, 4), (5, 1)), ((2, 5), (2, 1)), ((0,), ())]:
        fields, phases = leaf(*lead, 4, dtype=torch.complex128), leaf(*tiles, layout.phases, dtype=torch.float64)
        ours, theirs = (propagate(fields, phases, layout, engine=engine) for engine in ("blocked", "torch"))
        assert ours.shape == theirs.shape
        close(ours, theirs, 1e-12)


@pytest.mark.parametrize("imperfections", [Imperfections(), Imperfections(None, 0.02, 0.0)])
def test_no_fields_are_kept_on_the_way(imperfections, monkeypatch):
    # what autograd holds on to of the size of the fields: the same, whatever the depth
    monkeypatch.setattr(block_cost, "SIDES", (2,))
    sizes = []
    for layers in (4, 16):
        layout = mesh("rectangular", 8, layers=layers)
        kept = {}

        def note(tensor, kept=kept):
            if tensor.numel() >= 8 * 2000:
                kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            phases = torch.zeros(layout.phases, requires_grad=True)
            propagate(torch.ones(2000, 8, dtype=torch.complex64), phases, layout, imperfections, "blocked")
        sizes.append(sum(kept.values()))
    assert sizes[0] == sizes[1] > 0


def test_the_side_with_the_least_time():
    layout = mesh("clements", 64)
    for vectors in (1, 100, 10_000):
        costs = [block_cost.blocks_s(layout, side, vectors, 1, block_cost.GPU) for side in block_cost.SIDES]
        assert block_cost.best_side(layout, vectors, 1, "cuda") == block_cost.SIDES[int(np.argmin(costs))]


def test_auto_weighs_blocks_against_kernels(monkeypatch):
    # the choice on a GPU, without one: by the cost model alone
    monkeypatch.setattr(engine.triton_engine, "available", lambda device: True)
    small, large, far = mesh("clements", 16), mesh("clements", 512), mesh("butterfly", 512)
    there, here = (torch.empty(4096, 512, dtype=torch.complex64, device=device) for device in ("meta", "cpu"))
    assert engine_for(there, large) == "blocked"
    assert engine_for(here, large) == "cpu"
    assert engine_for(there, far) == "triton"
    assert engine_for(torch.empty(4, 16, dtype=torch.complex64, device="meta"), small) == "triton"
    assert engine_for(there) == "triton"
    on = block_cost.GPU
    side = block_cost.best_side(large, 4096, 1, "meta")
    assert block_cost.blocks_s(large, side, 4096, 1, on) < block_cost.kernels_s(large, 4096, 1, on)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mesh": mesh("butterfly", 4), "phases": torch.ones(mesh("butterfly", 4).phases)}, "neighbouring ports"),
        ({"phases": torch.ones(16, device="meta")}, "different devices"),
        ({"fields": torch.ones(4)}, "complex64, complex128"),
    ],
)
def test_complaints(change, message):
    given = {"fields": torch.ones(4, dtype=torch.complex64), "phases": torch.ones(16), "mesh": mesh("clements", 4)}
    with pytest.raises(InputError, match=message):
        blocked.propagate(**given | change, chip=Imperfections())
