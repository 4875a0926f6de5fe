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


# pythran export lrn(float32[:,:,:] order(C), int, float, float, float, float32[:], float32[:],
#                    float32[:,:,:] order(C), int)
def lrn(x, size, alpha, beta, k, squares, sums, out, left):
    # any size and beta, slowly; squares (c + size - 1,) with zero borders, sums (c,): scratch
    share = np.float32(alpha / size)
    offset = np.float32(k)
    exponent = np.float32(-beta)
    half = max(size // 2, 0)
    rows, columns, channels = x.shape
    for y in range(rows):
        for u in range(columns):
            for ch in range(channels):
                value = x[y, u, ch]
                squares[ch + half] = value * value
                sums[ch] = np.float32(0)
            for tap in range(size):
                for ch in range(channels):
                    sums[ch] += squares[ch + tap]
            for ch in range(channels):
                out[y, left + u, ch] = x[y, u, ch] * (offset + share * sums[ch]) ** exponent
