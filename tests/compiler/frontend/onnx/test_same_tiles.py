"""A network exported to ONNX gives the tiles that the network itself gives."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.executor import Runner


class Net(nn.Module):
    """A convolution with its norm, a depthwise one, and two linear layers, one of them on sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, stride=2, bias=False)
        self.rows = nn.Linear(3, 5, bias=False)
        self.head = nn.Linear(8 * 3 * 5, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.conv(x)))
        x = F.gelu(self.depthwise(x))
        return self.head(self.rows(x).flatten(1))


def script(net: nn.Module, x: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    axes = {"x": {0: "batch"}}
    torch.onnx.export(
        net,
        (x,),
        buffer,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        dynamic_axes=axes,
        do_constant_folding=False,
    )
    return buffer.getvalue()


def dynamo(net: nn.Module, x: torch.Tensor) -> bytes:
    pytest.importorskip("onnxscript")
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.onnx.export(net, (x,), dynamo=True, dynamic_shapes=shapes, optimize=False, verbose=False)
    assert program is not None
    return program.model_proto.SerializeToString()


@pytest.mark.parametrize("exporter", [script, pytest.param(dynamo, marks=pytest.mark.slow)])
def test_the_tiles_are_the_same(exporter: object) -> None:
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        net.norm.running_mean.copy_(torch.randn(8))  # type: ignore[union-attr]
        net.norm.running_var.copy_(torch.rand(8) + 0.5)  # type: ignore[union-attr]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = exporter(net, x)  # type: ignore[operator]
    target = targets.get("ideal")
    direct, imported = (compile_model(model, x, target).body for model in (net, data))
    assert direct is not None
    assert imported is not None
    assert len(direct.banks) == len(imported.banks) == 4
    for mine, theirs in zip(direct.banks.values(), imported.banks.values(), strict=True):
        assert mine.columns.keys() == theirs.columns.keys()
        for key in mine.columns:
            np.testing.assert_array_equal(mine.columns[key], theirs.columns[key], err_msg=key)
    with torch.no_grad():
        torch.testing.assert_close(Runner(imported).run((x,), ideal=True), net(x), rtol=1e-4, atol=1e-5)
