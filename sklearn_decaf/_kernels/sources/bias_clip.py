"""What follows a matrix product: the bias, a residual, and the bounds of the activation."""

import numpy as np


# pythran export bias_clip(float32[:,:] order(C), float32[:], float, float)
def bias_clip(x, bias, low, high):
    # x (rows, c) in place, bias (c,)
    lowest = np.float32(low)
    highest = np.float32(high)
    rows, channels = x.shape
    for row in range(rows):
        for ch in range(channels):
            value = x[row, ch] + bias[ch]
            x[row, ch] = np.minimum(np.maximum(value, lowest), highest)


# pythran export bias_add_clip(float32[:,:] order(C), float32[:], float32[:,:] order(C), float,
#                              float)
def bias_add_clip(x, bias, residual, low, high):
    # x (rows, c) in place, bias (c,), residual (rows, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    rows, channels = x.shape
    for row in range(rows):
        for ch in range(channels):
            value = x[row, ch] + bias[ch] + residual[row, ch]
            x[row, ch] = np.minimum(np.maximum(value, lowest), highest)


# pythran export bias_clip_into(float32[:,:] order(C), float32[:], float, float,
#                               float32[:,:] order(C), int)
def bias_clip_into(x, bias, low, high, out, offset):
    # x (rows, c), bias (c,), out (rows, n): columns offset to offset + c are written
    lowest = np.float32(low)
    highest = np.float32(high)
    start = max(offset, 0)
    rows, channels = x.shape
    for row in range(rows):
        for ch in range(channels):
            value = x[row, ch] + bias[ch]
            out[row, start + ch] = np.minimum(np.maximum(value, lowest), highest)
