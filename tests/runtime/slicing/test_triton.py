"""The triton engine against the plain torch reference: on a GPU where there is one, else in triton's interpreter.

Triton decides when it is imported whether it interprets, so this file runs itself in a process of its own.
"""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import Mesh, mesh
from lightloom.runtime.slicing import Imperfections, blocked, engine_for, propagate, triton_engine

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = importlib.util.find_spec("triton") is not None
HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU and not INTERPRETED else "cpu"

needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed (the gpu extra)")
runs = pytest.mark.skipif(not (HAS_TRITON and (INTERPRETED or HAS_GPU)), reason="runs in triton's interpreter or a GPU")

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
CASES = ["perfect", "splitters", "uniform loss", "losses", "heavy losses", "all"]
CONSTANTS = {"SUMS": True, "TAPE": False, "C": 64, "S": 4}


@needs_triton
@pytest.mark.skipif(INTERPRETED or HAS_GPU, reason="is the interpreter's process, or has a GPU")
def test_in_the_interpreter():
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def leaf(*shape, dtype, scale=1.0):
    return (scale * torch.randn(*shape, dtype=dtype, device=DEVICE)).requires_grad_()


def chip(case, layout, dtype, tiles):
    """Imperfections of a kind, and those of their tensors that require gradients."""
    errors = leaf(tiles, 1, layout.cells, layout.cell_splitters, dtype=dtype, scale=0.05)
    losses = torch.rand(tiles, 1, layout.cells, dtype=dtype, device=DEVICE).requires_grad_()
    heavy = (12 * losses.detach()).requires_grad_()
    offset = leaf(layout.phases, dtype=dtype, scale=0.1)
    one = torch.tensor(0.3, dtype=dtype, device=DEVICE, requires_grad=True)
    return {
        "perfect": (Imperfections(), []),
        "splitters": (Imperfections(errors), [errors]),
        "uniform loss": (Imperfections(errors, 0.3), [errors]),
        "losses": (Imperfections(errors, losses, one), [errors, losses, one]),
        "heavy losses": (Imperfections(errors, heavy, 0.0), [errors, heavy]),
        "all": (Imperfections(errors, losses, one, offset, 7, (0.02, 0.01)), [errors, losses, one, offset]),
    }[case]


def compare(layout, case, dtype=torch.float32, tiles=2, batch=3, engine="triton"):
    phases = leaf(tiles, 1, layout.phases, dtype=dtype, scale=3.0)
    fields = leaf(tiles, batch, layout.ports, dtype=dtype.to_complex())
    weights = torch.randn(tiles, batch, layout.ports, dtype=dtype.to_complex(), device=DEVICE)
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
    largest = max(theirs.norm().item() for theirs in wanted if theirs is not None)
    for ours, theirs in zip(got, wanted, strict=True):
        if theirs is not None and theirs.numel():
            # a single number is what is left of sums as large as the other gradients
            close(ours, theirs, TOLERANCE[dtype], largest if theirs.numel() == 1 else 0)


def close(ours, theirs, tolerance, scale=0.0):
    """Relative to the whole tensor, or to a larger scale."""
    assert (ours - theirs).norm() <= tolerance * (theirs.norm() + scale + 1e-3)


@runs
@pytest.mark.parametrize("case", CASES)
def test_every_imperfection(case):
    torch.manual_seed(0)
    compare(mesh("clements", 5), case)


@runs
@pytest.mark.parametrize("family", ["clements_bell", "reck", "diamond", "fldzhyan", "fldzhyan_bell", "butterfly"])
def test_every_family(family):
    torch.manual_seed(0)
    compare(mesh(family, 4), "losses")


@runs
@pytest.mark.parametrize("ports", range(1, 10))
def test_sizes(ports):
    torch.manual_seed(ports)
    compare(mesh("clements", ports), CASES[ports % len(CASES)], tiles=1, batch=3)


@runs
@pytest.mark.parametrize("seed", range(8))
def test_random_topologies(seed):
    torch.manual_seed(seed)
    ports, depth = 1 + seed % 9, int(torch.randint(0, 6, ()))
    windows, lowers = [], []
    for _ in range(depth):
        order = torch.randperm(ports).tolist()
        count = int(torch.randint(0, ports // 2 + 1, ()))
        pairs = sorted(tuple(sorted(order[2 * k : 2 * k + 2])) for k in range(count))
        windows.append(tuple(p for p, _ in pairs))
        lowers.append(tuple(q for _, q in pairs))
    kind = ["mzi", "symmetric", "fldzhyan", "fldzhyan_bell"][seed % 4]
    screen = tuple(port for port in range(ports) if torch.rand(()) < 0.5)
    layout = Mesh("random", ports, tuple(windows), tuple(lowers), kind, None, screen)
    compare(layout, CASES[seed % len(CASES)], tiles=1 + seed % 3, batch=int(torch.randint(0, 12, ())))


@runs
@pytest.mark.parametrize("case", ["splitters", "losses", "heavy losses"])
def test_double_precision(case):
    torch.manual_seed(0)
    compare(mesh("clements", 5), case, torch.float64)


@runs
@pytest.mark.parametrize("case", ["losses", "heavy losses"])
def test_blocks_of_samples_and_groups_of_windows(case, monkeypatch):
    # small limits: several blocks a tile, several launches a backward, the last of each not full
    for name, value in {"_BLOCK": 2, "_VECTOR": 4, "_ROOM": 1}.items():
        monkeypatch.setattr(triton_engine, name, value)
    torch.manual_seed(0)
    layout = mesh("rectangular", 6, layers=9)
    plan = triton_engine._plan(torch.empty(1, 3, 6), layout)
    assert (plan.blocks, plan.samples, plan.vector) == (2, 2, 2)
    assert triton_engine._group(layout, plan, taped=False) == 8
    compare(layout, case, tiles=1)


@runs
def test_a_blocked_path_has_gradients():
    torch.manual_seed(0)
    layout = mesh("clements", 6)
    losses = torch.zeros(layout.cells, device=DEVICE)
    losses[4] = torch.inf
    phases, fields = leaf(layout.phases, dtype=torch.float32), leaf(4, 6, dtype=torch.complex64)
    wanted, got = (
        torch.autograd.grad(
            propagate(fields, phases, layout, Imperfections(None, losses, 0.0), engine).abs().sum(), [fields, phases]
        )
        for engine in ("torch", "triton")
    )
    for ours, theirs in zip(got, wanted, strict=True):
        close(ours, theirs, 1e-5)


@runs
@pytest.mark.parametrize("case", ["splitters", "losses", "heavy losses"])
def test_blocks_from_these_kernels(case, monkeypatch):
    monkeypatch.setattr(blocked, "_kernels", lambda device: triton_engine.through_cells)
    monkeypatch.setattr(blocked, "best_side", lambda *where: 2)
    torch.manual_seed(0)
    compare(mesh("clements", 7), case, tiles=1, engine="blocked")


@runs
def test_fields_alone_and_phases_alone():
    torch.manual_seed(0)
    layout = mesh("fldzhyan", 6)
    for wanted in ("fields", "phases"):
        fields = torch.randn(4, 6, dtype=torch.complex64, device=DEVICE)
        phases = torch.randn(layout.phases, device=DEVICE)
        one = {"fields": fields, "phases": phases}[wanted].requires_grad_()
        theirs, ours = (
            torch.autograd.grad(propagate(fields, phases, layout, engine=e).abs().sum(), one)[0]
            for e in ("torch", "triton")
        )
        close(ours, theirs, 1e-5)


@runs
def test_leading_dimensions_broadcast_as_in_the_reference():
    torch.manual_seed(0)
    layout = mesh("clements", 4)
    for lead, tiles in [((), ()), ((3,), ()), ((), (2,)), ((3,), (3,)), ((2, 1, 4), (5, 1)), ((0,), ())]:
        fields, phases = leaf(*lead, 4, dtype=torch.complex64), leaf(*tiles, layout.phases, dtype=torch.float32)
        ours, theirs = (propagate(fields, phases, layout, engine=engine) for engine in ("triton", "torch"))
        assert ours.shape == theirs.shape
        close(ours, theirs, 1e-5)


@runs
def test_nothing_is_kept_per_window(monkeypatch):
    # what autograd holds on to, tables of the phases aside: the same fields, whatever the depth
    monkeypatch.setattr(triton_engine, "_PROGRAMS", 1)
    sizes = []
    for layers in (2, 6):
        layout = mesh("rectangular", 8, layers=layers)
        kept = {}

        def note(tensor, kept=kept):
            if tensor.numel() >= 8 * 100:
                kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            phases = torch.zeros(layout.phases, requires_grad=True, device=DEVICE)
            propagate(torch.ones(100, 8, dtype=torch.complex64, device=DEVICE), phases, layout, engine="triton")
        sizes.append(sum(kept.values()))
    assert sizes[0] == sizes[1] > 0


@runs
@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.complex64), (DEVICE, torch.float32)])
def test_complaints(device, dtype):
    layout = mesh("clements", 4)
    fields = torch.empty(2, 4, dtype=dtype, device=DEVICE)
    phases = torch.zeros(layout.phases, device=device)
    with pytest.raises(InputError, match="complex64, complex128" if device == DEVICE else "one CUDA GPU"):
        triton_engine.propagate(fields, phases, layout, Imperfections())


@pytest.mark.skipif(INTERPRETED, reason="the interpreter takes tensors of the CPU")
@pytest.mark.parametrize("installed", [False, pytest.param(True, marks=needs_triton)])
def test_asked_for_and_not_there(installed, monkeypatch):
    if not installed:
        monkeypatch.setattr(triton_engine, "_kernel", lambda: None)
    layout = mesh("clements", 4)
    fields = torch.ones(2, 4, dtype=torch.complex64)
    with pytest.raises(InputError, match="CUDA GPU" if installed else r"\[gpu\]"):
        propagate(fields, torch.zeros(layout.phases), layout, engine="triton")


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_compiles_for_a_gpu_that_is_not_there(name):
    from triton import compile as build
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lightloom.runtime.slicing import triton_kernel

    kernel = getattr(triton_kernel, name)
    constants = {key: value for key, value in CONSTANTS.items() if key in kernel.arg_names}
    floats, ints = {"fields", "cells", "tape", "sums"}, {"starts", "upper", "lower"}
    signature = {
        key: "constexpr" if key in constants else "*fp32" if key in floats else "*i32" if key in ints else "i32"
        for key in kernel.arg_names
    }
    places = {(kernel.arg_names.index(key),): value for key, value in constants.items()}
    options = {"num_warps": 4, "num_stages": 1}
    made = build(ASTSource(kernel, signature, places), target=GPUTarget("cuda", 90, 32), options=options)
    assert made.asm["cubin"]


def test_the_choice_can_be_asked_for():
    assert engine_for(torch.ones(4, dtype=torch.complex64)) == "cpu"
    assert engine_for(torch.ones(4)) == "torch"
    assert engine_for(torch.ones(4, dtype=torch.complex64, device="meta")) == ("triton" if INTERPRETED else "torch")


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
@needs_triton
def test_auto_takes_triton_on_a_gpu():
    assert engine_for(torch.ones(4, dtype=torch.complex64, device="cuda")) == "triton"
