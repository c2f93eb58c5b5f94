"""The butterfly mesh: the wiring of the fast Fourier transform."""

from __future__ import annotations

from ..errors import TargetError, complaint
from .mesh import Mesh


def butterfly(ports: int) -> Mesh:
    """Butterfly mesh: window w joins the ports whose numbers differ in bit w alone.

    log2(ports) windows of ports / 2 cells: every input reaches every output by exactly one path. The
    discrete Fourier transform of bit-reversed inputs (decimation in time) is one of its settings; arbitrary
    unitaries are not. Source: Cooley and Tukey (1965); in optics Barak and Ben-Aryeh, JOSA B 24, 231 (2007).

    Raises:
        TargetError: ports is not a power of two.
    """
    if ports & (ports - 1):
        above = 1 << ports.bit_length()
        raise TargetError(
            complaint(
                "A butterfly mesh needs a power of two",
                where="butterfly",
                got=f"{ports} ports",
                allowed="1, 2, 4, 8, ...",
                next_step=f"take {above // 2} or {above} ports",
            )
        )
    windows, lowers = [], []
    for bit in range(ports.bit_length() - 1):
        uppers = tuple(port for port in range(ports) if not port >> bit & 1)
        windows.append(uppers)
        lowers.append(tuple(port + (1 << bit) for port in uppers))
    return Mesh("butterfly", ports, tuple(windows), tuple(lowers))
