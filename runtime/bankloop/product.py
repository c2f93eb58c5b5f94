"""The inner product of the fused kernel: six rows of a tile times a block of code vectors.

Written as LLVM vectors, because a compiler that vectorises loops by itself spills the twelve
accumulators. One multiply-add after another over the inputs, ascending, for every output: the sum of a
vector does not depend on which vectors are computed beside it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS = 6
"""Rows of a tile at a time."""
VECTORS = 2
"""Machine vectors of samples at a time: ROWS * VECTORS accumulators stay in registers."""
LANES = 16
"""Samples at a time: blocks are multiples of this."""


@intrinsic
def _tile_rows(typingctx: Any, matrix: Any, codes: Any, out: Any, inputs: Any, width: Any) -> Any:
    """``out[r, w] = sum_j matrix[j, r] * codes[j, w]`` for ROWS rows r and ``width`` samples w.

    Args: matrix (inputs, ROWS), codes (inputs, width), out (ROWS, width): contiguous, one dtype, float32 or
    float64; width: a multiple of LANES. Nothing is checked.
    """
    element = matrix.dtype
    if element not in (types.float32, types.float64) or element != codes.dtype or element != out.dtype:
        raise TypeError("tile_rows takes three float32 or three float64 arrays")
    signature = types.void(matrix, codes, out, types.intp, types.intp)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        pointers = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(sig.args[:3], args[:3], strict=True)
        ]
        matrix, codes, out = pointers
        _emit(builder, element.bitwidth, matrix, codes, out, args[3], args[4])
        return context.get_dummy_value()

    return signature, codegen


tile_rows: Any = _tile_rows
"""The intrinsic as numba code calls it: without the typing context."""


def _emit(builder: Any, bits: int, matrix: Any, codes: Any, out: Any, inputs: Any, width: Any) -> None:
    """The loops: over chunks of samples, and inside over the inputs."""
    real = ir.FloatType() if bits == 32 else ir.DoubleType()
    lanes = LANES // VECTORS
    vector = ir.VectorType(real, lanes)
    index = inputs.type
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}f{bits}"
    )
    zero = ir.Constant(vector, [0.0] * lanes)

    def load_codes(j: Any, w: Any, v: int) -> Any:
        place = builder.add(builder.mul(j, width), builder.add(w, ir.Constant(index, v * lanes)))
        pointer = builder.bitcast(builder.gep(codes, [place]), vector.as_pointer())
        return builder.load(pointer, align=bits // 8)

    def broadcast(j: Any, r: int) -> Any:
        place = builder.add(builder.mul(j, ir.Constant(index, ROWS)), ir.Constant(index, r))
        scalar = builder.load(builder.gep(matrix, [place]))
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        picks = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), picks)

    step = ir.Constant(index, LANES)
    with cgutils.for_range_slice(builder, ir.Constant(index, 0), width, step, index) as (w, _):
        before = builder.basic_block
        body = builder.append_basic_block("product.inputs")
        after = builder.append_basic_block("product.store")
        builder.branch(body)
        builder.position_at_end(body)
        j = builder.phi(index)
        j.add_incoming(ir.Constant(index, 0), before)
        sums = [[builder.phi(vector) for _ in range(VECTORS)] for _ in range(ROWS)]
        samples = [load_codes(j, w, v) for v in range(VECTORS)]
        for r in range(ROWS):
            weight = broadcast(j, r)
            for v in range(VECTORS):
                grown = builder.call(fma, [weight, samples[v], sums[r][v]])
                sums[r][v].add_incoming(zero, before)
                sums[r][v].add_incoming(grown, body)
        following = builder.add(j, ir.Constant(index, 1))
        j.add_incoming(following, body)
        builder.cbranch(builder.icmp_signed("<", following, inputs), body, after)
        builder.position_at_end(after)
        for r in range(ROWS):
            for v in range(VECTORS):
                row = builder.mul(ir.Constant(index, r), width)
                place = builder.add(row, builder.add(w, ir.Constant(index, v * lanes)))
                pointer = builder.bitcast(builder.gep(out, [place]), vector.as_pointer())
                builder.store(sums[r][v].incomings[1][0], pointer, align=bits // 8)
