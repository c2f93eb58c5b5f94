"""The fused kernel against the plain reference."""

import pytest
import torch

from lightloom.runtime.bankloop import forward, forward_conv2d, resolve_engine
from lightloom.runtime.errors import InputError
from lightloom.runtime.geometry import blocks, output_shape, pad, store
from lightloom.runtime.program import Conv2dGeometry

from .toy import make_bank, make_tables, make_target, vectors

NOISE = {"noise": True, "thermal_noise_a_per_rthz": 1e-9}
SIGNS = ("differential", "phase_sign", "offset")
SHAPES = [
    # rows, cols, ports, groups, skipped places
    (1, 1, 1, 1, ()),
    (4, 4, 4, 1, ()),
    (13, 19, 6, 2, ((0, 0, 1), (1, 2, 3))),
    (3, 9, 16, 5, ()),
    (20, 7, 9, 1, ()),
]


def both(tables, x, **options):
    return (forward(tables, x, engine=engine, seed=3, stream=1, **options) for engine in ("plain", "fused"))


def fused_only(tables, x):
    return forward(tables, x, engine="fused", seed=3, stream=1)


@pytest.mark.parametrize("noise", [{}, NOISE])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("shape", SHAPES)
def test_float64_is_equal_bit_for_bit(shape, sign, noise):
    rows, cols, ports, groups, skip = shape
    bank = make_bank(rows, cols, ports=ports, groups=groups, skip=skip, phase_bits=8, attenuator_bits=8)
    target = make_target(ports, encoding={"sign": sign, "dac_bits": 8}, detection={"adc_bits": 8} | noise)
    plain, fused = both(make_tables(bank, target), vectors(101, groups * cols))
    assert torch.equal(plain, fused)


@pytest.mark.parametrize("thermal", [0.0, 1e-11, 1e-9])
@pytest.mark.parametrize("bits", [8, None])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_dark_negative_rail_is_read_like_any_other(dtype, bits, thermal):
    """Blocks without negative elements skip the product of that rail, and rows that its noise cannot reach."""
    bank = make_bank(13, 19, ports=6, groups=2, phase_bits=8)
    noise = {"noise": thermal > 0, "thermal_noise_a_per_rthz": thermal}
    target = make_target(6, encoding={"dac_bits": 8}, detection={"adc_bits": bits} | noise)
    tables = make_tables(bank, target, dtype)
    x = vectors(701, 38, dtype)
    dark = x.abs()
    plain, fused = both(tables, dark)
    gap = (plain - fused).abs() / plain.abs().max()
    if dtype == torch.float64:
        assert gap.max() <= (0 if bits else 1e-14)
    else:
        assert (gap > 1e-6).double().mean() < 2e-3
    # a vector does not notice whether those beside it light the rail
    mixed = dark.clone()
    mixed[::2] = x[::2]
    kept = x[::2].amin(1) >= 0
    assert torch.equal(fused_only(tables, mixed)[1::2], fused[1::2])
    assert torch.equal(fused_only(tables, mixed)[::2][kept], fused[::2][kept])


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("bits", [8, None])
@pytest.mark.parametrize("scale", ["per_vector", "static"])
def test_float32_differs_in_rare_last_codes_only(sign, bits, scale):
    bank = make_bank(13, 19, ports=6, groups=2, static=scale == "static", phase_bits=8)
    encoding = {"sign": sign, "dac_bits": bits, "scale": scale}
    target = make_target(6, encoding=encoding, detection={"adc_bits": bits} | NOISE)
    plain, fused = both(make_tables(bank, target, torch.float32), vectors(301, 38, torch.float32))
    gap = (plain - fused).abs() / plain.abs().max()
    assert gap.max() < (0.05 if bits else 1e-6)
    assert (gap > 1e-6).double().mean() < 2e-3


@pytest.mark.parametrize(("dac", "adc"), [(None, 8), (4, None), (1, 2), (12, 10)])
def test_each_converter_alone(dac, adc):
    bank = make_bank(7, 8, ports=5)
    target = make_target(5, encoding={"dac_bits": dac}, detection={"adc_bits": adc})
    plain, fused = both(make_tables(bank, target), vectors(40, 8))
    torch.testing.assert_close(plain, fused, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ["plain", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", SIGNS)
def test_a_split_run_equals_a_whole_one(engine, dtype, sign):
    bank = make_bank(9, 14, ports=4, groups=2, phase_bits=6)
    target = make_target(4, encoding={"sign": sign, "dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    tables = make_tables(bank, target, dtype)
    x = vectors(333, 28, dtype)
    whole = forward(tables, x, seed=5, stream=2, engine=engine)
    for k in (1, 17, 32, 333):
        assert torch.equal(forward(tables, x[:k], seed=5, stream=2, engine=engine), whole[:k])
    tail = forward(tables, x[100:], seed=5, stream=2, first_vector=100, engine=engine)
    assert torch.equal(tail, whole[100:])


@pytest.mark.parametrize("engine", ["plain", "fused"])
def test_threads_do_not_matter(engine):
    bank = make_bank(9, 14, ports=4)
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    tables = make_tables(bank, target, torch.float32)
    x = vectors(2000, 14, torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(forward(tables, x, engine=engine))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("engine", ["plain", "fused"])
def test_seed_and_stream_make_the_noise(engine):
    bank = make_bank(5, 5, ports=5)
    tables = make_tables(bank, make_target(5, detection=NOISE))
    x = vectors(20, 5)
    runs = [forward(tables, x, seed=s, stream=t, engine=engine) for s, t in ((0, 0), (1, 0), (0, 1))]
    assert torch.equal(runs[0], forward(tables, x, engine=engine))
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert not torch.isclose(runs[one][2:], runs[two][2:], rtol=1e-9).any()


@pytest.mark.parametrize("engine", ["plain", "fused"])
@pytest.mark.parametrize("layout", ["planes", "strided"])
def test_every_layout_gives_the_same(engine, layout):
    bank = make_bank(6, 7, ports=4, groups=2)
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    tables = make_tables(bank, target)
    x = vectors(60, 14)
    expected = forward(tables, x, engine=engine)
    if layout == "planes":
        planes = x.reshape(3, 20, 14).transpose(1, 2).contiguous()
        out = forward(tables, planes, engine=engine)
        assert out.shape == (3, 12, 20)
        out = out.transpose(1, 2).reshape(60, 12)
    else:
        out = forward(tables, x.t().contiguous().t(), engine=engine)
    assert torch.equal(out, expected)


@pytest.mark.parametrize(
    "geometry",
    [
        Conv2dGeometry(4, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
        Conv2dGeometry(4, (3, 2), (2, 3), (0, 1, 2, 3), (2, 1), 2),
        Conv2dGeometry(4, (1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 4),
    ],
)
def test_a_convolution_equals_its_patches(geometry):
    cols = 4 // geometry.groups * geometry.kernel[0] * geometry.kernel[1]
    target = make_target(8, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    tables = make_tables(make_bank(5, cols, ports=8, groups=geometry.groups), target)
    x = torch.randn(3, 4, 9, 11, dtype=torch.float64)
    shape = output_shape(tuple(x.shape), geometry, 5 * geometry.groups)
    expected = x.new_empty(shape)
    for block in blocks(x, geometry, 1 << 20):
        values = forward(tables, block.vectors, seed=4, stream=6, first_vector=block.start, engine="plain")
        store(expected, block.start, values, geometry)
    found = forward_conv2d(tables, pad(x, geometry), geometry, seed=4, stream=6)
    assert torch.equal(found, expected)
    assert forward_conv2d(tables, pad(x[:0], geometry), geometry).shape == (0, *shape[1:])


def test_a_convolution_needs_the_fused_engine_and_fitting_images():
    geometry = Conv2dGeometry(1, (2, 2), (1, 1), (0, 0, 0, 0), (1, 1), 1)
    tables = make_tables(make_bank(4, 4), make_target(4))
    with pytest.raises(InputError, match=r"geometry\.blocks"):
        forward_conv2d(tables, torch.zeros(1, 1, 4, 4, dtype=torch.float64), geometry, engine="plain")
    with pytest.raises(InputError, match="do not fit"):
        forward_conv2d(tables, torch.zeros(1, 2, 4, 4, dtype=torch.float64), geometry)


@pytest.mark.parametrize("engine", ["plain", "fused"])
@pytest.mark.parametrize("shape", [(0, 10), (0, 10, 4), (2, 10, 0)])
def test_empty_batch(engine, shape):
    tables = make_tables(make_bank(7, 10), make_target(4, encoding={"dac_bits": 8}))
    out = forward(tables, torch.zeros(shape, dtype=torch.float64), engine=engine)
    assert out.shape == (shape[0], 7, *shape[2:])


@pytest.mark.parametrize("engine", ["plain", "fused"])
def test_a_bank_without_tiles_is_silent(engine):
    bank = make_bank(3, 3, skip=((0, 0, 0),))
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    assert not forward(make_tables(bank, target), vectors(5, 3), engine=engine).any()


@pytest.mark.parametrize("engine", ["plain", "fused"])
@pytest.mark.parametrize("sign", SIGNS)
def test_zero_vectors_give_zero_even_with_noise(engine, sign):
    bank = make_bank(6, 9, ports=4)
    target = make_target(4, encoding={"sign": sign, "dac_bits": 8}, detection={"adc_bits": 8} | NOISE)
    assert not forward(make_tables(bank, target), torch.zeros(4, 9, dtype=torch.float64), engine=engine).any()


def test_auto_takes_fused_where_it_can():
    bank = make_bank(4, 4, shift=True)
    coherent = make_tables(bank, make_target(4))
    assert resolve_engine(coherent) == "fused"
    assert resolve_engine(coherent, "plain") == "plain"
    assert resolve_engine(coherent, "auto", print) == "plain"
    assert resolve_engine(make_tables(bank, make_target(4, detection={"kind": "intensity"}))) == "plain"


def test_fused_refuses_what_it_cannot_do():
    bank = make_bank(4, 4, shift=True)
    tables = make_tables(bank, make_target(4, detection={"kind": "intensity"}))
    with pytest.raises(InputError, match="coherent detection only"):
        forward(tables, vectors(2, 4), engine="fused")
    with pytest.raises(InputError, match="does not record"):
        forward(make_tables(bank, make_target(4)), vectors(2, 4), engine="fused", observe=print)


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (torch.zeros(2, 5, dtype=torch.float64), r"shape \(2, 5\)"),
        (torch.zeros(4, dtype=torch.float64), "do not fit"),
        (torch.zeros(2, 4), "float32"),
    ],
)
def test_wrong_vectors(x, what):
    with pytest.raises(InputError, match=what):
        forward(make_tables(make_bank(4, 4), make_target(4)), x)


def test_unknown_engine():
    with pytest.raises(InputError, match="allowed: auto, fused, plain"):
        forward(make_tables(make_bank(4, 4), make_target(4)), vectors(1, 4), engine="fast")
