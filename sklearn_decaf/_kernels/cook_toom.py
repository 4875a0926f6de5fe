"""Winograd's minimal filtering by the Cook-Toom construction, in exact fractions.

F(m, r) computes m neighbouring outputs of a filter with r taps from n = m + r - 1 inputs with n
multiplications instead of m * r: ``outputs = AT @ ((G @ taps) * (BT @ inputs))``. In two
dimensions each matrix is applied along both axes, and a tile costs n * n multiplications instead
of (m * r) ** 2 (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016).
"""

from __future__ import annotations

from fractions import Fraction

# Interpolation points by their number; infinity is always one more. Of small fractions these had
# the smallest rounding errors in single precision, on random tiles: 0.6e-6 for F(4, 3), where 2
# and -2 have 1.5e-6, and 1.4e-6 for F(5, 3), where 2, -2 and 1/2 have 2.3e-6.
_POINTS = {
    1: "0",
    2: "0 1",
    3: "0 1 -1",
    4: "0 1 -1 2",
    5: "0 1 -1 2 -1/2",
    6: "0 1 -1 1/2 -2/3 3",
    7: "0 1 -1 2 -2 1/2 -1/2",
}

Matrix = list[list[Fraction]]


def cook_toom(m: int, r: int) -> tuple[Matrix, Matrix, Matrix]:
    """The matrices of F(m, r).

    Parameters
    ----------
    m : int
        Outputs computed at a time.
    r : int
        Taps of the filter; m + r - 2, the number of points, is at least 1 and at most 7.

    Returns
    -------
    AT : list of shape (m, n), transforms products to outputs
    G : list of shape (n, r), transforms the filter
    BT : list of shape (n, n), transforms inputs

    Raises
    ------
    ValueError
        If there are no points for these sizes.
    """
    n = m + r - 1
    if m < 1 or r < 1 or n - 1 not in _POINTS:
        raise ValueError(f"no interpolation points for F({m}, {r}): m + r - 2 has to be 1 to 7")
    points = [Fraction(point) for point in _POINTS[n - 1].split()]
    inverse_at = [[p**i for p in points] + [Fraction(i == m - 1)] for i in range(m)]
    filters, inputs = [], []
    for p in points:
        others = [q for q in points if q != p]
        row = _polynomial(others)  # vanishes at all other points
        value = Fraction(1)
        for q in others:
            value *= p - q
        scale = _power_of_two(max(abs(c) for c in row) / 2)
        filters.append([p**k * scale / value for k in range(r)])
        inputs.append([c / scale for c in row] + [Fraction(0)])
    filters.append([Fraction(k == r - 1) for k in range(r)])  # the point at infinity
    inputs.append(_polynomial(points))
    return inverse_at, filters, inputs


def _polynomial(roots) -> list[Fraction]:
    """Coefficients of the product of (x - root), the lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [
            high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)])
        ]
    return coefficients


def _power_of_two(value: Fraction) -> Fraction:
    """The largest power of two that is at most `value`: scaling by it rounds nothing."""
    power = Fraction(1)
    while power > value:
        power /= 2
    while power * 2 <= value:
        power *= 2
    return power
