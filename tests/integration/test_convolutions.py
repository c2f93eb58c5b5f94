"""Convolutions of every option: ideal equals eager, both executors agree, files come back, hosts keep theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import lightloom as ll
from lightloom.runtime.executor import Runner
from lightloom.runtime.pricing.counts import run_counts
from lightloom.runtime.program import HostStep
from lightloom.runtime.scheduling.dealing import deal

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*the batch is fixed:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
]
LAYERS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}
TINY = ll.targets.get("mzi16").with_({"mesh.ports": 8})


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest absolute difference over the largest absolute wanted value; 0 of nothing."""
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30)) if wanted.numel() else 0.0


def parity(layer: nn.Module, example: torch.Tensor, batches: tuple[int, ...] = (1, 3), **options: Any) -> ll.Program:
    """Compile, compare with eager, and give the program back."""
    program = ll.compile(layer.eval(), example, **{"target": TINY, **options})
    for batch in batches:
        x = torch.randn(batch, *example.shape[1:])
        with torch.no_grad():
            assert relative_error(program.run(x, ideal=True), layer(x)) <= 1e-5
    return program


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A convolution of random options, and a size that it takes."""
    axes, transposed = draw(st.integers(1, 3)), draw(st.booleans())

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups = draw(st.sampled_from((1, 1, 2, 3, 6)))
    kernel, stride, padding, dilation = each(1, 3), each(1, 3), each(0, 2), each(1, 2)
    options: dict[str, Any] = {"groups": groups, "bias": draw(st.booleans()), "dilation": dilation}
    reach = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    if transposed:
        # torch allows an output padding up to the stride or the dilation, whichever is larger
        limits = (max(pair) - 1 for pair in zip(stride, dilation, strict=True))
        options["output_padding"] = tuple(draw(st.integers(0, limit)) for limit in limits)
        padding = tuple(min(pair) for pair in zip(padding, ((size - 1) // 2 for size in reach), strict=True))
    elif draw(st.booleans()):
        padding, stride = draw(st.sampled_from((("same", 1), ("valid", stride))))
    options |= {"stride": stride, "padding": padding}
    inputs, outputs = (groups * draw(st.integers(1, 2)) for _ in range(2))
    layer = LAYERS[axes, transposed](inputs, outputs, kernel, **options)
    sizes = tuple(draw(st.integers(max(2, size), size + 3)) for size in reach)
    return layer, (inputs, *sizes)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=layers(), seed=st.integers(0, 99))
def test_random_options(drawn: tuple[nn.Module, tuple[int, ...]], seed: int) -> None:
    check_random(drawn, seed)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=layers(), seed=st.integers(0, 99))
def test_many_random_options(drawn: tuple[nn.Module, tuple[int, ...]], seed: int) -> None:
    check_random(drawn, seed)


def check_random(drawn: tuple[nn.Module, tuple[int, ...]], seed: int) -> None:
    layer, shape = drawn
    torch.manual_seed(seed)
    program = parity(layer, torch.zeros(2, *shape), batches=(0, 1, 3))
    assert program.explain().photonic_macs == program.explain().macs > 0
    x = torch.randn(2, *shape)
    runner = Runner(program.body)
    batched = runner.run((x,), dtype=torch.float64)
    counts = runner.counts
    assert torch.equal(runner.run((x,), dtype=torch.float64, executor="step"), batched)
    assert runner.counts == counts == run_counts(program.body, deal(program.body, 2))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_padding_modes(axes: int, mode: str) -> None:
    layer = LAYERS[axes, False](2, 3, 3, padding=2, padding_mode=mode, stride=2)
    parity(layer, torch.zeros(2, 2, *[5] * axes))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_without_a_batch(axes: int, transposed: bool) -> None:
    layer = LAYERS[axes, transposed](2, 3, 2, stride=2)
    shape = (2, *range(4, 4 + axes))
    program = ll.compile(layer.eval(), torch.zeros(shape), target=TINY)
    x = torch.randn(shape)
    with torch.no_grad():
        assert relative_error(program.run(x, ideal=True), layer(x)) <= 1e-5
    assert program.explain().photonic_macs == program.explain().macs


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(2, 3, 3, stride=2, padding=1),
        nn.Conv3d(2, 4, (3, 2, 2), stride=2, padding=1, groups=2),
        nn.ConvTranspose1d(2, 4, 3, padding=1, dilation=2, output_padding=1),
        nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1),
        nn.ConvTranspose3d(2, 4, 2, stride=2, groups=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sizes_left_open(layer: nn.Module) -> None:
    axes = layer.weight.ndim - 2  # type: ignore[operator]
    sizes = {axis + 2: f"size{axis}" for axis in range(axes)}
    example = torch.zeros(2, 2, *(6, 7, 8)[:axes])
    program = ll.compile(layer.eval(), example, target=TINY, dynamic_shapes={"input": sizes})
    for shape in ((5, 6, 7), (9, 4, 6)):
        x = torch.randn(3, 2, *shape[:axes])
        with torch.no_grad():
            assert relative_error(program.run(x, ideal=True), layer(x)) <= 1e-5


class Spelled(nn.Module):
    """Convolutions as exporters and decompositions write them."""

    def __init__(self, axes: int, transposed: bool) -> None:
        super().__init__()
        self.transposed = transposed
        self.axes = [1] * axes
        self.weight = nn.Parameter(torch.randn(4, 2, *[3] * axes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.axes
        none = [0] * len(one)
        return torch.ops.aten.convolution.default(x, self.weight, None, one, one, one, self.transposed, none, 2)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_general_aten_op(axes: int, transposed: bool) -> None:
    program = parity(Spelled(axes, transposed), torch.zeros(2, 4, *[4] * axes))
    assert "convolution" not in "".join(step.op for step in program.body.steps if isinstance(step, HostStep))
    assert program.explain().photonic_macs == program.explain().macs


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (nn.Conv1d(2, 4, 3, padding=1), "conv1d.default"),
        (nn.Conv2d(2, 4, 3, padding=1), "conv2d.default"),
        (nn.Conv3d(2, 4, 3, padding=1), "conv3d.default"),
        (nn.Conv3d(2, 4, 2, padding="same"), "conv3d.default"),
        (nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1), "conv_transpose1d.default"),
        (nn.ConvTranspose2d(2, 4, 3, stride=2, dilation=2), "conv_transpose2d.input"),
        (nn.ConvTranspose3d(2, 4, 3, groups=2), "conv_transpose3d.input"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_layer_left_on_the_host_is_one_aten_op(layer: nn.Module, op: str) -> None:
    axes = layer.weight.ndim - 2
    model = nn.Sequential(layer, nn.Flatten(2), nn.LazyLinear(3))
    example = torch.zeros(2, 2, *[4] * axes)
    model(example)
    program = parity(model, example, exclude="0")
    ops = [step.op for step in program.body.steps if step.path == "0" and isinstance(step, HostStep)]
    assert [name for name in ops if "pad" not in name] == [op]


@pytest.mark.parametrize(("axes", "transposed"), LAYERS)
def test_batch_norms_fold_into_every_convolution(axes: int, transposed: bool) -> None:
    torch.manual_seed(3)
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1](6)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    model = nn.Sequential(LAYERS[axes, transposed](4, 6, 2, groups=2, bias=axes != 2), norm)
    program = parity(model, torch.zeros(2, 4, *[3] * axes))
    assert not any("batch_norm" in step.op for step in program.body.steps if isinstance(step, HostStep))


@pytest.mark.parametrize(("axes", "transposed"), LAYERS)
def test_a_saved_program_runs_the_same(axes: int, transposed: bool, tmp_path: Path) -> None:
    layer = LAYERS[axes, transposed](4, 4, 2, groups=4).eval()
    program = ll.compile(layer, torch.zeros(2, 4, *[4] * axes), target="mzi16")
    assert any(bank.spec.blocks > 1 for bank in program.body.banks.values())
    path = tmp_path / "layer.loom"
    program.save(path)
    loaded = ll.load(path)
    x = torch.randn(3, 4, *[4] * axes)
    for ideal in (False, True):
        assert torch.equal(loaded.run(x, ideal=ideal), program.run(x, ideal=ideal))
    assert str(loaded.explain()) == str(program.explain())


def test_packing_is_an_option_and_is_told() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 32, 3, groups=32, padding=1)
    x = torch.zeros(1, 32, 5, 5)
    packed, plain = (parity(layer, x, target="mzi16", pack=pack).explain() for pack in (True, False))
    (one,), (other,) = packed.layers, plain.layers
    # 16 ports: 16 kernels of 9 columns are 9 tiles with a row each
    assert (one.packed, one.tiles, one.unpacked_tiles) == (16, 18, 32)
    assert (one.groups, one.rows, one.cols) == (other.groups, other.rows, other.cols) == (32, 1, 9)
    assert (other.packed, other.tiles, other.unpacked_tiles) == (1, 32, 32)
    assert one.unpacked_utilization == other.utilization == 9 / 256
    assert one.utilization == 32 * 9 / (18 * 256)
    assert packed.macs == plain.macs == 32 * 9 * 25
    layer_row = packed.to_dict()["layers"][0]  # type: ignore[index]
    assert layer_row["unpacked_utilization"] == 9 / 256
    headings = str(packed.layer_table()).splitlines()[0]
    assert "unpacked tiles" in headings
    assert "unpacked utilization" in headings
    assert "unpacked" not in str(plain)


def test_depthwise_layers_pack_at_least_five_times_denser_on_64_ports() -> None:
    for channels in (32, 96, 144, 192, 384, 576, 960):  # those of MobileNet-v2
        layer = nn.Conv2d(channels, channels, 3, groups=channels, padding=1, bias=False)
        graph = ll.lower(layer.eval(), torch.zeros(2, channels, 4, 4), "mzi64", stop_after="tile")
        (bank,) = graph.banks
        assert bank.spec.utilization >= 5 * bank.spec.unpacked_utilization


def test_packed_kernels_keep_their_accuracy() -> None:
    """The zeros between blocks add no noise: their rows of a tile are not read out."""
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, groups=16, padding=1).eval()
    x = torch.rand(4, 16, 8, 8)
    with torch.no_grad():
        wanted = layer(x)
    errors = [
        float((ll.compile(layer, x, target="mzi16", pack=pack).run(x) - wanted).square().mean().sqrt())
        for pack in (True, False)
    ]
    assert errors[0] < 1.5 * errors[1]


@pytest.mark.parametrize("sign", ["offset", "phase_sign", "differential_two_shot"])
def test_packed_kernels_under_every_encoding(sign: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 2, groups=8).eval()
    x = torch.randn(2, 8, 4, 4)
    program = ll.compile(layer, x, target=ll.targets.get("mzi16").with_({"encoding.sign": sign}))
    assert program.explain().layers[0].packed == 4
    batched, step = (program.run(x, executor=name, dtype=torch.float64) for name in ("batched", "step"))
    assert torch.equal(batched, step)
    with torch.no_grad():
        assert relative_error(batched.float(), layer(x)) < 0.05


def test_intensity_detection_does_not_pack() -> None:
    """Its shift would light the zeros between the blocks, and with them rows that other kernels read."""
    layer = nn.Conv2d(8, 8, 2, groups=8).eval()
    x = torch.rand(1, 8, 4, 4)
    intensity = {"detection.kind": "intensity"}
    for program in (
        ll.compile(layer, x, target=ll.targets.get("mzi16").with_(intensity)),
        ll.compile(nn.Sequential(layer).eval(), x, target="mzi16", overrides={"0": intensity}),
    ):
        assert program.explain().layers[0].packed == 1


class Tied(nn.Module):
    """One kernel used forwards twice and backwards once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = self.conv(torch.relu(self.conv(x))[:, :2])
        return nn.functional.conv_transpose1d(code, self.conv.weight, padding=1)


def test_shared_kernels_are_placed_once_a_direction() -> None:
    program = parity(Tied(), torch.zeros(2, 2, 6))
    assert len(program.body.banks) == 2
