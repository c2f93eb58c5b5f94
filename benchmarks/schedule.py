"""How near schedules come to their lower bounds, what dataflows gain, and what a million tiles take.

    python benchmarks/schedule.py [--target mzi64] [--nets NAMES] [--cores 1,4,16,64] [--batch 1] [--buffers 2]
                                  [--fast 20e-9] [--objective latency] [--set FIELD=VALUE ...] [--million 1000000]
                                  [--json PATH]

A schedule knows of a network the shapes of its matrices, which tile is where, and the costs of its steps, but no
setting of a tile. So every network goes through the compiler as far as its tiles are cut (capture, canonical form,
placement, lowering, tiling: the passes that a compile runs) and the program is made of that, without SVDs and phases;
``ll.compile`` gives the same schedule. Weights are random. Every schedule is checked against the rules.

Two schedules of each network on each number of cores: ``weight``, weight-stationary with whole streams, and ``auto``,
which may cut vectors into blocks, keep several copies of a tile, or take another dataflow. ``ratio`` is the makespan
over the largest lower bound (lightloom.runtime.scheduling.bounds); that of ``auto`` is for every dataflow and cut;
``naive``: times as fast as one core that takes tile after tile, configured and then streamed; ``s``: seconds of
dealing; ``auto_gain``: makespan of ``weight`` over that of ``auto``; ``auto_plans``: steps by what ``auto`` chose,
``copies`` being weight-stationary in more than one block. Wanted: both ratios at most 1.05. ``--fast``: the same on a
chip whose configurations take so many seconds, as electro-optic ones do, where copies are nearly free; 0 for none.

Last, a program of a million tiles, made by hand: dealt to cores, checked, and priced. Wanted: at most 60 s and 4 GB,
the peak of the whole process. ``--nets ''`` and ``--million 0`` leave parts out.
"""

from __future__ import annotations

import resource
import time
import warnings
from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from harness import PeakMemory, finish
from options import Options, require

import lightloom as ll
from lightloom.compiler.passes import emit
from lightloom.compiler.pipeline import compile_model
from lightloom.models import zoo
from lightloom.models.vision import torchvision_network
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.program import (
    BankSpec,
    HostStep,
    InputSpec,
    LinearGeometry,
    MatrixStep,
    ProgramBody,
    StepCost,
    TileBank,
)
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.plan import OBJECTIVES, Objective, Plan
from lightloom.runtime.targets import Target
from lightloom.runtime.values import Ref, TensorType

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2", "bert", "gpt2")
PLANS: tuple[Literal["weight", "auto"], ...] = ("weight", "auto")
LENGTH = 128
"""Tokens of a sample."""


def main() -> None:
    parser = Options(__doc__, torchvision="networks of images", transformers="bert and gpt2")
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--nets", default=",".join(NETWORKS), help="networks, by commas")
    parser.add_argument("--cores", default="1,4,16,64")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--buffers", type=int, default=2)
    parser.add_argument("--fast", type=float, default=20e-9, help="seconds of a configuration of the second chip")
    parser.add_argument("--objective", choices=OBJECTIVES, default="latency")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the target, in SI units")
    parser.add_argument("--million", type=int, default=1_000_000, help="tiles of the program made by hand; 0 for none")
    parser.add_argument("--json", help="write the table as JSON")
    options = parser.parse_args()
    nets = list(filter(None, options.nets.split(",")))
    require(*dict.fromkeys("transformers" if name in ("bert", "gpt2") else "torchvision" for name in nets))
    fields = {name: float(value) for name, _, value in (item.partition("=") for item in options.set)}
    target = ll.targets.get(options.target).with_({"mesh.buffers": options.buffers, **fields})
    given = [f"{options.target}, {options.buffers} buffer(s) a core, batch {options.batch}", *options.set]
    notes = [", ".join([*given, f"plans by {options.objective}"])]
    if options.million:
        notes += [million(target.with_({"mesh.cores": 64}), options.million, plan) for plan in PLANS]
    chips = [target] + [target.with_({"timing.reconfigure_s": options.fast})] * (options.fast > 0)
    rows: list[dict[str, Any]] = []
    for name in nets:
        body = program(name, target)
        for chip in chips:
            for cores in map(int, options.cores.split(",")):
                placed = replace(body, target=chip.with_({"mesh.cores": cores}))
                rows.append({"network": name, **row(placed, options.batch, options.objective)})
                print(
                    name, chip.timing.reconfigure_s, cores, rows[-1]["weight_ratio"], rows[-1]["auto_ratio"], flush=True
                )
    for seconds in dict.fromkeys(item["configure_s"] for item in rows):
        own = [item for item in rows if item["configure_s"] == seconds]
        worst = ", ".join(f"{plan} {max(item[f'{plan}_ratio'] for item in own):.4f}" for plan in PLANS)
        notes.append(f"largest ratios to the bounds with configurations of {seconds:g} s: {worst}")
    finish("schedule", rows, notes)


def row(body: ProgramBody, batch: int, objective: Objective) -> dict[str, Any]:
    """Figures of a network on so many cores."""
    found: dict[str, Any] = {
        "configure_s": body.target.timing.reconfigure_s,
        "tiles": sum(bank.spec.tiles for bank in body.banks.values()),
        "cores": body.target.mesh.cores,
    }
    made = {}
    for plan in PLANS:
        start = time.perf_counter()
        schedule = made[plan] = deal(body, batch, Plan(plan, objective))
        seconds = time.perf_counter() - start
        schedule.verify(body)
        found |= {
            f"{plan}_ms": 1e3 * schedule.makespan_s,
            f"{plan}_ratio": schedule.ratio,
            f"{plan}_bound": schedule.bound,
            f"{plan}_naive": schedule.speedup,
            f"{plan}_s": seconds,
        }
    kinds: Counter[str] = Counter()
    for step in body.matrix_steps:
        plan = made["auto"].plans[step.name]
        cut = plan.blocks(batch * body.costs[step.name].vectors) > 1
        kinds["copies" if cut and plan.dataflow == "weight" else plan.dataflow] += 1
    found["auto_gain"] = made["weight"].makespan_s / made["auto"].makespan_s
    found["auto_plans"] = " ".join(f"{name}:{count}" for name, count in sorted(kinds.items()))
    return found


def program(name: str, target: Target) -> ProgramBody:
    """A network as far as a schedule needs it: steps, costs, and tiles without settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs = network(name)
        found = compile_model(model, inputs, target, stop_after="tile")
    return emit(found.graph, target, layer_targets={}, example_batch=2, ir={}, provenance={}, plan=Plan())


def network(name: str) -> tuple[torch.nn.Module, Any]:
    """A network in eval mode with random weights, and a batch of two inputs."""
    torch.manual_seed(0)
    if name in ("bert", "gpt2"):
        zoo.preload("transformers")
        import transformers

        tokens = {"input_ids": torch.randint(0, 30522, (2, LENGTH))}
        if name == "bert":
            return transformers.BertModel(transformers.BertConfig()).eval(), tokens
        return transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval(), tokens
    return torchvision_network(name), torch.zeros(2, 3, 224, 224)


def million(target: Target, tiles: int, plan: Literal["weight", "auto"]) -> str:
    """Schedule, check and price a chain of matrices of so many tiles in all."""
    body = chain(target, tiles)
    times = [time.perf_counter()]
    with PeakMemory() as peak:
        schedule = deal(body, 16, Plan(plan))
        times.append(time.perf_counter())
        schedule.verify(body)
        times.append(time.perf_counter())
        report = energy(body, schedule)
        times.append(time.perf_counter())
    dealt, checked, priced = np.diff(times)
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (
        f"{plan}: {len(schedule):,} events of {sum(bank.spec.tiles for bank in body.banks.values()):,} tiles on "
        f"{target.mesh.cores} cores: dealt in {dealt:.2f} s, checked in {checked:.2f} s, priced in {priced:.2f} s "
        f"({report.total_j:.4g} J); {peak.bytes / 1e9:.2f} GB more, {whole / 1e9:.2f} GB in all; "
        f"{schedule.ratio:.4f} times the bound ({schedule.bound}), {schedule.speedup:.4g} times naive"
    )


def chain(target: Target, tiles: int, layers: int = 40) -> ProgramBody:
    """Square matrices one after another with a host op behind each, together at least so many tiles."""
    side = int(np.ceil(np.sqrt(tiles / layers)))
    size = side * target.mesh.ports
    type_ = TensorType("f32", ("s0", size))
    grid = np.stack(np.divmod(np.arange(side * side, dtype=np.int32), side))
    zero = np.zeros(side * side, np.int32)
    banks: dict[str, TileBank] = {}
    steps: list[MatrixStep | HostStep] = []
    costs: dict[str, StepCost] = {}
    source = "x"
    for layer in range(layers):
        spec = BankSpec(f"w{layer}", target.mesh.topology, target.mesh.ports, 1, size, size, side * side)
        banks[spec.name] = TileBank(spec, {"group": zero, "row": grid[0], "col": grid[1]})
        steps.append(MatrixStep(f"m{layer}", spec.name, source, LinearGeometry(), None, type_, f"m{layer}", ""))
        source = f"h{layer}"
        steps.append(HostStep(source, "relu.default", (Ref(f"m{layer}"),), (), type_, source, ""))
        # between short streams and long ones
        vectors = 1 << (layer % 12)
        costs[f"m{layer}"] = StepCost(size * size * vectors, vectors, size * vectors)
        costs[source] = StepCost(0, 0, size * vectors)
    return ProgramBody(
        "chain", target, (InputSpec("x", type_),), {}, tuple(steps), (Ref(source),), {"leaf": 0}, banks, costs, 1
    )


if __name__ == "__main__":
    main()
