"""Work on each value of a region of a map: a part of an array, with steps between its rows.

A region is given by a flat array and the places in it: `start` of the first value, and the steps
from row to row and from column to column. Within a column, channels follow one another.
"""

import numpy as np


# pythran export copy(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                     int, int, int)
def copy(x, x_start, x_row, x_column, out, out_start, out_row, out_column, rows, columns, channels):
    # a region of `rows` x `columns` x `channels`; rows may move up within one array
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                out[target + ch] = x[source + ch]


# pythran export fill(float32[:] order(C), int, int, int, int, float)
def fill(out, start, step, rows, channels, value):
    # `rows` rows of `channels` values, `step` apart
    number = np.float32(value)
    for y in range(rows):
        for ch in range(channels):
            out[start + y * step + ch] = number


# pythran export clip(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                     int, int, int, float, float)
def clip(
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
    low,
    high,
):
    # as copy; values outside the bounds become the bounds, NaN stays
    lowest = np.float32(low)
    highest = np.float32(high)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                out[target + ch] = np.minimum(np.maximum(x[source + ch], lowest), highest)


# pythran export add_and_clip(float32[:] order(C), int, int, int, float32[:] order(C), int, int,
#                             int, float32[:] order(C), int, int, int, int, int, int, float, float)
def add_and_clip(
    a,
    a_start,
    a_row,
    a_column,
    b,
    b_start,
    b_row,
    b_column,
    out,
    out_start,
    out_row,
    out_column,
    rows,
    columns,
    channels,
    low,
    high,
):
    # the sum of two regions, which may be where it is written to, within bounds
    lowest = np.float32(low)
    highest = np.float32(high)
    for y in range(rows):
        for u in range(columns):
            first = a_start + y * a_row + u * a_column
            second = b_start + y * b_row + u * b_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = a[first + ch] + b[second + ch]
                out[target + ch] = np.minimum(np.maximum(value, lowest), highest)
