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


# pythran export depthwise_double_3x3_stride_1(float32[:,:,:], float32[:,:,:], float32[:], float,
#                                              float, float32[:,:,:])
def depthwise_double_3x3_stride_1(x, kernel, bias, low, high, out):
    # x (oh + 2, ow + 2, c), kernel (3, 3, c), bias (c,), out (oh, ow >= 4, c); see depthwise_3x3
    rows, columns, channels = out.shape
    for y in range(rows):
        for block in range((columns + 3) // 4):
            u = max(min(4 * block, columns - 4), 0)
            for ch in range(channels):
                sum0 = np.float64(bias[ch])
                sum1 = np.float64(bias[ch])
                sum2 = np.float64(bias[ch])
                sum3 = np.float64(bias[ch])
                for i in range(3):  # unrolled, as the bounds are literals
                    w0 = np.float64(kernel[i, 0, ch])
                    w1 = np.float64(kernel[i, 1, ch])
                    w2 = np.float64(kernel[i, 2, ch])
                    x0 = np.float64(x[y + i, u, ch])
                    x1 = np.float64(x[y + i, u + 1, ch])
                    x2 = np.float64(x[y + i, u + 2, ch])
                    x3 = np.float64(x[y + i, u + 3, ch])
                    x4 = np.float64(x[y + i, u + 4, ch])
                    x5 = np.float64(x[y + i, u + 5, ch])
                    sum0 += w0 * x0 + w1 * x1 + w2 * x2
                    sum1 += w0 * x1 + w1 * x2 + w2 * x3
                    sum2 += w0 * x2 + w1 * x3 + w2 * x4
                    sum3 += w0 * x3 + w1 * x4 + w2 * x5
                out[y, u, ch] = np.float32(np.minimum(np.maximum(sum0, low), high))
                out[y, u + 1, ch] = np.float32(np.minimum(np.maximum(sum1, low), high))
                out[y, u + 2, ch] = np.float32(np.minimum(np.maximum(sum2, low), high))
                out[y, u + 3, ch] = np.float32(np.minimum(np.maximum(sum3, low), high))
