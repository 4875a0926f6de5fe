"""Depthwise convolution with a kernel of any size: plain, and correct for every shape."""

import numpy as np


# pythran export depthwise(float32[:,:,:], float32[:,:,:], float32[:], int, float, float,
#                          float32[:,:,:])
def depthwise(x, kernel, bias, stride, low, high, out):
    # x (hp, wp, c), kernel (kh, kw, c), bias (c,), out (oh, ow, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    step = max(stride, 1)
    rows, columns, channels = out.shape
    for y in range(rows):
        for u in range(columns):
            for ch in range(channels):
                out[y, u, ch] = bias[ch]
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    for ch in range(channels):
                        out[y, u, ch] += kernel[i, j, ch] * x[y * step + i, u * step + j, ch]
            for ch in range(channels):
                out[y, u, ch] = np.minimum(np.maximum(out[y, u, ch], lowest), highest)
