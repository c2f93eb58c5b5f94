"""The Triton kernels of the slicing engine: a block of samples stays in registers through all windows.

A window is one expression for all ports: ``y = straight * x + cross * x[partner]``, where a port's partner is the
other port of its cell, or itself where it passes by (then cross is 0). One program holds all ports of a block of
samples, (ports, samples) in planes of real and imaginary parts; only the partners' fields go through shared memory.

Importing this module needs triton. Numbers are real, of one dtype; tables are planar,
(tiles, depth, 4, ports): re and im of straight, re and im of cross.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def _times(ar, ai, br, bi):
    return ar * br - ai * bi, ar * bi + ai * br


@triton.jit
def _conj_times(ar, ai, br, bi):
    """conj(a) b"""
    return ar * br + ai * bi, ar * bi - ai * br


@triton.jit
def _places(pid, batch, ports, blocks, P: tl.constexpr, S: tl.constexpr):
    """Offsets of the real parts of a program's fields in (tiles, batch, ports, 2), and which of them exist."""
    port = tl.arange(0, P)
    sample = (pid % blocks) * S + tl.arange(0, S)
    row = (pid // blocks).to(tl.int64) * batch + sample
    place = (row[None, :] * ports + port[:, None]) * 2
    return place, (port[:, None] < ports) & (sample[None, :] < batch)


@triton.jit
def _element(table, part, port, ports):
    """One part (P, 1) of the coefficients of a window at some ports; 0 where there is no port."""
    return tl.load(table + part * ports + port, mask=tl.arange(0, table_width(port)) < ports, other=0.0)[:, None]
