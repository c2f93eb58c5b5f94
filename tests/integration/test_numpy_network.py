"""A whole compiled network against an independent numpy model of the same 8-bit chip, code for code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.executor import Runner

from ..runtime.numpy_chip import NumpyChip

EIGHT_BIT = {
    "mesh.ports": 8,
    "mesh.phase_bits": 8,
    "mesh.attenuator_bits": 8,
    "encoding.dac_bits": 8,
    "detection.adc_bits": 8,
    "detection.noise": False,
    "mesh.phase_error_rad": 0.0,
    "mesh.splitter_error_rad": 0.0,
}


def network() -> nn.Module:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 9)
    )
    return model.eval()


def numpy_bank(program: ll.Program, name: str) -> NumpyChip:
    spec = program.body.banks[name].spec
    columns = dict(program.body.banks[name].columns)
    return NumpyChip(
        columns, spec.ports, spec.groups, spec.rows, spec.cols, 8, 8, "differential", False, 8, 8, False
    )  # fmt: skip


def numpy_network(program: ll.Program, images: np.ndarray) -> tuple[np.ndarray, list[dict]]:
    """The network of :func:`network` on the numpy chip: outputs, and the ADC codes of each layer."""
    batch, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    spots = [(row, col) for row in range(0, height, 2) for col in range(0, width, 2)]
    patches = [padded[b, :, r : r + 3, c : c + 3].ravel() for b in range(batch) for r, c in spots]
    features, conv_codes = numpy_bank(program, "0").run(np.array(patches))
    constants = {name: value.double().numpy() for name, value in program.body.constants.items()}
    features = np.maximum(features + constants["0.bias"], 0)
    side = height // 2
    maps = features.reshape(batch, side, side, -1).transpose(0, 3, 1, 2)
    pooled = maps.reshape(batch, -1, side // 2, 2, side // 2, 2).max(axis=(3, 5))
    logits, fc_codes = numpy_bank(program, "4").run(pooled.reshape(batch, -1))
    return logits + constants["4.bias"], [conv_codes.adc, fc_codes.adc]


@pytest.fixture(scope="module")
def program() -> ll.Program:
    return ll.compile(network(), torch.zeros(1, 2, 8, 8), ll.targets.get("mzi16").with_(EIGHT_BIT))


def test_outputs_and_codes_equal_the_numpy_chip(program: ll.Program) -> None:
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).float()
    codes: dict[str, dict[tuple[int, ...], np.ndarray]] = {"0": {}, "4": {}}

    def watch(step, tables, record) -> None:
        del tables
        for b, g in np.ndindex(record.dac_codes.shape[1:3]):
            for r in range(program.body.banks[step.bank].spec.grid_rows):
                codes[step.bank][record.start + b, g, r, record.column] = record.adc_codes[:, b, g, r].numpy()

    runner = Runner(program.body, engine="plain")
    observed = runner.run((images.double(),), dtype=torch.float64, observe=watch)
    expected, readings = numpy_network(program, images.double().numpy())
    for bank, reading in zip(("0", "4"), readings, strict=True):
        assert codes[bank].keys() == reading.keys()
        assert len(reading) > 0
        for place, values in reading.items():
            np.testing.assert_array_equal(codes[bank][place], values, err_msg=f"bank {bank} at {place}")
    scale = np.abs(expected).max()
    for got in (observed, program.run(images.double(), dtype=torch.float64), program.run(images, dtype=torch.float64)):
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-9 * scale)
    step = program.run(images, dtype=torch.float64, executor="step")
    np.testing.assert_allclose(step.numpy(), expected, atol=1e-9 * scale)


def test_float32_differs_by_rounding_ties_only(program: ll.Program) -> None:
    images = torch.randn(16, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    expected, _ = numpy_network(program, images.double().numpy())
    got = program.run(images).double().numpy()
    scale = np.abs(expected).max()
    assert (np.abs(got - expected) <= 1e-5 * scale).mean() > 0.9
    assert np.abs(got - expected).max() < 0.05 * scale
