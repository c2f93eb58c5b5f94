"""The cpu engine against the plain torch reference: fields and every gradient, any topology and imperfection."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import Mesh, mesh
from lightloom.runtime.slicing import Imperfections, propagate, transfer_matrix

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
FAMILIES = ["clements", "clements_bell", "reck", "diamond", "fldzhyan", "fldzhyan_bell", "butterfly"]
CASES = ["perfect", "splitters", "uniform loss", "learned loss", "losses", "heavy losses", "phases"]


def leaf(*shape, dtype, scale=1.0):
    return (scale * torch.randn(*shape, dtype=dtype)).requires_grad_()


def chip(case, layout, dtype, tiles):
    """Imperfections of a kind, and those of their tensors that require gradients."""
    errors = leaf(tiles, 1, layout.cells, layout.cell_splitters, dtype=dtype, scale=0.05)
    losses = torch.rand(tiles, 1, layout.cells, dtype=dtype).requires_grad_()
    heavy = (8 * losses.detach()).requires_grad_()
    share = torch.tensor([0.02, 0.01], dtype=dtype, requires_grad=True)
    offset = leaf(layout.phases, dtype=dtype, scale=0.1)
    one = torch.tensor(0.3, dtype=dtype, requires_grad=True)
    return {
        "perfect": (Imperfections(), []),
        "splitters": (Imperfections(errors), [errors]),
        "uniform loss": (Imperfections(errors, 0.3), [errors]),
        "learned loss": (Imperfections(cell_loss_db=one), [one]),
        "losses": (Imperfections(errors, losses, one), [errors, losses, one]),
        "heavy losses": (Imperfections(errors, heavy, 0.0), [errors, heavy]),
        "phases": (Imperfections(None, 0.0, None, offset, 7, share), [offset, share]),
    }[case]


def compare(layout, case, dtype, tiles=2, batch=5, engine="cpu"):
    phases = leaf(tiles, 1, layout.phases, dtype=dtype, scale=3.0)
    fields = leaf(tiles, batch, layout.ports, dtype=dtype.to_complex())
    weights = torch.randn(tiles, batch, layout.ports, dtype=dtype.to_complex())
    imperfections, leaves = chip(case, layout, dtype, tiles)
    results = []
    for name in ("torch", engine):
        out = propagate(fields, phases, layout, imperfections, name)
        loss = (weights.real * out.abs() ** 2).sum() + (weights * out).real.sum()
        results.append((out, torch.autograd.grad(loss, [fields, phases, *leaves], allow_unused=True)))
    (expected, wanted), (out, got) = results
    assert out.dtype == expected.dtype
    assert out.shape == expected.shape
    close(out, expected, TOLERANCE[dtype])
    for ours, theirs in zip(got, wanted, strict=True):
        if theirs is not None and theirs.numel():
            close(ours, theirs, TOLERANCE[dtype])


def close(ours, theirs, tolerance):
    """Relative to the whole tensor; a number that is a sum of cancelling parts to ten times that."""
    tolerance *= 10 if theirs.numel() == 1 else 1
    assert (ours - theirs).norm() <= tolerance * (theirs.norm() + 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_imperfection(family, dtype):
    torch.manual_seed(0)
    layout = mesh(family, 8)
    for case in CASES:
        compare(layout, case, dtype)


@pytest.mark.parametrize("ports", [1, 2, 3, 17, 64, 65])
def test_sizes(ports):
    torch.manual_seed(ports)
    for family in ("clements", "fldzhyan", "reck"):
        for case in ("splitters", "losses"):
            compare(mesh(family, ports), case, torch.float64, tiles=1, batch=3)


@st.composite
def layouts(draw):
    """Meshes of random cells, not only between neighbours."""
    ports = draw(st.integers(1, 9))
    windows, lowers = [], []
    for _ in range(draw(st.integers(0, 6))):
        order = draw(st.permutations(range(ports)))
        pairs = sorted(tuple(sorted(order[2 * k : 2 * k + 2])) for k in range(draw(st.integers(0, ports // 2))))
        windows.append(tuple(p for p, _ in pairs))
        lowers.append(tuple(q for _, q in pairs))
    cells = sum(map(len, windows))
    kind = draw(st.sampled_from(["mzi", "symmetric", "fldzhyan", "fldzhyan_bell"]))
    phi = tuple(k for k in range(cells) if draw(st.booleans()))
    screen = tuple(p for p in range(ports) if draw(st.booleans()))
    return Mesh("random", ports, tuple(windows), tuple(lowers), kind, phi, screen)


@settings(max_examples=30, deadline=None)
@given(layouts(), st.sampled_from(CASES), st.integers(0, 1000), st.integers(0, 40))
def test_random_topologies(layout, case, seed, batch):
    torch.manual_seed(seed)
    compare(layout, case, torch.float64, tiles=2, batch=batch)


def test_cells_at_their_corners():
    # bar and cross states with splitter errors that keep or destroy them: no division by nothing
    layout = mesh("clements", 6)
    for theta in (0.0, np.pi):
        phases = torch.zeros(layout.phases, dtype=torch.float64)
        phases[: layout.cells] = theta
        for error in (0.0, np.pi / 4, -np.pi / 4):
            errors = torch.full((layout.cells, 2), error, dtype=torch.float64)
            fields = torch.eye(6, dtype=torch.complex128)
            out = propagate(fields, phases, layout, Imperfections(errors), "cpu")
            close(out, propagate(fields, phases, layout, Imperfections(errors), "torch"), 1e-12)


def test_a_blocked_path_has_gradients():
    # a cell that lets nothing through has no inverse: fields come from checkpoints
    torch.manual_seed(0)
    layout = mesh("clements", 6)
    losses = torch.zeros(layout.cells, dtype=torch.float64)
    losses[4] = torch.inf
    phases = leaf(layout.phases, dtype=torch.float64)
    fields = leaf(7, 6, dtype=torch.complex128)
    wanted, got = (
        torch.autograd.grad(
            propagate(fields, phases, layout, Imperfections(None, losses, 0.0), engine).abs().sum(), [fields, phases]
        )
        for engine in ("torch", "cpu")
    )
    for ours, theirs in zip(got, wanted, strict=True):
        close(ours, theirs, 1e-10)


@pytest.mark.parametrize("batch", [0, 1, 16, 700])
def test_batches_of_any_size(batch):
    torch.manual_seed(0)
    compare(mesh("clements", 5), "splitters", torch.float64, tiles=1, batch=batch)


def test_no_tiles():
    layout = mesh("clements", 4)
    out = propagate(torch.ones(0, 3, 4, dtype=torch.complex64), torch.ones(0, 1, layout.phases), layout, engine="cpu")
    assert out.shape == (0, 3, 4)


def test_leading_dimensions_broadcast_as_in_the_reference():
    torch.manual_seed(0)
    layout = mesh("clements", 4)
    shapes = [((), ()), ((3,), ()), ((), (2,)), ((3,), (3,)), ((2, 1, 4), (5, 1)), ((5,), (2, 1)), ((2, 5), (2, 1))]
    for lead, tiles in shapes:
        fields = leaf(*lead, 4, dtype=torch.complex128)
        phases = leaf(*tiles, layout.phases, dtype=torch.float64)
        both = [propagate(fields, phases, layout, engine=engine) for engine in ("cpu", "torch")]
        assert both[0].shape == both[1].shape
        close(*both, 1e-12)
        grads = [torch.autograd.grad(out.real.sum() + out.imag.sum(), [fields, phases]) for out in both]
        for ours, theirs in zip(*grads, strict=True):
            close(ours, theirs, 1e-10)


def test_gradients_of_fields_alone():
    torch.manual_seed(0)
    layout = mesh("fldzhyan", 6)
    phases = torch.randn(layout.phases, dtype=torch.float64)
    for imperfections in (Imperfections(), Imperfections(None, torch.rand(layout.cells, dtype=torch.float64), 0.1)):
        fields = leaf(9, 6, dtype=torch.complex128)
        wanted, got = (
            torch.autograd.grad(propagate(fields, phases, layout, imperfections, e).abs().sum(), fields)[0]
            for e in ("torch", "cpu")
        )
        close(got, wanted, 1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_every_time(threads):
    torch.manual_seed(0)
    before = torch.get_num_threads()
    layout = mesh("clements", 12)
    fields, phases = torch.randn(130, 12, dtype=torch.complex64), leaf(layout.phases, dtype=torch.float32)
    try:
        torch.set_num_threads(threads)
        runs = [
            torch.autograd.grad(propagate(fields, phases, layout, engine="cpu").abs().sum(), phases)[0]
            for _ in range(4)
        ]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(run, runs[0]) for run in runs)


def test_callers_may_be_threads():
    layout = mesh("clements", 9)
    phases = torch.randn(layout.phases)
    fields = torch.randn(64, 9, dtype=torch.complex64)
    expected = propagate(fields, phases, layout, engine="cpu")
    results = [None] * 4

    def work(place):
        results[place] = propagate(fields, phases, layout, engine="cpu")

    callers = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(torch.equal(result, expected) for result in results)


def test_nothing_is_kept_per_window():
    # what autograd holds on to: the outgoing fields and the phases, whatever the depth
    sizes = []
    for layers in (4, 64):
        layout = mesh("rectangular", 16, layers=layers)
        kept = {}

        def note(tensor, kept=kept):
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            phases = torch.zeros(layout.phases, requires_grad=True)
            propagate(torch.ones(1000, 16, dtype=torch.complex64), phases, layout, engine="cpu")
        sizes.append(sum(kept.values()) - 4 * layout.phases)
    assert sizes[0] == sizes[1]


def test_auto_is_the_kernels_on_the_cpu():
    layout = mesh("clements", 4)
    fields, phases = torch.ones(2, 4, dtype=torch.complex64), torch.ones(layout.phases)
    assert torch.equal(propagate(fields, phases, layout), propagate(fields, phases, layout, engine="cpu"))


def test_equals_the_transfer_matrix():
    layout = mesh("clements", 5)
    phases = torch.rand(layout.phases, dtype=torch.float64)
    out = propagate(torch.eye(5, dtype=torch.complex128), phases, layout)
    torch.testing.assert_close(out.T, transfer_matrix(layout, phases))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "gpu"}, "auto, cpu, torch"),
        ({"phases": torch.ones(3)}, r"\(\.\.\., 16\)"),
        ({"phases": torch.full((16,), torch.nan)}, "NaN"),
        ({"phases": torch.full((16,), torch.inf)}, "finite"),
        ({"fields": torch.ones(4)}, "complex"),
        ({"fields": torch.ones(5, dtype=torch.complex64)}, r"\(\.\.\., 4\)"),
        ({"imperfections": Imperfections(torch.zeros(2, 2))}, r"\(\.\.\., 6, 2\)"),
        ({"imperfections": Imperfections(None, torch.zeros(6))}, "bypass_loss_db"),
    ],
)
def test_complaints(change, message):
    given = {
        "fields": torch.ones(4, dtype=torch.complex64),
        "phases": torch.ones(16),
        "mesh": mesh("clements", 4),
        **change,
    }
    with pytest.raises(InputError, match=message):
        propagate(**given)


@pytest.mark.parametrize("bits", [0, 25, True, 2.5])
def test_phase_bits_have_bounds(bits):
    with pytest.raises(InputError, match="1 to 24"):
        Imperfections(phase_bits=bits)


def test_quantized_phases_are_the_chips():
    # the same codes as the fixed-point arithmetic of programs
    from lightloom.runtime.fixedpoint import phase_codes, realised_phase_rad, turns32

    layout = mesh("clements", 4)
    phases = torch.rand(layout.phases, dtype=torch.float64) * 6.28
    got = Imperfections(phase_bits=5).realised_phases(layout, phases).numpy() % (2 * np.pi)
    np.testing.assert_allclose(got, realised_phase_rad(phase_codes(turns32(phases.numpy()), 5), 5), atol=1e-12)


def test_crosstalk_stays_in_the_column():
    # three ports: cells 0 and 2 on (0, 1), cell 1 on (1, 2), every window its own column; the screen is one column
    layout = mesh("clements", 3)
    phases = torch.zeros(layout.phases)
    phases[0], phases[-1] = 1.0, 2.0
    got = Imperfections(crosstalk=(0.5, 0.25)).realised_phases(layout, phases)
    expected = phases.clone()
    expected[-2], expected[-3] = 1.0, 0.5
    assert torch.equal(got, expected)
    wide = mesh("clements", 4)
    phases = torch.zeros(wide.phases)
    phases[0] = 1.0
    got = Imperfections(crosstalk=(0.5,)).realised_phases(wide, phases)
    assert got[:3].tolist() == [1.0, 0.5, 0.0]
