"""The bank loop's Triton kernel against the plain reference: on a GPU where there is one, else in the interpreter.

Triton decides when it is imported whether it interprets, so this file runs itself in a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
from dataclasses import fields, replace

import pytest
import torch

from lightloom.runtime.bankloop import forward, forward_conv2d, resolve_engine, triton_loop
from lightloom.runtime.errors import InputError
from lightloom.runtime.geometry import blocks, output_shape, pad, store
from lightloom.runtime.optics.noise import counter_keys, normal_pairs
from lightloom.runtime.program import Conv2dGeometry

from .toy import make_bank, make_tables, make_target, vectors

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = importlib.util.find_spec("triton") is not None
HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU and not INTERPRETED else "cpu")

needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed (the gpu extra)")
runs = pytest.mark.skipif(not (HAS_TRITON and (INTERPRETED or HAS_GPU)), reason="runs in triton's interpreter or a GPU")

NOISE = {"noise": True, "thermal_noise_a_per_rthz": 1e-9}
SIGNS = ("differential", "phase_sign", "offset")
CASES = [
    # rows, cols, ports, groups, skipped places, sign, noise; the interpreter takes its time for every tile
    (1, 1, 1, 1, (), "differential", NOISE),
    (7, 9, 4, 2, ((0, 0, 1), (1, 1, 2)), "differential", NOISE),
    (7, 6, 4, 1, (), "phase_sign", NOISE),
    (7, 6, 4, 1, (), "offset", NOISE),
    (3, 5, 4, 1, (), "differential", {}),
    (35, 40, 34, 1, (), "phase_sign", {}),
]

if HAS_TRITON:
    import triton
    import triton.language as tl

    from lightloom.runtime.bankloop.triton_kernel import normal_pairs as kernel_normals

    @triton.jit
    def fill_normals(k0, k1, row, c, s, N: tl.constexpr):
        at = tl.arange(0, N)
        low, high = tl.load(k0 + at).to(tl.uint32), tl.load(k1 + at).to(tl.uint32)
        cosine, sine = kernel_normals(low, high, tl.load(row + at).to(tl.uint32))
        tl.store(c + at, cosine)
        tl.store(s + at, sine)


@needs_triton
@pytest.mark.skipif(INTERPRETED or HAS_GPU, reason="is the interpreter's process, or has a GPU")
def test_in_the_interpreter():
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def moved(tables):
    """The same tables on the device of the tests."""
    tensors = {one.name: getattr(tables, one.name) for one in fields(tables)}
    changed = {name: value.to(DEVICE) for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    return replace(tables, **changed, packed={})


def both(tables, x, **options):
    plain = forward(tables, x, engine="plain", seed=3, stream=1, **options)
    return plain, forward(moved(tables), x.to(DEVICE), engine="triton", seed=3, stream=1, **options).cpu()


@runs
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[:4]}-{case[5]}")
def test_float64_is_equal_bit_for_bit(case):
    rows, cols, ports, groups, skip, sign, noise = case
    bank = make_bank(rows, cols, ports=ports, groups=groups, skip=skip, phase_bits=8, attenuator_bits=8)
    target = make_target(ports, encoding={"sign": sign, "dac_bits": 8}, detection={"adc_bits": 8} | noise)
    plain, ours = both(make_tables(bank, target), vectors(29, groups * cols))
    assert torch.equal(plain, ours)


@runs
@pytest.mark.parametrize(("sign", "bits"), [("differential", 8), ("phase_sign", 24)])
def test_float32_differs_at_the_edges_of_codes_only(sign, bits):
    bank = make_bank(12, 24, ports=12, phase_bits=8)
    target = make_target(12, encoding={"sign": sign, "dac_bits": bits}, detection={"adc_bits": 8} | NOISE)
    plain, ours = both(make_tables(bank, target, torch.float32), vectors(200, 24, torch.float32))
    gap = (plain - ours).abs() / plain.abs().max()
    assert (gap > 1e-6).double().mean() < 2e-3


@runs
@pytest.mark.parametrize(
    ("sign", "dac", "adc"), [("offset", None, None), ("differential", 8, None), ("phase_sign", None, 6)]
)
def test_without_converters(sign, dac, adc):
    bank = make_bank(4, 7, ports=4)
    target = make_target(4, encoding={"sign": sign, "dac_bits": dac}, detection={"adc_bits": adc} | NOISE)
    plain, ours = both(make_tables(bank, target), vectors(20, 7))
    assert ((plain - ours).abs() <= 1e-13 * plain.abs().max()).double().mean() > (0.99 if adc else 0.999999)


@runs
@pytest.mark.parametrize("sign", SIGNS)
def test_static_scales_clip(sign):
    bank = make_bank(4, 7, ports=4, static=True)
    target = make_target(
        4, encoding={"sign": sign, "scale": "static", "dac_bits": 7}, detection={"adc_bits": 8} | NOISE
    )
    plain, ours = both(make_tables(bank, target), vectors(20, 7))
    assert torch.equal(plain, ours)


@runs
@pytest.mark.parametrize(("sign", "value"), [("differential", 0.0), ("offset", 0.0), ("phase_sign", 1e-320)])
def test_vectors_of_nothing(sign, value):
    bank = make_bank(4, 3, ports=4)
    target = make_target(4, encoding={"sign": sign, "dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    plain, ours = both(make_tables(bank, target), torch.full((3, 3), value, dtype=torch.float64))
    assert torch.equal(plain, ours)
    assert bool(value) or not ours.any()


@runs
def test_a_split_run_equals_a_whole_one(monkeypatch):
    monkeypatch.setattr(triton_loop, "_VECTORS", 16)
    bank = make_bank(4, 7, ports=4)
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    tables = moved(make_tables(bank, target, torch.float32))
    x = vectors(40, 7, torch.float32).to(DEVICE)
    whole = forward(tables, x, seed=5, stream=2, engine="triton")
    for k in (1, 17):
        assert torch.equal(forward(tables, x[:k], seed=5, stream=2, engine="triton"), whole[:k])
    tail = forward(tables, x[20:], seed=5, stream=2, first_vector=20, engine="triton")
    assert torch.equal(tail, whole[20:])
    assert not torch.equal(forward(tables, x[:9], seed=6, stream=2, engine="triton"), whole[:9])


@runs
def test_counters_beyond_32_bits():
    bank = make_bank(4, 9, ports=4)
    tables = make_tables(bank, make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE))
    plain, ours = both(tables, vectors(5, 9), first_vector=2**40 + 3)
    assert torch.equal(plain, ours)


@runs
def test_a_convolution_equals_its_patches():
    geometry = Conv2dGeometry(4, (3, 2), (2, 3), (0, 1, 2, 3), (2, 1), 2)
    cols = 4 // geometry.groups * geometry.kernel[0] * geometry.kernel[1]
    target = make_target(8, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    tables = make_tables(make_bank(5, cols, ports=8, groups=geometry.groups), target)
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    expected = x.new_empty(output_shape(tuple(x.shape), geometry, 5 * geometry.groups))
    for block in blocks(x, geometry, 1 << 20):
        values = forward(tables, block.vectors, seed=4, stream=6, first_vector=block.start, engine="plain")
        store(expected, block.start, values, geometry)
    images = pad(x, geometry).to(DEVICE)
    found = forward_conv2d(moved(tables), images, geometry, seed=4, stream=6, engine="triton")
    assert torch.equal(found.cpu(), expected)


@runs
def test_planes_and_nothing():
    tables = make_tables(make_bank(7, 10, ports=4), make_target(4, encoding={"dac_bits": 8}))
    x = vectors(24, 10).reshape(2, 12, 10).transpose(1, 2).contiguous()
    plain, ours = both(tables, x)
    assert torch.equal(plain, ours)
    for shape in ((0, 10), (0, 10, 4), (2, 10, 0)):
        plain, ours = both(tables, torch.zeros(shape, dtype=torch.float64))
        assert ours.shape == plain.shape


@runs
def test_the_same_bits_of_noise():
    k0, k1 = counter_keys(12345, torch.arange(1 << 12))
    rows = torch.arange(1 << 12) % 77
    c, s = torch.empty(2, 1 << 12, device=DEVICE)
    inputs = (part.to(DEVICE) for part in (k0, k1, rows))
    fill_normals[(1,)](*inputs, c, s, N=1 << 12, enable_fp_fusion=False)
    expected = normal_pairs(k0, k1, rows)
    assert torch.equal(c.cpu(), expected[0])
    assert torch.equal(s.cpu(), expected[1])


@pytest.mark.skipif(INTERPRETED, reason="the interpreter takes tensors of the CPU")
@pytest.mark.parametrize("installed", [False, pytest.param(True, marks=needs_triton)])
def test_asked_for_and_not_there(installed, monkeypatch):
    if not installed:
        monkeypatch.setattr(triton_loop, "_kernel", lambda: None)
    tables = make_tables(make_bank(4, 4), make_target(4))
    with pytest.raises(InputError, match="CUDA GPU" if installed else r"\[gpu\]"):
        forward(tables, vectors(2, 4), engine="triton")


@runs
def test_what_it_cannot_do():
    bank = make_bank(4, 4, shift=True)
    with pytest.raises(InputError, match="coherent detection only"):
        resolve_engine(moved(make_tables(bank, make_target(4, detection={"kind": "intensity"}))), "triton")
    with pytest.raises(InputError, match="does not record"):
        resolve_engine(moved(make_tables(bank, make_target(4))), "triton", print)


def test_auto_on_a_gpu(monkeypatch):
    # the choice, without a GPU: tables on a device that only the kernel for GPUs takes
    tables = make_tables(make_bank(4, 4), make_target(4))
    on_meta = type(tables)(
        **{name: getattr(tables, name) for name in ("spec", "chip", "matrices", "grid", "adc_full_scale")},
        scale=tables.scale.to("meta"),
        **dict.fromkeys(("input_full_scale", "constant", "shift", "ports")),
    )
    module = sys.modules[forward.__module__]
    monkeypatch.setattr(module, "why_not", lambda device: "")
    assert resolve_engine(on_meta) == "triton"
    assert resolve_engine(tables) == "fused"
    monkeypatch.setattr(module, "why_not", lambda device: "no GPU")
    assert resolve_engine(on_meta) == "plain"


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("real", ["fp32", "fp64"])
def test_compiles_for_a_gpu_that_is_not_there(real):
    from triton import compile as build
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lightloom.runtime.bankloop.triton_kernel import run

    switches = {"SIGN": 0, "STATIC": False, "DAC": True, "ADC": True, "NOISY": True}
    constants = {"N": 64, "V": 16, "R": 32, "K": 16, **switches}
    reals = {"x", "out", "matrices", "steps", "gains", "constants", "ranges", "numbers"}
    longs = {"layout_in", "elements_in", "layout_out", "elements_out", "grid"}
    signature = {
        name: "constexpr" if name in constants else f"*{real}" if name in reals else "*i64" if name in longs else "i32"
        for name in run.arg_names
    }
    places = {(run.arg_names.index(name),): value for name, value in constants.items()}
    options = {"num_warps": 8, "enable_fp_fusion": False}
    made = build(ASTSource(run, signature, places), target=GPUTarget("cuda", 90, 32), options=options)
    assert made.asm["cubin"]
    # one step of the product for both rails: nothing of the noise or the converters may have become part of a sum
    fused = 2 * 16 * 32 * 16 // 256 if real == "fp32" else 0
    assert made.asm["ptx"].count("fma.rn.f32") == fused
