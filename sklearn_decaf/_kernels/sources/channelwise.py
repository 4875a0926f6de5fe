"""Work on each channel of a region with numbers of its own, and on channels that move.

Regions are given as in elementwise: a flat array, the place of the first value, and the steps
from row to row and from column to column.
"""

import numpy as np


# pythran export scale_and_shift(float32[:] order(C), int, int, int, float32[:] order(C), int,
#                                int, int, int, int, int, float32[:], float32[:], float, float)
def scale_and_shift(
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
    scale,
    shift,
    low,
    high,
):
    # x * scale + shift, a number a channel each, within bounds
    lowest = np.float32(low)
    highest = np.float32(high)
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch] * scale[ch] + shift[ch]
                out[target + ch] = np.minimum(np.maximum(value, lowest), highest)


# pythran export prelu(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                      int, int, int, float32[:])
def prelu(
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
):
    # x where it is positive, else slope * x, a slope a channel
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                value = x[source + ch]
                out[target + ch] = np.where(value > np.float32(0), value, slope[ch] * value)


# pythran export multiply(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                         float32[:] order(C), int, int, int, int, int, int)
def multiply(
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
):
    # the product of two regions; steps of 0 in `b` use a vector again and again
    for y in range(rows):
        for u in range(columns):
            first = a_start + y * a_row + u * a_column
            second = b_start + y * b_row + u * b_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                out[target + ch] = a[first + ch] * b[second + ch]


# pythran export multiply_pixels(float32[:] order(C), int, int, int, float32[:] order(C), int, int,
#                                int, float32[:] order(C), int, int, int, int, int, int)
def multiply_pixels(
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
):
    # the same, where `b` has one channel
    for y in range(rows):
        for u in range(columns):
            first = a_start + y * a_row + u * a_column
            factor = b[b_start + y * b_row + u * b_column]
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                out[target + ch] = a[first + ch] * factor


# pythran export move_channels(float32[:] order(C), int, int, int, int, float32[:] order(C), int,
#                              int, int, int, int, int, int)
def move_channels(
    x,
    x_start,
    x_row,
    x_column,
    x_step,
    out,
    out_start,
    out_row,
    out_column,
    out_step,
    rows,
    columns,
    channels,
):
    # `channels` values of each position, every `x_step`-th to every `out_step`-th place
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for ch in range(channels):
                out[target + ch * out_step] = x[source + ch * x_step]
