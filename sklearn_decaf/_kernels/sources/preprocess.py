"""Pixels to the numbers that a network reads: minus the mean, divided by the deviation."""

import numpy as np


# pythran export preprocess(uint8[:,:] order(C), int, int, float32[:,:] order(C), int,
#                           float32[:] order(C), float32[:] order(C), int, int)
# pythran export preprocess(float32[:,:] order(C), int, int, float32[:,:] order(C), int,
#                           float32[:] order(C), float32[:] order(C), int, int)
def preprocess(image, first, step, mean, mean_step, std, out, start, row_step):
    # image (h, w * 3), rows from `first` on, `step` = 1, or -1 for upside down; mean (1, w * 3)
    # with mean_step 0, or (h, w * 3) with 1; std (w * 3,); out flat: row y goes to
    # start + y * row_step
    rows, columns = image.shape
    for y in range(rows):
        row = first + y * step
        for ch in range(columns):
            value = np.float32(image[row, ch]) - mean[y * mean_step, ch]
            out[start + y * row_step + ch] = value / std[ch]
