"""Depthwise convolution with its sums in float64, for layers whose rounding errors would grow."""

import numpy as np


# pythran export depthwise_double(float32[:,:,:], float32[:,:,:], float32[:], int, float, float,
#                                 float64[:], float32[:,:,:])
def depthwise_double(x, kernel, bias, stride, low, high, sums, out):
    # x (hp, wp, c), kernel (kh, kw, c), bias (c,), sums (c,): scratch, out (oh, ow, c)
    step = max(stride, 1)
    rows, columns, channels = out.shape
    for y in range(rows):
        for u in range(columns):
            for ch in range(channels):
                sums[ch] = np.float64(bias[ch])
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    for ch in range(channels):
                        weight = np.float64(kernel[i, j, ch])
                        sums[ch] += weight * np.float64(x[y * step + i, u * step + j, ch])
            for ch in range(channels):
                out[y, u, ch] = np.float32(np.minimum(np.maximum(sums[ch], low), high))
