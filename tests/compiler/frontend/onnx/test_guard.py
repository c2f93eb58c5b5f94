"""Small files that ask for terabytes; values of every type on their way in and out; transforms and random numbers."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, TypeProto, helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.arrays import to_numpy, to_torch
from lightloom.compiler.frontend.onnx.backend import run_node
from lightloom.runtime.errors import CaptureError, InputError

LONG = 2**15


def refuse(op: str, *shapes: tuple[int, ...], dtypes: tuple[type, ...] = (), **attributes: Any) -> None:
    kinds = dtypes or (np.float32,) * len(shapes)
    node = helper.make_node(op, [f"x{at}" for at in range(len(shapes))], ["y"], name="big", **attributes)
    with pytest.raises(CaptureError, match=r"too large.*'big'"):
        run_node(node, [np.zeros(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)])


def test_results_are_sized_before_they_are_computed() -> None:
    refuse("Add", (LONG, 1), (1, LONG))
    refuse("Where", (LONG, 1), (LONG,), (1,), dtypes=(np.bool_, np.float32, np.float32))
    refuse("MatMul", (LONG, 1), (1, LONG))
    refuse("Gather", (LONG, 2), (2, LONG), dtypes=(np.float32, np.int64), axis=1)


def test_large_results_of_large_inputs_are_computed() -> None:
    table, index = np.zeros((70_000, 2), np.float32), np.zeros((2**13,), np.int64)
    (result,) = run_node(helper.make_node("Gather", ["t", "i"], ["y"]), [table, index])
    assert result.shape == (2**13, 2)


@pytest.mark.parametrize(
    "dtype",
    [np.float16, np.uint16, np.uint64, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn,
     ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu],
)  # fmt: skip
def test_arrays_keep_their_bits(dtype: Any) -> None:
    array = np.arange(1, 7).reshape(2, 3).astype(dtype)
    back = to_numpy(to_torch(array))
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


def test_narrow_integers_come_back_as_the_declared_type() -> None:
    array = np.array([-8, 7, 3]).astype(ml_dtypes.int4)
    tensor = to_torch(array)
    assert tensor.dtype is torch.int8
    kind = TypeProto()
    kind.tensor_type.elem_type = TensorProto.INT4
    assert to_numpy(tensor, kind).dtype == array.dtype
    assert to_numpy([tensor, None])[0].tolist() == [-8, 7, 3]


def test_dates_are_refused() -> None:
    with pytest.raises(InputError, match="datetime64"):
        to_torch(np.array(["2020-01-01"], dtype="datetime64[D]"), "input 'x'")


@pytest.mark.parametrize("size", [7, 8, 1500])
def test_transforms_equal_numpy(size: int) -> None:
    rng = np.random.default_rng(size)
    real = rng.standard_normal((2, size, 1)).astype(np.float32)
    both = rng.standard_normal((2, size, 2)).astype(np.float32)
    number = both[..., 0] + 1j * both[..., 1]

    def dft(x: np.ndarray, **attributes: int) -> np.ndarray:
        return run_node(helper.make_node("DFT", ["x", "", "a"], ["y"], **attributes), [x, np.int64(1)])[0]

    def parts(x: np.ndarray) -> np.ndarray:
        return np.stack([x.real, x.imag], -1)

    tolerance = {"atol": 2e-4 * size**0.5}
    np.testing.assert_allclose(dft(real), parts(np.fft.fft(real[..., 0])), **tolerance)
    np.testing.assert_allclose(dft(real, onesided=1), parts(np.fft.rfft(real[..., 0])), **tolerance)
    np.testing.assert_allclose(dft(both), parts(np.fft.fft(number)), **tolerance)
    np.testing.assert_allclose(dft(both, inverse=1), parts(np.fft.ifft(number)), **tolerance)
    if size % 2 == 0:
        half = np.fft.rfft(real[..., 0])
        np.testing.assert_allclose(dft(parts(half).astype(np.float32), inverse=1, onesided=1), real, **tolerance)


def test_random_numbers_follow_their_seed() -> None:
    def draw(**attributes: Any) -> torch.Tensor:
        node = helper.make_node("RandomNormal", [], ["y"], shape=[2000], mean=3.0, scale=0.5, **attributes)
        graph = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")])
        return to_module(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))()

    torch.testing.assert_close(draw(seed=1.0), draw(seed=1.0))
    assert not torch.equal(draw(seed=1.0), draw(seed=2.0))
    assert not torch.equal(draw(), draw())
    assert abs(draw(seed=1.0).mean() - 3.0) < 0.05
    assert abs(draw(seed=1.0).std() - 0.5) < 0.05
