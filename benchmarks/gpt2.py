"""GPT-2 small (124 M weights, random): how long it takes to compile against the SVDs of its tiles, and its peak memory.

    python benchmarks/gpt2.py [--target mzi64] [--layers 12] [--json PATH]

The floor is ``torch.linalg.svd`` of the same tiles (float64, a bank's chunk at a time), measured in the same process
before and after the compile, so that a slow phase of the machine hits both. Peak memory is that of the whole process
while it compiles, the model's own weights included. Wanted: at most 1.5 times the SVDs' time, and 6 GB.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from harness import PeakMemory, finish

import lightloom as ll
from lightloom.compiler.passes import cut, grid
from lightloom.compiler.pipeline import CHUNK_BYTES
from lightloom.models import zoo
from lightloom.runtime.program import TileBank

POSITIONS = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--layers", type=int, default=12, help="fewer than 12 for a quick look")
    parser.add_argument("--json", help="write the table as JSON")
    options = parser.parse_args()
    ll.compile(torch.nn.Linear(8, 8), torch.zeros(1, 8), options.target)  # kernels from their cache, imports done
    model = gpt2(options.layers)
    inputs = {"input_ids": torch.randint(0, 50257, (1, 16))}
    floor_before, tiles = floor_s(model, inputs, options.target)
    start = time.perf_counter()
    with PeakMemory() as memory:
        program = ll.compile(model, inputs, options.target, dynamic_shapes={"input_ids": {1: "length"}})
        compile_s = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    floor_after, _ = floor_s(model, inputs, options.target)
    floor = (floor_before + floor_after) / 2
    row = {
        "network": f"GPT-2, {options.layers} layers",
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "tiles": tiles,
        "svd_s": floor,
        "compile_s": compile_s,
        "compile/svd": compile_s / floor,
        "peak_gb": peak / 1e9,
        "above_model_gb": memory.bytes / 1e9,
        "share": program.explain().photonic_macs / program.explain().macs,
    }
    shares = ", ".join(f"{key} {value:.2f} s" for key, value in program.pass_s.items() if value > 0.05)
    notes = [
        f"svd before and after: {floor_before:.2f} s, {floor_after:.2f} s",
        shares,
        *program.body.provenance["notes"],
    ]
    finish("gpt2", [row], notes)


def gpt2(layers: int) -> torch.nn.Module:
    """GPT-2 small with its language head (which shares the embedding's weights), random weights, in eval mode."""
    zoo.preload("transformers")
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=layers, n_positions=POSITIONS)).eval()


def floor_s(model: torch.nn.Module, inputs: dict[str, torch.Tensor], target: str) -> tuple[float, int]:
    """Seconds and count of the SVDs of all tiles of a model, nothing else."""
    graph = ll.lower(model, inputs, target, stop_after="tile")
    weights = {matrix.name: graph.store[matrix.weight] for matrix in graph.matrices}
    total, tiles = 0.0, 0
    for name, bank in graph.tables.items():
        laid_out = grid(weights[name], bank.spec)
        chunk = max(1, CHUNK_BYTES // (8 * bank.spec.ports**2))
        for first in range(0, bank.spec.tiles, chunk):
            blocks = torch.from_numpy(cut(laid_out, TileBank(bank.spec, bank.columns), slice(first, first + chunk)))
            start = time.perf_counter()
            torch.linalg.svd(blocks)
            total += time.perf_counter() - start
        tiles += bank.spec.tiles
    return total, tiles


if __name__ == "__main__":
    main()
