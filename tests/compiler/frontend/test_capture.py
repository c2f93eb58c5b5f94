"""What users bring: keyword inputs, constants, sizes with names, fixed batches, wrapped regions, outputs in classes."""

from __future__ import annotations

import math
import warnings
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.export import Dim

import lightloom as ll
from lightloom.compiler.frontend import CaptureWarning, capture

Pair = namedtuple("Pair", "first second")


class Net(nn.Module):
    """A layer over (batch, length, 4), a mask, a factor and a number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        factor: float = 2.0,
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        y = self.fc(x) * factor
        y = y if mask is None else y.masked_fill(mask.unsqueeze(-1) == 0, 0.0)
        return y if scale is None else y * scale


@pytest.fixture
def net() -> Net:
    return Net().eval()


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_keyword_inputs_by_name_and_by_position(net: Net, batch: int) -> None:
    x, mask, scale = torch.randn(batch, 3, 4), torch.tensor([[1, 1, 0]]).expand(batch, 3), torch.tensor(0.5)
    program = ll.compile(net, {"x": x, "scale": scale, "mask": mask, "factor": 3.0}, "ideal")
    assert [spec.name for spec in program.body.inputs] == ["x", "mask", "scale"]
    y, more = torch.randn(5, 3, 4), torch.tensor([[0, 1, 0]]).expand(5, 3)
    with torch.no_grad():
        wanted = net(y, more, factor=3.0, scale=torch.tensor(0.7))
    for got in (
        program.run(x=y, mask=more, scale=torch.tensor(0.7), ideal=True),
        program.run(y, scale=torch.tensor(0.7), mask=more, ideal=True),
        program.run(y, more, torch.tensor(0.7), ideal=True),
        program.run({"scale": torch.tensor(0.7), "mask": more, "x": y}, ideal=True),
    ):
        close(got, wanted)
    close(program(x=y, mask=more, scale=torch.tensor(0.7)), wanted)


def test_wrong_names_and_missing_inputs_are_named(net: Net) -> None:
    program = ll.compile(net, {"x": torch.zeros(2, 3, 4), "mask": torch.ones(2, 3)}, "ideal")
    x = torch.zeros(2, 3, 4)
    with pytest.raises(ll.InputError, match=r"no input of that name; got y; allowed: .x: T, mask: T"):
        program.run(x, y=x)
    with pytest.raises(ll.InputError, match=r"an input is missing .*'mask'"):
        program.run(x=x)
    with pytest.raises(ll.InputError, match="given twice"):
        program.run(x, x, mask=torch.ones(2, 3))
    assert program.run(x, mask=torch.ones(2, 3), scale=None).shape == (2, 3, 4), "None stands for what was not there"


@pytest.mark.parametrize(
    "dynamic",
    [
        {"x": {1: "length"}, "mask": {1: "length"}},
        ({1: Dim("length", max=9)}, {1: Dim("length", max=9)}),
        {"x": {1: Dim.AUTO(max=9)}, "mask": (None, Dim.AUTO)},
    ],
)
@pytest.mark.parametrize("length", [1, 3])
def test_sizes_that_the_user_names(net: Net, dynamic: object, length: int) -> None:
    example = (torch.zeros(1, length, 4), torch.ones(1, length))
    program = ll.compile(net, example, "ideal", dynamic_shapes=dynamic)
    named = not (isinstance(dynamic, dict) and not isinstance(dynamic["x"][1], str))
    shapes = [spec.type.shape for spec in program.body.inputs]
    assert shapes[0][0] == shapes[1][0] == "s0"
    assert not named or shapes[0][1] == shapes[1][1] == "length"
    for batch, size in ((1, 1), (2, 7), (4, 9)):
        x, mask = torch.randn(batch, size, 4), (torch.rand(batch, size) > 0.3).float()
        with torch.no_grad():
            close(program.run(x, mask, ideal=True), net(x, mask))
    if isinstance(dynamic, tuple):
        with pytest.raises(ll.InputError, match=r"'x'.*got length = 10; allowed: length from 0 to 9"):
            program.run(torch.zeros(1, 10, 4), torch.zeros(1, 10))


def test_sizes_in_the_graph_are_those_of_the_example(net: Net) -> None:
    captured = capture(net, {"x": torch.zeros(1, 6, 4)}, {"x": {1: "length"}})
    assert dict(captured.graph.sizes) == {"s0": 1, "length": 6}
    assert captured.notes == ()


def test_a_batch_and_its_size_survive_saving(net: Net, tmp_path) -> None:
    program = ll.compile(net, (torch.zeros(1, 6, 4),), "ideal", dynamic_shapes=({1: Dim("length", min=3, max=8)},))
    program.save(tmp_path / "m.loom")
    loaded = ll.load(tmp_path / "m.loom")
    assert dict(loaded.body.ranges) == {"length": (3, 8)}
    for size in (2, 9):
        with pytest.raises(ll.InputError, match=rf"got length = {size}; allowed: length from 3 to 8"):
            loaded.run(torch.zeros(1, size, 4))
    assert loaded.run(torch.zeros(2, 8, 4)).shape == (2, 8, 4)


class Halves(nn.Module):
    """Only even lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        return y.unflatten(1, (y.shape[1] // 2, 2)).sum(2)


def test_a_size_of_which_the_model_wants_multiples() -> None:
    program = ll.compile(Halves(), torch.zeros(1, 6, 4), "ideal", dynamic_shapes={"x": {1: "length"}})
    assert program.run(torch.zeros(3, 10, 4)).shape == (3, 5, 4)
    with pytest.raises(ll.LightloomError, match=r"unflatten.*\(3, 7, 4\).*sizes the model was traced for"):
        program.run(torch.zeros(3, 7, 4))


class Positions(nn.Module):
    """Five positions, no more and no less."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.table = nn.Parameter(torch.ones(5, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + self.table


def test_a_size_that_cannot_vary_is_refused_by_name() -> None:
    with pytest.raises(ll.CaptureError, match=r"takes the size 'length' for a constant .*'x', dimension 1.*always 5"):
        ll.compile(Positions(), torch.zeros(2, 5, 4), "ideal", dynamic_shapes={"x": {1: "length"}})


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        ({"y": {1: "length"}}, "an input that is not there; got y; allowed: x"),
        ({"x": {3: "length"}}, "a dimension that is not there .*got 3; allowed: 0 to 2"),
        ({"x": {1: "my length"}}, "not a dynamic size .*'my length'"),
        ({"x": "length"}, "are a dict .*got 'length'"),
        ([None, None], "does not fit the inputs"),
    ],
)
def test_dynamic_shapes_that_do_not_fit(net: Net, dynamic: object, message: str) -> None:
    with pytest.raises(ll.InputError, match=message):
        ll.compile(net, torch.zeros(2, 5, 4), "ideal", dynamic_shapes=dynamic)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((torch.zeros(0, 3, 4),), "no samples"),
        ((torch.tensor(1.0),), "is a single number"),
        ({}, "needs example inputs"),
        ((SimpleNamespace(),), "not a tensor .*got SimpleNamespace"),
    ],
)
def test_example_inputs_that_make_no_sense(net: Net, example: object, message: str) -> None:
    with pytest.raises(ll.InputError, match=message):
        ll.compile(net, example, "ideal")


class FixedBatch(nn.Module):
    """Takes three samples apart by number."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.samples = samples

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.fc(x[place]) for place in range(self.samples)]).view(self.samples, 4)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_fixed_batch_is_told_never_silent(samples: int) -> None:
    class Reshapes(FixedBatch):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.view(self.samples, 4))

    model = Reshapes(samples)
    x = torch.randn(samples, 4)
    with pytest.warns(CaptureWarning, match=f"the batch is fixed at {samples}, that of the example"):
        program = ll.compile(model, x, "ideal")
    assert program.body.inputs[0].type.shape == (samples, 4)
    assert f"note: the batch is fixed at {samples}" in str(program.explain())
    assert program.explain().to_dict()["notes"] == tuple(program.body.provenance["notes"])
    with torch.no_grad():
        close(program.run(x, ideal=True), model(x))
    with pytest.raises(ll.InputError, match="wrong shape"):
        program.run(torch.zeros(samples + 1, 4))


def test_a_dynamic_batch_warns_of_nothing(net: Net) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CaptureWarning)
        ll.compile(net, torch.zeros(1, 3, 4), "ideal")


class Nested(nn.Module):
    """Inputs in a dict and a list, outputs in a named tuple with a constant."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: dict[str, torch.Tensor], rest: list[torch.Tensor]) -> Pair:
        with torch.no_grad():
            y = self.fc(x["a"]) + rest[0]
        return Pair(y + x["b"], {"sum": y.sum(), "none": None})


def test_trees_of_inputs_and_named_tuples() -> None:
    model = Nested()
    inputs = ({"a": torch.zeros(2, 4), "b": torch.zeros(2, 4)}, [torch.zeros(2, 4)])
    program = ll.compile(model, inputs, "ideal")
    given = ({"a": torch.randn(3, 4), "b": torch.randn(3, 4)}, [torch.randn(3, 4)])
    with torch.no_grad():
        wanted = model(*given)
    for got in (program.run(*given, ideal=True), program.run(x=given[0], rest=given[1], ideal=True)):
        assert isinstance(got, tuple)
        close(got[0], wanted.first)
        close(got[1]["sum"], wanted.second["sum"])
        assert got[1]["none"] is None


class Wrapped(nn.Module):
    """Regions without gradients and without autocast, one inside the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            y = self.fc(x)
            with torch.autocast("cpu", enabled=False):
                z = torch.sin(y).relu_()
            y = y + z
        return y * 2


def test_wrapped_regions_are_put_in_place() -> None:
    model, x = Wrapped(), torch.randn(3, 4)
    program = ll.compile(model, x[:2], "ideal")
    with torch.no_grad():
        close(program.run(x, ideal=True), model(x))


def test_an_exported_program_with_wrapped_regions_and_keyword_inputs_is_left_as_it_was(net: Net) -> None:
    exported = torch.export.export(Wrapped(), (torch.zeros(2, 4),), dynamic_shapes=({0: Dim("batch")},))
    before = str(exported.graph)
    assert "wrap_with" in before
    program = ll.compile(exported, target="ideal")
    assert program(torch.zeros(5, 4)).shape == (5, 4)
    assert str(exported.graph) == before
    x, mask = torch.randn(2, 3, 4), torch.ones(2, 3)
    exported = torch.export.export(net, (x,), {"mask": mask})
    program = ll.compile(exported, target="ideal")
    with torch.no_grad():
        close(program.run(x, mask=mask, ideal=True), net(x, mask))
    with pytest.raises(ll.CaptureError, match="sizes of an exported program are set already"):
        ll.compile(exported, target="ideal", dynamic_shapes={"x": {0: "batch"}})


def test_autocast_computes_in_the_types_that_eager_computes_in() -> None:
    class On(Wrapped):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.fc(x)

    model, x = On(), torch.randn(3, 4)
    got = ll.compile(model, x, "ideal").run(x, ideal=True)
    with torch.no_grad():
        wanted = model(x)
    assert got.dtype == wanted.dtype == torch.bfloat16
    torch.testing.assert_close(got, wanted, rtol=1e-2, atol=1e-2)


def test_a_cache_is_switched_off_and_on_again(net: Net) -> None:
    seen: list[bool] = []

    class Caching(Net):
        def __init__(self) -> None:
            super().__init__()
            self.config = SimpleNamespace(use_cache=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            seen.append(self.config.use_cache)
            return self.fc(x)

    model = Caching()
    program = ll.compile(model, torch.zeros(2, 4), "ideal")
    assert not any(seen)
    assert model.config.use_cache is True
    assert "use_cache=False" in program.body.provenance["notes"][0]


class Sizes(nn.Module):
    """Arithmetic on sizes: maxima, roundings, divisions, a choice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> dict[str, object]:
        y, length = self.fc(x), x.shape[1]
        padded = torch.nn.functional.pad(y, (0, 0, 0, -(-length // 4) * 4 - length))
        window = y[:, : torch.sym_max(length // 2, 1)]
        steps = torch.arange(length, device=x.device) / torch.sym_float(length)
        positions = torch.arange(math.ceil(length / 3)).unsqueeze(0).expand(x.shape[0], -1)
        return {
            "padded": padded.sum(1),
            "window": window,
            "steps": y * steps.unsqueeze(-1) * length**0.5,
            "positions": positions,
            "least": y[:, -torch.sym_min(length, 3) :],
        }


def test_arithmetic_on_sizes() -> None:
    model = Sizes()
    program = ll.compile(model, torch.zeros(2, 8, 4), "ideal", dynamic_shapes={"x": {1: "length"}})
    for length in (5, 8, 13):
        x = torch.randn(3, length, 4)
        with torch.no_grad():
            wanted = model(x)
        got = program.run(x, ideal=True)
        assert got.keys() == wanted.keys()
        for key, value in wanted.items():
            close(got[key], value)


class Rotary(nn.Module):
    """Rotary position embeddings as multiplications by complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(8, 8)
        self.register_buffer("turns", torch.polar(torch.ones(16, 4), torch.randn(16, 4)), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(self.fc(x).unflatten(-1, (4, 2)))
        return torch.view_as_real(pairs * self.turns[: x.shape[1]]).flatten(2)


def test_complex_constants(tmp_path) -> None:
    model, x = Rotary(), torch.randn(2, 8, 8)
    program = ll.compile(model, x, "ideal", dynamic_shapes={"x": {1: "length"}})
    program.save(tmp_path / "m.loom")
    x = torch.randn(3, 16, 8)
    with torch.no_grad():
        for runs in (program, ll.load(tmp_path / "m.loom")):
            close(runs.run(x, ideal=True), model(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_executors_agree_at_sizes_other_than_the_examples(net: Net, dtype: torch.dtype) -> None:
    program = ll.compile(net, torch.zeros(2, 6, 4), "mzi16", dynamic_shapes={"x": {1: "length"}})
    for length in (3, 9):
        x = torch.randn(3, length, 4)
        batched, step = (program.run(x, executor=name, dtype=dtype) for name in ("batched", "step"))
        assert batched.shape == (3, length, 4)
        torch.testing.assert_close(batched, step)


def test_a_table_beside_the_samples_keeps_its_size() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
            return self.fc(x) @ table.mT

    model, example = Table(), (torch.zeros(2, 4), torch.zeros(2, 4))
    program = ll.compile(model, example, "ideal", dynamic_shapes={"table": {0: None}})
    assert [spec.type.shape for spec in program.body.inputs] == [("s0", 4), (2, 4)]
    x, table = torch.randn(5, 4), torch.randn(2, 4)
    with torch.no_grad():
        close(program.run(x, table, ideal=True), model(x, table))
    program = ll.compile(model, example, "ideal")
    with pytest.raises(ll.InputError, match="inputs disagree on a size"):
        program.run(x, table)
