"""Write the source of depthwise convolutions: ``python depthwise_kernels.py SIZE STRIDE OUTPUTS``.

A kernel computes OUTPUTS neighbouring outputs of SIZE x SIZE taps at a time, for one vector of
channels: their sums stay in registers, and each number of the map is loaded once for all of them.
Several sums are needed for speed too: each waits for its last multiply-add, while the others go on.

Arrays are flat: a compiler needs four times as long for the many indices of three axes.

Sums begin at the bias and go over the taps in order, as in `depthwise.py`, so that all kernels give
the same bits. The last block of a row is moved to the left to end with it, so some outputs may be
computed twice.
"""

from __future__ import annotations

import sys

CACHE = 8192  # numbers that a level 1 cache of 32 KB holds


def depthwise_kernel(size: int, stride: int, outputs: int) -> str:
    """Source of the kernel."""
    name = f"depthwise_{size}x{size}_stride_{stride}_by_{outputs}"
    columns = (outputs - 1) * stride + size  # of the map, under the windows
    offsets = "\n".join(f"    column{c} = {c} * channels" for c in range(columns))
    body = [f"sum{o} = bias[ch]" for o in range(outputs)]
    for i in range(size):
        body += [f"w{j} = kernel[{i * size + j} * channels + ch]" for j in range(size)]
        body.append(f"at{i} = source + {i} * x_row + ch")
        for column in range(columns):
            taps = [(o, column - o * stride) for o in range(outputs)]
            taps = [(o, j) for o, j in taps if 0 <= j < size]
            if taps:
                body.append(f"value = x[at{i} + column{column}]")
                body += [f"sum{o} += w{j} * value" for o, j in taps]
    for o in range(outputs):
        clipped = f"np.minimum(np.maximum(sum{o}, lowest), highest)"
        body.append(f"out[target + {o} * channels + ch] = {clipped}")
    # of so many channels, the kernel and the map under the windows stay in the cache between rows
    channels = CACHE // (size * (size + columns)) // 16 * 16
    lines = "\n".join(" " * 20 + line for line in body)
    title = f"Depthwise convolution, {size}x{size}, stride {stride}, {outputs} outputs at a time."
    return f'''"""{title}"""

import numpy as np


# pythran export {name}(float32[:], int, float32[:], float32[:], float, float,
#     float32[:], int, int)
def {name}(x, x_row, kernel, bias, low, high, out, rows, columns):
    # x (hp, wp, c), rows x_row apart; kernel ({size}, {size}, c); bias (c,); out (rows, columns >=
    # {outputs}, c)
    lowest = np.float32(low)
    highest = np.float32(high)
    channels = bias.shape[0]
{offsets}
    for part in range((channels + {channels - 1}) // {channels}):
        first = {channels} * part
        end = min(first + {channels}, channels)
        for block in range((columns + {outputs - 1}) // {outputs}):
            u = max(min({outputs} * block, columns - {outputs}), 0)
            for y in range(rows):
                source = {stride} * (y * x_row + u * channels)
                target = (y * columns + u) * channels
                for ch in range(first, end):
{lines}
'''


if __name__ == "__main__":
    print(depthwise_kernel(*map(int, sys.argv[1:])), end="")
