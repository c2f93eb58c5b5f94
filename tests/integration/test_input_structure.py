"""Inputs are matched with the structure that the model was compiled for: by name, by key, by field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lightloom as ll


class Pair(NamedTuple):
    a: Tensor
    b: Tensor


@dataclass
class Fields:
    a: Tensor
    b: Tensor
    c: Tensor | None = None


torch.export.register_dataclass(Fields)

A, B = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), torch.full((3, 4), 0.25)


class Base(nn.Module):
    """2 layer(a) - b: the order of the two matters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)

    def of(self, a: Tensor, b: Tensor) -> Tensor:
        return 2 * self.layer(a) - b

    def forward(self, a: Tensor, b: Tensor) -> Any:
        return self.of(a, b)


class OfDict(Base):
    def forward(self, d: Any) -> Any:  # type: ignore[override]
        return self.of(d["a"], d["b"])


class OfRecord(Base):
    def forward(self, d: Any) -> Any:  # type: ignore[override]
        return self.of(d.a, d.b)


class OfPair(Base):
    def forward(self, d: Any) -> Any:  # type: ignore[override]
        return self.of(d[0], d[1])


class Optional(Base):
    def forward(self, a: Tensor, scale: float = 1.0, b: Any = None, mode: str = "sum") -> Any:  # type: ignore[override]
        return self.of(a, b) * scale if mode == "sum" else self.of(b, a)


def wanted(model: Base) -> Tensor:
    with torch.no_grad():
        return model.of(A, B)


def compiled(model: nn.Module, example: Any) -> ll.Program:
    return ll.compile(model.eval(), example, target="mzi16")


CASES: dict[str, tuple[type[Base], Any, list[tuple[tuple[Any, ...], dict[str, Any]]]]] = {
    "parameters": (Base, (A, B), [((A, B), {}), ((A,), {"b": B}), ((), {"b": B, "a": A}), (({"b": B, "a": A},), {})]),
    "keywords": (Base, {"b": B, "a": A}, [((A, B), {}), ((), {"b": B, "a": A}), (({"b": B, "a": A},), {})]),
    "dict": (
        OfDict,
        ({"a": A, "b": B},),
        [(({"b": B, "a": A},), {}), ((), {"d": {"b": B, "a": A}}), ((), {"d_b": B, "d_a": A})],
    ),
    "tuple": (OfPair, ((A, B),), [(((A, B),), {}), (([A, B],), {}), ((), {"d": (A, B)}), ((Pair(A, B),), {})]),
    "named tuple": (OfRecord, (Pair(A, B),), [((Pair(A, B),), {}), (({"b": B, "a": A},), {}), ((), {"d": Pair(A, B)})]),
    "dataclass": (OfRecord, (Fields(A, B),), [((Fields(b=B, a=A),), {}), (({"b": B, "a": A},), {})]),
    "constants": (
        Optional,
        (A, 1.0, B, "sum"),
        [((A, 1.0, B, "sum"), {}), ((A, B), {}), ((A, 1, B), {}), ((), {"b": B, "a": A, "mode": "sum"})],
    ),
    "numpy": (Base, (A, B), [((A.numpy(), B.numpy()), {}), ((A.numpy()[::-1][::-1], B), {})]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("saved", [False, True], ids=["compiled", "loaded"])
def test_every_way_to_give_the_inputs_gives_the_output(case: str, saved: bool, tmp_path: Path) -> None:
    kind, example, ways = CASES[case]
    model = kind()
    program = compiled(model, example)
    if saved:
        program.save(tmp_path / "p.loom")
        program = ll.load(tmp_path / "p.loom")
    for args, kwargs in ways:
        for got in (
            program.run(*args, ideal=True, **kwargs),
            program.run(*args, ideal=True, executor="step", **kwargs),
        ):
            assert (got - wanted(model)).abs().max() < 1e-5


REFUSED: dict[str, list[tuple[tuple[Any, ...], dict[str, Any], str]]] = {
    "parameters": [
        ((A,), {}, "an input is missing"),
        ((A, B, B), {}, "wrong number of inputs"),
        ((A,), {"a": B}, "given twice"),
        ((A, B), {"b": B}, "given twice"),
        ((A,), {"c": B}, "no input of that name"),
        (((A, B),), {}, "another structure"),
        ((A, None), {}, "another structure"),
    ],
    "dict": [
        (((A, B),), {}, r"another structure.*\(T, T\) in place of \{'a': T, 'b': T\}"),
        (({"a": A, "c": B},), {}, r"\{'a': T, 'c': T\} in place of"),
        (({"a": A},), {}, r"\{'a': T\} in place of"),
        (({"a": A, "b": B, "c": B},), {}, "another structure"),
        ((A, B), {}, "another structure"),
        (({"a": A, "b": (B,)},), {}, r"d\['b'\]: \(T,\) in place of T"),
        (({"a": A, "b": B},), {"d_a": A}, "given twice"),
        ((), {"d_a": A}, "an input is missing"),
    ],
    "tuple": [
        (({"a": A, "b": B},), {}, "no input of that name"),
        (((A, B, B),), {}, "another structure"),
        ((A, B), {}, "another structure"),
    ],
    "named tuple": [(((A, B),), {}, "another structure"), (({"a": A, "c": B},), {}, "another structure")],
    "constants": [
        ((A, 2.0, B), {}, "compiled in cannot be changed.*2.0 in place of 1.0"),
        ((A, B), {"mode": "other"}, "'other' in place of 'sum'"),
        ((A, True, B), {}, "True in place of 1.0"),
    ],
}


@pytest.mark.parametrize("case", REFUSED)
def test_any_other_structure_is_refused_with_both_shown(case: str) -> None:
    kind, example, _ = CASES[case]
    program = compiled(kind(), example)
    for args, kwargs, message in REFUSED[case]:
        with pytest.raises(ll.InputError, match=message) as error:
            program.run(*args, **kwargs)
        assert "allowed: (" in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "another structure"),
        (1.0, "not a tensor"),
        (np.array(["a"]), "not a tensor"),
        (torch.zeros(3, 4, device="meta"), "no plain numbers.*meta"),
        (torch.eye(3, 4).to_sparse(), "no plain numbers.*sparse"),
        (torch.quantize_per_tensor(B, 0.1, 0, torch.qint8), "no plain numbers.*quantized"),
        (np.zeros((3, 4)), "dtype.*float64"),
        (np.zeros((3, 5), np.float32), "shape"),
    ],
    ids=str,
)
def test_what_is_no_plain_tensor_is_named(value: Any, message: str) -> None:
    program = compiled(Base(), (A, B))
    with pytest.raises(ll.InputError, match=message):
        program.run(A, value)


def _static() -> ll.Target:
    return ll.targets.get("mzi16").with_({"encoding.scale": "static", "detection.adc_range": "calibrated"})


@pytest.mark.parametrize(
    "data",
    [[{"b": 9 * B, "a": A}], [(A, 9 * B)], {"b": 9 * B, "a": A}, [{"b": (9 * B).numpy(), "a": A.numpy()}]],
    ids=["dict", "tuple", "dict alone", "numpy"],
)
def test_calibration_takes_its_data_by_the_same_rules(data: Any) -> None:
    """The layer sees ``a`` alone: its ranges follow from ``a`` whatever the order of the two."""
    program = ll.compile(Base().eval(), (A, B), target=_static(), calibration=data)
    scale = program.body.banks["layer"].columns["input_full_scale"]
    assert scale.tolist() == pytest.approx([1.05 * float(A.abs().max())])


def test_calibration_of_a_model_of_a_dict() -> None:
    program = ll.compile(OfDict().eval(), ({"a": A, "b": B},), target=_static(), calibration=[{"b": 9 * B, "a": A}])
    scale = program.body.banks["layer"].columns["input_full_scale"]
    assert scale.tolist() == pytest.approx([1.05 * float(A.abs().max())])
    with pytest.raises(ll.InputError, match="another structure"):
        ll.compile(OfDict().eval(), ({"a": A, "b": B},), target=_static(), calibration=[(A, B)])


def test_calibration_takes_a_bare_tensor_as_one_batch() -> None:
    layer = nn.Linear(4, 4)
    whole = ll.compile(layer, A, target=_static(), calibration=A)
    listed = ll.compile(layer, A, target=_static(), calibration=[A])
    for column in ("input_full_scale", "adc_full_scale"):
        pair = [program.body.banks["linear"].columns[column] for program in (whole, listed)]
        assert np.array_equal(*pair)


class Many(nn.Module):
    """Outputs of every kind of container."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        y = self.layer(x)
        return {1: y, "1": y + 1, True and 2: y + 2}, Pair(y + 3, y + 4), Fields(y + 5, y + 6), [y, (y, None)]


@pytest.mark.parametrize("saved", [False, True], ids=["compiled", "loaded"])
def test_outputs_come_back_as_what_they_were(saved: bool, tmp_path: Path) -> None:
    model = Many().eval()
    program = compiled(model, A)
    if saved:
        program.save(tmp_path / "p.loom")
        program = ll.load(tmp_path / "p.loom")
    keyed, pair, fields, listed = program.run(A, ideal=True)
    with torch.no_grad():
        y = model.layer(A)
    assert list(keyed) == [1, "1", 2]
    assert (keyed["1"] - y - 1).abs().max() < 1e-5
    assert type(pair) is Pair
    assert type(fields) is Fields
    assert fields.c is None
    assert (fields.b - y - 6).abs().max() < 1e-5
    assert isinstance(listed[1], tuple)
    assert listed[1][1] is None


def test_a_file_imports_nothing_for_its_records(tmp_path: Path) -> None:
    from lightloom.runtime.trees import structured

    fields = [["a", {"leaf": 0}], ["b", {"leaf": 1}]]
    for name in ("tuple:never.loaded:Pair", "never.loaded:Fields", "os:system", "tuple:builtins:tuple", "x:def"):
        record = structured({"record": {"class": name, "fields": fields}}, [1, 2])
        assert (record.a, record.b) == (1, 2)
        assert isinstance(record, tuple) == name.startswith("tuple:")


def test_a_nan_that_was_compiled_in_is_itself() -> None:
    program = compiled(Optional(), (A, math.nan, B))
    assert program.run(A, math.nan, B).isnan().all()
    with pytest.raises(ll.InputError, match="compiled in"):
        program.run(A, 1.0, B)
