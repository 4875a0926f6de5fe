"""Write the transforms that gradients of Winograd convolutions need, as a C++ header.

``python winograd_gradients.py M R [M R ...]``. With the matrices of F(m, r), where outputs are
``AT @ ((G @ taps) * (BT @ inputs))``, and n = m + r - 1, each struct has

- ``output_gradient``: A dy A^T, tiles of the gradient by the outputs, m x m to n x n;
- ``kernel_gradient``: G^T p G, products with tiles of the inputs back to taps, n x n to r x r;
- ``kernel``: G w G^T, taps, r x r to n x n.

Numbers of the small side are `row` and `column` apart, those of the large one `step`.
"""

from __future__ import annotations

import re
import sys

from winograd_kernels import cook_toom, transform

HEADER = """\
// The transforms of Winograd's convolutions, see build_tools/winograd_gradients.py.
#pragma once

#include "views.hpp"

namespace decaf
{"""


def function(name, matrix, small_first: bool) -> list[str]:
    """Lines of a function that applies ``matrix @ tile @ matrix.T``."""
    rows, columns = len(matrix), len(matrix[0])
    count = max(rows, columns)

    def small(i, j):
        return f"small + {i} * row + {j} * column"

    def large(i, j):
        return f"large + {i * count + j} * step"

    source, target = (small, large) if small_first else (large, small)
    lines, constants = transform(
        matrix,
        lambda i, j: f"load<V>({source(i, j)})",
        lambda i, j, value: [f"put({target(i, j)}, {value});"],
    )
    small_type, large_type = ("float const", "float") if small_first else ("float", "float const")
    body = [f"constexpr float {name} = {float(value)!r}f;" for value, name in constants.items()]
    body += [re.sub(r"^(t\d+) = (.*)$", r"V const \1 = \2;", line) for line in lines]
    return [
        "    template <class V, class Put>",
        f"    static void {name}({small_type} *small, Index row, Index column,",
        f"        {large_type} *large, Index step, Put put)",
        "    {",
        *(f"      {line}" for line in body),
        "    }",
    ]


def transposed(matrix):
    return [list(column) for column in zip(*matrix)]


def main(*sizes: int) -> None:
    print(HEADER)
    for m, r in zip(sizes[::2], sizes[1::2]):
        of_outputs, of_taps, _ = cook_toom(m, r)
        print(f"  struct Winograd_{m}_{r} {{")
        print(f"    static constexpr int M = {m}, R = {r}, N = {m + r - 1};")
        for lines in (
            function("output_gradient", transposed(of_outputs), small_first=True),
            function("kernel_gradient", transposed(of_taps), small_first=False),
            function("kernel", of_taps, small_first=True),
        ):
            print("\n".join(lines))
        print("  };")
    print("} // namespace decaf")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
