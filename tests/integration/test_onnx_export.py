"""Networks that torch.onnx.export wrote give the tiles of the networks themselves, and run from a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.models import MLP, DigitsCNN, ResidualCNN

pytest.importorskip("onnxscript", reason="torch.onnx.export needs onnxscript")


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 12)
        self.loop = nn.LSTM(12, 9, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(18, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tags(self.loop(self.words(x))[0])


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, groups=16)
        self.norm = nn.BatchNorm2d(16)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.norm(self.depthwise(self.first(x))).relu())


NETWORKS: dict[str, tuple[Any, torch.Tensor]] = {
    "digits": (DigitsCNN, torch.randn(2, 1, 8, 8)),
    "mlp": (MLP, torch.randn(2, 1, 8, 8)),
    "residual": (ResidualCNN, torch.randn(2, 1, 16, 16)),
    "convolutions": (Convolutions, torch.randn(2, 3, 9, 9)),
    "transformer": (lambda: nn.TransformerEncoderLayer(24, 3, 32, batch_first=True), torch.randn(2, 5, 24)),
    "lstm": (Tagger, torch.randint(0, 20, (2, 6))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_has_the_same_tiles(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, x = NETWORKS[name]
    model = make().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = ({0: torch.export.Dim("n")},)
        torch.onnx.export(model, (x,), dynamo=True, dynamic_shapes=batch, verbose=False).save(tmp_path / "net.onnx")
    exported = ll.compile(tmp_path / "net.onnx", target="mzi16")
    direct = ll.compile(model, x, target="mzi16")
    banks = [list(program.body.banks.values()) for program in (exported, direct)]
    assert len(banks[0]) == len(banks[1]) > 0
    for mine, other in zip(*banks, strict=True):
        assert mine.columns.keys() == other.columns.keys()
        for column, array in mine.columns.items():
            np.testing.assert_array_equal(array, other.columns[column], err_msg=column)
    more = torch.cat([x, x[:1]])
    with torch.no_grad():
        torch.testing.assert_close(exported.run(more, ideal=True), model(more), rtol=1e-5, atol=1e-5)


def test_sizes_that_a_file_leaves_open_are_asked_for(tmp_path: Path) -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).sum(1)

    x = torch.randn(2, 5, 4)
    sizes = ({0: torch.export.Dim("n"), 1: torch.export.Dim("time")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Sums().eval(), (x,), dynamo=True, dynamic_shapes=sizes, verbose=False).save(
            tmp_path / "sums.onnx"
        )
    path = tmp_path / "sums.onnx"
    with pytest.raises(ll.InputError, match=r"leaves sizes open.*x: dimension 1 \('time'\).*example_inputs="):
        ll.compile(path, target="mzi16")
    program = ll.compile(path, {"x": x}, target="mzi16")
    assert program.body.inputs[0].name == "x"
    assert ll.compile(path.read_bytes(), x, target="mzi16").run(x, ideal=True).shape == (2, 3)
    with pytest.raises(ll.InputError, match="other names than the model's"):
        ll.compile(path, {"y": x}, target="mzi16")
    with pytest.raises(ll.InputError, match=r"nowhere\.onnx"):
        ll.compile(tmp_path / "nowhere.onnx", x)
    with pytest.raises(ll.CaptureError, match="not a model"):
        ll.compile(3, x)  # type: ignore[arg-type]
