"""Recurrent steps in a file: they come back as they were, and what does not fit together is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lightloom.runtime import artefact
from lightloom.runtime.errors import ArtefactError
from lightloom.runtime.executor import Runner
from lightloom.runtime.program import HostStep, InputSpec, ProgramBody, RecurrentStep, StepCost
from lightloom.runtime.values import Ref, TensorType, TupleType

from .conftest import make_bank, make_target

UNITS, KEPT, TIMES = 4, 3, 5
SEQUENCE = TensorType("f32", ("s0", TIMES, KEPT))
H, C = TensorType("f32", ("s0", KEPT)), TensorType("f32", ("s0", UNITS))


def loop(**changes: Any) -> RecurrentStep:
    fields: dict[str, Any] = {
        "name": "loop",
        "kind": "lstm",
        "bank": "hidden",
        "projection": "kept",
        "input": "x",
        "states": ("h", "c"),
        "bias": "b",
        "reverse": True,
        "type": TupleType((SEQUENCE, H, C)),
        "path": "rnn.weight_hh_l0",
        "reason": "constant weights",
    }
    return RecurrentStep(**{**fields, **changes})


def recurrent_body(step: RecurrentStep | None = None, cost: StepCost | None = None) -> ProgramBody:
    step = step or loop()
    vectors = TIMES
    return ProgramBody(
        name="recurrent",
        target=make_target(),
        inputs=(
            InputSpec("x", TensorType("f32", ("s0", TIMES, 4 * UNITS))), InputSpec("h", H), InputSpec("c", C),
        ),
        constants={"b": torch.arange(4.0 * UNITS)},
        steps=(step, HostStep("out", "py.getitem", (Ref("loop"), 0), (), SEQUENCE, "", "")),
        outputs=(Ref("out"),),
        structure={"leaf": 0},
        banks={"hidden": make_bank("hidden", 4 * UNITS, KEPT), "kept": make_bank("kept", KEPT, UNITS)},
        costs={
            "loop": cost or StepCost(vectors * (4 * UNITS * KEPT + KEPT * UNITS), vectors, vectors * 13 * UNITS),
            "out": StepCost(0, 0, 0),
        },
        example_batch=2,
    )  # fmt: skip


def test_a_recurrent_step_comes_back_exactly(tmp_path) -> None:
    body = recurrent_body()
    artefact.save(body, tmp_path / "loop.loom")
    loaded = artefact.load(tmp_path / "loop.loom")
    assert loaded.steps == body.steps
    assert loaded.costs == body.costs
    x, h, c = (torch.ones(2, *shape) for shape in ((TIMES, 4 * UNITS), (KEPT,), (UNITS,)))
    assert torch.equal(Runner(body).run((x, h, c)), Runner(loaded).run((x, h, c)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gru"}, "banks of a recurrent step do not fit"),
        ({"kind": "mlp"}, "unknown recurrent cell"),
        ({"bank": "none"}, "bank does not exist"),
        ({"projection": "none"}, "bank does not exist"),
        ({"projection": "hidden"}, "bank of its own"),
        ({"projection": None}, "banks of a recurrent step do not fit"),
        ({"input": "y"}, "value that does not exist"),
        ({"states": ("h", "out")}, "value that does not exist"),
        ({"states": ("h",)}, "number of states"),
        ({"bias": "x"}, "bias does not fit"),
        ({"type": TupleType((SEQUENCE, H))}, "yields something else"),
        ({"type": TupleType((SEQUENCE, H, None))}, "yields something else"),
        ({"type": TupleType((H, SEQUENCE, C))}, "yields something else"),
        ({"type": TupleType((TensorType("f32", ("s0", 0, KEPT)), H, C))}, "without a time step"),
        ({"type": TupleType((TensorType("f32", ("s0", 2**31, KEPT)), H, C))}, "more time steps than vectors"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        artefact.save(recurrent_body(loop(**changes)), tmp_path / "bad.loom")


def test_a_cost_that_denies_the_gates_is_refused(tmp_path) -> None:
    body = recurrent_body()
    cost = replace(body.costs["loop"], elements=1)
    with pytest.raises(ArtefactError, match="cost of a recurrent step"):
        artefact.save(recurrent_body(cost=cost), tmp_path / "bad.loom")
