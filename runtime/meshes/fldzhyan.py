"""Meshes of one splitter a cell, after Fldzhyan et al., Optics Letters 45, 2632 (2020)."""

from __future__ import annotations

from .clements import brickwork
from .mesh import Mesh
from .options import whole_number


def fldzhyan(ports: int, layers: int | None = None) -> Mesh:
    """Brickwork of one-splitter cells ``BS . diag(e^{j theta}, 1)``, then the screen.

    ``layers`` windows, 2 ports by default: with the screen that is ports**2 phases, what a unitary
    needs. There is no analytic rule; in return splitter errors do not take unitaries away. More layers make
    the numerical programming easier.

    Raises:
        TargetError: layers below 1.
    """
    layers = 2 * ports if layers is None else whole_number("fldzhyan", "layers", layers)
    return Mesh("fldzhyan", ports, brickwork(ports, layers), cell="fldzhyan")


def fldzhyan_bell(ports: int, layers: int | None = None) -> Mesh:
    """Brickwork of one-splitter cells with a phase on both arms, ``BS . diag(e^{j upper}, e^{j lower})``.

    ``layers`` windows, 2 ports by default. The common phase of a cell passes its splitter unchanged, so it
    adds nothing to what the shifters of the next window reach: as with one phase a cell, a unitary takes
    2 ports windows. What is gained is symmetry: both arms hold the same parts, lose the same light, and
    a phase difference of up to pi either way needs half the heating.

    Raises:
        TargetError: layers below 1.

    Source: the symmetric arms of Bell and Walmsley, APL Photonics 6, 070804 (2021), on the cells of Fldzhyan.
    """
    layers = 2 * ports if layers is None else whole_number("fldzhyan_bell", "layers", layers)
    return Mesh("fldzhyan_bell", ports, brickwork(ports, layers), cell="fldzhyan_bell")
