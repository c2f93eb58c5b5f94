"""Operators as older opsets spell them, against what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lightloom.compiler.frontend.onnx import to_module
from lightloom.runtime.errors import CaptureError

from .models import one_node, tensors

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
T = torch.from_numpy(X)
i64 = np.array


def run(op: str, inputs: list[Any], opset: int, constant: bool = True, **attributes: Any) -> torch.Tensor:
    values = [np.asarray(value) for value in inputs]
    names = tuple(range(1, len(values))) if constant else ()
    proto, fed = one_node(op, values, constant=names, opset=opset, **attributes)
    return to_module(proto)(*tensors(fed))


@pytest.mark.parametrize("opset", [7, 9])
def test_slice_by_attributes(opset: int) -> None:
    got = run("Slice", [X], opset, starts=[1, -3], ends=[100, -1], axes=[1, 3])
    torch.testing.assert_close(got, T[:, 1:, :, -3:-1])


def test_slice_by_inputs() -> None:
    got = run("Slice", [X, i64([-1]), i64([-100]), i64([1]), i64([-1])], 10)
    torch.testing.assert_close(got, T.flip(1))


@pytest.mark.parametrize(("opset", "attribute"), [(1, "paddings"), (2, "pads"), (10, "pads")])
def test_pad_by_attributes(opset: int, attribute: str) -> None:
    got = run("Pad", [X], opset, value=1.5, **{attribute: [0, 0, 1, 0, 0, 0, 0, 2]})
    torch.testing.assert_close(got, F.pad(T, (0, 2, 1, 0), value=1.5))


@pytest.mark.parametrize("opset", [7, 11])
def test_squeeze_and_unsqueeze_by_attributes(opset: int) -> None:
    torch.testing.assert_close(run("Squeeze", [X[:1, :, :1]], opset, axes=[0, 2]), T[0, :, 0])
    torch.testing.assert_close(run("Unsqueeze", [X], opset, axes=[0, 3]), T.unsqueeze(0).unsqueeze(3))


@pytest.mark.parametrize("opset", [7, 12])
def test_softmax_over_all_that_follows(opset: int) -> None:
    got = run("Softmax", [X], opset)
    torch.testing.assert_close(got, T.flatten(1).softmax(1).reshape(X.shape))
    torch.testing.assert_close(run("LogSoftmax", [X], 13), T.log_softmax(-1))


@pytest.mark.parametrize("opset", [7, 11, 12])
def test_reductions_by_attributes(opset: int) -> None:
    torch.testing.assert_close(run("ReduceSum", [X], opset, axes=[1, 3], keepdims=0), T.sum((1, 3)))
    torch.testing.assert_close(run("ReduceMax", [X], opset), T.amax().reshape(1, 1, 1, 1))
    torch.testing.assert_close(run("ReduceMean", [X], opset, axes=[2]), T.mean(2, keepdim=True))


def test_split_by_attribute_and_by_number() -> None:
    proto, fed = one_node("Split", [X], outputs=2, opset=7, axis=3, split=[2, 3])
    assert [part.shape[3] for part in to_module(proto)(*tensors(fed))] == [2, 3]
    proto, fed = one_node("Split", [X], outputs=3, opset=18, axis=3, num_outputs=3)
    assert [part.shape[3] for part in to_module(proto)(*tensors(fed))] == [2, 2, 1]


@pytest.mark.parametrize("opset", [6, 9])
def test_clip_by_attributes(opset: int) -> None:
    torch.testing.assert_close(run("Clip", [X], opset, min=-0.5, max=0.25), T.clamp(-0.5, 0.25))
    torch.testing.assert_close(run("Clip", [X], opset), T)


@pytest.mark.parametrize("opset", [7, 9])
def test_dropout_is_nothing(opset: int) -> None:
    assert torch.equal(run("Dropout", [X], opset, ratio=0.9), T)


def test_top_k_by_attribute() -> None:
    proto, fed = one_node("TopK", [X], outputs=2, opset=9, k=2, axis=1)
    values, indices = to_module(proto)(*tensors(fed))
    torch.testing.assert_close(values, T.topk(2, 1).values)
    assert torch.equal(indices, T.topk(2, 1).indices)


def test_upsample() -> None:
    wanted = F.interpolate(T, scale_factor=2, mode="nearest")
    torch.testing.assert_close(run("Upsample", [X], 7, scales=[1.0, 1.0, 2.0, 2.0]), wanted)
    torch.testing.assert_close(run("Upsample", [X, np.float32([1, 1, 2, 2])], 9), wanted)
    torch.testing.assert_close(run("Resize", [X, np.float32([1, 1, 2, 2])], 10), wanted)
    line = torch.tensor([[0.0, 1.0]]).numpy()
    assert run("Resize", [line, np.float32([1, 2])], 10, mode="linear").tolist() == [[0, 0.5, 1, 1]]


@pytest.mark.parametrize("opset", [1, 6])
def test_broadcasting_at_an_axis(opset: int) -> None:
    b = RNG.standard_normal((3, 4)).astype(np.float32)
    got = run("Add", [X, b], opset, constant=False, broadcast=1, axis=1)
    torch.testing.assert_close(got, T + torch.from_numpy(b)[..., None])


def test_reshape_by_attribute() -> None:
    assert run("Reshape", [X], 4, shape=[0, -1]).shape == (2, 60)


@pytest.mark.parametrize(("opset", "attributes"), [(6, {"is_test": 1}), (7, {}), (9, {}), (14, {}), (15, {})])
def test_batch_normalisation(opset: int, attributes: dict[str, int]) -> None:
    scale, bias, mean = (RNG.standard_normal(3).astype(np.float32) for _ in range(3))
    variance = np.float32([0.5, 1, 2])
    got = run("BatchNormalization", [X, scale, bias, mean, variance], opset, **attributes)
    numbers = tensors([mean, variance, scale, bias])
    torch.testing.assert_close(got, F.batch_norm(T, numbers[0], numbers[1], numbers[2], numbers[3]))


def test_batch_normalisation_in_training_mode_is_refused() -> None:
    numbers = [np.ones(3, np.float32)] * 4
    with pytest.raises(CaptureError, match="training mode"):
        run("BatchNormalization", [X, *numbers], 6)


def test_a_group_scale_becomes_a_channel_scale() -> None:
    x = RNG.standard_normal((2, 4, 3)).astype(np.float32)
    t = torch.from_numpy(x)
    by_group = run("GroupNormalization", [x, np.float32([2, 3]), np.float32([0, 1])], 18, num_groups=2)
    channel = run("GroupNormalization", [x, np.float32([2, 2, 3, 3]), np.float32([0, 0, 1, 1])], 21, num_groups=2)
    wanted = F.group_norm(t, 2, torch.tensor([2.0, 2, 3, 3]), torch.tensor([0.0, 0, 1, 1]))
    torch.testing.assert_close(by_group, wanted)
    torch.testing.assert_close(channel, wanted)
