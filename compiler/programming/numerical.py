"""Numerical programming: search the phases of meshes that have no analytic rule.

Levenberg-Marquardt on the elements of ``transfer_matrix(mesh, phases) - matrix``, many tiles at once, each with its
own damping and its own restarts; quadratic near a solution. Wide meshes, whose Jacobian would not fit, go through
L-BFGS on the slicing engine's gradients, one at a time: expect a fidelity there, and no tight tolerance. A mesh with
no phase to spare (fldzhyan of 2 n windows) often fails from every start tried; a few windows more make it easy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import Progress as Bar
from torch import Tensor

from ...runtime.errors import CompileError, complaint
from ...runtime.meshes import Mesh
from ...runtime.seeds import seed_of
from .descent import levenberg_marquardt, limited_memory
from .settings import PhaseSettings
from .unitary import check_unitary

DENSE_PHASES = 2600
"""Meshes of at most so many phases (50 ports) are solved with dense normal equations, wider ones by L-BFGS."""

_EXACT = 1e-12
"""Distance at which a search without a tolerance is done."""


@dataclass(frozen=True)
class Progress:
    """How far a search is: this restart (from 0), its iterations so far, tiles that have reached the tolerance."""

    restart: int
    iteration: int
    reached: int
    tiles: int
    worst_fidelity: float


@dataclass(frozen=True, eq=False)
class NumericalSettings(PhaseSettings):
    """Every phase, and how well it was found.

    ``fidelity`` float64 (T,): |tr(M^H T)|^2 / n^2, 1 for a perfect match; ``distance`` float64 (T,): the largest
    |T - M| of an element; ``restarts`` int64 (T,): how many starts each matrix took.
    """

    fidelity: np.ndarray
    distance: np.ndarray
    restarts: np.ndarray


def program_numerically(
    mesh: Mesh,
    matrices: np.ndarray,
    *,
    tolerance: float | None = 1e-8,
    restarts: int = 8,
    iterations: int = 500,
    seed: int = 0,
    progress: Callable[[Progress], None] | bool = False,
) -> NumericalSettings:
    """Phases of any mesh that come as close as possible to unitary matrices.

    Args:
        mesh: any topology.
        matrices: real or complex unitaries (T, n, n) of the mesh's ports.
        tolerance: the largest |T - M| of an element that passes; None returns the best of all restarts,
            however far it is.
        restarts: random starts that a matrix gets at most; those that pass stop early.
        iterations: steps of one start.
        seed: of the starts; a matrix has the same ones at its place in any batch.
        progress: called after every step with a :class:`Progress`; True shows a bar on the terminal.

    Returns:
        NumericalSettings, float64, the best start of each matrix.

    Raises:
        CompileError: bad matrices (as ``program_unitaries``) or arguments, or a tolerance that was not
            reached: the message gives the fidelity and distance that were.
    """
    stack = check_unitary(np.asarray(matrices), 1e-6)
    if stack.shape[-1] != mesh.ports:
        raise CompileError(
            complaint(
                "The matrices do not fit the mesh",
                where="matrices",
                got=f"shape {stack.shape}",
                allowed=f"(T, {mesh.ports}, {mesh.ports})",
            )
        )
    if restarts < 1 or iterations < 1 or (tolerance is not None and not tolerance > 0):
        raise CompileError(
            complaint(
                "A search needs restarts and iterations of at least 1, and a positive tolerance",
                got=f"restarts={restarts}, iterations={iterations}, tolerance={tolerance}",
            )
        )
    goal, seed = _EXACT if tolerance is None else tolerance, seed_of(seed)
    with _shown(progress) as show:
        settings = _search(mesh, torch.from_numpy(stack.astype(np.complex128)), goal, restarts, iterations, seed, show)
    if tolerance is not None:
        _check_reached(mesh, settings, tolerance, restarts)
    return settings


def _search(
    mesh: Mesh,
    wanted: Tensor,
    goal: float,
    restarts: int,
    iterations: int,
    seed: int,
    show: Callable[[Progress], None],
) -> NumericalSettings:
    """The best of the starts of every matrix; those that reached the goal start no more."""
    tiles = len(wanted)
    best = torch.zeros(tiles, mesh.phases, dtype=torch.float64)
    fidelity, distance = torch.zeros(tiles, dtype=torch.float64), torch.full((tiles,), torch.inf, dtype=torch.float64)
    starts = np.zeros(tiles, dtype=np.int64)
    descend = levenberg_marquardt if mesh.phases <= DENSE_PHASES else limited_memory
    for restart in range(restarts):
        left = (distance > goal).nonzero()[:, 0]
        if not len(left):
            break
        starts[left.numpy()] += 1

        def report(iteration: int, errors: Tensor, close: Tensor, left: Tensor = left, restart: int = restart) -> None:
            now, match = distance.clone(), fidelity.clone()
            now[left] = torch.minimum(now[left], errors)
            match[left] = torch.maximum(match[left], close)
            show(Progress(restart, iteration, int((now <= goal).sum()), tiles, float(match.min())))

        first = torch.stack([_start(mesh, seed, restart, int(tile)) for tile in left])
        phases, errors, close = descend(mesh, wanted[left], first, goal, iterations, report)
        better = errors < distance[left]
        chosen = left[better]
        best[chosen], distance[chosen], fidelity[chosen] = phases[better], errors[better], close[better]
    return NumericalSettings(mesh, (best % (2 * np.pi)).numpy(), fidelity.numpy(), distance.numpy(), starts)


@contextmanager
def _shown(progress: Callable[[Progress], None] | bool) -> Iterator[Callable[[Progress], None]]:
    """What to call after every step: the caller's function, a bar on the terminal, or nothing."""
    if not isinstance(progress, bool):
        yield progress
        return
    with Bar(disable=not progress, transient=True) as bar:
        task = bar.add_task("programming", total=None)

        def show(state: Progress) -> None:
            text = f"start {state.restart + 1}, step {state.iteration}, worst fidelity {state.worst_fidelity:.6f}"
            bar.update(task, total=state.tiles, completed=state.reached, description=text)

        yield show


def _start(mesh: Mesh, seed: int, restart: int, tile: int) -> Tensor:
    """Random phases in (-pi, pi), a function of the arguments alone."""
    drawn = np.random.default_rng((seed, restart, tile)).random(mesh.phases)
    return torch.from_numpy(2 * np.pi * drawn - np.pi)


def _check_reached(mesh: Mesh, settings: NumericalSettings, tolerance: float, restarts: int) -> None:
    failed = np.flatnonzero(settings.distance > tolerance)
    if not failed.size:
        return
    worst = int(failed[np.argmax(settings.distance[failed])])
    needed = mesh.ports**2
    advice = (
        "give more restarts or iterations, a mesh of a few more layers (2 ports + 4 make a fldzhyan search easy), "
        "or a larger tolerance (None returns the best found)"
    )
    if mesh.phases < needed:
        advice = (
            f"a mesh of {mesh.phases} phases holds some unitaries only, {needed} are needed for all: "
            "take more layers or another topology, or tolerance=None for the best found"
        )
    raise CompileError(
        complaint(
            f"The search did not reach the tolerance for {failed.size} of {len(settings.distance)} matrices",
            where=f"{mesh.topology} of {mesh.ports} ports, matrices[{worst}]",
            got=f"fidelity {settings.fidelity[worst]:.9f}, largest |T - M| {settings.distance[worst]:.3g} "
            f"after {restarts} restarts",
            allowed=f"{tolerance:g}",
            next_step=advice,
        )
    )
