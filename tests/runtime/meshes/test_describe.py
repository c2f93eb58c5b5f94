"""Meshes in numbers."""

import pytest

from lightloom.runtime.meshes import Mesh, mesh


def test_clements_of_five_ports():
    facts = mesh("clements", 5).describe(cell_loss_db=0.2)
    assert (facts.cells, facts.depth, facts.phases, facts.splitters) == (10, 5, 25, 20)
    # an inner port meets a cell in every window, the edge ports in three and two of the five
    assert (facts.longest_path, facts.shortest_path, facts.splitters_on_longest_path) == (5, 2, 10)
    assert facts.insertion_loss_db == pytest.approx(1.0)
    assert facts.least_loss_db == pytest.approx(0.4)
    assert facts.connected


def test_reck_of_four_ports():
    facts = mesh("reck", 4).describe()
    # down the first diagonal and up again: five cells; the lowest port reaches the lowest through one
    assert (facts.longest_path, facts.shortest_path) == (5, 1)


def test_butterfly_paths_are_all_alike():
    facts = mesh("butterfly", 16).describe()
    assert facts.longest_path == facts.shortest_path == 4
    assert "always 4" in str(facts)


def test_one_splitter_cells():
    facts = mesh("fldzhyan", 4).describe()
    assert (facts.splitters, facts.splitters_on_longest_path) == (12, 8)


def test_shallow_meshes_are_not_connected():
    assert not mesh("rectangular", 8, layers=3).describe().connected
    assert "some inputs do not reach" in str(mesh("rectangular", 8, layers=3).describe())
    assert mesh("clements", 8).describe().connected


def test_no_cells_at_all():
    facts = mesh("clements", 1).describe()
    assert (facts.cells, facts.longest_path, facts.insertion_loss_db) == (0, 0, 0.0)
    assert Mesh("custom", 3, ((0,),)).describe().shortest_path == 0
