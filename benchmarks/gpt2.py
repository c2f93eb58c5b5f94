"""GPT-2 small (124 M weights, random): how long it takes to compile against the SVDs of its tiles, and its peak memory.

    python benchmarks/gpt2.py [--target mzi64] [--layers 12] [--json PATH]

The floor is ``torch.linalg.svd`` of the same tiles (float64, batched as in the compile, on one thread: on tiles this
small more threads make it slower), measured in the same process on every eighth tile before and on every eighth after
the compile, so that a slow phase of the machine hits both. Times are given on the clock and in processor seconds of
all threads; the latter hold on a busy machine, too, and do not credit the compile with sharing its SVDs out over
threads. Peak memory is that of the whole process, the model's own weights included. Wanted: at most 1.5 times the
SVDs' time on the clock, and 6 GB.
"""

from __future__ import annotations

import resource
import time

import torch
from harness import finish
from options import Options

import lightloom as ll
from lightloom.compiler.passes import cut, grid
from lightloom.compiler.pipeline import CHUNK_BYTES
from lightloom.models import zoo
from lightloom.runtime.program import TileBank

POSITIONS = 1024
STRIDE = 8
"""One tile in this many is measured for the floor."""


def main() -> None:
    parser = Options(__doc__, "transformers")
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--layers", type=int, default=12, help="fewer than 12 for a quick look")
    parser.add_argument("--json", help="write the table as JSON")
    options = parser.parse_args()
    ll.compile(torch.nn.Linear(8, 8), torch.zeros(1, 8), options.target)  # kernels from their cache, imports done
    model = gpt2(options.layers)
    inputs = {"input_ids": torch.randint(0, 50257, (1, 16))}
    before, tiles = floor_s(model, inputs, options.target, 0)
    start, busy = time.perf_counter(), time.process_time()
    program = ll.compile(model, inputs, options.target, dynamic_shapes={"input_ids": {1: "length"}})
    compile_s, compile_cpu_s = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    after, _ = floor_s(model, inputs, options.target, STRIDE // 2)
    floor, floor_cpu = (STRIDE * (first + second) / 2 for first, second in zip(before, after, strict=True))
    explanation = program.explain()
    row = {
        "network": f"GPT-2, {options.layers} layers",
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "tiles": tiles,
        "svd_s": floor,
        "compile_s": compile_s,
        "compile/svd": compile_s / floor,
        "svd_cpu_s": floor_cpu,
        "compile_cpu_s": compile_cpu_s,
        "cpu/cpu": compile_cpu_s / floor_cpu,
        "peak_gb": peak / 1e9,
        "share": explanation.photonic_macs / explanation.macs,
    }
    passes = ", ".join(f"{key} {value:.2f} s" for key, value in program.pass_s.items() if value > 0.05)
    finish("gpt2", [row], [passes, *program.body.provenance["notes"]])


def gpt2(layers: int) -> torch.nn.Module:
    """GPT-2 small with its language head (which shares the embedding's weights), random weights, in eval mode."""
    zoo.preload("transformers")
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=layers, n_positions=POSITIONS)).eval()


def floor_s(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], target: str, first: int
) -> tuple[tuple[float, float], int]:
    """SVDs of the tiles first, first + STRIDE, ... of a model, nothing else: (seconds, processor seconds), tiles."""
    graph = ll.lower(model, inputs, target, stop_after="tile")
    weights = {matrix.name: graph.store[matrix.weight] for matrix in graph.matrices}
    seconds = busy = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, bank in graph.tables.items():
        columns = {key: column[first::STRIDE] for key, column in bank.columns.items()}
        blocks = torch.from_numpy(cut(grid(weights[name], bank.spec), TileBank(bank.spec, columns), slice(None)))
        for part in blocks.split(max(1, CHUNK_BYTES // (8 * bank.spec.ports**2))):
            start, used = time.perf_counter(), time.process_time()
            torch.linalg.svd(part)
            seconds += time.perf_counter() - start
            busy += time.process_time() - used
    torch.set_num_threads(threads)
    return (seconds, busy), sum(bank.spec.tiles for bank in graph.tables.values())


if __name__ == "__main__":
    main()
