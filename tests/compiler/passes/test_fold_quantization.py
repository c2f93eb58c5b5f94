"""Quantized models: exact weights, integers where the host reads them, ranges from the model's own quantizers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.quantization.fx import _decomposed  # registers the ops  # noqa: F401

from lightloom.compiler.passes import Options
from lightloom.compiler.passes.fold_quantization import integers
from lightloom.compiler.passes.input_ranges import InputRange
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.artefact import load, save
from lightloom.runtime.errors import CompileError
from lightloom.runtime.executor import run
from lightloom.runtime.program import InputSpec, MatrixStep, ProgramBody
from lightloom.runtime.values import Ref, TensorType

TARGET = targets.get("mzi16")
STATIC = TARGET.with_({"encoding.scale": "static"})
Q = torch.ops.quantized_decomposed
INT8, UINT8 = (-128, 127, torch.int8), (0, 255, torch.uint8)


class QuantizedLinear(nn.Module):
    """What PT2E makes of a linear layer: int8 weights by channel, inputs by tensor."""

    def __init__(self, cols: int, rows: int, scale: float = 0.02, zero: int = 0, limits: tuple = INT8) -> None:
        super().__init__()
        torch.manual_seed(rows)
        self.register_buffer("codes", torch.randint(-128, 128, (rows, cols), dtype=torch.int8))
        self.register_buffer("scales", torch.rand(rows) * 0.02 + 0.001)
        self.register_buffer("zeros", torch.zeros(rows, dtype=torch.int64))
        self.bias = nn.Parameter(torch.randn(rows))
        self.input = (scale, zero, *limits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = Q.dequantize_per_tensor(Q.quantize_per_tensor(x, *self.input), *self.input)
        return nn.functional.linear(
            x, Q.dequantize_per_channel(self.codes, self.scales, self.zeros, 0, *INT8), self.bias
        )


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = QuantizedLinear(12, 20)
        self.second = QuantizedLinear(20, 6, 0.05, 0, UINT8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def compiled(model: nn.Module, x: torch.Tensor, target: targets.Target = TARGET, **options: object) -> ProgramBody:
    body = compile_model(model.eval(), x, target, options=Options(**options)).body  # type: ignore[arg-type]
    assert body is not None
    for dtype, limit in ((torch.float32, 1e-6), (torch.float64, 1e-6)):
        want, got = model(x), run(body, (x,), ideal=True, dtype=dtype)
        assert got.dtype == dtype
        assert float(((got - want).abs().max() / want.abs().max()).detach()) < limit
    return body


def matrix_of(body: ProgramBody, step: MatrixStep) -> np.ndarray:
    """The matrix that the tiles of a layer hold, by sending unit vectors through the ideal chip."""
    cols = body.banks[step.bank].spec.cols
    inputs = (InputSpec(step.input, TensorType("f32", ("s0", cols))),)
    alone = replace(body, inputs=inputs, steps=(step,), outputs=(Ref(step.name),), structure={"leaf": 0})
    eye = torch.cat([torch.zeros(1, cols), torch.eye(cols)])
    found = run(alone, (eye,), ideal=True, dtype=torch.float64)
    return (found[1:] - found[:1]).T.numpy()


def test_weights_are_exactly_scale_times_code() -> None:
    model = Net()
    body = compiled(model, torch.randn(5, 12))
    for step, layer in zip(body.matrix_steps, (model.first, model.second), strict=True):
        want = layer.codes.double() * layer.scales.double()[:, None]
        np.testing.assert_allclose(matrix_of(body, step), want.numpy(), rtol=0, atol=1e-7 * float(want.abs().max()))
        assert step.reason.startswith("constant ")
        assert "int8 weights, scale kept; its input is quantized on the host" in step.reason
    assert not [tensor for tensor in body.constants.values() if tensor.dtype == torch.int8]


def test_static_ranges_come_from_the_quantizers() -> None:
    body = compiled(Net(), torch.randn(5, 12), STATIC)
    first, second = body.matrix_steps
    assert [step.reason.partition("; ")[2] for step in (first, second)] == ["input range from its quantizer"] * 2
    full = [np.unique(body.banks[step.bank].columns["input_full_scale"]) for step in (first, second)]
    # 255 DAC codes hold 128 int8 steps of one sign once, 255 uint8 steps exactly
    np.testing.assert_allclose(full, [[128 * 0.02], [255 * 0.05]], rtol=1e-6)
    x = torch.randn(64, 12)
    errors = [
        (run(program, (x,)) - run(program, (x,), ideal=True)).abs().max() for program in (body, compiled(Net(), x))
    ]
    assert float(errors[0]) < 3 * float(errors[1])


@pytest.mark.parametrize(
    ("levels", "dac_bits", "sign", "wanted"),
    [
        (255, 8, "differential", 255),  # one code a step
        (127, 8, "differential", 127.5),  # two codes a step
        (128, 8, "differential", 128),  # whole steps would waste half of the range
        (300, 8, "differential", 300),  # more steps than codes
        (127, None, "differential", 127),
        (127, 8, "offset", 127),
        (7, 8, "differential", 7 * 255 / 252),
    ],
)
def test_full_scale_makes_steps_whole_codes_where_that_is_cheap(
    levels: int, dac_bits: int | None, sign: str, wanted: float
) -> None:
    target = STATIC.with_({"encoding.dac_bits": dac_bits, "encoding.sign": sign})
    full = InputRange(0.5, levels, 0).full_scale(target)
    assert full == pytest.approx(0.5 * wanted)
    if full > 0.5 * levels:
        codes = np.arange(levels + 1) * 0.5 / (full / 255)
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-9)


def test_a_zero_point_is_taken_off_on_the_host() -> None:
    class Asymmetric(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = QuantizedLinear(12, 4, 0.02, 100, UINT8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    body = compiled(Asymmetric(), torch.randn(3, 12), STATIC)
    (step,) = body.matrix_steps
    assert step.reason.endswith("input range from its quantizer (zero point 100, taken off on the host)")
    assert body.banks[step.bank].columns["input_full_scale"][0] == pytest.approx(155 * 0.02)
    assert [s.op.split(".")[1] for s in body.steps if not isinstance(s, MatrixStep)] == [
        "quantize_per_tensor", "dequantize_per_tensor",
    ]  # fmt: skip


class Mixed(nn.Module):
    """A quantized embedding, a layer whose input has a scale a channel, and one whose input has no quantizer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("table", torch.randint(-128, 128, (30, 12), dtype=torch.int8))
        self.register_buffer("scales", torch.rand(30) * 0.02)
        self.register_buffer("zeros", torch.zeros(30, dtype=torch.int64))
        self.register_buffer("channels", torch.rand(12) * 0.02 + 0.01)
        self.by_channel, self.plain = nn.Linear(12, 12), nn.Linear(12, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = nn.functional.embedding(tokens, Q.dequantize_per_channel(self.table, self.scales, self.zeros, 0, *INT8))
        codes = Q.quantize_per_channel(x, self.channels, self.zeros[:12], 2, *INT8)
        x = Q.dequantize_per_channel(codes, self.channels, self.zeros[:12], 2, *INT8)
        return self.plain(torch.tanh(self.by_channel(x)))


def test_what_the_host_reads_stays_integers() -> None:
    body = compiled(Mixed(), torch.randint(0, 30, (3, 4)))
    assert body.constants["table"].dtype == torch.int8
    assert not [name for name, tensor in body.constants.items() if tensor.numel() == 360 and tensor.is_floating_point()]
    reasons = {step.path: step.reason for step in body.matrix_steps}
    assert reasons["by_channel"].endswith("scales for each channel or vector: quantized on the host")
    assert reasons["plain"] == "constant 5 x 12 weights"


def test_a_layer_without_a_quantizer_needs_data() -> None:
    with pytest.raises(CompileError, match=r"takes its ranges from calibration data.*encoding.scale"):
        compiled(Mixed(), torch.randint(0, 30, (3, 4)), STATIC)

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.last = QuantizedLinear(12, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.tanh(self.fc(x)))

    model, x = Half().eval(), torch.randn(16, 12)
    with pytest.raises(CompileError, match="of last"):
        compile_model(model, x, STATIC)
    body = compile_model(model, x, STATIC, calibration=[x]).body
    assert body is not None
    assert body.banks["fc"].columns["input_full_scale"][0] == pytest.approx(128 * 0.02)
    hidden = torch.tanh(model.fc(x)).abs().max()
    assert body.banks["last"].columns["input_full_scale"][0] == pytest.approx(1.05 * float(hidden.detach()), rel=1e-4)


def test_an_excluded_layer_keeps_its_integers() -> None:
    body = compiled(Net(), torch.randn(5, 12), exclude=("second",))
    kept = [name for name, tensor in body.constants.items() if tensor.dtype == torch.int8]
    assert kept == ["second.codes"]


class IntegerProduct(nn.Module):
    """Dynamic quantization: int8 vectors times int8 weights, scales of both applied afterwards."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("codes", torch.randint(-128, 128, (8, 24), dtype=torch.int8))
        self.register_buffer("scales", torch.rand(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale, zero = Q.choose_qparams_per_token(x, torch.int8)
        codes = Q.quantize_per_token(x, scale, zero, *INT8)
        return torch._int_mm(codes, self.codes.t()).float() * scale * self.scales


def test_products_of_integers_run_on_the_chip() -> None:
    body = compiled(IntegerProduct(), torch.randn(20, 24))
    (step,) = body.matrix_steps
    assert step.reason.startswith("constant 8 x 24 int8 weights, scale kept")
    assert step.type.dtype == "f32"


def test_names_tell_integers() -> None:
    assert [integers(name) for name in ("a.weight$int8", "w$uint8$t", "w$t", "int8", "w$interesting")] == [
        "int8", "uint8", "", "", "",
    ]  # fmt: skip


def test_a_network_quantized_by_torchao() -> None:
    prepare = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    inductor = pytest.importorskip("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10), nn.ReLU(), nn.Linear(10, 3))
    x = torch.randn(4, 3, 8, 8)
    batch = ({0: torch.export.Dim.AUTO},)
    quantizer = inductor.X86InductorQuantizer().set_global(inductor.get_default_x86_inductor_quantization_config())
    prepared = prepare.prepare_pt2e(torch.export.export(model.eval(), (x,), dynamic_shapes=batch).module(), quantizer)
    prepared(x)
    converted = prepare.convert_pt2e(prepared)
    body = compile_model(torch.export.export(converted, (x,), dynamic_shapes=batch), x, STATIC).body
    assert body is not None
    assert len(body.matrix_steps) == 3
    assert all("int8 weights, scale kept; input range from its quantizer" in step.reason for step in body.matrix_steps)
    want, got = converted(x), run(body, (x,), ideal=True)
    assert float(((got - want).abs().max() / want.abs().max()).detach()) < 1e-5


class FakeQuantized(nn.Module):
    """What quantization-aware training runs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(12, 5)
        self.register_buffer("scales", torch.rand(5) * 0.01 + 0.001)
        self.register_buffer("zeros", torch.zeros(5, dtype=torch.int32))
        self.register_buffer("scale", torch.tensor(0.02))
        self.register_buffer("zero", torch.tensor(0, dtype=torch.int32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.fake_quantize_per_channel_affine(self.fc.weight, self.scales, self.zeros, 0, -127, 127)
        return nn.functional.linear(
            torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, -127, 127), weight, self.fc.bias
        )


def test_fake_quantizers_give_ranges_too() -> None:
    model, x = FakeQuantized().requires_grad_(False).eval(), torch.randn(4, 12)
    body = compile_model(model, x, STATIC).body
    assert body is not None
    (step,) = body.matrix_steps
    assert step.reason == "constant 5 x 12 weights; input range from its quantizer"
    assert body.banks[step.bank].columns["input_full_scale"][0] == pytest.approx(127.5 * 0.02)
    torch.testing.assert_close(run(body, (x,), ideal=True), model(x), rtol=1e-5, atol=1e-5)


def test_a_saved_program_quantizes_as_before(tmp_path: Path) -> None:
    body, x = compiled(Net(), torch.randn(5, 12), STATIC), torch.randn(3, 12)
    save(body, tmp_path / "net.loom")
    loaded = load(tmp_path / "net.loom")
    wide = [run(program, (x,), dtype=torch.float64, executor=executor) for program, executor in
            ((body, "batched"), (loaded, "batched"), (loaded, "step"))]  # fmt: skip
    assert torch.equal(wide[0], wide[1])
    torch.testing.assert_close(wide[0], wide[2], rtol=1e-9, atol=1e-12)
