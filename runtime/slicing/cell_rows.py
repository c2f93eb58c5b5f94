"""What a cell does to the rows of its two ports, as row operations.

Rows come as re, im of the upper port, then of the lower one; with gradients beside them, the gradients'
rows follow in the same order. A *rotation* is the cell of a lossless mesh in the travelling frame of
:mod:`.frames`: ``[[s, c], [c, -s]] diag(a + jb, 1)`` with real a, b, s, c and a^2 + b^2 = s^2 + c^2 = 1, 24
flops a sample where a general 2x2 cell takes 28.
"""

from __future__ import annotations

from .vector import Vector, row_operation

Row = Vector


def _rotate(rows: list[Row], numbers: list[Row], sums: list[Row]):
    xr, xi, yr, yi = rows
    a, b, s, c = numbers
    ur, ui = a * xr - b * xi, a * xi + b * xr
    return (s * ur + c * yr, s * ui + c * yi, c * ur - s * yr, c * ui - s * yi), ()


def _unrotate(rows: list[Row], numbers: list[Row], sums: list[Row]):
    yr, yi, zr, zi = rows
    a, b, s, c = numbers
    ur, ui = s * yr + c * zr, s * yi + c * zi
    return (a * ur + b * ui, a * ui - b * ur, c * yr - s * zr, c * yi - s * zi), ()


def _rotation_gradient(rows: list[Row], numbers: list[Row], sums: list[Row]):
    """Outgoing fields y and gradients g become incoming ones; sums: Im y0 g0*, Im y1 g1*, y0 g1* - y1* g0."""
    y0r, y0i, y1r, y1i, g0r, g0i, g1r, g1i = rows
    upper, lower, real, imaginary = sums
    totals = (
        upper + y0i * g0r - y0r * g0i,
        lower + y1i * g1r - y1r * g1i,
        real + y0r * g1r + y0i * g1i - y1r * g0r - y1i * g0i,
        imaginary + y0i * g1r - y0r * g1i - y1r * g0i + y1i * g0r,
    )
    return (*_unrotate(rows[:4], numbers, [])[0], *_unrotate(rows[4:], numbers, [])[0]), totals


def _apply(rows: list[Row], numbers: list[Row], sums: list[Row]):
    """A general cell; numbers: re, im of m00, m01, m10, m11."""
    xr, xi, yr, yi = rows
    a, b, c, d, e, f, g, h = numbers
    return (
        a * xr - b * xi + c * yr - d * yi,
        a * xi + b * xr + c * yi + d * yr,
        e * xr - f * xi + g * yr - h * yi,
        e * xi + f * xr + g * yi + h * yr,
    ), ()


def _adjoint(rows: list[Row], numbers: list[Row], sums: list[Row]):
    """The conjugate transpose of a general cell."""
    xr, xi, yr, yi = rows
    a, b, c, d, e, f, g, h = numbers
    return (
        a * xr + b * xi + e * yr + f * yi,
        a * xi - b * xr + e * yi - f * yr,
        c * xr + d * xi + g * yr + h * yi,
        c * xi - d * xr + g * yi - h * yr,
    ), ()


def _products(x: list[Row], g: list[Row], sums: list[Row]) -> tuple[Row, ...]:
    """Sums of g_i x_k*, re and im, for i, k = 00, 01, 10, 11: the gradient of a general cell's matrix."""
    totals = []
    for i in (0, 2):
        for k in (0, 2):
            real, imaginary = sums[len(totals)], sums[len(totals) + 1]
            totals += [
                real + g[i] * x[k] + g[i + 1] * x[k + 1],
                imaginary + g[i + 1] * x[k] - g[i] * x[k + 1],
            ]
    return tuple(totals)


def _general_gradient(rows: list[Row], numbers: list[Row], sums: list[Row]):
    """Outgoing fields and gradients become incoming ones; numbers: the inverse matrix, then the matrix."""
    x, _ = _apply(rows[:4], numbers[:8], [])
    g, _ = _adjoint(rows[4:], numbers[8:], [])
    return (*x, *g), _products([*x], rows[4:], sums)


def _taped_gradient(rows: list[Row], numbers: list[Row], sums: list[Row]):
    """As _general_gradient, with the incoming fields at hand."""
    g, _ = _adjoint(rows[4:], numbers, [])
    return (None, None, None, None, *g), _products(rows[:4], rows[4:], sums)


rotate = row_operation(4, 4, 0, _rotate, unroll=2)
unrotate = row_operation(4, 4, 0, _unrotate, unroll=2)
rotation_gradient = row_operation(8, 4, 4, _rotation_gradient)
apply = row_operation(4, 8, 0, _apply, unroll=2)
adjoint = row_operation(4, 8, 0, _adjoint, unroll=2)
general_gradient = row_operation(8, 16, 8, _general_gradient)
taped_gradient = row_operation(8, 8, 8, _taped_gradient)
