"""The searches behind ``program_numerically``: from first phases to the nearest minimum, for many tiles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...runtime.meshes import Mesh
from ...runtime.slicing import propagate
from .jacobian import transfer_and_jacobian

Report = Callable[[int, Tensor, Tensor], None]
"""Called with the iteration, and for every tile the largest |T - M| of an element and the fidelity."""

Found = tuple[Tensor, Tensor, Tensor]
"""Phases (T, phases), largest |T - M| (T,) and fidelity (T,) of every tile."""

_JACOBIAN_BYTES = 128 << 20
_STALLED = 1e12
"""Damping at which no step makes a tile better: it is at its minimum."""

_PATIENCE = 25
"""Steps in which the cost must fall by a tenth; slower than that, another start is the better chance."""


def levenberg_marquardt(
    mesh: Mesh, wanted: Tensor, phases: Tensor, goal: float, iterations: int, report: Report
) -> Found:
    """Damped Gauss-Newton steps, each tile with a damping of its own.

    Args:
        mesh: any topology. wanted: complex128 (T, n, n). phases: float64 (T, phases), where to start.
        goal: largest |T - M| at which a tile is done. iterations: steps at most.
    """
    phases = phases.clone()
    tiles = len(phases)
    errors, close = torch.full((tiles,), torch.inf, dtype=torch.float64), torch.zeros(tiles, dtype=torch.float64)
    chunk = max(1, _JACOBIAN_BYTES // (32 * mesh.ports**2 * max(1, mesh.phases)))
    for first in range(0, tiles, chunk):
        part = slice(first, first + chunk)

        def told(iteration: int, now: Tensor, match: Tensor, part: slice = part) -> None:
            errors[part], close[part] = now, match
            report(iteration, errors, close)

        phases[part] = _solve(mesh, wanted[part], phases[part], goal, iterations, told)
    return phases, errors, close


def _solve(mesh: Mesh, wanted: Tensor, phases: Tensor, goal: float, iterations: int, report: Report) -> Tensor:
    phases = phases.clone()
    transfer = transfer_matrix(mesh, phases)
    cost = _cost(transfer, wanted)
    normal = phases.new_empty(len(phases), mesh.phases, mesh.phases)
    gradient = torch.empty_like(phases)
    damping, factor = torch.full_like(cost, 1e-1), torch.full_like(cost, 2.0)
    stale = torch.ones_like(cost, dtype=torch.bool)
    errors = _distance(transfer, wanted)
    before = cost.clone()
    eye = torch.eye(mesh.phases, dtype=torch.float64)
    for iteration in range(1, iterations + 1):
        live = ((errors > goal) & (damping < _STALLED)).nonzero()[:, 0]
        if not len(live):
            break
        fresh = live[stale[live]]
        if len(fresh):
            normal[fresh], gradient[fresh] = _equations(mesh, phases[fresh], wanted[fresh])
            stale[fresh] = False
        weight = damping[live, None]
        # the columns of the Jacobian have norm 1: damping by the identity treats all phases alike
        factors, failed = torch.linalg.cholesky_ex(normal[live] + weight[..., None] * eye)
        step = -torch.cholesky_solve(gradient[live, :, None], factors)[..., 0]
        trial = transfer_matrix(mesh, phases[live] + step)
        promised = 0.5 * (step * (weight * step - gradient[live])).sum(-1)
        gain = (cost[live] - _cost(trial, wanted[live])) / promised.clamp_min(1e-300)
        good = (gain > 0) & (failed == 0)
        taken = live[good]
        phases[taken] += step[good]
        transfer[taken] = trial[good]
        cost[taken] = _cost(trial[good], wanted[taken])
        stale[taken] = True
        # Nielsen's rule: shrink by how well the model foretold the gain, grow faster with every failure
        damping[taken] *= (1 - (2 * gain[good].clamp_max(1) - 1) ** 3).clamp_min(1 / 9)
        damping[taken] = damping[taken].clamp_min(1e-14)
        factor[taken] = 2.0
        refused = live[~good]
        damping[refused] *= factor[refused]
        factor[refused] *= 2
        errors = _distance(transfer, wanted)
        if iteration % _PATIENCE == 0:
            damping[cost > 0.9 * before] = _STALLED
            before = cost.clone()
        report(iteration, errors, _fidelity(transfer, wanted))
    report(iterations, errors, _fidelity(transfer, wanted))
    return phases


def _equations(mesh: Mesh, phases: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """J^T J (T, phases, phases) and J^T r (T, phases) of the residual's real and imaginary parts."""
    transfer, jacobian = transfer_and_jacobian(mesh, phases)
    columns = torch.view_as_real(jacobian.flatten(1, 2)).transpose(2, 3).flatten(1, 2)
    residual = torch.view_as_real((transfer - wanted).flatten(1)).flatten(1)
    return columns.mT @ columns, (columns.mT @ residual[..., None])[..., 0]


def limited_memory(mesh: Mesh, wanted: Tensor, phases: Tensor, goal: float, iterations: int, report: Report) -> Found:
    """L-BFGS with line searches on the slicing engine's gradients, one tile after the other."""
    phases = phases.clone()
    tiles = len(phases)
    errors, close = torch.full((tiles,), torch.inf, dtype=torch.float64), torch.zeros(tiles, dtype=torch.float64)
    for tile in range(tiles):
        point = phases[tile].clone().requires_grad_()
        search = torch.optim.LBFGS(
            [point],
            max_iter=25,
            history_size=50,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def loss(point: Tensor = point, search: torch.optim.LBFGS = search, tile: int = tile) -> Tensor:
            search.zero_grad()
            value = _cost(transfer_matrix(mesh, point), wanted[tile])
            value.backward()
            return value

        for iteration in range(25, iterations + 25, 25):
            before = phases[tile].clone()
            search.step(loss)
            found = point.detach()
            transfer = transfer_matrix(mesh, found)
            phases[tile] = found
            errors[tile], close[tile] = _distance(transfer, wanted[tile]), _fidelity(transfer, wanted[tile])
            report(min(iteration, iterations), errors, close)
            if errors[tile] <= goal or torch.equal(before, found):
                break
    return phases, errors, close


def transfer_matrix(mesh: Mesh, phases: Tensor) -> Tensor:
    """Transfer matrices (..., n, n), complex128, of phases (..., phases), by the slicing engine."""
    return propagate(torch.eye(mesh.ports, dtype=torch.complex128), phases[..., None, :], mesh).mT


def _cost(transfer: Tensor, wanted: Tensor) -> Tensor:
    return 0.5 * (transfer - wanted).abs().square().sum((-2, -1))


def _distance(transfer: Tensor, wanted: Tensor) -> Tensor:
    return (transfer - wanted).abs().amax((-2, -1))


def _fidelity(transfer: Tensor, wanted: Tensor) -> Tensor:
    return (wanted.conj() * transfer).sum((-2, -1)).abs().square().div(wanted.shape[-1] ** 2).clamp_max(1.0)
