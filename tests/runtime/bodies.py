"""Small programs made by hand, for tests of schedules and energies that need no compiler."""

from __future__ import annotations

import numpy as np

from lightloom.runtime import targets
from lightloom.runtime.program import (
    BankSpec,
    HostStep,
    InputSpec,
    LinearGeometry,
    MatrixStep,
    ProgramBody,
    Step,
    StepCost,
    TileBank,
)
from lightloom.runtime.scheduling.plan import Plan
from lightloom.runtime.targets import Target
from lightloom.runtime.values import Ref, TensorType

TYPE = TensorType("f32", ("s0", 1))
WHOLE = Plan("weight")


def bank(name: str, target: Target, rows: int, cols: int, groups: int = 1, skip: tuple[int, ...] = ()) -> TileBank:
    """A bank with its places in the grid and no optics; ``skip`` leaves out these tiles of the full grid."""
    ports = target.mesh.ports
    grid = np.array(list(np.ndindex(groups, -(-rows // ports), -(-cols // ports))), np.int32)
    grid = np.delete(grid, list(skip), axis=0)
    spec = BankSpec(
        name, target.mesh.topology, ports, groups, rows, cols, len(grid),
        target.mesh.phase_bits, target.mesh.attenuator_bits,
    )  # fmt: skip
    return TileBank(spec, {"group": grid[:, 0], "row": grid[:, 1], "col": grid[:, 2]})


def matrix(name: str, bank_name: str, source: str, bias: str | None = None) -> MatrixStep:
    return MatrixStep(name, bank_name, source, LinearGeometry(), bias, TYPE, f"path.{name}", "a test says so")


def host(name: str, *sources: str) -> HostStep:
    args = tuple(Ref(source) for source in sources)
    return HostStep(name, "add.Tensor", args, (), TYPE, f"path.{name}", "a test says so")


def program(
    target: Target | str,
    banks: list[TileBank],
    steps: list[Step],
    costs: dict[str, StepCost],
    plan: Plan = WHOLE,
) -> ProgramBody:
    """A program on one input ``x`` whose last step is the output; every tile on one core, if no plan is given."""
    return ProgramBody(
        name="small",
        target=targets.get(target),
        inputs=(InputSpec("x", TYPE),),
        constants={},
        steps=tuple(steps),
        outputs=(Ref(steps[-1].name),) if steps else (),
        structure={"leaf": 0},
        banks={item.spec.name: item for item in banks},
        costs=costs,
        example_batch=1,
        plan=plan,
    )


def layer(target: Target | str, rows: int, cols: int, vectors: int = 1, bias: bool = False) -> ProgramBody:
    """One matrix and nothing else."""
    target = targets.get(target)
    step = matrix("fc", "w", "x", "b" if bias else None)
    cost = StepCost(rows * cols * vectors, vectors, rows * vectors)
    return program(target, [bank("w", target, rows, cols)], [step], {"fc": cost})


def network(target: Target | str, tiles: list[int], vectors: list[int], elements: int = 100) -> ProgramBody:
    """A chain of square-tiled matrices, each followed by a host op that reads its result and the input."""
    target = targets.get(target)
    ports = target.mesh.ports
    banks, steps, costs = [], [], {}
    source = "x"
    for index, (count, length) in enumerate(zip(tiles, vectors, strict=True)):
        banks.append(bank(f"w{index}", target, ports, ports * count))
        steps += [matrix(f"m{index}", f"w{index}", source), host(f"h{index}", f"m{index}", "x")]
        costs[f"m{index}"] = StepCost(ports * ports * count * length, length, ports * length)
        costs[f"h{index}"] = StepCost(0, 0, elements)
        source = f"h{index}"
    return program(target, banks, steps, costs)
