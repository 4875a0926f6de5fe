"""Max pooling: first over the rows of a window, then over its columns.

Windows that stick out below or to the right read the last row or column again, which
changes no maximum and needs no branch. `np.maximum` of two scalars is compiled to a comparison
that loses a NaN in its second argument; `np.where(b != b, b, ...)` keeps it, at no cost: it
becomes a mask on the instruction for the maximum (a conditional expression would not).
"""

import numpy as np


# pythran export max_pool_3(float32[:,:,:], int, float32[:,:] order(C), float32[:,:,:], int,
#                       int)
def max_pool_3(x, stride, line, out, left, columns):
    # x (h, w, c), line (w, c) scratch, out (oh, >= left + columns, c)
    height, width, channels = x.shape
    step = max(stride, 1)
    for y in range(out.shape[0]):
        row0 = y * step
        row1 = max(min(row0 + 1, height - 1), 0)
        row2 = max(min(row0 + 2, height - 1), 0)
        for u in range(width):
            for ch in range(channels):
                a = x[row0, u, ch]
                b = x[row1, u, ch]
                c = x[row2, u, ch]
                highest = np.where(b != b, b, np.maximum(a, b))
                line[u, ch] = np.where(c != c, c, np.maximum(highest, c))
        for v in range(columns):
            column0 = v * step
            column1 = max(min(column0 + 1, width - 1), 0)
            column2 = max(min(column0 + 2, width - 1), 0)
            for ch in range(channels):
                a = line[column0, ch]
                b = line[column1, ch]
                c = line[column2, ch]
                highest = np.where(b != b, b, np.maximum(a, b))
                out[y, left + v, ch] = np.where(c != c, c, np.maximum(highest, c))


# pythran export max_pool(float32[:,:,:], int, int, float32[:,:] order(C), float32[:,:,:],
#                     int, int)
def max_pool(x, size, stride, line, out, left, columns):
    # x (h, w, c), line (w, c) scratch, out (oh, >= left + columns, c)
    height, width, channels = x.shape
    step = max(stride, 1)
    for y in range(out.shape[0]):
        for u in range(width):
            for ch in range(channels):
                line[u, ch] = x[y * step, u, ch]
        for i in range(1, size):
            row = max(min(y * step + i, height - 1), 0)
            for u in range(width):
                for ch in range(channels):
                    a = line[u, ch]
                    b = x[row, u, ch]
                    line[u, ch] = np.where(b != b, b, np.maximum(a, b))
        for v in range(columns):
            for ch in range(channels):
                out[y, left + v, ch] = line[v * step, ch]
            for j in range(1, size):
                column = max(min(v * step + j, width - 1), 0)
                for ch in range(channels):
                    a = out[y, left + v, ch]
                    b = line[column, ch]
                    out[y, left + v, ch] = np.where(b != b, b, np.maximum(a, b))
