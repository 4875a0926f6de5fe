"""Kernels of the gradients of convolutions, and products of matrices for them.

Arrays may be views with any steps, as long as their last axis is contiguous. With `accumulate`
results are added to what `out` holds. Sums have a fixed order, which no split into tasks changes.
"""

from __future__ import annotations

import numpy as np

from ._arrays import require
from .calls import Call, Task
from .places import WINOGRAD_SIZES, TileRows, require_tiles

Windows = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # sides, steps, dilation


class WeightGradientKernels:
    """Functions that bind kernels of ``sources/gradients/``, which are written in C++."""

    def bind_transposed_product(self, left, right, out, accumulate: bool = False) -> Call:
        """Multiply matrices whose depth runs along the rows of both: ``left.T @ right``.

        Parameters
        ----------
        left : ndarray of shape (..., c)
            One to three axes of rows before the last: positions of maps, for example.
        right : ndarray of shape (..., f)
            The same rows.
        out : ndarray of shape (c, f), or (g, c, f)
            With three axes, g products: the first axis of `left` and `right` counts them too.
        accumulate : bool, default=False
        """
        n_stacks = out.ndim - 2
        most = n_stacks + 4
        require(
            n_stacks in (0, 1)
            and left.ndim == right.ndim
            and n_stacks + 2 <= left.ndim <= most
            and left.shape[:-1] == right.shape[:-1]
            and left.shape[:n_stacks] == out.shape[:n_stacks]
            and (left.shape[-1], right.shape[-1]) == out.shape[n_stacks:]
            and min(left.size, right.size) > 0,
            "transposed_product",
            left=left,
            right=right,
            out=out,
        )
        stack, rows = (slice(None),) * n_stacks, (np.newaxis,) * (most - left.ndim)
        one = () if n_stacks else (np.newaxis,)
        place = (*one, *stack, *rows)
        run = self._gradients.transposed_product
        return Call(run(left[place], right[place], out[one], int(accumulate)))

    def bind_kernel_gradient(
        self, x_padded, windows: Windows, gradient, out, accumulate: bool = False
    ) -> list[Task]:
        """Compute the gradient of a convolution by its kernel; returns tasks for any threads.

        Parameters
        ----------
        x_padded : ndarray of shape (hp, wp, c) or (n, hp, wp, c)
            Maps with their border; for one of several groups of channels, a view of its channels.
        windows : ((int, int), (int, int), (int, int))
            Sides, steps and dilation, for rows and columns each.
        gradient : ndarray of shape (oh, ow, f) or (n, oh, ow, f)
        out : ndarray of shape (kh, kw, c, f)
        accumulate : bool, default=False
        """
        (kh, kw), (sy, sx), (dy, dx) = windows
        if x_padded.ndim == 3:
            x_padded = x_padded[np.newaxis]
        if gradient.ndim == 3:
            gradient = gradient[np.newaxis]
        _, hp, wp, c = x_padded.shape
        n, oh, ow, f = gradient.shape
        require(
            min(kh, kw, sy, sx, dy, dx) >= 1
            and len(x_padded) == n
            and out.shape == (kh, kw, c, f)
            and (oh - 1) * sy + dy * (kh - 1) < hp
            and (ow - 1) * sx + dx * (kw - 1) < wp,
            "kernel_gradient",
            x_padded=x_padded,
            windows=windows,
            gradient=gradient,
            out=out,
        )
        # the pixels under a row of a window follow one another: their channels are multiplied at
        # once
        joined = dx == 1 and x_padded.strides[2] == 4 * c and out.strides[1] == c * out.strides[2]
        tasks = []
        for i in range(kh):
            rows = x_padded[:, i * dy : i * dy + (oh - 1) * sy + 1 : sy]
            for j in range(1 if joined else kw):
                pixels = rows[:, :, j * dx : j * dx + (ow - 1) * sx + 1 : sx]
                place = out[i, j]
                if joined:
                    pixels = _longer(pixels, kw * c)
                    place = _longer(out[i, 0].T, kw * c).T
                tasks.append([self.bind_transposed_product(pixels, gradient, place, accumulate)])
        return tasks

    def bind_depthwise_kernel_gradient(
        self, x_padded, windows: Windows, gradient, out, accumulate: bool = False
    ) -> Call:
        """Compute the gradient of a depthwise convolution by its kernel.

        Parameters
        ----------
        x_padded : ndarray of shape (hp, wp, c)
        windows : ((int, int), (int, int), (int, int))
            Sides, steps and dilation. Fast for 3x3 and 5x5 with steps of 1 and 2, and for 7x7.
        gradient : ndarray of shape (oh, ow, c)
        out : ndarray of shape (kh, kw, c)
        accumulate : bool, default=False
        """
        (kh, kw), (sy, sx), (dy, dx) = windows
        (hp, wp, c), (oh, ow, _) = x_padded.shape, gradient.shape
        require(
            min(kh, kw, sy, sx, dy, dx) >= 1
            and gradient.shape[2] == c
            and out.shape == (kh, kw, c)
            and (oh - 1) * sy + dy * (kh - 1) < hp
            and (ow - 1) * sx + dx * (kw - 1) < wp,
            "depthwise_kernel_gradient",
            x_padded=x_padded,
            windows=windows,
            gradient=gradient,
            out=out,
        )
        run = self._gradients.depthwise_kernel_gradient
        return Call(run(x_padded, gradient, out, sy, sx, dy, dx, int(accumulate)))

    def bind_depthwise_input_gradient(
        self, gradient, kernel, strides, dilation, border, out
    ) -> Call:
        """Compute the gradient of a depthwise convolution by its input.

        With strides of 1, :meth:`bind_depthwise` with the kernel turned round is faster.

        Parameters
        ----------
        gradient : ndarray of shape (oh, ow, c)
        kernel : ndarray of shape (kh, kw, c)
        strides, dilation : (int, int)
        border : (int, int)
            Rows above and columns before the map, which windows see and `out` leaves out.
        out : ndarray of shape (h, w, c)
            Where no window reaches it is 0.
        """
        require(
            gradient.shape[2:] == kernel.shape[2:] == out.shape[2:]
            and min(*strides, *dilation) >= 1
            and min(border) >= 0,
            "depthwise_input_gradient",
            gradient=gradient,
            kernel=kernel,
            strides=strides,
            dilation=dilation,
            border=border,
            out=out,
        )
        run = self._gradients.depthwise_input_gradient
        return Call(run(gradient, kernel, *strides, *dilation, *border, out))

    def bind_winograd_output_gradient(self, tile_rows: TileRows, gradient, tiles) -> Call:
        """Transform rows of tiles of a gradient by the outputs.

        The gradient by the kernel is the sum over the tiles of what :meth:`bind_winograd_input`
        makes of the inputs, times this, for each of the n * n points
        (:meth:`bind_transposed_product`), transformed back (:meth:`bind_winograd_kernel_gradient`).

        Parameters
        ----------
        tile_rows : TileRows
            Of the gradient, (h, w).
        gradient : ndarray of shape (h, w, f)
        tiles : ndarray of shape (n * n, t, f)
            With n = m + r - 1; for t see :func:`.places.tiles_apart`.
        """
        require_tiles("winograd_output_gradient", tile_rows, tiles, gradient.shape[2])
        require(
            gradient.shape[:2] == tile_rows.size,
            "winograd_output_gradient",
            tile_rows=tile_rows,
            gradient=gradient,
        )
        place = tile_rows.first, tile_rows.n_rows, tile_rows.start
        run = self._gradients.winograd_output_gradient
        return Call(run(gradient, tile_rows.m, tile_rows.r, *place, tiles))

    def bind_winograd_kernel_gradient(
        self, products, m: int, r: int, out, accumulate: bool = False
    ) -> Call:
        """Transform products (n * n, c, f) to the gradient by the kernel, `out` (r, r, c, f)."""
        require(
            (m, r) in WINOGRAD_SIZES
            and products.shape == ((m + r - 1) ** 2, *out.shape[2:])
            and out.shape[:2] == (r, r),
            "winograd_kernel_gradient",
            products=products,
            m=m,
            r=r,
            out=out,
        )
        run = self._gradients.winograd_kernel_gradient
        return Call(run(products, m, r, out, int(accumulate)))

    def bind_winograd_kernel(self, kernel, m: int, r: int, out) -> Call:
        """Transform a kernel (r, r, c, f) to the right matrices of the products, (n * n, c, f)."""
        require(
            (m, r) in WINOGRAD_SIZES
            and kernel.shape[:2] == (r, r)
            and out.shape == ((m + r - 1) ** 2, *kernel.shape[2:]),
            "winograd_kernel",
            kernel=kernel,
            m=m,
            r=r,
            out=out,
        )
        return Call(self._gradients.winograd_kernel(kernel, m, r, out))


def _longer(view: np.ndarray, length: int) -> np.ndarray:
    """The same view with a longer last axis, which reads on where it ended."""
    shape = (*view.shape[:-1], length)
    return np.lib.stride_tricks.as_strided(view, shape, view.strides)
