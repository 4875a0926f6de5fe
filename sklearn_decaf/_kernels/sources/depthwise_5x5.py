"""Depthwise convolution with a 5x5 kernel: four neighbouring outputs and one row of taps at a time.

The outputs share each load of the kernel and most loads of the map; all five rows of taps at
once would want more registers than there are. The last block of a row is moved to the left to
end with it, so some outputs may be computed twice.
"""

import numpy as np


# pythran export depthwise_5x5_stride_1(float32[:,:,:], float32[:,:,:], float32[:], float, float,
#                                       float32[:,:,:])
def depthwise_5x5_stride_1(x, kernel, bias, low, high, out):
    # x (hp, wp, c), kernel (5, 5, c), bias (c,), out (oh, ow >= 4, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    rows, columns, channels = out.shape
    for y in range(rows):
        for block in range((columns + 3) // 4):
            u = max(min(4 * block, columns - 4), 0)
            for ch in range(channels):
                out[y, u, ch] = bias[ch]
                out[y, u + 1, ch] = bias[ch]
                out[y, u + 2, ch] = bias[ch]
                out[y, u + 3, ch] = bias[ch]
            for i in range(kernel.shape[0]):
                for ch in range(channels):
                    w0 = kernel[i, 0, ch]
                    w1 = kernel[i, 1, ch]
                    w2 = kernel[i, 2, ch]
                    w3 = kernel[i, 3, ch]
                    w4 = kernel[i, 4, ch]
                    x0 = x[y + i, u, ch]
                    x1 = x[y + i, u + 1, ch]
                    x2 = x[y + i, u + 2, ch]
                    x3 = x[y + i, u + 3, ch]
                    x4 = x[y + i, u + 4, ch]
                    x5 = x[y + i, u + 5, ch]
                    x6 = x[y + i, u + 6, ch]
                    x7 = x[y + i, u + 7, ch]
                    out[y, u, ch] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3 + w4 * x4
                    out[y, u + 1, ch] += w0 * x1 + w1 * x2 + w2 * x3 + w3 * x4 + w4 * x5
                    out[y, u + 2, ch] += w0 * x2 + w1 * x3 + w2 * x4 + w3 * x5 + w4 * x6
                    out[y, u + 3, ch] += w0 * x3 + w1 * x4 + w2 * x5 + w3 * x6 + w4 * x7
            for p in range(u, u + 4):
                for ch in range(channels):
                    out[y, p, ch] = np.minimum(np.maximum(out[y, p, ch], lowest), highest)


# pythran export depthwise_5x5_stride_2(float32[:,:,:], float32[:,:,:], float32[:], float, float,
#                                       float32[:,:,:])
def depthwise_5x5_stride_2(x, kernel, bias, low, high, out):
    # x (hp, wp, c), kernel (5, 5, c), bias (c,), out (oh, ow >= 4, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    rows, columns, channels = out.shape
    for y in range(rows):
        for block in range((columns + 3) // 4):
            u = max(min(4 * block, columns - 4), 0)
            for ch in range(channels):
                out[y, u, ch] = bias[ch]
                out[y, u + 1, ch] = bias[ch]
                out[y, u + 2, ch] = bias[ch]
                out[y, u + 3, ch] = bias[ch]
            for i in range(kernel.shape[0]):
                for ch in range(channels):
                    w0 = kernel[i, 0, ch]
                    w1 = kernel[i, 1, ch]
                    w2 = kernel[i, 2, ch]
                    w3 = kernel[i, 3, ch]
                    w4 = kernel[i, 4, ch]
                    x0 = x[2 * y + i, 2 * u, ch]
                    x1 = x[2 * y + i, 2 * u + 1, ch]
                    x2 = x[2 * y + i, 2 * u + 2, ch]
                    x3 = x[2 * y + i, 2 * u + 3, ch]
                    x4 = x[2 * y + i, 2 * u + 4, ch]
                    x5 = x[2 * y + i, 2 * u + 5, ch]
                    x6 = x[2 * y + i, 2 * u + 6, ch]
                    x7 = x[2 * y + i, 2 * u + 7, ch]
                    x8 = x[2 * y + i, 2 * u + 8, ch]
                    x9 = x[2 * y + i, 2 * u + 9, ch]
                    x10 = x[2 * y + i, 2 * u + 10, ch]
                    out[y, u, ch] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3 + w4 * x4
                    out[y, u + 1, ch] += w0 * x2 + w1 * x3 + w2 * x4 + w3 * x5 + w4 * x6
                    out[y, u + 2, ch] += w0 * x4 + w1 * x5 + w2 * x6 + w3 * x7 + w4 * x8
                    out[y, u + 3, ch] += w0 * x6 + w1 * x7 + w2 * x8 + w3 * x9 + w4 * x10
            for p in range(u, u + 4):
                for ch in range(channels):
                    out[y, p, ch] = np.minimum(np.maximum(out[y, p, ch], lowest), highest)
