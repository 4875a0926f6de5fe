"""Write the sources of the kernels that transform tiles for Winograd convolution.

``python winograd_kernels.py M R input|output`` prints the source of one kernel. A tile is
transformed in one straight line of code, for one vector of channels at a time: first along its
columns, then along its rows. The numbers come from the exact matrices of Cook and Toom.
"""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path

_path = Path(__file__).parents[1] / "sklearn_decaf" / "_kernels" / "cook_toom.py"
_spec = importlib.util.spec_from_file_location("cook_toom", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
cook_toom = _module.cook_toom


class Writer:
    """Statements that apply a matrix to named values; constants and temporaries are numbered."""

    def __init__(self):
        self.lines: list[str] = []
        self.constants: dict[Fraction, str] = {}
        self._count = 0

    def temporary(self, expression: str) -> str:
        name = f"t{self._count}"
        self._count += 1
        self.lines.append(f"{name} = {expression}")
        return name

    def _constant(self, value: Fraction) -> str:
        return self.constants.setdefault(value, f"c{len(self.constants)}")

    def sum(self, terms: list[tuple[Fraction, str]]) -> str:
        """A weighted sum as an expression."""
        text = ""
        for weight, name in terms:
            sign = "-" if weight < 0 else "+" if text else ""
            size = abs(weight)
            product = name if size == 1 else f"{self._constant(size)} * {name}"
            text += f" {sign} {product}" if text else f"{sign}{product}"
        return text

    def apply(self, matrix: list[list[Fraction]], values: list[str]) -> list[str]:
        """Expressions of matrix @ values.

        Where one row differs from another in some signs only, both are the sum and the
        difference of two parts. Where one column does, the values are first added and
        subtracted. Both come from pairs of opposite interpolation points.
        """
        results: dict[int, str] = {}
        matrix, values = self._pair_columns(matrix, values)
        for i, row in enumerate(matrix):
            if i in results:
                continue
            terms = [(weight, name) for weight, name in zip(row, values) if weight]
            for j in range(i + 1, len(matrix)):
                weighted = list(zip(row, values))
                same = [term for term, b in zip(weighted, matrix[j]) if term[0] == b != 0]
                opposite = [term for term, b in zip(weighted, matrix[j]) if term[0] == -b != 0]
                mates = all((a == 0) == (b == 0) for a, b in zip(row, matrix[j]))
                if mates and same and opposite and len(same) + len(opposite) == len(terms):
                    p = self.temporary(self.sum(same))
                    q = self.temporary(self.sum(opposite))
                    results[i], results[j] = f"{p} + {q}", f"{p} - {q}"
                    break
            else:
                results[i] = self.sum(terms)
        return [results[i] for i in range(len(matrix))]

    def _pair_columns(self, matrix, values):
        """Replace values j, k whose columns are (+-) equal by their sum and difference."""
        columns = list(zip(*matrix))
        used, new_columns, new_values = set(), [], []
        for j, column in enumerate(columns):
            if j in used:
                continue
            for k in range(j + 1, len(columns)):
                other = columns[k]
                signs = {(a == b, a == -b) for a, b in zip(column, other)}
                mirrored = signs == {(True, False), (False, True)}
                if k not in used and mirrored and all(column):
                    plus = self.temporary(f"{values[j]} + {values[k]}")
                    minus = self.temporary(f"{values[j]} - {values[k]}")
                    new_columns.append([a if a == b else 0 for a, b in zip(column, other)])
                    new_columns.append([a if a == -b else 0 for a, b in zip(column, other)])
                    new_values += [plus, minus]
                    used |= {j, k}
                    break
            else:
                new_columns.append(column)
                new_values.append(values[j])
        return [list(row) for row in zip(*new_columns)], new_values


def transform(matrix, load, store) -> tuple[list[str], dict[Fraction, str]]:
    """Statements for matrix @ tile @ matrix.T; `load` and `store` give the code of an element."""
    writer = Writer()
    n = len(matrix[0])
    half = []  # by column: the values after the first axis
    for column in range(n):
        values = [writer.temporary(load(row, column)) for row in range(n)]
        half.append([writer.temporary(e) for e in writer.apply(matrix, values)])
    for i in range(len(matrix)):
        for j, expression in enumerate(writer.apply(matrix, [half[c][i] for c in range(n)])):
            writer.lines += store(i, j, expression)
    return writer.lines, writer.constants


def _source(docstring, export, signature, setup, loops, lines, constants) -> str:
    constant_lines = [f"    {n} = np.float32({float(v)!r})" for v, n in constants.items()]
    loop_lines = []
    depth = 4
    for statement in loops:
        loop_lines.append(" " * depth + statement)
        if statement.startswith("for"):
            depth += 4
    body = " " * depth
    return "\n".join(
        [f'"""{docstring}"""', "", "import numpy as np", "", "", f"# pythran export {export}"]
        + [f"def {signature}:"]
        + [f"    {line}" for line in setup]
        + constant_lines
        + loop_lines
        + [body + line for line in lines]
        + [""]
    )


def input_kernel(m: int, r: int) -> str:
    """Tiles of a map to (n * n, tiles, channels)."""
    _, _, matrix = cook_toom(m, r)
    n = m + r - 1
    name = f"winograd_input_{m}_{r}"
    lines, constants = transform(
        matrix,
        lambda i, j: f"x[y + {i}, u + {j}, ch]",
        lambda i, j, value: [f"tiles[{i * n + j}, t, ch] = {value}"],
    )
    return _source(
        f"The transform of the inputs for Winograd's F({m}, {r}).",
        f"{name}(float32[:,:,:] order(C), int, int, int, int, int, float32[:,:,:] order(C))",
        f"{name}(x, height, base, first, rows, start, tiles)",
        [
            "# x (*, wp, c): rows from `base` on of a map of `height` rows, border included;",
            "# tiles (n * n, >= start + rows * columns, c): `rows` rows of tiles from `first` on;",
            "# the last ones of a row or column end with the map, so they may overlap others",
            "width, channels = x.shape[1], x.shape[2]",
            f"columns = (width - {r - 1} + {m - 1}) // {m}",
        ],
        [
            "for row in range(rows):",
            f"y = min((first + row) * {m}, height - {n}) - base",
            "for column in range(columns):",
            f"u = min(column * {m}, width - {n})",
            "t = start + row * columns + column",
            "for ch in range(channels):",
        ],
        lines,
        constants,
    )


def output_kernel(m: int, r: int) -> str:
    """Products (n * n, tiles, filters) to a map, with the bias and the bounds of the activation."""
    matrix, _, _ = cook_toom(m, r)
    n = m + r - 1
    name = f"winograd_output_{m}_{r}"
    lines, constants = transform(
        matrix,
        lambda i, j: f"products[{i * n + j}, t, ch]",
        lambda i, j, value: [
            f"value = {value} + shift",
            f"out[y + {i}, u + {j}, c + ch] = np.minimum(np.maximum(value, lowest), highest)",
        ],
    )
    return _source(
        f"The transform of the products to outputs for Winograd's F({m}, {r}).",
        f"{name}(float32[:,:,:] order(C), int, int, int, int, int, float32[:], float, float, "
        "float32[:,:,:] order(C), int, int, int)",
        f"{name}(products, first, rows, start, height, width, bias, low, high, out, top, left, "
        "offset)",
        [
            "# products (n * n, >= start + rows * columns, filters), bias (filters,); the map of",
            "# height x width lies in out from (top, left, offset) on",
            "channels = products.shape[2]",
            "lowest = np.float32(low)",
            "highest = np.float32(high)",
            f"columns = (width + {m - 1}) // {m}",
        ],
        [
            "for row in range(rows):",
            f"y = min((first + row) * {m}, height - {m}) + top",
            "for column in range(columns):",
            f"u = min(column * {m}, width - {m}) + left",
            "t = start + row * columns + column",
            "c = offset",
            "for ch in range(channels):",
            "shift = bias[ch]",
        ],
        lines,
        constants,
    )


if __name__ == "__main__":
    size, taps, direction = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    print({"input": input_kernel, "output": output_kernel}[direction](size, taps), end="")
