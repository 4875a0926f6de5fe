"""Depthwise convolution with a 3x3 kernel: four neighbouring outputs at a time.

They share each load of the kernel and most loads of the map. The last block of a row is moved
to the left to end with it, so some outputs may be computed twice.
"""

import numpy as np


# pythran export depthwise_3x3_stride_1(float32[:,:,:], float32[:,:,:], float32[:], float, float,
#                                       float32[:,:,:])
def depthwise_3x3_stride_1(x, kernel, bias, low, high, out):
    # x (hp, wp, c), kernel (3, 3, c), bias (c,), out (oh, ow >= 4, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    rows, columns, channels = out.shape
    for y in range(rows):
        for block in range((columns + 3) // 4):
            u = max(min(4 * block, columns - 4), 0)
            for ch in range(channels):
                sum0 = bias[ch]
                sum1 = bias[ch]
                sum2 = bias[ch]
                sum3 = bias[ch]
                for i in range(3):  # unrolled, as the bounds are literals
                    w0 = kernel[i, 0, ch]
                    w1 = kernel[i, 1, ch]
                    w2 = kernel[i, 2, ch]
                    x0 = x[y + i, u, ch]
                    x1 = x[y + i, u + 1, ch]
                    x2 = x[y + i, u + 2, ch]
                    x3 = x[y + i, u + 3, ch]
                    x4 = x[y + i, u + 4, ch]
                    x5 = x[y + i, u + 5, ch]
                    sum0 += w0 * x0 + w1 * x1 + w2 * x2
                    sum1 += w0 * x1 + w1 * x2 + w2 * x3
                    sum2 += w0 * x2 + w1 * x3 + w2 * x4
                    sum3 += w0 * x3 + w1 * x4 + w2 * x5
                out[y, u, ch] = np.minimum(np.maximum(sum0, lowest), highest)
                out[y, u + 1, ch] = np.minimum(np.maximum(sum1, lowest), highest)
                out[y, u + 2, ch] = np.minimum(np.maximum(sum2, lowest), highest)
                out[y, u + 3, ch] = np.minimum(np.maximum(sum3, lowest), highest)


# pythran export depthwise_3x3_stride_2(float32[:,:,:], float32[:,:,:], float32[:], float, float,
#                                       float32[:,:,:])
def depthwise_3x3_stride_2(x, kernel, bias, low, high, out):
    # x (hp, wp, c), kernel (3, 3, c), bias (c,), out (oh, ow >= 4, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    rows, columns, channels = out.shape
    for y in range(rows):
        for block in range((columns + 3) // 4):
            u = max(min(4 * block, columns - 4), 0)
            for ch in range(channels):
                sum0 = bias[ch]
                sum1 = bias[ch]
                sum2 = bias[ch]
                sum3 = bias[ch]
                for i in range(3):  # unrolled, as the bounds are literals
                    w0 = kernel[i, 0, ch]
                    w1 = kernel[i, 1, ch]
                    w2 = kernel[i, 2, ch]
                    x0 = x[2 * y + i, 2 * u, ch]
                    x1 = x[2 * y + i, 2 * u + 1, ch]
                    x2 = x[2 * y + i, 2 * u + 2, ch]
                    x3 = x[2 * y + i, 2 * u + 3, ch]
                    x4 = x[2 * y + i, 2 * u + 4, ch]
                    x5 = x[2 * y + i, 2 * u + 5, ch]
                    x6 = x[2 * y + i, 2 * u + 6, ch]
                    x7 = x[2 * y + i, 2 * u + 7, ch]
                    x8 = x[2 * y + i, 2 * u + 8, ch]
                    sum0 += w0 * x0 + w1 * x1 + w2 * x2
                    sum1 += w0 * x2 + w1 * x3 + w2 * x4
                    sum2 += w0 * x4 + w1 * x5 + w2 * x6
                    sum3 += w0 * x6 + w1 * x7 + w2 * x8
                out[y, u, ch] = np.minimum(np.maximum(sum0, lowest), highest)
                out[y, u + 1, ch] = np.minimum(np.maximum(sum1, lowest), highest)
                out[y, u + 2, ch] = np.minimum(np.maximum(sum2, lowest), highest)
                out[y, u + 3, ch] = np.minimum(np.maximum(sum3, lowest), highest)
