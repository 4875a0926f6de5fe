"""Write the source of a matrix product kernel.

``python matmul_kernels.py ROWS LANES VECTORS float|double``.

A tile of ROWS x (VECTORS * LANES) sums is held in registers while the kernel runs over the depth:
one load of VECTORS vectors of weights serves ROWS rows. Sums run over the depth in order, and
all rows of all tiles alike, so that a row has the same bits wherever it stands.

The loop over the lanes of a vector stands outside the loop over the depth; the compiler turns it
into the lanes (outer-loop vectorisation). Each nesting level costs Pythran's analysis a factor, so
the tile is a function of its own.
"""

from __future__ import annotations

import sys


def matmul_kernel(rows: int, lanes: int, vectors: int, real: str) -> str:
    """Source of the kernel for one tile size, with sums in "float" or "double" precision.

    Sums that a bias is added to wait for it in a small array of their own, which stays in the
    nearest cache; others go straight to the output. Double sums always have a bias, so that they
    are rounded once.
    """
    width = lanes * vectors
    tiles = [(i, j) for i in range(rows) for j in range(vectors)]
    double = real == "double"
    number = "float64" if double else "float32"
    name = f"matmul_double_{width}x{rows}" if double else f"matmul_{width}x{rows}"
    pointers = [f"    p{i} = first + {i} * step" for i in range(rows)]
    zeros = [f"        s{i}_{j} = np.{number}(0)" for i, j in tiles]
    weights = [f"            w{j} = kernel[group, panel, k, {j}, lane]" for j in range(vectors)]
    products = []
    for i in range(rows):
        products.append(f"            a{i} = x[p{i} + k]")
        products += [f"            s{i}_{j} += a{i} * w{j}" for j in range(vectors)]
    stores = [f"        out[y, u + {i}, c + {j * lanes} + lane] = s{i}_{j}" for i, j in tiles]
    product = "tile(x, first, depth, column_step, kernel, group, panel"
    summed = f"{product}, sums, 0, 0, 0)"
    if not double:
        summed = f"""if then == 0:
                        {product}, out, y + top, u + left, c)
                    else:
                        {summed}"""
    newline = "\n"
    return f'''"""Matrix product in tiles of {rows} x {width} {number} sums."""

import numpy as np


def tile(x, first, depth, step, kernel, group, panel, out, y, u, c):
    # {rows} rows of x, `step` apart, times panel (depth, {width})
{newline.join(pointers)}
    for lane in range(kernel.shape[4]):
{newline.join(zeros)}
        for k in range(depth):
{newline.join(weights)}
{newline.join(products)}
{newline.join(stores)}


def finish(sums, out, bias, y, u, c, b, rows, columns, lowest, highest):
    for i in range(rows):
        for ch in range(columns):
            value = sums[0, i, ch] + bias[b + ch]
            out[y, u + i, c + ch] = np.minimum(np.maximum(value, lowest), highest)


def finish_add(sums, out, bias, residual, y, u, c, b, rows, columns, lowest, highest):
    for i in range(rows):
        for ch in range(columns):
            value = sums[0, i, ch] + bias[b + ch] + residual[y, u + i, c + ch]
            out[y, u + i, c + ch] = np.minimum(np.maximum(value, lowest), highest)


# pythran export {name}({number}[:] order(C), int, int, int, int, int, int, int,
#     {number}[:,:,:,{vectors},{lanes}] order(C), {number}[:], float, float,
#     float32[:,:,:] order(C), int, int, int, int, float32[:,:,:] order(C),
#     {number}[:,:,:] order(C))
def {name}(x, start, depth, groups, rows, columns, row_step, column_step, kernel, bias, low, high,
           out, top, left, offset, then, residual, sums):
    # x flat; kernel (groups, panels, depth, {vectors}, {lanes}); bias (panels * {width},); out and
    # residual (h, w, c); sums (1, {rows}, {width}) scratch. Row (y, u) of the left matrix begins at
    # start + y * row_step + u * column_step in x and goes to out[top + y, left + u, offset:]; the
    # groups, each with a kernel of its own, follow one another along y. The last tile of a row
    # ends with it, so it may overlap the one before. `then` says what follows: 0 nothing, 1 bias
    # and bounds, 2 bias, residual and bounds.
    lowest = np.{number}(low)
    highest = np.{number}(high)
    depth = max(depth, 1)
    for group in range(groups):
        for panel in range(kernel.shape[1]):
            for row in range(rows):
                y = group * rows + row
                for block in range((columns + {rows - 1}) // {rows}):
                    u = min({rows} * block, columns - {rows})
                    first = start + y * row_step + u * column_step
                    b = {width} * panel
                    c = offset + b
                    {summed}
                    if then == 2:
                        finish_add(sums, out, bias, residual, y + top, u + left, c, b, {rows},
                                   kernel.shape[3] * kernel.shape[4], lowest, highest)
                    elif then == 1:
                        finish(sums, out, bias, y + top, u + left, c, b, {rows},
                               kernel.shape[3] * kernel.shape[4], lowest, highest)
'''


if __name__ == "__main__":
    print(matmul_kernel(*map(int, sys.argv[1:4]), sys.argv[4]), end="")
