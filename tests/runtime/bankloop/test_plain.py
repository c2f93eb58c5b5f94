"""What the arithmetic must be: linear where nothing disturbs it, noise of the right size, honest records."""

import numpy as np
import pytest
import torch

from lightloom.runtime.bankloop import BankTables, ChipArithmetic, RangeRecorder, forward
from lightloom.runtime.banks import assembled_matrix, effective_matrices
from lightloom.runtime.errors import InputError, TargetError

from .toy import make_bank, make_tables, make_target, vectors

SIGNS = ("differential", "differential_two_shot", "phase_sign", "offset")


@pytest.mark.parametrize("sign", SIGNS)
def test_without_converters_it_is_the_matrix(sign):
    bank = make_bank(9, 11, ports=4, groups=2, skip=((1, 0, 1),))
    target = make_target(4, encoding={"sign": sign})
    x = vectors(7, 22)
    matrix = assembled_matrix(bank, effective_matrices(bank, target, ideal=True))
    expected = torch.einsum("grc,vgc->vgr", matrix, x.reshape(7, 2, 11)).reshape(7, 18)
    torch.testing.assert_close(forward(make_tables(bank, target), x, engine="plain"), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sign", ["differential", "offset"])
def test_intensity_of_a_positive_matrix_is_the_matrix(sign):
    """|T u| is T u where nothing is negative; the shift that made it so is taken off."""
    bank = make_bank(9, 11, ports=4, groups=2, shift=True)
    target = make_target(4, encoding={"sign": sign}, detection={"kind": "intensity"})
    positive = effective_matrices(bank, target).abs()
    x = vectors(7, 22)
    matrix = assembled_matrix(bank, positive)
    tables = BankTables.build(bank, ChipArithmetic.of(target, 4), positive.to(torch.complex128), torch.float64)
    expected = torch.einsum("grc,vgc->vgr", matrix, x.reshape(7, 2, 11)).reshape(7, 18)
    torch.testing.assert_close(forward(tables, x, engine="plain"), expected, rtol=1e-9, atol=1e-9)


def test_padding_never_leaks():
    """Ports beyond the matrix stay dark and unread, whatever the tile would do with them."""
    small = make_bank(3, 2, ports=4)
    target = make_target(4, encoding={"sign": "offset", "dac_bits": 8}, detection={"adc_bits": 8})
    chip = ChipArithmetic.of(target, 4)
    matrices = effective_matrices(small, target)
    x = vectors(9, 2)
    expected = forward(BankTables.build(small, chip, matrices, torch.float64), x, engine="plain")
    matrices[:, :, 2:] = 0.77
    matrices[:, 3:, :] = 0.77
    assert torch.equal(forward(BankTables.build(small, chip, matrices, torch.float64), x, engine="plain"), expected)


@pytest.mark.parametrize("kind", ["coherent", "intensity"])
def test_noise_has_the_size_of_its_coefficients(kind):
    detection = {"kind": kind, "noise": True, "thermal_noise_a_per_rthz": 5e-10, "rin_db_per_hz": -110}
    bank = make_bank(4, 4, shift=True)
    target = make_target(4, detection=detection)
    noisy = ChipArithmetic.of(target, 4)
    quiet = ChipArithmetic.of(target, 4, noisy=False)
    matrices = effective_matrices(bank, target)
    x = vectors(1, 4).abs().expand(8000, 4).contiguous()
    signals = []
    for chip in (noisy, quiet):
        records = []
        forward(BankTables.build(bank, chip, matrices, torch.float64), x, engine="plain", observe=records.append)
        signals.append(torch.cat([record.signal[:, :, 0, 0] for record in records], dim=1))
    error = signals[0] - signals[1]
    c0, c1, c2 = noisy.noise
    expected = (c0 + c1 * signals[1].abs() + c2 * signals[1] ** 2).sqrt()[:, 0]
    torch.testing.assert_close(error.std(1), expected, rtol=0.05, atol=0)
    assert (error.mean(1).abs() < 4 * expected / 8000**0.5).all()
    rails = np.corrcoef(error.reshape(8, -1).numpy())
    assert np.abs(rails - np.eye(8)).max() < 0.06


def test_range_recorder_sees_the_largest_values():
    bank = make_bank(6, 9, ports=4, groups=2, skip=((0, 1, 0),))
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8})
    tables = BankTables.build(
        bank, ChipArithmetic.of(target, 4, quantized=False), effective_matrices(bank, target), torch.float64
    )
    ranges = RangeRecorder(tables)
    x = vectors(500, 18)
    forward(tables, x, engine="plain", observe=ranges)
    blocks = torch.nn.functional.pad(x.reshape(500, 2, 9), (0, 3)).reshape(500, 2, 3, 4)
    np.testing.assert_allclose(ranges.max_input, blocks.abs().amax((0, 3)).numpy())
    tile = 3
    group, row, column = (int(bank.columns[name][tile]) for name in ("group", "row", "col"))
    assert tables.grid[group, row, column] == tile
    part = blocks[:, group, column]
    scale = part.abs().amax(-1, keepdim=True)
    rails = torch.stack((part.clamp_min(0), (-part).clamp_min(0))) / torch.where(scale == 0, 1, scale)
    peaks = (rails @ effective_matrices(bank, target)[tile].T).abs().amax((0, 1))
    np.testing.assert_allclose(ranges.max_output[tile], peaks.numpy(), rtol=1e-9)


def test_records_cover_every_vector_once():
    tables = make_tables(make_bank(5, 9), make_target(4, encoding={"dac_bits": 8}))
    count = 3000
    seen = np.zeros((count, 3), int)

    def watch(record):
        seen[record.start : record.start + record.full_scale.shape[0], record.column] += 1

    forward(tables, torch.ones(count, 9, dtype=torch.float64), engine="plain", observe=watch)
    assert (seen == 1).all()


def test_intensity_detection_refuses_phase_sign():
    with pytest.raises(TargetError, match="phase-sign"):
        ChipArithmetic(sign="phase_sign", intensity=True)


def test_missing_columns_are_named():
    bank = make_bank(4, 4)
    target = make_target(4, encoding={"scale": "static"})
    with pytest.raises(TargetError, match="input_full_scale"):
        make_tables(bank, target)
    del bank.columns["adc_full_scale"]
    make_tables(bank, make_target(4))
    with pytest.raises(TargetError, match="adc_full_scale"):
        make_tables(bank, make_target(4, detection={"adc_bits": 8}))


def test_half_precision_is_refused():
    with pytest.raises(InputError, match="float32 or float64"):
        make_tables(make_bank(4, 4), make_target(4), torch.float16)
