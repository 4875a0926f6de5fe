"""Time the compiled kernels against NumPy and against copying the same bytes.

    python benchmarks/kernels.py

For every kernel set that this CPU has. Calls are interleaved and the best of many counts, so
that other work on the machine matters little. GB/s counts every input and output byte once.
"""

import argparse
import time
from itertools import chain

import numpy as np

from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import WINOGRAD_SIZES, Kernels
from sklearn_decaf._kernels.cook_toom import cook_toom
from sklearn_decaf._kernels.places import Place, Rows, TileRows

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def best_times(functions, repeats):
    best = dict.fromkeys(functions, np.inf)
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def in_turn(calls):
    """One call that makes several."""

    def run():
        for call in calls:
            call()

    return run


def gradient_cases():
    """Yield cases of gradients, as :func:`cases`."""
    for rows, depth, columns in ((12544, 16, 96), (784, 40, 240), (196, 480, 112), (49, 320, 1280)):
        x, gradient = normal(rows, depth), normal(rows, columns)
        out = np.empty((depth, columns), np.float32)
        yield (
            f"transposed {depth}x{rows}x{columns}",
            x.nbytes + gradient.nbytes + out.nbytes,
            2 * rows * depth * columns,
            lambda k, both=(x, gradient), out=out: k.bind_transposed_product(*both, out),
            lambda x=x, gradient=gradient, out=out: np.matmul(x.T, gradient, out=out),
        )

    for side, channels, size, stride in ((56, 144, 3, 1), (14, 480, 5, 1), (28, 240, 3, 2)):
        side_out = -(-side // stride)
        padded = (side_out - 1) * stride + size
        x, gradient = normal(padded, padded, channels), normal(side_out, side_out, channels)
        out, windows = normal(size, size, channels), ((size,) * 2, (stride,) * 2, (1, 1))

        def numpy_taps(x=x, gradient=gradient, out=out, stride=stride, size=size):
            last = (len(gradient) - 1) * stride + 1
            for i in range(size):
                for j in range(size):
                    pixels = x[i : i + last : stride, j : j + last : stride]
                    np.einsum("yxc,yxc->c", pixels, gradient, out=out[i, j])

        yield (
            f"depthwise by kernel {side}x{side}x{channels} {size}x{size}/{stride}",
            x.nbytes + gradient.nbytes,
            2 * size * size * gradient.size,
            lambda k, x=x, windows=windows, gradient=gradient, out=out: (
                k.bind_depthwise_kernel_gradient(x, windows, gradient, out)
            ),
            numpy_taps,
        )

    for side, channels in ((112, 96), (14, 480)):
        gradient, output = normal(side, side, channels), normal(side, side, channels)
        sums = np.empty(channels, np.float32)

        def numpy_clip(gradient=gradient, output=output, sums=sums):
            np.multiply(gradient, (output > 0) & (output < 6), out=gradient)
            np.sum(gradient, axis=(0, 1), out=sums)

        yield (
            f"clip gradient {side}x{side}x{channels}",
            3 * gradient.nbytes,
            0,
            lambda k, gradient=gradient, output=output, sums=sums: k.bind_clip_gradient(
                gradient, output, (0, 6), sums
            ),
            numpy_clip,
        )


def cases():
    """Yield (title, bytes moved, operations, what binds the kernel call of a set, NumPy call)."""
    # rows, depth, columns: convolutions as products, the last with bias and activation
    for rows, depth, columns in (
        (169, 2304, 384),
        (729, 1200, 128),
        (3136, 96, 24),
        (49, 320, 1280),
    ):
        x, matrix, bias = normal(rows, depth), normal(1, depth, columns), normal(columns)
        out = np.empty((1, rows, columns), np.float32)

        def numpy_product(x=x, matrix=matrix, bias=bias, out=out):
            np.matmul(x, matrix, out=out)
            np.add(out, bias, out=out)
            np.maximum(out, 0, out=out)

        def bind_product(k, x=x, matrix=matrix, bias=bias, out=out):
            rows, depth = x.shape
            return in_turn(
                k.bind_matmul(
                    Rows(x, 0, 0, depth, (1, rows)),
                    k.pack_matrix(matrix),
                    Place(out),
                    bias,
                    (0, np.inf),
                )
            )

        yield (
            f"matmul {rows}x{depth}x{columns}",
            x.nbytes + matrix.nbytes + out.nbytes,
            2 * rows * depth * columns,
            bind_product,
            numpy_product,
        )

    for (m, r), side, channels in zip(WINOGRAD_SIZES, (56, 13, 27), (64, 256, 96)):
        n, t = m + r - 1, (-(-side // m)) ** 2
        x, tiles = normal(side + r - 1, side + r - 1, channels), normal(n * n, t, channels)
        bias, out = normal(channels), np.empty((side, side, channels), np.float32)
        output_matrix, _, input_matrix = (
            np.array([[float(value) for value in row] for row in matrix], np.float32)
            for matrix in cook_toom(m, r)
        )
        whole = normal(t, n, n, channels)

        def bind_input(k, m=m, r=r, x=x, side=side, tiles=tiles):
            all_tiles = TileRows(m, r, (side, side), 0, -(-side // m))
            return k.bind_winograd_input(all_tiles, x, 0, tiles)

        def bind_output(k, m=m, r=r, tiles=tiles, side=side, bias=bias, out=out):
            all_tiles = TileRows(m, r, (side, side), 0, -(-side // m))
            return k.bind_winograd_output(all_tiles, tiles, bias, Place(out), (0, np.inf))

        def numpy_both(matrix, tiles=whole):
            half = np.tensordot(matrix, tiles, (1, 1))
            return np.tensordot(matrix, half, (1, 2))

        title = f"F({m}, {r}) {side}x{side}x{channels}"
        moved = tiles.nbytes + x.nbytes
        yield (
            f"winograd input {title}",
            moved,
            0,
            bind_input,
            lambda matrix=input_matrix, both=numpy_both: both(matrix),
        )
        yield (
            f"winograd output {title}",
            moved,
            0,
            bind_output,
            lambda matrix=output_matrix, both=numpy_both: both(matrix),
        )

    for side, channels in ((27, 96), (13, 256)):
        x = normal(side, side, channels)
        out = np.empty_like(x)

        def numpy_lrn(x=x, out=out, channels=channels):
            squares = np.pad(x * x, ((0, 0), (0, 0), (2, 2)))
            window = sum(squares[..., i : i + channels] for i in range(5))
            np.multiply(x, (1 + np.float32(2e-5) * window) ** np.float32(-0.75), out=out)

        yield (
            f"lrn {side}x{side}x{channels}",
            2 * x.nbytes,
            0,
            lambda k, x=x, out=out: k.bind_lrn(x, 5, 1e-4, 0.75, 1.0, out),
            numpy_lrn,
        )

    for side, channels in ((55, 96), (27, 256), (112, 64)):
        x = normal(side, side, channels)
        size = (side - 3) // 2 + 1
        out = np.empty((size, size, channels), np.float32)

        def numpy_pool(x=x, out=out, size=size):
            windows = [
                x[i : i + 2 * size - 1 : 2, j : j + 2 * size - 1 : 2]
                for i in range(3)
                for j in range(3)
            ]
            np.copyto(out, windows[0])
            for window in windows[1:]:
                np.maximum(out, window, out=out)

        yield (
            f"max_pool {side}x{side}x{channels}",
            x.nbytes + out.nbytes,
            0,
            lambda k, x=x, out=out: k.bind_max_pool(x, 3, 2, out),
            numpy_pool,
        )

    for side, channels, size, stride in (
        (112, 32, 3, 1),
        (112, 96, 3, 2),
        (56, 144, 3, 1),
        (56, 144, 5, 2),
        (28, 240, 5, 1),
        (14, 480, 3, 1),
        (14, 672, 5, 1),
        (7, 1152, 5, 1),
    ):
        side_out = -(-side // stride)
        padded = (side_out - 1) * stride + size
        x, kernel, bias = (
            normal(padded, padded, channels),
            normal(size, size, channels),
            normal(channels),
        )
        out = np.empty((side_out, side_out, channels), np.float32)

        def numpy_depthwise(x=x, kernel=kernel, bias=bias, out=out, stride=stride, size=size):
            out[:] = bias
            last = (out.shape[0] - 1) * stride + 1
            for i in range(size):
                for j in range(size):
                    np.add(out, x[i : i + last : stride, j : j + last : stride] * kernel[i, j], out)
            np.clip(out, 0, 6, out=out)

        yield (
            f"depthwise {side}x{side}x{channels} {size}x{size}/{stride}",
            x.nbytes + out.nbytes,
            2 * size * size * out.size,
            lambda k, x=x, kernel=kernel, bias=bias, stride=stride, out=out: k.bind_depthwise(
                x, kernel, bias, stride, 0, 6, out
            ),
            numpy_depthwise,
        )

    for side, channels in ((56, 24), (14, 112)):
        a, b, out = (normal(side, side, channels) for _ in range(3))

        def numpy_add(a=a, b=b, out=out):
            np.add(a, b, out=out)
            np.maximum(out, 0, out=out)

        yield (
            f"add_and_clip {side}x{side}x{channels}",
            3 * a.nbytes,
            0,
            lambda k, a=a, b=b, out=out: k.bind_add_and_clip(a, b, 0, np.inf, out),
            numpy_add,
        )

    for side, channels in ((13, 1000), (7, 1280)):
        x, pooled = normal(side, side, channels), np.empty(channels, np.float32)
        yield (
            f"average {side}x{side}x{channels}",
            x.nbytes,
            0,
            lambda k, x=x, pooled=pooled: k.bind_average(x, pooled),
            lambda x=x, pooled=pooled: np.mean(x, axis=(0, 1), out=pooled),
        )

    image = rng.integers(0, 256, (227, 227 * 3), dtype=np.uint8)
    mean, std = normal(*image.shape), normal(image.shape[1])
    padded = np.zeros((229, 1, 229 * 3), np.float32)
    inside = padded[1:228, :, 3:-3]

    def numpy_preprocess(image=image, mean=mean, std=std, inside=inside):
        np.subtract(image, mean, out=inside[:, 0])
        np.divide(inside[:, 0], std, out=inside[:, 0])

    yield (
        "preprocess 227x227x3",
        image.nbytes + mean.nbytes + inside.nbytes,
        0,
        lambda k: k.bind_preprocess(image, mean, std, False, inside),
        numpy_preprocess,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    sets = {name: Kernels(name) for name in _kernels.available_sets()}
    header = ["kernel", "NumPy, us", "copy, us", *(f"{name}, us" for name in sets), "best"]
    print("|", " | ".join(header), "|")
    print("|---|" + "---|" * (3 + len(sets)))
    for title, size, operations, bind, numpy_call in chain(cases(), gradient_cases()):
        source, target = np.ones(size // 2, np.uint8), np.empty(size // 2, np.uint8)
        functions = {
            "numpy": numpy_call,
            "copy": lambda source=source, target=target: np.copyto(target, source),
        }
        functions |= {name: bind(k) for name, k in sets.items()}
        times = best_times(functions, arguments.repeats)
        fastest = min(times[name] for name in sets)
        rate = f"{size / fastest / 1e9:.0f} GB/s"
        if operations:
            rate = f"{operations / fastest / 1e9:.0f} GFLOP/s"
        print(f"| {title} |", " | ".join(f"{t * 1e6:.0f}" for t in times.values()), f"| {rate} |")


if __name__ == "__main__":
    main()
