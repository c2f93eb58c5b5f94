"""How near schedules come to their lower bounds, and what a million tiles take to schedule and price.

    python benchmarks/schedule.py [--target mzi64] [--cores 1,4,16,64] [--batch 1] [--buffers 2] [--networks NAMES]
                                  [--set FIELD=VALUE ...] [--tiles 1000000] [--json PATH]

A schedule knows of a network the shapes of its matrices, which tile is where, and the costs of its steps, but no
setting of a tile. So every network goes through the compiler as far as its tiles are cut (capture, canonical form,
placement, lowering, tiling: the passes that a compile runs) and the program is made of that, without SVDs and phases;
``ll.compile`` gives the same schedule. Weights are random. ``bound`` is the largest lower bound and what it counts
(lightloom.runtime.bounds); ``naive`` is one core that takes tile after tile, configured and then streamed. Every
schedule is checked against the rules. Wanted: at most 1.05 times the bound.

Last, a program of a million tiles, made by hand: dealt to cores, checked, and priced. Wanted: at most 60 s and 4 GB,
the peak of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from harness import PeakMemory, finish

import lightloom as ll
from lightloom.compiler.passes import emit
from lightloom.compiler.pipeline import compile_model
from lightloom.models import zoo
from lightloom.models.vision import torchvision_network
from lightloom.runtime.dealing import deal
from lightloom.runtime.energy import energy
from lightloom.runtime.plan import Plan
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
from lightloom.runtime.targets import Target
from lightloom.runtime.values import Ref, TensorType

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2", "bert", "gpt2")
LENGTH = 128
"""Tokens of a sample."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--cores", default="1,4,16,64")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--buffers", type=int, default=2)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the target, in SI units")
    parser.add_argument("--tiles", type=int, default=1_000_000, help="of the program made by hand; 0 for none")
    parser.add_argument("--json", help="write the table as JSON")
    options = parser.parse_args()
    fields = {name: float(value) for name, _, value in (item.partition("=") for item in options.set)}
    target = ll.targets.get(options.target).with_({"mesh.buffers": options.buffers, **fields})
    notes = [f"{options.target}, {options.buffers} buffer(s) a core, batch {options.batch}" + "".join(
        f", {item}" for item in options.set
    )]  # fmt: skip
    if options.tiles:
        notes.append(million(target.with_({"mesh.cores": 64}), options.tiles))
    rows: list[dict[str, Any]] = []
    for name in filter(None, options.networks.split(",")):
        body = program(name, target)
        for cores in map(int, options.cores.split(",")):
            rows.append({"network": name, **row(on(body, {"mesh.cores": cores}), options.batch)})
            print(rows[-1], flush=True)
    finish("schedule", rows, notes)


def row(body: ProgramBody, batch: int) -> dict[str, Any]:
    """Figures of one schedule."""
    start = time.perf_counter()
    schedule = deal(body, batch)
    seconds = time.perf_counter() - start
    schedule.verify(body)
    return {
        "tiles": sum(bank.spec.tiles for bank in body.banks.values()),
        "cores": body.target.mesh.cores,
        "makespan_ms": 1e3 * schedule.makespan_s,
        "ratio": schedule.ratio,
        "bound": schedule.bound,
        "naive_ms": 1e3 * schedule.naive_s,
        "times_naive": schedule.speedup,
        "dealt_s": seconds,
    }


def on(body: ProgramBody, changes: dict[str, Any]) -> ProgramBody:
    """The program on a changed target: its tiles do not depend on these fields."""
    return replace(body, target=body.target.with_(changes))


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


def million(target: Target, tiles: int) -> str:
    """Schedule, check and price a chain of matrices of so many tiles in all."""
    body = chain(target, tiles)
    times = [time.perf_counter()]
    with PeakMemory() as peak:
        schedule = deal(body, 16)
        times.append(time.perf_counter())
        schedule.verify(body)
        times.append(time.perf_counter())
        report = energy(body, schedule)
        times.append(time.perf_counter())
    dealt, checked, priced = np.diff(times)
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (
        f"{len(schedule):,} events of {sum(bank.spec.tiles for bank in body.banks.values()):,} tiles on "
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
