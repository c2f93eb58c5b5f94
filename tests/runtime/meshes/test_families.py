"""The families: their cells written out, what they cost, and the widths and options they refuse."""

import pytest

from lightloom.runtime.errors import TargetError
from lightloom.runtime.meshes import CELL_KINDS, TOPOLOGIES, UNIVERSAL, Mesh, mesh
from lightloom.runtime.slicing.cells import KINDS

WIDTHS = {"butterfly": (1, 2, 4, 8, 16), "diamond": (1, 2, 4, 6, 10)}


def widths(topology):
    return WIDTHS.get(topology, (1, 2, 3, 4, 5, 8, 9))


def test_reck_written_out():
    layout = mesh("reck", 5)
    assert layout.windows == ((0,), (1,), (0, 2), (1, 3), (0, 2), (1,), (0,))
    assert (layout.cell, layout.cells, layout.phases) == ("mzi", 10, 25)


def test_diamond_written_out():
    layout = mesh("diamond", 6)
    assert layout.windows == ((2,), (1, 3), (0, 2, 4), (1, 3), (2,))
    assert (layout.cells, layout.phases) == (9, 24)


def test_butterfly_written_out():
    layout = mesh("butterfly", 8)
    assert layout.windows == ((0, 2, 4, 6), (0, 1, 4, 5), (0, 1, 2, 3))
    assert layout.lowers == ((1, 3, 5, 7), (2, 3, 6, 7), (4, 5, 6, 7))
    assert layout.cell_lower.tolist() == [1, 3, 5, 7, 2, 3, 6, 7, 4, 5, 6, 7]


def test_fldzhyan_is_the_four_windows_of_the_paper():
    layout = mesh("fldzhyan", 4, layers=4)
    assert layout.windows == ((0, 2), (1,), (0, 2), (1,))
    assert (layout.cell_splitters, layout.phases) == (1, 6 + 4)
    assert mesh("fldzhyan", 4).depth == 8


def test_clements_bell_shifters_outside_the_cells():
    even, odd = mesh("clements_bell", 6), mesh("clements_bell", 5)
    # windows of 3 and 2 cells: all of window 0, then cell (0, 1) of windows 2 and 4
    assert even.phi_cells.tolist() == [0, 1, 2, 5, 10]
    assert even.screen_ports.tolist() == [0, 1, 3, 5]
    assert odd.phi_cells.tolist() == [0, 1]
    assert odd.screen_ports.tolist() == [0, 2, 4]
    assert (even.phases, odd.phases) == (36 + 3, 25)
    assert even.windows == mesh("clements", 6).windows


def test_rectangular_is_the_front_of_clements():
    assert mesh("rectangular", 7, layers=3).windows == mesh("clements", 7).windows[:3]
    assert mesh("rectangular", 7, layers=7).windows == mesh("clements", 7).windows
    assert mesh("rectangular", 8).depth == 4


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_layout_of_phases(topology):
    for ports in widths(topology):
        layout = mesh(topology, ports)
        groups = layout.phase_layout
        assert [*groups] == [*CELL_KINDS[layout.cell].phases, "phi", "screen"]
        ends = [0, *(group.stop for group in groups.values())]
        assert [group.start for group in groups.values()] == ends[:-1]
        assert ends[-1] == layout.phases
        assert groups["phi"].stop - groups["phi"].start == len(layout.phi_cells)
        assert layout.ports == ports


@pytest.mark.parametrize("ports", [2, 3, 4, 5, 8, 9])
def test_universal_families_have_the_phases_of_a_unitary(ports):
    for topology in UNIVERSAL:
        spare = ports // 2 if topology == "clements_bell" and ports % 2 == 0 else 0
        assert mesh(topology, ports).phases == ports**2 + spare
    assert mesh("fldzhyan", ports).phases == ports**2


def test_every_kind_of_cell_has_a_matrix():
    assert KINDS.keys() == CELL_KINDS.keys()


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("ports", [0, -1, 1.5, True])
def test_impossible_widths(topology, ports):
    with pytest.raises(TargetError, match="whole number of ports"):
        mesh(topology, ports)


@pytest.mark.parametrize("ports", [3, 6, 12])
def test_a_butterfly_needs_a_power_of_two(ports):
    with pytest.raises(TargetError, match=rf"power of two.*got {ports} ports.*Take {'2 or 4' if ports == 3 else ''}"):
        mesh("butterfly", ports)


@pytest.mark.parametrize("ports", [3, 7])
def test_a_diamond_needs_an_even_width(ports):
    with pytest.raises(TargetError, match=r"even number of waveguides.*2 m - 2"):
        mesh("diamond", ports)


@pytest.mark.parametrize("topology", ["fldzhyan", "fldzhyan_bell", "rectangular"])
@pytest.mark.parametrize("layers", [0, -2, 1.5, True])
def test_impossible_layers(topology, layers):
    with pytest.raises(TargetError, match=r"whole number of layers.*1 or more"):
        mesh(topology, 4, layers=layers)


def test_options_of_other_families():
    with pytest.raises(TargetError, match=r"does not know this option.*clements.*layers; allowed: none"):
        mesh("clements", 4, layers=2)
    with pytest.raises(TargetError, match=r"got depth; allowed: layers"):
        mesh("fldzhyan", 4, depth=2)


def test_same_mesh_for_same_options():
    assert mesh("fldzhyan", 6, layers=5) is mesh("fldzhyan", 6, layers=5)
    assert mesh("fldzhyan", 6, layers=5) != mesh("fldzhyan", 6)


def test_meshes_of_other_cells_differ():
    windows = ((0,), (1,))
    assert Mesh("custom", 3, windows) != Mesh("custom", 3, windows, cell="fldzhyan")
    assert Mesh("custom", 3, ((0,),)) != Mesh("custom", 3, ((0,),), lowers=((2,),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "ring"}, "Unknown kind of cell.*mzi"),
        ({"lowers": ((1,),)}, "pair up"),
        ({"lowers": ((2, 1), (3,))}, "window 0"),
        ({"lowers": ((1, 4), (2,))}, "window 0"),
        ({"phi": (3,)}, "phi.*0 to 2"),
        ({"phi": (1, 0)}, "phi"),
        ({"screen": (0, 4)}, "screen.*0 to 3"),
        ({"screen": (1, 1)}, "screen"),
    ],
)
def test_impossible_meshes(options, message):
    with pytest.raises(TargetError, match=message):
        Mesh("custom", 4, ((0, 2), (1,)), **options)
