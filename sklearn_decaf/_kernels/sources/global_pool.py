"""Average and maximum over all positions of a map."""

import numpy as np


# pythran export average(float32[:] order(C), int, int, int, int, int, float32[:] order(C),
#                        float32[:] order(C))
def average(x, start, row_step, column_step, rows, columns, line, out):
    # x flat, a region as in elementwise; line (c,) scratch, out (c,). Rows are summed up first:
    # sums of sums round less than one long sum.
    channels = out.shape[0]
    for ch in range(channels):
        out[ch] = np.float32(0)
    for y in range(rows):
        for ch in range(channels):
            line[ch] = x[start + y * row_step + ch]
        for u in range(1, columns):
            place = start + y * row_step + u * column_step
            for ch in range(channels):
                line[ch] += x[place + ch]
        for ch in range(channels):
            out[ch] += line[ch]
    count = np.float32(rows * columns)
    for ch in range(channels):
        out[ch] = out[ch] / count


# pythran export maximum(float32[:] order(C), int, int, int, int, int, float32[:] order(C))
def maximum(x, start, row_step, column_step, rows, columns, out):
    # x flat, a region as in elementwise; out (c,). See max_pool for what happens to NaN.
    channels = out.shape[0]
    for ch in range(channels):
        out[ch] = x[start + ch]
    for y in range(rows):
        for u in range(columns):
            place = start + y * row_step + u * column_step
            for ch in range(channels):
                a = out[ch]
                b = x[place + ch]
                out[ch] = np.where(b != b, b, np.maximum(a, b))
