"""The CPU kernel against the torch reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import Mesh, mesh
from lightloom.runtime.slicing.cpu import tile_matrices, transfer_matrices
from lightloom.runtime.slicing.reference import transfer_matrix


def draw(layout, tiles, seed):
    random = np.random.default_rng(seed)
    phases = random.uniform(-10, 10, (tiles, layout.phases))
    return phases, random.normal(0, 0.1, (tiles, layout.cells, 2)), random.random((tiles, layout.ports))


def expected_matrices(layout, phases, errors=None):
    errors = None if errors is None else torch.from_numpy(errors)
    return transfer_matrix(layout, torch.from_numpy(phases), errors).numpy()


@st.composite
def meshes(draw):
    """Any mesh of windows and cells, most of them no known topology."""
    ports = draw(st.integers(1, 9))
    windows = []
    for _ in range(draw(st.integers(0, 7))):
        uppers, port = [], 0
        while port < ports - 1:
            active = draw(st.booleans())
            uppers += [port] * active
            port += 1 + active
        windows.append(tuple(uppers))
    return Mesh("custom", ports, tuple(windows))


@settings(max_examples=40, deadline=None)
@given(layout=meshes(), tiles=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_equals_the_reference_on_any_mesh(layout, tiles, seed):
    phases, errors, _ = draw(layout, tiles, seed)
    for given_errors in (None, errors):
        got = transfer_matrices(layout, phases, given_errors)
        assert got.dtype == np.complex128
        assert np.abs(got - expected_matrices(layout, phases, given_errors)).max(initial=0) < 1e-12


@pytest.mark.parametrize("ports", [1, 2, 3, 16, 33, 64])
def test_equals_the_reference_on_clements(ports):
    layout = mesh("clements", ports)
    phases, errors, _ = draw(layout, 3, seed=ports)
    for given_errors in (None, errors):
        got = transfer_matrices(layout, phases, given_errors)
        assert np.abs(got - expected_matrices(layout, phases, given_errors)).max() < 1e-12


@pytest.mark.parametrize("ports", [1, 2, 5, 16, 33])
def test_tiles_are_the_product_of_their_parts(ports):
    layout = mesh("clements", ports)
    left, left_errors, gain = draw(layout, 4, seed=1)
    right, right_errors, _ = draw(layout, 4, seed=2)
    for errors in ((None, None), (left_errors, right_errors), (left_errors, None)):
        u = expected_matrices(layout, left, errors[0])
        vh = expected_matrices(layout, right, errors[1])
        expected = (u * gain[:, None, :]) @ vh
        assert np.abs(tile_matrices(layout, left, gain, right, *errors) - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("part", "precision", "dtype"),
    [
        ("complex", "float64", np.complex128),
        ("complex", "float32", np.complex64),
        ("real", "float64", np.float64),
        ("real", "float32", np.float32),
    ],
)
def test_forms_of_the_result(part, precision, dtype):
    layout = mesh("clements", 9)
    phases, errors, gain = draw(layout, 2, seed=3)
    whole = transfer_matrices(layout, phases, errors)
    tiles = tile_matrices(layout, phases, gain, phases, errors, errors)
    form = {"part": part, "precision": precision}
    for got, full in (
        (transfer_matrices(layout, phases, errors, **form), whole),
        (tile_matrices(layout, phases, gain, phases, errors, errors, **form), tiles),
    ):
        assert got.dtype == dtype
        assert got.shape == (2, 9, 9)
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, (full if part == "complex" else full.real).astype(dtype))


def test_a_tile_is_the_same_in_any_batch():
    layout = mesh("clements", 12)
    phases, errors, _ = draw(layout, 7, seed=4)
    whole = transfer_matrices(layout, phases, errors)
    for tile in (0, 3, 6):
        one = transfer_matrices(layout, phases[tile : tile + 1], errors[tile : tile + 1])
        np.testing.assert_array_equal(whole[tile], one[0])


def test_other_layouts_in_memory():
    layout = mesh("clements", 6)
    phases, _, _ = draw(layout, 4, seed=5)
    expected = transfer_matrices(layout, phases)
    np.testing.assert_array_equal(transfer_matrices(layout, np.asfortranarray(phases)), expected)
    np.testing.assert_array_equal(transfer_matrices(layout, phases[::2]), expected[::2])


def test_refusals():
    layout = mesh("clements", 4)
    phases, errors, gain = draw(layout, 2, seed=6)
    with pytest.raises(InputError, match=r"phases_rad.*float64 \(T, 16\)"):
        transfer_matrices(layout, phases[:, 1:])
    with pytest.raises(InputError, match=r"splitter_error_rad.*float64 \(2, 6, 2\)"):
        transfer_matrices(layout, phases, errors[:1])
    with pytest.raises(InputError, match="right_phases_rad"):
        tile_matrices(layout, phases, gain, phases[:1])
    with pytest.raises(InputError, match="attenuation"):
        tile_matrices(layout, phases, gain[:, 1:], phases)
    with pytest.raises(InputError, match="part='imag'"):
        transfer_matrices(layout, phases, part="imag")
    with pytest.raises(InputError, match="float16"):
        tile_matrices(layout, phases, gain, phases, precision="float16")
