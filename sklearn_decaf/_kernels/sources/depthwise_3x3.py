"""Depthwise convolution with a 3x3 kernel, several neighbouring outputs at a time.

A block of outputs shares each load of the kernel, and at stride 1 most loads of the map.
The last block is moved to the left to end with the row, so some outputs are computed twice.
"""

import numpy as np


# pythran export depthwise_3x3_stride_1(float32[:,:,:], float32[:,:,:], float32[:], float, float,
#                                       float32[:,:,:])
def depthwise_3x3_stride_1(x, kernel, bias, low, high, out):
    # x (oh + 2, ow + 2, c), kernel (3, 3, c), bias (c,), out (oh, ow >= 4, c)
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
                for i in range(3):  # literal ranges: unrolled
                    for j in range(3):
                        weight = kernel[i, j, ch]
                        sum0 += weight * x[y + i, u + j, ch]
                        sum1 += weight * x[y + i, u + j + 1, ch]
                        sum2 += weight * x[y + i, u + j + 2, ch]
                        sum3 += weight * x[y + i, u + j + 3, ch]
                out[y, u, ch] = np.minimum(np.maximum(sum0, lowest), highest)
                out[y, u + 1, ch] = np.minimum(np.maximum(sum1, lowest), highest)
                out[y, u + 2, ch] = np.minimum(np.maximum(sum2, lowest), highest)
                out[y, u + 3, ch] = np.minimum(np.maximum(sum3, lowest), highest)


# pythran export depthwise_3x3(float32[:,:,:], float32[:,:,:], float32[:], int, float, float,
#                              float32[:,:,:])
def depthwise_3x3(x, kernel, bias, stride, low, high, out):
    # x (hp, wp, c), kernel (3, 3, c), bias (c,), out (oh, ow >= 2, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    step = max(stride, 1)
    rows, columns, channels = out.shape
    for y in range(rows):
        for block in range((columns + 1) // 2):
            u = max(min(2 * block, columns - 2), 0)
            for ch in range(channels):
                sum0 = bias[ch]
                sum1 = bias[ch]
                for i in range(3):
                    for j in range(3):
                        weight = kernel[i, j, ch]
                        sum0 += weight * x[y * step + i, u * step + j, ch]
                        sum1 += weight * x[y * step + i, u * step + step + j, ch]
                out[y, u, ch] = np.minimum(np.maximum(sum0, lowest), highest)
                out[y, u + 1, ch] = np.minimum(np.maximum(sum1, lowest), highest)
