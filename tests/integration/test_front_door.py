"""What a user does at the front door, and what they are told when it goes wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.compiler.ir import parse
from lightloom.compiler.passes import NAMES


class Net(nn.Module):
    """A convolution, a linear layer, and a product of two activations that no mesh can hold."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.fc = nn.Linear(36, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(self.body(x).flatten(1))
        return torch.bmm(y.unsqueeze(2), y.unsqueeze(1))


@pytest.fixture
def net() -> Net:
    return Net().eval()


X = torch.linspace(-1, 1, 50).reshape(2, 1, 5, 5)


def test_the_program_tells_what_it_does(net: Net) -> None:
    program = ll.compile(net, X, target="mzi16")
    explanation = program.explain()
    ops = {op.path or op.name: op for op in explanation.ops}
    assert ops["body.0"].where == "chip"
    assert ops["fc"].macs == 36 * 6
    assert ops["bmm"].where == "host"
    assert ops["bmm"].macs == 36
    assert ops["bmm"].reason.startswith("both operands are computed at run time")
    assert explanation.macs == sum(op.macs for op in explanation.ops) == 9 * 36 + 216 + 36
    assert sum(op.mac_share for op in explanation.ops) == pytest.approx(1)
    assert {layer.bank: layer.tiles for layer in explanation.layers} == {"body.0": 1, "fc": 3}
    assert "93.8% of 576 MACs per sample on the chip" in str(explanation)
    assert explanation.to_dict()["headline"] == explanation.headline
    for part in ("Latency", "Energy by part", "Assumed"):
        assert part in program.report()


def test_schedule_and_energy_are_tables(net: Net) -> None:
    program = ll.compile(net, X, target="mzi16")
    assert program.schedule.batch == 2
    assert program.schedule.makespan_s >= program.schedule.lower_bound_s > 0
    for table in (program.schedule, program.energy):
        assert table.to_dict()
        assert table.to_json().startswith("{")
        assert len(table.to_csv().splitlines()) > 2
    assert set(program.graph().nodes) == {"conv2d", "linear"}
    assert program.graph("tile").number_of_nodes() > 6


def test_dump_gives_every_stage(net: Net) -> None:
    program = ll.compile(net, X, target="mzi16")
    for stage in ("nn", "mvm", "tile"):
        assert parse(program.dump(stage)).stage == stage
    assert "bank @fc * %flatten" in program.dump("program")
    with pytest.raises(ll.LightloomError, match="allowed: nn, mvm, tile, program"):
        program.dump("til")


def test_ir_is_printed_after_all_passes_and_lowering_stops_where_asked(net: Net) -> None:
    stream = io.StringIO()
    program = ll.compile(net, X, target="mzi16", print_ir_after_all=stream)
    assert [line.removeprefix("// after ") for line in stream.getvalue().splitlines() if line.startswith("//")] == list(
        NAMES
    )
    assert set(NAMES) <= set(program.pass_s)
    assert ll.lower(net, X, target="mzi16", stop_after="lower").stage == "mvm"
    with pytest.raises(ll.CompileError, match="unknown pass to stop after; got 'lowr'"):
        ll.lower(net, X, target="mzi16", stop_after="lowr")


def test_save_and_load_give_the_same_program(net: Net, tmp_path: Path) -> None:
    program = ll.compile(net, X, target="mzi16", overrides={"fc": {"encoding.dac_bits": 5}})
    program.save(tmp_path / "m.loom")
    loaded = ll.load(tmp_path / "m.loom")
    for arguments in ({}, {"ideal": True}, {"seed": 3, "executor": "step"}):
        assert torch.equal(program.run(X, **arguments), loaded.run(X, **arguments))
    assert loaded.dump("tile") == program.dump("tile")
    assert loaded.report() == program.report()
    assert str(loaded.explain()) == str(program.explain())


def test_overrides_change_only_the_layers_they_name(net: Net) -> None:
    plain = ll.compile(net, X, target="mzi16")
    coarse = ll.compile(net, X, target="mzi16", overrides={"fc": {"encoding.dac_bits": 2, "mesh.phase_bits": 5}})
    assert coarse.body.banks["fc"].spec.phase_bits == 5
    assert coarse.body.banks["body.0"].spec.phase_bits == plain.body.banks["body.0"].spec.phase_bits
    assert coarse.body.target_for("fc").encoding.dac_bits == 2
    exact = plain.run(X, ideal=True)
    assert (coarse.run(X) - exact).norm() > 3 * (plain.run(X) - exact).norm()
    assert torch.allclose(coarse.run(X, ideal=True), exact, atol=1e-5)


def test_noise_follows_the_sample_not_the_batch(net: Net) -> None:
    target = ll.targets.get("mzi16").with_({"detection.noise": True, "mesh.phase_error_rad": 0.01})
    program = ll.compile(net, X, target=target)
    x = torch.randn(7, 1, 5, 5)
    whole = program.run(x, seed=5)
    assert torch.equal(program.run(x[:3], seed=5), whole[:3])
    assert not torch.equal(program.run(x, seed=6), whole)
    assert torch.equal(program.run(x, seed=5), whole)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("sign", ["differential", "differential_two_shot", "phase_sign", "offset"])
def test_step_and_batched_executors_agree(net: Net, sign: str, noise: bool) -> None:
    target = ll.targets.get("mzi16").with_({"encoding.sign": sign, "detection.noise": noise})
    program = ll.compile(net, X, target=target)
    step = program.run(X, executor="step", dtype=torch.float64, seed=1)
    batched = program.run(X, dtype=torch.float64, seed=1)
    assert torch.allclose(step, batched, rtol=1e-9, atol=1e-12)


def test_static_ranges_come_from_calibration(net: Net) -> None:
    target = ll.targets.get("mzi16").with_(
        {"encoding.scale": "static", "detection.adc_range": "calibrated", "detection.noise": False}
    )
    with pytest.raises(ll.CompileError, match=r"calibration data .*encoding.scale = 'static'"):
        ll.compile(net, X, target=target)
    program = ll.compile(net, X, target=target, calibration=[X, X / 2])
    exact = program.run(X, ideal=True)
    assert float((program.run(X) - exact).norm() / exact.norm()) < 0.05
    clipped = program.run(X * 10)
    assert float((clipped - program.run(X * 10, ideal=True)).norm()) > float(clipped.norm())
    with pytest.raises(ll.CompileError, match="no range that calibration could set"):
        ll.compile(net, X, target="mzi16", calibration=[X])


def test_strict_names_every_offender(net: Net) -> None:
    with pytest.raises(ll.CompileError, match=r"strict: 1 op\(s\)[\s\S]*bmm"):
        ll.compile(net, X, target="mzi16", strict=True)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = nn.Bilinear(3, 3, 2)
            self.fc = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = nn.functional.bilinear(x, x, self.pair.weight * x.sum())
            return self.fc(y) @ y.transpose(1, 2)

    with pytest.raises(ll.CompileError, match=r"strict: 2 op\(s\)[\s\S]*bilinear [\s\S]*matmul"):
        ll.compile(Two(), torch.zeros(2, 4, 3), target="mzi16", strict=True)
    ll.compile(Two(), torch.zeros(2, 4, 3), target="mzi16", strict=False)


@pytest.mark.parametrize("argument", [{"exclude": "nothing.*"}, {"overrides": {"nothing.*": {"encoding.dac_bits": 4}}}])
def test_a_glob_that_matches_nothing_is_an_error(net: Net, argument: dict[str, object]) -> None:
    with pytest.raises(ll.CompileError, match=r"matches no layer; got 'nothing\.\*'.*body\.0"):
        ll.compile(net, X, target="mzi16", **argument)


def test_only_some_fields_differ_by_layer(net: Net) -> None:
    with pytest.raises(ll.CompileError, match="cannot differ from layer to layer"):
        ll.compile(net, X, target="mzi16", overrides={"fc": {"mesh.ports": 8}})


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) if x.sum() > 0 else x


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return self.fc(x) * self.count


def with_weight(value: object) -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.weight.data[1, 0] = value
    return nn.Sequential(layer)


def complex_linear() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64))


V = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("model", "example", "error", "message"),
    [
        (
            Branching(),
            V,
            ll.CaptureError,
            r"cannot be traced: its Python control flow .*test_front_door.py line \d+: ",
        ),
        (Stateful(), V, ll.CaptureError, r"writes to its own state .*count"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
            V,
            ll.CaptureError,
            r"training mode \(at 1 \(BatchNorm1d\)",
        ),
        (nn.Sequential(nn.ReLU()).eval(), V, ll.CompileError, "no op of the model can run on the chip"),
        (with_weight(float("nan")), V, ll.CompileError, r"0 \(ll.linear\): 1 of 4 weight values are NaN or inf"),
        (with_weight(float("inf")), V, ll.CompileError, r"0 \(ll.linear\): 1 of 4 weight values are NaN or inf"),
        (
            complex_linear(),
            V.cfloat(),
            ll.CompileError,
            r"can run on the chip[\s\S]*0 \(ll.linear\): its weight is complex64",
        ),
        (nn.Linear(2, 2), None, ll.InputError, "compile needs example inputs"),
        (
            nn.Linear(2, 2),
            (V, 3),
            ll.InputError,
            "do not fit the model: too many positional arguments; got Tensor, int",
        ),
        (nn.Linear(2, 2), torch.zeros(0, 2), ll.InputError, "no samples"),
        (lambda x: x, V, ll.CaptureError, "not a model; got function"),
    ],
    ids=[
        "branching",
        "stateful",
        "training",
        "no weights",
        "nan",
        "inf",
        "complex",
        "none",
        "int",
        "empty",
        "function",
    ],
)
def test_what_cannot_be_compiled_is_refused(model, example, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ll.compile(model, example, target="mzi16")


def test_integer_weights_are_refused() -> None:
    class Integers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.ones(2, 2, dtype=torch.int64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight)

    with pytest.raises(ll.CompileError, match="its weight is int64"):
        ll.compile(Integers(), torch.zeros(2, 2, dtype=torch.int64), target="mzi16")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "an input is missing"),
        ((X, X), r"wrong number of inputs; got \(T, T\)"),
        ((torch.zeros(2, 1, 5, 4),), r"shape|size"),
        ((torch.zeros(5, 5),), r"rank|dimension|shape"),
        ((X.double(),), "float64"),
        ((X.numpy().astype(str),), "ndarray"),
        ((torch.full((1, 1, 5, 5), float("nan")),), "NaN"),
        ((torch.full((1, 1, 5, 5), float("inf")),), "inf"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(net: Net, inputs: tuple[object, ...], message: str) -> None:
    program = ll.compile(net, X, target="mzi16")
    with pytest.raises(ll.InputError, match=message):
        program.run(*inputs)


def test_unknown_presets_name_the_close_ones() -> None:
    with pytest.raises(ll.TargetError, match="mzi64"):
        ll.compile(nn.Linear(2, 2), V, target="mzi46")


def test_a_model_of_a_fixed_batch_counts_its_samples() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.reshape(4, 3))

    program = ll.compile(Fixed(), torch.zeros(4, 3), target="mzi16")
    assert program.explain().macs == 6
    assert program.schedule.batch == 4
    assert sum(program.schedule.vectors) == 4
    with pytest.raises(ll.InputError):
        program(torch.zeros(5, 3))


def test_a_single_sample_example_still_takes_any_batch(net: Net) -> None:
    program = ll.compile(net, X[:1], target="mzi16")
    assert program.body.example_batch == 1
    assert program.run(torch.cat([X, X, X]), ideal=True).shape[0] == 6
