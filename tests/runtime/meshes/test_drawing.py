"""Drawings: every part of a mesh is there, at every size."""

import builtins
import re
from xml.etree import ElementTree

import pytest

from lightloom.runtime.errors import LightloomError
from lightloom.runtime.meshes import TOPOLOGIES, mesh

pytest.importorskip("matplotlib")


def boxes(figure):
    """How many boxes of each group: blocks, inner shifters, phi, screen."""
    collections = figure.axes[0].collections[1:]
    return [len(collection.get_paths()) for collection in collections]


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("ports", [1, 2, 4, 16])
def test_a_box_for_every_shifter(topology, ports):
    layout = mesh(topology, ports)
    figure = layout.draw()
    blocks, inner, phi, screen = boxes(figure)
    assert inner == layout.cells * len(layout.kind.phases)
    assert (phi, screen) == (len(layout.phi_cells), len(layout.screen_ports))
    assert blocks == (layout.cells if ports == 16 else 0)
    assert topology in figure.axes[0].get_title()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [str(p) for p in range(ports)]


def test_cells_of_small_meshes_carry_their_numbers():
    texts = [text.get_text() for text in mesh("reck", 4).draw().axes[0].texts]
    assert texts == ["0", "1", "2", "3", "4", "5"]


def test_svg_is_well_formed_and_repeatable():
    layout = mesh("butterfly", 4)
    text = layout.draw_svg()
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert "butterfly, 4 ports: 4 cells" in text
    assert layout.draw_svg() == text
    assert not re.search(r"<dc:date>", text)


def test_wide_meshes_stay_of_a_printable_size():
    for topology in ("clements", "reck", "fldzhyan", "butterfly"):
        width, height = mesh(topology, 64).draw().get_size_inches()
        assert width < 36
        assert height < 20


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    true_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(LightloomError, match=r"needs matplotlib.*\[demo\]"):
        mesh("clements", 4).draw()
    with pytest.raises(LightloomError, match="matplotlib"):
        mesh("clements", 4).draw_svg()
