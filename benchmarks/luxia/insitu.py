"""In-situ training against exact training: Digits on two 64-port Clements meshes.

    python benchmarks/luxia/insitu.py [--epochs 60] [--seeds 3] [--json PATH]

The in-situ chip has 8-bit phases and 1 % noise on every intensity it measures; the exact one continuous phases and
computed gradients. Same split, start, order and learning rate. Wanted: within 2 points of test accuracy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from lightloom.models import pnn
from lightloom.runtime.slicing import Imperfections

WAYS = {
    "exact": {},
    "in situ, 8-bit phases, 1 % noise": {
        "in_situ": pnn.InSitu(measurement_noise=0.01),
        "imperfections": Imperfections(phase_bits=8),
    },
}


def run(way: str, seed: int, epochs: int) -> tuple[float, float]:
    """Test accuracy in percent, and seconds, of one training."""
    split = pnn.load("digits", seed)
    model = pnn.MeshNetwork(64, split.classes, "clements", bias=True, diagonal=True, seed=seed, haar=True, **WAYS[way])
    start = time.perf_counter()
    options = pnn.Training(epochs=epochs, batch=64, learning_rate=1e-2, final_rate=0.02, seed=seed)
    pnn.train(model, split, options)
    return 100 * pnn.evaluate(model, split.test_x, split.test_y)[1], time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(arguments.seeds):
        for way, tests in found.items():
            accuracy, seconds = run(way, seed, arguments.epochs)
            tests.append(accuracy)
            print(f"seed {seed}, {way}: {accuracy:.2f} % test, {seconds:.1f} s", flush=True)
    means = {way: statistics.mean(tests) for way, tests in found.items()}
    exact, measured = means.values()
    for way, mean in means.items():
        print(f"{way}: {mean:.2f} % (mean of {arguments.seeds})")
    print(f"in situ minus exact: {measured - exact:+.2f} points")
    if arguments.json:
        arguments.json.write_text(json.dumps({"epochs": arguments.epochs, "test": found}, indent=2))


if __name__ == "__main__":
    main()
