"""In-situ training against exact training: Digits on two 64-port Clements meshes.

    python benchmarks/luxia/insitu.py [--epochs 30] [--seeds 5] [--results docs/luxia/insitu.json]

The in-situ chip has 8-bit phases and 1 % noise on every intensity it measures; the exact one continuous phases and
computed gradients. Same split, start, order and learning rate. Wanted: within 2 points of test accuracy. Runs already
in the results file are not run again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from accuracy import Results
from shared import Options

from lightloom.models import pnn
from lightloom.runtime.slicing import Imperfections

WAYS = {
    "exact": {},
    "in situ, 8-bit phases, 1 % noise": {
        "in_situ": pnn.InSitu(measurement_noise=0.01),
        "imperfections": Imperfections(phase_bits=8),
    },
}


def run(way: str, seed: int, epochs: int) -> dict[str, Any]:
    """Test accuracy in percent, and the history, of one training."""
    split = pnn.load("digits", seed)
    model = pnn.MeshNetwork(64, split.classes, "clements", bias=True, diagonal=True, seed=seed, haar=True, **WAYS[way])
    start = time.perf_counter()
    options = pnn.Training(epochs=epochs, batch=64, learning_rate=1e-2, final_rate=0.02, seed=seed)
    history = pnn.train(model, split, options)
    return {
        "test": 100 * pnn.evaluate(model, split.test_x, split.test_y)[1],
        "seconds": time.perf_counter() - start,
        "history": history.to_dict(),
    }


def main() -> None:
    """Train what is missing and print the table."""
    parser = Options(__doc__, "sklearn")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("insitu.json"))
    arguments = parser.parse_args()
    results = Results(arguments.results)
    for seed in range(arguments.seeds):
        for way in WAYS:
            name = f"{way}/{arguments.epochs}/seed={seed}"
            if name not in results.records:
                results.add({name: run(way, seed, arguments.epochs)})
    from tables import insitu_table

    print(insitu_table(results.records))


if __name__ == "__main__":
    main()
