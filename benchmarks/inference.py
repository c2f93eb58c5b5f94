"""Inference on the simulator against eager PyTorch in the same run.

    python benchmarks/inference.py [network] [batch] [size] [--json PATH]

Wanted for resnet18, batch 8, 224 x 224: ideal at most 2.5 times eager, 8-bit differential at most 10 times, with
detector noise at most 20 times.
"""

from __future__ import annotations

import time

import torch
from harness import alternating, finish
from options import Options

import lightloom as ll
from lightloom.models.vision import torchvision_network


def main() -> None:
    parser = Options(__doc__, "torchvision")
    parser.add_argument("network", nargs="?", default="resnet18", help="torchvision's")
    parser.add_argument("batch", nargs="?", type=int, default=8)
    parser.add_argument("size", nargs="?", type=int, default=224, help="height and width of the images")
    parser.add_argument("--json", help="write the table as JSON")
    options = parser.parse_args()
    name, batch, size = options.network, options.batch, options.size
    torch.manual_seed(0)
    model = torchvision_network(name)
    x = torch.randn(batch, 3, size, size)
    quiet = {"detection.noise": False, "mesh.phase_error_rad": 0.0}
    eight = {"encoding.dac_bits": 8, "detection.adc_bits": 8, "mesh.phase_bits": 8, "mesh.attenuator_bits": 8}
    program = ll.compile(model, x[:1], ll.targets.get("mzi64").with_({**quiet, **eight}))
    noisy = ll.compile(model, x[:1], ll.targets.get("mzi64").with_({**quiet, **eight, "detection.noise": True}))
    works = {
        "eager": lambda: eager(model, x),
        "ideal": lambda: program.run(x, ideal=True),
        "8-bit differential": lambda: program.run(x),
        "8-bit, detector noise": lambda: noisy.run(x),
    }
    first = {}
    for key, work in works.items():
        start = time.perf_counter()
        work()
        first[key] = time.perf_counter() - start
    times = alternating(works, repeats=3)
    macs = program.explain().macs * batch
    exact = eager(model, x)
    rows = [
        {
            "run": key,
            "seconds": times[key],
            "times eager": times[key] / times["eager"],
            "GMAC/s": macs / times[key] / 1e9,
            "first run s": first[key],
            "relative error": float((work() - exact).norm() / exact.norm()),
        }
        for key, work in works.items()
    ]
    notes = [f"{name}, batch {batch}, {size} x {size}: {macs / 1e9:.2f} GMAC; a first run also computes the tiles'"]
    finish("inference", rows, [notes[0] + " transfer matrices"])


def eager(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The network as PyTorch runs it."""
    with torch.no_grad():
        return model(x)


if __name__ == "__main__":
    main()
