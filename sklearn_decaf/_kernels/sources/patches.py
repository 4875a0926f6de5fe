"""Patches of a map as rows of a matrix (im2col)."""

import numpy as np  # noqa: F401


# pythran export patches(float32[:,:] order(C), int, int, int, int, int, int,
#                        float32[:,:,:,:] order(C))
# pythran export patches(float32[:,:] order(C), int, int, int, int, int, int,
#                        float64[:,:,:,:] order(C))
def patches(x, first, rows, columns, step, start, column_step, out):
    # x (hp, wp * c); out (>= rows, columns, size, size * c): the window of output row first + y
    # and column u begins at row (first + y) * step, element start + u * column_step
    for y in range(rows):
        for u in range(columns):
            for i in range(out.shape[2]):
                for ch in range(out.shape[3]):
                    out[y, u, i, ch] = x[(first + y) * step + i, start + u * column_step + ch]


# pythran export patches_any(float32[:,:,:] order(C), int, int, int, int, int, int, int, int,
#                            float32[:,:,:,:,:] order(C))
# pythran export patches_any(float32[:,:,:] order(C), int, int, int, int, int, int, int, int,
#                            float64[:,:,:,:,:] order(C))
def patches_any(x, first, rows, columns, step, column_step, down, across, left, out):
    # some channels, from `left` on, with steps `down` and `across` between the numbers of a window;
    # x (hp, wp, c), out (>= rows, columns, kh, kw, channels)
    for y in range(rows):
        for u in range(columns):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    for ch in range(out.shape[4]):
                        row = (first + y) * step + i * down
                        value = x[row, u * column_step + j * across, left + ch]
                        out[y, u, i, j, ch] = value
