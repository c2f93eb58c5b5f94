"""The simulator against an independent numpy model of the same chip: every converter code, bit for bit."""

import numpy as np
import pytest
import torch

from lightloom.runtime.bankloop import ColumnRecord, forward

from .bankloop.toy import make_bank, make_tables, make_target, vectors
from .numpy_chip import NumpyChip

SIGNS = ("differential", "differential_two_shot", "phase_sign", "offset")
SHAPES = [
    # rows, cols, ports, groups, skipped places
    (1, 1, 1, 1, ()),
    (4, 4, 4, 1, ()),
    (7, 11, 4, 1, ()),
    (5, 9, 5, 2, ((0, 0, 1),)),
    (13, 6, 9, 1, ()),
    (10, 17, 7, 3, ((0, 0, 0), (0, 1, 0), (2, 1, 2))),
]


def compare(bank, target, count: int = 6) -> None:
    """Run both models and compare every code and every output."""
    spec = bank.spec
    tables = make_tables(bank, target)
    x = vectors(count, spec.groups * spec.cols, seed=spec.rows)
    records: list[ColumnRecord] = []
    out = forward(tables, x, engine="plain", observe=records.append)
    chip = NumpyChip(
        dict(bank.columns), spec.ports, spec.groups, spec.rows, spec.cols, spec.phase_bits, spec.attenuator_bits,
        target.encoding.sign, target.encoding.scale == "static", target.encoding.dac_bits,
        target.detection.adc_bits, target.detection.kind == "intensity",
    )  # fmt: skip
    expected, seen = chip.run(x.numpy())
    adc, dac = {}, {}
    for record in records:
        for b, g in np.ndindex(record.dac_codes.shape[1:3]):
            dac[record.start + b, g, record.column] = record.dac_codes[:, b, g].numpy()
            for r in range(spec.grid_rows):
                adc[record.start + b, g, r, record.column] = record.adc_codes[:, b, g, r].numpy()
    tight = {"rtol": 0, "atol": 0} if target.encoding.dac_bits and target.detection.adc_bits else {"atol": 1e-9}
    assert len(seen.adc) == count * spec.tiles
    assert dac.keys() == seen.dac.keys()
    for place, codes in seen.dac.items():
        np.testing.assert_allclose(dac[place], codes, **tight)
    for place, codes in seen.adc.items():
        np.testing.assert_allclose(adc[place], codes, **tight)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [8, 4, None])
def test_codes_of_a_coherent_chip(shape, sign, bits):
    rows, cols, ports, groups, skip = shape
    bank = make_bank(
        rows, cols, ports=ports, groups=groups, skip=skip, phase_bits=bits, attenuator_bits=bits, seed=ports
    )
    target = make_target(ports, encoding={"sign": sign, "dac_bits": bits}, detection={"adc_bits": bits})
    compare(bank, target)


@pytest.mark.parametrize("sign", SIGNS)
def test_codes_with_static_ranges(sign):
    bank = make_bank(6, 7, ports=4, groups=2, static=True, phase_bits=6, attenuator_bits=6, skip=((1, 0, 1),))
    encoding = {"sign": sign, "scale": "static", "dac_bits": 6}
    compare(bank, make_target(4, encoding=encoding, detection={"adc_bits": 7}), count=9)


@pytest.mark.parametrize("sign", ["differential", "offset"])
@pytest.mark.parametrize("bits", [8, 5, None])
def test_codes_of_an_intensity_chip(sign, bits):
    bank = make_bank(7, 6, ports=5, groups=2, shift=True, phase_bits=bits, attenuator_bits=bits)
    detection = {"kind": "intensity", "adc_bits": bits}
    compare(bank, make_target(5, encoding={"sign": sign, "dac_bits": bits}, detection=detection))


def test_codes_of_a_mesh_with_every_phase_free():
    bank = make_bank(6, 9, ports=6, gauge=False, phase_bits=8, attenuator_bits=8)
    compare(bank, make_target(6, encoding={"dac_bits": 8}, detection={"adc_bits": 8}))


def test_one_bit_and_a_dead_port():
    bank = make_bank(5, 5, ports=5, phase_bits=1, attenuator_bits=1)
    bank.columns["adc_full_scale"][:, 2] = 0.0
    compare(bank, make_target(5, encoding={"dac_bits": 1}, detection={"adc_bits": 2}))


def test_the_comparison_sees_a_wrong_code():
    bank = make_bank(4, 4, phase_bits=8)
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8})
    broken = make_bank(4, 4, phase_bits=8, full_scale=0.41)
    tables = make_tables(bank, target)
    x = vectors(4, 4)
    wrong, _ = NumpyChip(dict(broken.columns), 4, 1, 4, 4, 8, None, dac_bits=8, adc_bits=8).run(x.numpy())
    assert not torch.allclose(forward(tables, x, engine="plain"), torch.from_numpy(wrong), atol=1e-5)
