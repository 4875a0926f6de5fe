"""Activation functions of each value of a region, in place or to another (see elementwise).

Exponentials are polynomials of degree 6 on [-ln(2) / 2, ln(2) / 2], scaled by a power of two: no
call, no table, no branch, so that they become vectors, and the same bits wherever a value stands.
`_expm1` is precise near 0 too, where ``exp(x) - 1`` would cancel. Powers of two are made by
``np.ldexp``, which `build_tools/kernel_to_cpp.py` turns into a shift of the exponent. Quotients
are made float32 at once: Python's are float64, and so would be all that follows.
"""

import numpy as np


def _expm1(x):
    # exp(x) - 1 for x in [-87, 88], to 2 units in the last place
    whole = x * np.float32(1.44269504) + np.float32(12582912.0)  # 1.5 * 2^23: rounds to integers
    whole = whole - np.float32(12582912.0)
    rest = x - whole * np.float32(0.693359375) - whole * np.float32(-2.12194440e-4)
    series = np.float32(1.9875691500e-4) * rest + np.float32(1.3981999507e-3)
    series = series * rest + np.float32(8.3334519073e-3)
    series = series * rest + np.float32(4.1665795894e-2)
    series = series * rest + np.float32(1.6666665459e-1)
    series = series * rest + np.float32(5.0000001201e-1)
    series = series * rest * rest + rest  # exp(rest) - 1
    power = np.ldexp(np.float32(1), np.int32(whole))
    return power * series + (power - np.float32(1))


def _sigmoid(x):
    bounded = np.minimum(np.maximum(-x, np.float32(-87)), np.float32(88))
    return np.float32(np.float32(1) / (np.float32(2) + _expm1(bounded)))


def _tanh(x):
    # odd: of the absolute value, for which nothing cancels
    bounded = np.minimum(np.maximum(np.float32(2) * x, np.float32(-40)), np.float32(40))
    power = _expm1(bounded)
    return np.float32(power / (power + np.float32(2)))


def _normal(x):
    # P(X <= x) of a standard normal X, to 2e-7: Abramowitz and Stegun 1964, 7.1.26
    size = np.minimum(np.maximum(np.abs(x) * np.float32(0.70710678), np.float32(0)), np.float32(9))
    t = np.float32(np.float32(1) / (np.float32(1) + np.float32(0.3275911) * size))
    series = np.float32(1.061405429) * t + np.float32(-1.453152027)
    series = series * t + np.float32(1.421413741)
    series = series * t + np.float32(-0.284496736)
    series = series * t + np.float32(0.254829592)
    tail = np.float32(0.5) * series * t * (np.float32(1) + _expm1(-size * size))
    return np.where(x > np.float32(0), np.float32(1) - tail, tail)


# pythran export leaky_relu(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                           int, int, int, float)
def leaky_relu(
    x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels, slope
):
    # x where it is positive, else slope * x
    factor = np.float32(slope)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = np.where(value > np.float32(0), value, factor * value)


# pythran export elu(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int, int,
#                    int, int, float)
def elu(
    x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels, alpha
):
    # x where it is positive, else alpha * (exp(x) - 1)
    factor = np.float32(alpha)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                below = np.maximum(np.minimum(value, np.float32(0)), np.float32(-87))
                out[target + ch] = np.where(value > np.float32(0), value, factor * _expm1(below))


# pythran export sigmoid(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                        int, int, int)
def sigmoid(
    x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels
):
    # 1 / (1 + exp(-x))
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = _sigmoid(value)


# pythran export tanh(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int, int,
#                     int, int)
def tanh(x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels):
    # hyperbolic tangent
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = _tanh(value)


# pythran export silu(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int, int,
#                     int, int)
def silu(x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels):
    # x * sigmoid(x)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = value * _sigmoid(value)


# pythran export hard_sigmoid(float32[:] order(C), int, int, int, float32[:] order(C), int, int,
#                             int, int, int, int, float, float)
def hard_sigmoid(
    x,
    x_start,
    x_row,
    x_column,
    out,
    out_start,
    out_row,
    out_column,
    rows,
    columns,
    channels,
    slope,
    offset,
):
    # slope * x + offset within [0, 1]
    factor = np.float32(slope)
    shift = np.float32(offset)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = np.minimum(
                    np.maximum(factor * value + shift, np.float32(0)), np.float32(1)
                )


# pythran export hard_swish(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                           int, int, int)
def hard_swish(
    x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels
):
    # x * (x + 3 within [0, 6]) / 6
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                share = np.minimum(np.maximum(value + np.float32(3), np.float32(0)), np.float32(6))
                out[target + ch] = value * (share * np.float32(0.16666667))


# pythran export gelu(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int, int,
#                     int, int)
def gelu(x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels):
    # x * P(X <= x) for a standard normal X
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = value * _normal(value)


# pythran export gelu_tanh(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                          int, int, int)
def gelu_tanh(
    x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels
):
    # the same by a hyperbolic tangent: x * sigmoid(2 u)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = value * _sigmoid(
                    np.float32(1.5957691) * (value + np.float32(0.044715) * value * value * value)
                )
