"""The rectangular mesh of symmetric cells of Bell and Walmsley, APL Photonics 6, 070804 (2021)."""

from __future__ import annotations

from .clements import brickwork
from .mesh import Mesh


def clements_bell(ports: int) -> Mesh:
    """The Clements mesh with a phase on both arms inside every MZI instead of one in and one before it.

    Inside a symmetric cell the difference of the two phases is theta, and their mean is a phase on both
    outputs; it takes the place of the phi of the next window. What the means cannot reach stays outside:

    - phi in front of every cell of window 0;
    - for an even number of ports, phi in front of the cell (0, 1) of every other window: it lies on the
      top waveguide, beside the cells of the window before, and takes no depth;
    - the screen, on the upper port of every cell of the last window and on the ports that pass it by.

    An odd number of ports has ports**2 phases in all; an even one ports / 2 more, because the common phase
    of a window that covers all ports does nothing.
    """
    windows = brickwork(ports, ports)
    phi = list(range(len(windows[0]))) if windows else []
    first = 0
    for window, uppers in enumerate(windows):
        if ports % 2 == 0 and window % 2 == 0 and window > 0:
            phi.append(first)
        first += len(uppers)
    last = windows[-1] if windows else ()
    screen = tuple(port for port in range(ports) if port - 1 not in last)
    return Mesh("clements_bell", ports, windows, cell="symmetric", phi=tuple(phi), screen=screen)
