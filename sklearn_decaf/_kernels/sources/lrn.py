"""Local response normalisation across channels."""

import numpy as np


# pythran export lrn_5_075(float32[:,:,:] order(C), float, float, float32[:],
#                          float32[:,:,:] order(C), int)
def lrn_5_075(x, alpha, k, squares, out, left):
    # x (h, w, c), squares (c + 4,) scratch with two zeros at each end, out (h, >= left + w, c)
    share = np.float32(alpha / 5)
    offset = np.float32(k)
    rows, columns, channels = x.shape
    for y in range(rows):
        for u in range(columns):
            for ch in range(channels):
                value = x[y, u, ch]
                squares[ch + 2] = value * value
            for ch in range(channels):
                window = (
                    squares[ch]
                    + squares[ch + 1]
                    + squares[ch + 2]
                    + squares[ch + 3]
                    + squares[ch + 4]
                )
                root = np.sqrt(offset + share * window)
                # q^0.75 = sqrt(q) sqrt(sqrt(q))
                out[y, left + u, ch] = x[y, u, ch] / (root * np.sqrt(root))


# pythran export lrn_denominators(float32[:,:] order(C), int, float, float, float32[:],
#                                 float32[:,:] order(C))
def lrn_denominators(x, size, alpha, k, squares, out):
    # the sums that lrn raises to the power beta; squares (c + size - 1,) with zero borders
    share = np.float32(alpha / size)
    offset = np.float32(k)
    half = max(size // 2, 0)
    rows, channels = x.shape
    for row in range(rows):
        for ch in range(channels):
            value = x[row, ch]
            squares[ch + half] = value * value
            out[row, ch] = np.float32(0)
        for tap in range(size):
            for ch in range(channels):
                out[row, ch] += squares[ch + tap]
        for ch in range(channels):
            out[row, ch] = offset + share * out[row, ch]
