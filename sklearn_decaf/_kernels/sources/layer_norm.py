"""Layer normalisation over the channels of each position of a region (see elementwise)."""

import numpy as np


# pythran export layer_norm(float32[:] order(C), int, int, int, float32[:] order(C), int, int, int,
#                           int, int, int, float32[:], float32[:], float, float32[16], float32[:])
def layer_norm(
    x,
    x_start,
    x_row,
    x_column,
    out,
    out_start,
    out_row,
    out_column,
    rows,
    columns,
    channels,
    scale,
    shift,
    epsilon,
    sums,
    line,
):
    # (x - mean) / sqrt(variance + epsilon) * scale + shift. `sums` (16,) and `line` (channels,) are
    # scratch: sums of every 16th channel become vectors, and round less than one long sum.
    count = np.float32(channels)
    floor = np.float32(epsilon)
    blocks = channels // 16
    rest = channels - 16 * blocks
    for y in range(rows):
        for u in range(columns):
            source = x_start + y * x_row + u * x_column
            target = out_start + y * out_row + u * out_column
            for lane in range(16):
                sums[lane] = np.float32(0)
            for block in range(blocks):
                for lane in range(16):
                    sums[lane] += x[source + 16 * block + lane]
            for lane in range(rest):
                sums[lane] += x[source + 16 * blocks + lane]
            total = np.float32(0)
            for i in range(16):
                total += sums[i]
            mean = np.float32(total / count)
            for ch in range(channels):
                line[ch] = x[source + ch] - mean
            for lane in range(16):
                sums[lane] = np.float32(0)
            for block in range(blocks):
                for lane in range(16):
                    value = line[16 * block + lane]
                    sums[lane] += value * value
            for lane in range(rest):
                value = line[16 * blocks + lane]
                sums[lane] += value * value
            total = np.float32(0)
            for i in range(16):
                total += sums[i]
            deviation = np.sqrt(np.float32(total / count) + floor)
            factor = np.float32(np.float32(1) / deviation)
            for ch in range(channels):
                out[target + ch] = line[ch] * factor * scale[ch] + shift[ch]
