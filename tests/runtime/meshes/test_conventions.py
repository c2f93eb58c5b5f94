"""Port order, phase order and matrix orientation of every family, by settings without symmetry.

Light is traced by hand: a cell in the cross state gives j to light that changes ports, and its phi to light of the
upper port. Every case goes through the torch reference and the CPU kernel.
"""

import numpy as np
import pytest
import torch

from lightloom.runtime.meshes import TOPOLOGIES, mesh
from lightloom.runtime.slicing.cpu import transfer_matrices
from lightloom.runtime.slicing.reference import transfer_matrix


def reference(layout, phases, errors=None):
    errors = None if errors is None else torch.tensor(errors)
    return transfer_matrix(layout, torch.tensor(phases, dtype=torch.float64), errors).numpy()


def kernel(layout, phases, errors=None):
    return transfer_matrices(layout, np.array([phases], dtype=np.float64), errors if errors is None else errors[None])[
        0
    ]


both = pytest.mark.parametrize("matrix", [reference, kernel])


def paths(ports, *ways):
    """The matrix of ways (input, output, power of j, phases on the way)."""
    expected = np.zeros((ports, ports), dtype=complex)
    for start, end, turns, phases in ways:
        expected[end, start] = 1j**turns * np.exp(1j * sum(phases))
    return expected


def angles(count, seed=1):
    return np.random.default_rng(seed).uniform(-3, 3, count)


@both
def test_reck_of_four_ports_all_crossing(matrix):
    # cells in order: (0, 1), (1, 2), (0, 1), (2, 3), (1, 2), (0, 1)
    phi, screen = angles(6), angles(4, seed=2)
    got = matrix(mesh("reck", 4), [*np.zeros(6), *phi, *screen])
    expected = paths(
        4,
        (0, 3, 3, (phi[0], phi[1], phi[3], screen[3])),
        (1, 2, 3, (phi[2], phi[4], screen[2])),
        (2, 1, 3, (phi[5], screen[1])),
        (3, 0, 3, (screen[0],)),
    )
    np.testing.assert_allclose(got, expected, atol=1e-14)


@both
def test_diamond_of_four_waveguides_all_crossing(matrix):
    # cells in order: (1, 2), (0, 1), (2, 3), (1, 2)
    phi, screen = angles(4), angles(4, seed=2)
    got = matrix(mesh("diamond", 4), [*np.zeros(4), *phi, *screen])
    expected = paths(
        4,
        (0, 2, 2, (phi[1], phi[3], screen[2])),
        (1, 3, 2, (phi[0], phi[2], screen[3])),
        (2, 0, 2, (screen[0],)),
        (3, 1, 2, (screen[1],)),
    )
    np.testing.assert_allclose(got, expected, atol=1e-14)


@both
def test_butterfly_of_four_ports_all_crossing(matrix):
    # cells in order: (0, 1), (2, 3), (0, 2), (1, 3)
    phi, screen = angles(4), angles(4, seed=2)
    got = matrix(mesh("butterfly", 4), [*np.zeros(4), *phi, *screen])
    expected = paths(
        4,
        (0, 3, 2, (phi[0], phi[3], screen[3])),
        (1, 2, 2, (phi[2], screen[2])),
        (2, 1, 2, (phi[1], screen[1])),
        (3, 0, 2, (screen[0],)),
    )
    np.testing.assert_allclose(got, expected, atol=1e-14)


@both
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_butterfly_holds_the_fourier_transform_of_bit_reversed_inputs(matrix, bits):
    n = 1 << bits
    layout = mesh("butterfly", n)
    psi, phi = np.zeros(n), np.empty(layout.cells)
    for k, (p, q, bit) in enumerate(zip(layout.cell_ports, layout.cell_lower, layout.cell_windows, strict=True)):
        # theta = pi/2: e^{3j pi/4} / sqrt2 [[1, 1], [1, -1]], the lower input to weigh the twiddle factor
        phi[k] = psi[q] - psi[p] + 2 * np.pi * (p % (1 << bit)) / (2 << bit)
        psi[p] = psi[q] = phi[k] + psi[p] + 3 * np.pi / 4
    got = matrix(layout, [*np.full(layout.cells, np.pi / 2), *phi, *-psi])
    reversed_bits = [int(f"{port:0{bits}b}"[::-1], 2) for port in range(n)]
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) / np.sqrt(n)
    np.testing.assert_allclose(got, fourier[:, reversed_bits], atol=1e-13)


@both
def test_clements_bell_of_two_ports(matrix):
    layout, phi, screen = mesh("clements_bell", 2), 0.7, (0.3, -0.4)
    # equal phases: the cross state, turned by the phase; apart by pi: the bar state
    cross = matrix(layout, [0.5, 0.5, phi, *screen])
    np.testing.assert_allclose(
        cross, paths(2, (0, 1, 1, (0.5, phi, screen[1])), (1, 0, 1, (0.5, screen[0]))), atol=1e-14
    )
    bar = matrix(layout, [0.5 + np.pi, 0.5, phi, *screen])
    np.testing.assert_allclose(bar, paths(2, (0, 0, 2, (0.5, phi, screen[0])), (1, 1, 0, (0.5, screen[1]))), atol=1e-14)
    # upper = pi/2, lower = 0: theta of an MZI; upper = 0, lower = pi/2: theta - pi/2 with a common pi/2
    mzi = matrix(mesh("clements", 2), [np.pi / 2, phi, *screen])
    np.testing.assert_allclose(matrix(layout, [np.pi / 2, 0, phi, *screen]), mzi, atol=1e-14)
    other = matrix(mesh("clements", 2), [-np.pi / 2, phi, *screen]) * np.exp(0.5j * np.pi)
    np.testing.assert_allclose(matrix(layout, [0, np.pi / 2, phi, *screen]), other, atol=1e-14)


@both
def test_clements_bell_of_four_ports_all_crossing(matrix):
    # cells in order: (0, 1), (2, 3), (1, 2), (0, 1), (2, 3), (1, 2); phi before cells 0, 1, 3; screen on ports 0, 1, 3
    mean, phi, screen = angles(6), angles(3, seed=2), angles(3, seed=3)
    got = matrix(mesh("clements_bell", 4), [*mean, *mean, *phi, *screen])
    expected = paths(
        4,
        (0, 3, 3, (phi[0], mean[0], mean[2], mean[4], screen[2])),
        (1, 2, 3, (mean[0], phi[2], mean[3], mean[5])),
        (2, 1, 3, (phi[1], mean[1], mean[4], mean[5], screen[1])),
        (3, 0, 3, (mean[1], mean[2], mean[3], screen[0])),
    )
    np.testing.assert_allclose(got, expected, atol=1e-14)


@both
def test_fldzhyan_of_three_ports_by_hand(matrix):
    # 1/sqrt2 [[e^{jt}, j], [j e^{jt}, 1]] on (0, 1), then on (1, 2), then the screen
    a, b, screen = 0.4, -0.9, angles(3)
    got = matrix(mesh("fldzhyan", 3, layers=2), [a, b, *screen])
    u, v, root = np.exp(1j * a), np.exp(1j * b), np.sqrt(0.5)
    columns = [
        [u * root, 1j * u * v / 2, -u * v / 2],
        [1j * root, v / 2, 1j * v / 2],
        [0, 1j * root, root],
    ]
    np.testing.assert_allclose(got, np.exp(1j * screen)[:, None] * np.transpose(columns), atol=1e-14)


@both
def test_fldzhyan_bell_of_three_ports_by_hand(matrix):
    # as above, with a phase on the lower arms too: port 1 before the first cell, port 2 before the second
    (a, b), (c, d), screen = (0.4, -0.9), (1.1, 0.25), angles(3)
    got = matrix(mesh("fldzhyan_bell", 3, layers=2), [a, b, c, d, *screen])
    u, v, x, y, root = *np.exp(1j * np.array([a, b, c, d])), np.sqrt(0.5)
    columns = [
        [u * root, 1j * u * v / 2, -u * v / 2],
        [1j * x * root, x * v / 2, 1j * x * v / 2],
        [0, 1j * y * root, y * root],
    ]
    np.testing.assert_allclose(got, np.exp(1j * screen)[:, None] * np.transpose(columns), atol=1e-14)


@both
def test_rectangular_of_two_layers_all_crossing(matrix):
    # cells in order: (0, 1), (2, 3), (1, 2)
    phi, screen = angles(3), angles(4, seed=2)
    got = matrix(mesh("rectangular", 4, layers=2), [*np.zeros(3), *phi, *screen])
    expected = paths(
        4,
        (0, 2, 2, (phi[0], phi[2], screen[2])),
        (1, 0, 1, (screen[0],)),
        (2, 3, 1, (phi[1], screen[3])),
        (3, 1, 2, (screen[1],)),
    )
    np.testing.assert_allclose(got, expected, atol=1e-14)


def dense(layout, phases, errors):
    """The mesh as a product of dense matrices of splitters and shifters, one part after another."""

    def on(p, q, block):
        whole = np.eye(layout.ports, dtype=complex)
        whole[np.ix_([p, q], [p, q])] = block
        return whole

    groups = {name: phases[place] for name, place in layout.phase_layout.items()}
    outer = dict(zip(layout.phi_cells.tolist(), groups["phi"], strict=True))
    product = np.eye(layout.ports, dtype=complex)
    for k, (p, q) in enumerate(zip(layout.cell_ports, layout.cell_lower, strict=True)):
        splitters = []
        for error in errors[k]:
            c, s = np.cos(np.pi / 4 + error), np.sin(np.pi / 4 + error)
            splitters.append(on(p, q, [[c, 1j * s], [1j * s, c]]))
        upper = groups["upper" if "upper" in groups else "theta"][k]
        lower = groups["lower"][k] if "lower" in groups else 0.0
        arms = on(p, q, np.diag(np.exp([1j * upper, 1j * lower])))
        product = on(p, q, np.diag([np.exp(1j * outer.get(k, 0.0)), 1])) @ product
        if layout.cell in ("mzi", "symmetric"):
            product = splitters[0] @ product
        product = splitters[-1] @ arms @ product
    screen = np.zeros(layout.ports)
    screen[layout.screen_ports] = groups["screen"]
    return np.exp(1j * screen)[:, None] * product


WIDTHS = {"butterfly": (1, 2, 4, 8), "diamond": (1, 2, 4, 8)}


@both
@pytest.mark.parametrize(
    ("topology", "ports"), [(name, n) for name in TOPOLOGIES for n in WIDTHS.get(name, (1, 2, 3, 4, 5, 8))]
)
def test_every_family_is_the_product_of_its_parts(matrix, topology, ports):
    layout = mesh(topology, ports)
    phases = angles(layout.phases)
    errors = np.random.default_rng(5).normal(0, 0.2, (layout.cells, layout.cell_splitters))
    np.testing.assert_allclose(matrix(layout, phases, errors), dense(layout, phases, errors), atol=1e-13)
    np.testing.assert_allclose(matrix(layout, phases), dense(layout, phases, 0 * errors), atol=1e-13)
