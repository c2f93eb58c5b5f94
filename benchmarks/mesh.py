"""Programming and slicing of many tiles against the SVDs that the same tiles need.

    python benchmarks/mesh.py [--tiles 1000] [--ports 64] [--json results.json]

The floor is batched torch.linalg.svd in float64 on the same matrices in the same run. Every time is the
best of three after one warm-up (compilation is not counted).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from options import Options

from lightloom.compiler.programming import program_unitaries
from lightloom.compiler.programming.clements import program_complex, program_real
from lightloom.runtime.meshes import mesh
from lightloom.runtime.slicing.cpu import tile_matrices, transfer_matrices


def best_s(work: Callable[[], object], repeats: int = 3) -> float:
    """Best wall time of ``work`` in seconds, after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(tiles: int, ports: int) -> dict[str, float]:
    """Times in seconds, and the reconstruction error of the tiles (max abs over the largest weight)."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((tiles, ports, ports))
    tensor = torch.from_numpy(weights)
    svd = best_s(lambda: torch.linalg.svd(tensor))
    u, a, vh = (part.numpy() for part in torch.linalg.svd(tensor))
    layout = mesh("clements", ports)
    left, right = (program_unitaries("clements", part).phases_rad() for part in (u, vh))
    gain = a / a[:, :1]
    rebuilt = tile_matrices(layout, left, gain, right, part="real") * a[:, :1, None]
    sample = slice(0, max(1, tiles // 10))
    return {
        "svd_s": svd,
        "program_real_s": best_s(lambda: program_real(u)),
        "program_checked_s": best_s(lambda: program_unitaries("clements", u)),
        "program_complex_tenth_s": best_s(lambda: program_complex(u[sample].astype(np.complex128))),
        "transfer_matrices_s": best_s(lambda: transfer_matrices(layout, left)),
        "tile_matrices_real32_s": best_s(
            lambda: tile_matrices(layout, left, gain, right, part="real", precision="float32")
        ),
        "reconstruction_error": float(np.abs(rebuilt - weights).max() / np.abs(weights).max()),
    }


def main() -> None:
    """Measure, print a table with ratios to the SVDs, and write JSON where asked."""
    parser = Options(__doc__)
    parser.add_argument("--tiles", type=int, default=1000)
    parser.add_argument("--ports", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = measure(options.tiles, options.ports)
    print(f"{options.tiles} tiles of {options.ports} ports, {torch.get_num_threads()} threads")
    for name, value in results.items():
        ratio = f"{value / results['svd_s']:8.3f} of the SVDs" if name.endswith("_s") else ""
        print(f"  {name:26s} {value:10.3g} {ratio}")
    if options.json:
        record = {"tiles": options.tiles, "ports": options.ports, "threads": torch.get_num_threads(), **results}
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
