"""Loops over rows of samples in vector instructions, written once as LLVM instructions.

A row operation reads a few rows of a block (the real or imaginary parts of a port's field, one number a
sample), combines them with a few coefficients, and writes them back in place. The compiler's own loop
vectoriser would have to prove at run time, in every call, that the rows do not overlap; for rows of 64
samples that costs as much as the arithmetic. Here the rows are known to be different.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

GRAIN = 16
"""Rows hold a multiple of this many samples."""

# a type checker takes the function for what compiled code calls, without its first argument
intrinsic: Any = _intrinsic
_X86 = platform.machine().lower() in ("x86_64", "amd64")
_BITS = 256
_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)
# a multiply and an add may become one instruction; nothing else may change
_FLAGS = ("contract",)


_CONTROL = ir.IntType(32)
_FLUSH = 0x8040  # flush to zero, denormals are zero


@intrinsic
def flush_denormals(typing_context: Any) -> Any:
    """Take numbers too small for full precision as zero in this thread; returns what to give to :func:`restore`.

    At the rim of the light cone fields fall off exponentially, window by window; the processor is a hundred times
    slower on what is left of them. Does nothing on processors other than x86.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not _X86:
            return _CONTROL(0)
        place = cgutils.alloca_once(builder, _CONTROL)
        _control(builder, "llvm.x86.sse.stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, _CONTROL(_FLUSH)), place)
        _control(builder, "llvm.x86.sse.ldmxcsr", place)
        return before

    return types.uint32(), generate


@intrinsic
def restore(typing_context: Any, before: Any) -> Any:
    """Undo :func:`flush_denormals`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _X86:
            place = cgutils.alloca_once(builder, _CONTROL)
            builder.store(args[0], place)
            _control(builder, "llvm.x86.sse.ldmxcsr", place)
        return context.get_dummy_value()

    return types.none(types.uint32), generate


def _control(builder: Any, name: str, place: Any) -> None:
    """Store or load the control word of the vector unit."""
    pointer = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer]), name)
    builder.call(function, [builder.bitcast(place, pointer)])


class Vector:
    """Arithmetic on LLVM values, so that row operations read like formulas."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fadd(self.value, other.value, flags=_FLAGS))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fsub(self.value, other.value, flags=_FLAGS))

    def __mul__(self, other: Vector) -> Vector:
        return Vector(self.builder, self.builder.fmul(self.value, other.value, flags=_FLAGS))


Body = Callable[[list[Vector], list[Vector], list[Vector]], tuple[Sequence[Vector | None], Sequence[Vector]]]
"""(rows, coefficients, sums so far) -> (new rows, None for one that stays; new sums)."""


def row_operation(rows: int, coefficients: int, sums: int, body: Body, unroll: int = 1) -> Any:
    """A function for compiled code: ``f(samples, addresses, coefficients)`` -> tuple of ``sums`` totals.

    Args:
        rows: how many rows ``body`` takes; the function takes a tuple of as many addresses (intp).
        coefficients: how many numbers it takes, a tuple of float32 or float64; they fix the rows' type.
        sums: how many totals over the samples it keeps.
        body: the formula.
        unroll: vectors a turn of the loop; samples must be a multiple of ``unroll`` vectors.
    """

    @intrinsic
    def operation(typing_context: Any, samples: Any, addresses: Any, numbers: Any) -> Any:
        real = numbers.dtype
        result = types.UniTuple(real, sums) if sums else types.none
        return result(samples, addresses, numbers), _Loop(real, rows, coefficients, sums, body, unroll).generate

    return operation


class _Loop:
    """Writes the loop of one row operation."""

    def __init__(self, real: Any, rows: int, coefficients: int, sums: int, body: Body, unroll: int) -> None:
        width = 32 if real == types.float32 else 64
        self.element = ir.FloatType() if width == 32 else ir.DoubleType()
        self.lanes, self.align = _BITS // width, width // 8
        self.type = ir.VectorType(self.element, self.lanes)
        self.rows, self.coefficients, self.sums, self.body, self.unroll = rows, coefficients, sums, body, unroll

    def generate(self, context: Any, builder: Any, signature: Any, args: Any) -> Any:
        samples, addresses, numbers = args
        pointers = [
            builder.inttoptr(builder.extract_value(addresses, row), self.element.as_pointer())
            for row in range(self.rows)
        ]
        known = [
            Vector(builder, self._splat(builder, builder.extract_value(numbers, k))) for k in range(self.coefficients)
        ]
        before = builder.block
        loop, done = builder.append_basic_block("samples"), builder.append_basic_block("samples.done")
        builder.branch(loop)
        builder.position_at_end(loop)
        at = builder.phi(_INDEX)
        at.add_incoming(_INDEX(0), before)
        sums = [[builder.phi(self.type) for _ in range(self.unroll)] for _ in range(self.sums)]
        totals: list[list[Any]] = [[] for _ in range(self.sums)]
        for turn in range(self.unroll):
            start = builder.add(at, _INDEX(turn * self.lanes))
            places = [builder.bitcast(builder.gep(p, [start]), self.type.as_pointer()) for p in pointers]
            values = [Vector(builder, builder.load(place, align=self.align)) for place in places]
            rows, parts = self.body(values, known, [Vector(builder, phis[turn]) for phis in sums])
            for place, row in zip(places, rows, strict=True):
                if row is not None:
                    builder.store(row.value, place, align=self.align)
            for total, part in zip(totals, parts, strict=True):
                total.append(part.value)
        following = builder.add(at, _INDEX(self.unroll * self.lanes))
        at.add_incoming(following, loop)
        for phis, values in zip(sums, totals, strict=True):
            for phi, value in zip(phis, values, strict=True):
                phi.add_incoming(ir.Constant(self.type, [0.0] * self.lanes), before)
                phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, samples), loop, done)
        builder.position_at_end(done)
        if not self.sums:
            return context.get_dummy_value()
        return context.make_tuple(builder, signature.return_type, [self._total(builder, total) for total in totals])

    def _splat(self, builder: Any, number: Any) -> Any:
        empty = ir.Constant(self.type, ir.Undefined)
        one = builder.insert_element(empty, number, _LANE(0))
        return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes))

    def _total(self, builder: Any, parts: list[Any]) -> Any:
        """The sum of all lanes, always in the same order."""
        value = parts[0]
        for part in parts[1:]:
            value = builder.fadd(value, part)
        half = self.lanes // 2
        while half:
            turned = [(lane + half) % self.lanes for lane in range(self.lanes)]
            other = builder.shuffle_vector(
                value, ir.Constant(self.type, ir.Undefined), ir.Constant(ir.VectorType(_LANE, self.lanes), turned)
            )
            value = builder.fadd(value, other)
            half //= 2
        return builder.extract_element(value, _LANE(0))
