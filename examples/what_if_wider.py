"""A photonic architect's question: what does the same network cost on meshes of other widths?"""

from __future__ import annotations

import torch

import lightloom as ll
from lightloom.models import ResidualCNN
from lightloom.runtime.report.tables import aligned, si


def main() -> None:
    model = ResidualCNN().eval()
    x = torch.zeros(64, 1, 8, 8)
    rows = []
    for ports in (8, 16, 32, 64):
        program = ll.compile(model, x, ll.targets.get("mzi64").with_({"mesh.ports": ports}))
        layers = program.explain().layers
        tiles = sum(layer.tiles for layer in layers)
        used = sum(layer.utilization * layer.tiles for layer in layers) / tiles
        energy = program.energy
        rows.append(
            (str(ports), str(tiles), f"{used:.0%}", si(program.schedule.makespan_s, "s"), si(energy.amortised_j, "J"))
        )
    print(aligned(["ports", "tiles", "utilisation", "latency of 64 images", "energy per image"], rows))


if __name__ == "__main__":
    main()
