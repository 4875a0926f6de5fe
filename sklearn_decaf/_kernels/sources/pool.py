"""Pooling with windows of any sides, steps and borders: plain, and correct for every shape.

`max_pool.py` has the square windows without a border, fast.
"""

import numpy as np


# pythran export max_pool_any(float32[:,:,:], int, int, int, int, int, int, float32[:,:,:], int,
#                             int)
def max_pool_any(x, height, width, row_step, column_step, above, before, out, left, columns):
    # x (h, w, c), out (oh, >= left + columns, c); windows of `height` x `width`, of which the first
    # begins `above` rows above x and `before` columns before it. Beyond the map the nearest value
    # inside is read again, which is in the window too: no maximum changes. For NaN see max_pool.
    last_row = x.shape[0] - 1
    last_column = x.shape[1] - 1
    for y in range(out.shape[0]):
        for v in range(columns):
            row = max(min(y * row_step - above, last_row), 0)
            column = max(min(v * column_step - before, last_column), 0)
            for ch in range(out.shape[2]):
                out[y, left + v, ch] = x[row, column, ch]
            for i in range(height):
                row = max(min(y * row_step + i - above, last_row), 0)
                for j in range(width):
                    column = max(min(v * column_step + j - before, last_column), 0)
                    for ch in range(out.shape[2]):
                        a = out[y, left + v, ch]
                        b = x[row, column, ch]
                        out[y, left + v, ch] = np.where(b != b, b, np.maximum(a, b))


# pythran export average_pool(float32[:,:,:], int, int, int, int, int, int, float32[:], float32[:],
#                             float32[:,:,:], int)
def average_pool(x, height, width, row_step, column_step, above, before, down, across, out, left):
    # as max_pool_any, for len(across) columns; down (oh,) and across (columns,): how many rows and
    # columns of each window count
    last_row = x.shape[0] - 1
    last_column = x.shape[1] - 1
    for y in range(out.shape[0]):
        for v in range(across.shape[0]):
            for ch in range(out.shape[2]):
                out[y, left + v, ch] = np.float32(0)
            for i in range(height):
                row = y * row_step + i - above
                if row >= 0 and row <= last_row:
                    for j in range(width):
                        column = v * column_step + j - before
                        if column >= 0 and column <= last_column:
                            for ch in range(out.shape[2]):
                                out[y, left + v, ch] += x[row, column, ch]
            count = down[y] * across[v]
            for ch in range(out.shape[2]):
                out[y, left + v, ch] = out[y, left + v, ch] / count
