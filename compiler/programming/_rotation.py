"""The inner loop of :mod:`._nulling`: one plane rotation of ``LANES`` matrices side by side, in LLVM vectors.

A compiler that vectorises by itself reads the angles again for every element, not knowing that they stay.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
"""Tiles side by side: one AVX-512 register of float64, or two of AVX2."""

_PI = 3.141592653589793
_SPLIT, _QUARTER = 0.66, _PI / 4
_P4, _P3, _P2, _P1, _P0 = (
    -8.750608600031904122785e-1,
    -1.615753718733365076637e1,
    -7.500855792314704667340e1,
    -1.228866684490136173410e2,
    -6.485021904942025371773e1,
)
_Q4, _Q3, _Q2, _Q1, _Q0 = (
    2.485846490142306297962e1,
    1.650270098316988542046e2,
    4.328810604912902668951e2,
    4.853903996359136964868e2,
    1.945506571482613964425e2,
)


@njit(inline="always")
def double_angle(s, c):
    """``2 atan2(s, c)`` in [0, pi] for s, c >= 0 on the unit circle.

    ``4 atan(s / (1 + c))`` with the rational function of Cephes' atan (Moshier): no branches, so that a loop over it
    becomes vector instructions.
    """
    t = s / (1.0 + c)
    far = t > _SPLIT
    x = ((t - 1.0) if far else t) / ((t + 1.0) if far else 1.0)
    z = x * x
    p = (((_P4 * z + _P3) * z + _P2) * z + _P1) * z + _P0
    q = ((((z + _Q4) * z + _Q3) * z + _Q2) * z + _Q1) * z + _Q0
    quarter = _QUARTER if far else 0.0
    return min(4.0 * (x * (z * p / q) + x + quarter), _PI)


@intrinsic
def _rotate(typingctx: Any, a: Any, first: Any, gap: Any, step: Any, count: Any, angles: Any, cell: Any) -> Any:
    """``u, v = w u, v; u, v = s u + c v, c u - s v`` for ``count`` pairs of groups of LANES elements of a.

    The pairs lie at ``first``, ``first + step``, ...; v is ``gap`` behind u. s, c and w are ``angles[cell]``.
    a, angles (cells, 3, LANES): contiguous float64. Nothing is checked, and no view is made: numba counts references
    to views, which takes longer than the rotation.
    """
    if any(kind.dtype != types.float64 for kind in (a, angles)):
        raise TypeError("rotate takes float64 arrays")
    signature = types.void(a, types.intp, types.intp, types.intp, types.intp, angles, types.intp)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), LANES)
        memory, found = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 5))
        first, gap, step, count = args[1:5]
        index = first.type
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f64"
        )

        def at(place: Any, base: Any = memory) -> Any:
            return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

        angle = builder.mul(args[6], ir.Constant(index, 3 * LANES))
        sine, cosine, sign = (
            builder.load(at(builder.add(angle, ir.Constant(index, part * LANES)), found), align=8) for part in range(3)
        )
        with cgutils.for_range(builder, count) as loop:
            place = builder.add(first, builder.mul(loop.index, step))
            upper, lower = at(place), at(builder.add(place, gap))
            u, v = builder.fmul(sign, builder.load(upper, align=8)), builder.load(lower, align=8)
            builder.store(builder.call(fma, [sine, u, builder.fmul(cosine, v)]), upper, align=8)
            builder.store(builder.call(fma, [cosine, u, builder.fneg(builder.fmul(sine, v))]), lower, align=8)
        return context.get_dummy_value()

    return signature, codegen


rotate: Any = _rotate
"""The intrinsic as numba code calls it: without the typing context."""
