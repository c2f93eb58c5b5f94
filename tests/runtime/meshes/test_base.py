"""Meshes: the table of windows and cells, and the topologies by name."""

import numpy as np
import pytest

from lightloom.runtime.errors import TargetError
from lightloom.runtime.meshes import TOPOLOGIES, Mesh, mesh


def test_clements_of_five_ports_written_out():
    layout = mesh("clements", 5)
    assert layout.windows == ((0, 2), (1, 3), (0, 2), (1, 3), (0, 2))
    assert (layout.cells, layout.depth, layout.phases) == (10, 5, 25)
    assert layout.cell_ports.tolist() == [0, 2, 1, 3, 0, 2, 1, 3, 0, 2]
    assert layout.cell_windows.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert layout.cell_index[1].tolist() == [-1, 2, -1, 3, -1]


@pytest.mark.parametrize("ports", [1, 2, 3, 16, 33, 64])
def test_clements_has_a_phase_for_every_element(ports):
    layout = mesh("clements", ports)
    assert layout.cells == ports * (ports - 1) // 2
    assert layout.phases == ports * ports
    covered = [set() for _ in range(layout.depth)]
    for window, port in zip(layout.cell_windows, layout.cell_ports, strict=True):
        assert port % 2 == window % 2
        assert not covered[window] & {port, port + 1}
        covered[window] |= {port, port + 1}


def test_same_mesh_for_same_arguments():
    assert mesh("clements", 4) is mesh("clements", 4)


def test_one_port_has_no_cells():
    layout = mesh("clements", 1)
    assert (layout.cells, layout.phases, layout.windows) == (0, 1, ())
    assert layout.cell_ports.dtype == np.int32


def test_unknown_topology_names_the_close_ones():
    with pytest.raises(TargetError, match=r"'clement'.*Did you mean clements"):
        mesh("clement", 4)
    with pytest.raises(TargetError, match="allowed: " + ", ".join(sorted(TOPOLOGIES))):
        mesh("torus", 4)


@pytest.mark.parametrize("ports", [0, -3, 2.0, True, "8"])
def test_impossible_widths(ports):
    with pytest.raises(TargetError, match="whole number of ports"):
        mesh("clements", ports)


@pytest.mark.parametrize("windows", [((3,),), ((-1,),), ((0, 1),), ((2, 0),), ((0,), (0, 0))])
def test_overlapping_or_outlying_cells_are_refused(windows):
    with pytest.raises(TargetError, match="window"):
        Mesh("custom", 4, windows)


def test_meshes_are_values():
    layout = mesh("clements", 6)
    twin = Mesh("clements", 6, tuple(tuple(window) for window in layout.windows))
    assert twin == layout
    assert hash(twin) == hash(layout)
    assert twin != Mesh("clements", 6, layout.windows[::-1])
    with pytest.raises(ValueError, match="read-only"):
        layout.cell_ports[0] = 1
