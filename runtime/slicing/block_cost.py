"""When blocks of cells pay, and how large they should be: a model of time, by counts.

On a CPU they never do: the cell kernels need 24 flops a cell and sample and come close to what a core can; blocks
need 32, more at the edges, and their products are small. ``benchmarks/blocked.py``, two cores shared with others,
float32, processor time of the kernels over that of blocks, there / with gradients:

====== ====== =========== =========== =========== ===========
ports  batch  k = 4       8           16          32
====== ====== =========== =========== =========== ===========
64     512    0.23 / 0.24 0.26 / 0.30 0.29 / 0.32 0.29 / 0.30
64     4096   0.24 / 0.27 0.31 / 0.35 0.33 / 0.36 0.30 / 0.35
256    128    0.16 / 0.19 0.19 / 0.23 0.22 / 0.27 0.20 / 0.25
256    512    0.15 / 0.23 0.24 / 0.33 0.28 / 0.38 0.26 / 0.38
256    4096   0.21 / 0.25 0.29 / 0.37 0.36 / 0.40 0.35 / 0.43
1024   128                            0.14 / 0.21 0.14 / 0.17
1024   1024                           0.34 / 0.43 0.33 / 0.49
====== ====== =========== =========== =========== ===========

So "auto" leaves them to GPUs, where the kernels wait for memory and at a barrier behind every window while products
run near the peak.

NOT MEASURED ON A GPU: the numbers of ``GPU`` are those of an H100's data sheet and estimates, named as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..meshes import Mesh
from .block_plan import block_plan

SIDES = (4, 8, 16, 32, 64)
"""Sides k of blocks to choose from."""

_STEPS = 20
"""Operations of torch that a mesh in blocks takes beside its layers."""

_PASSES = 8
"""Times that the numbers of all blocks are read or written before the first layer."""


@dataclass(frozen=True)
class Machine:
    """What the model knows of a device, for float32.

    Args:
        cells_per_s: cells times samples that the cell kernels do.
        window_s: least time of a window in them.
        flops_per_s: of products of large blocks; those of side k reach k / (k + half_side) of it.
        numbers_per_s: complex numbers that are read or written.
        launch_s: one operation of torch.
    """

    cells_per_s: float
    window_s: float
    flops_per_s: float
    half_side: float
    numbers_per_s: float
    launch_s: float


GPU = Machine(
    cells_per_s=0.7e12,  # 40 bytes a cell and sample through the first-level caches, 28 TB/s
    window_s=1e-6,  # estimate: one load, one store, one barrier
    flops_per_s=45e12,  # estimate: two thirds of 67 TFLOP/s
    half_side=8,  # estimate
    numbers_per_s=0.3e12,  # 8 bytes each, 2.4 of 3.35 TB/s
    launch_s=5e-6,  # estimate
)
CPU = Machine(
    cells_per_s=6e9, window_s=0.0, flops_per_s=150e9, half_side=4, numbers_per_s=1e9, launch_s=1e-5
)  # measured, two cores


def machine(device: str) -> Machine:
    """The machine of a device type."""
    return CPU if device == "cpu" else GPU


def kernels_s(mesh: Mesh, vectors: int, tiles: int, on: Machine) -> float:
    """Time of ``vectors`` vectors through each of ``tiles`` meshes, there, by the cell kernels."""
    return mesh.depth * on.window_s + mesh.cells * vectors * tiles / on.cells_per_s


def blocks_s(mesh: Mesh, side: int, vectors: int, tiles: int, on: Machine) -> float:
    """The same in blocks: the blocks from their cells, and the layers."""
    plan = block_plan(mesh, side)
    blocks, ports = plan.layers * plan.blocks * tiles, 2 * side
    cells = blocks * side**2
    making = kernels_s(plan.diamond, ports, blocks, on) + _PASSES * blocks * ports**2 / on.numbers_per_s
    rate = on.flops_per_s * side / (side + on.half_side)
    products = 32 * cells * vectors / rate + 2 * plan.layers * mesh.ports * vectors * tiles / on.numbers_per_s
    return making + products + (_STEPS + plan.layers) * on.launch_s


@lru_cache(maxsize=256)
def best_side(mesh: Mesh, vectors: int, tiles: int, device: str) -> int:
    """The side of the blocks that take least time on a type of device."""
    on = machine(device)
    return min(SIDES, key=lambda side: blocks_s(mesh, side, vectors, tiles, on))


@lru_cache(maxsize=256)
def pays(mesh: Mesh, vectors: int, tiles: int, device: str) -> bool:
    """Whether blocks take less time than the cell kernels. Never where cells join other ports than neighbours."""
    if device == "cpu" or not mesh.cells or (mesh.cell_lower != mesh.cell_ports + 1).any():
        return False
    on = machine(device)
    blocks = blocks_s(mesh, best_side(mesh, vectors, tiles, device), vectors, tiles, on)
    return blocks < kernels_s(mesh, vectors, tiles, on)
