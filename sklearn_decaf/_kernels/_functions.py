"""The kernels as the engine calls them: shapes checked, the fastest variant chosen.

The compiled functions check types and contiguity themselves, but no shapes: an index out of
bounds would read or write foreign memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module

import numpy as np

from .tiles import TILES, Tile

# (m, r) of the compiled Winograd transforms F(m, r)
WINOGRAD_SIZES = ((4, 3), (5, 3), (4, 5))
MODULES = (
    "depthwise",
    "depthwise_3x3",
    "depthwise_5x5",
    "depthwise_double",
    "lrn",
    "max_pool",
    "patches",
    *(f"winograd_{side}_{m}_{r}" for m, r in WINOGRAD_SIZES for side in ("input", "output")),
)

# One width of a packed matrix: (first column, array (groups, panels, depth, vectors, lanes))
Panels = tuple[int, np.ndarray]


class Kernels:
    """All functions of one compiled set.

    Arrays are float32 and C-contiguous; results are written into arrays that the caller made.
    An output must not overlap an input, except where a function works in place. The
    interpreter's lock is released while a function computes. NaN propagates as in NumPy.

    Parameters
    ----------
    kernel_set : {"base", "v3", "v4"}

    Raises
    ------
    ImportError
        If the set is not installed.
    """

    def __init__(self, kernel_set: str):
        self.kernel_set = kernel_set
        modules = (*MODULES, *(tile.module for tile in TILES[kernel_set]))
        for name in modules:
            setattr(self, f"_{name}", import_module(f"{__package__}.{kernel_set}.{name}"))
        # {type of the numbers: {width: [(tile, function), ...]}}, the widest first
        self._matmuls = {np.dtype(np.float32): {}, np.dtype(np.float64): {}}
        for tile in TILES[kernel_set]:
            function = getattr(getattr(self, f"_{tile.module}"), tile.module)
            by_width = self._matmuls[np.dtype(tile.dtype)]
            by_width.setdefault(tile.width, []).append((tile, function))
        self._fast_depthwise = {
            (3, 3, 1): self._depthwise_3x3.depthwise_3x3_stride_1,
            (3, 3, 2): self._depthwise_3x3.depthwise_3x3_stride_2,
            (5, 5, 1): self._depthwise_5x5.depthwise_5x5_stride_1,
            (5, 5, 2): self._depthwise_5x5.depthwise_5x5_stride_2,
        }

    def depthwise(self, x_padded, kernel, bias, stride, low, high, out):
        """Convolve each channel of a padded map with its own kernel, add the bias and clip.

        Parameters
        ----------
        x_padded : ndarray of shape (hp, wp, c)
        kernel : ndarray of shape (kh, kw, c)
            Fast for 3x3 and 5x5 with stride 1 and 2.
        bias : ndarray of shape (c,)
        stride : int
        low, high : float
            Bounds of the activation; infinite for none.
        out : ndarray of shape (oh, ow, c)
        """
        self.bind_depthwise(x_padded, kernel, bias, stride, low, high, out)()

    def bind_depthwise(self, x_padded, kernel, bias, stride, low, high, out) -> Callable[[], None]:
        """The call that :meth:`depthwise` makes."""
        _require_depthwise("depthwise", x_padded, kernel, bias, stride, out)
        low, high = float(low), float(high)
        fast = self._fast_depthwise.get((*kernel.shape[:2], stride))
        if fast is not None and out.shape[1] >= 4:
            return partial(fast, x_padded, kernel, bias, low, high, out)
        run = self._depthwise.depthwise
        return partial(run, x_padded, kernel, bias, int(stride), low, high, out)

    def depthwise_double(self, x_padded, kernel, bias, stride, low, high, out):
        """The same as :meth:`depthwise`, with sums in float64: slower, and rounded once."""
        self.bind_depthwise_double(x_padded, kernel, bias, stride, low, high, out)()

    def bind_depthwise_double(
        self, x_padded, kernel, bias, stride, low, high, out
    ) -> Callable[[], None]:
        """The call that :meth:`depthwise_double` makes."""
        _require_depthwise("depthwise_double", x_padded, kernel, bias, stride, out)
        low, high = float(low), float(high)
        if (*kernel.shape[:2], stride) == (3, 3, 1) and out.shape[1] >= 4:
            run = self._depthwise_double.depthwise_double_3x3_stride_1
            return partial(run, x_padded, kernel, bias, low, high, out)
        sums = np.empty(out.shape[2], np.float64)
        run = self._depthwise_double.depthwise_double
        return partial(run, x_padded, kernel, bias, int(stride), low, high, sums, out)

    def pack_matrix(self, matrix: np.ndarray) -> list[Panels]:
        """Arrange the right matrix of products as :meth:`bind_matmul` reads it.

        Parameters
        ----------
        matrix : ndarray of shape (groups, depth, columns), float32 or float64
            The columns are filled up with zeros to a multiple of 8.

        Returns
        -------
        list of (first column, ndarray of shape (groups, panels, depth, vectors, lanes))
            Panels of the widest tile for most columns, of narrower ones for the rest.
        """
        groups, depth, columns = matrix.shape
        by_width = self._matmuls[matrix.dtype]
        packed, first = [], 0
        for width, tiles in by_width.items():
            last = width == min(by_width)
            count = -(-(columns - first) // width) if last else (columns - first) // width
            if count <= 0:
                continue
            tile = tiles[0][0]
            shape = groups, count, depth, tile.vectors, tile.lanes
            panels = aligned_zeros(shape, matrix.dtype)
            flat = panels.reshape(groups, count, depth, width)
            for panel in range(count):
                part = matrix[:, :, first + panel * width : first + (panel + 1) * width]
                flat[:, panel, :, : part.shape[2]] = part
            packed.append((first, panels))
            first += count * width
        return packed

    def bind_matmul(
        self,
        x,
        start,
        row_step,
        column_step,
        packed,
        bias,
        low,
        high,
        out,
        at,
        shape,
        residual=None,
    ) -> list[Callable[[], None]]:
        """Prepare a product of matrices whose rows lie anywhere in `x`; calls that compute it.

        Row (g, y, u) of the left matrix is the numbers of `x` from ``start + (g * rows + y) *
        row_step + u * column_step`` on, times the matrix of group g. Sums run over the depth in
        order, so a row has the same bits wherever it stands and whatever stands beside it.

        Parameters
        ----------
        x : ndarray, of any shape, of the type of the packed numbers
            With float64, sums are rounded once, when they are written.
        start, row_step, column_step : int
        packed : list
            From :meth:`pack_matrix`.
        bias : ndarray of shape (columns,), or None
            None: the products are written as they are.
        low, high : float
            Bounds of the activation, with a bias only.
        out : ndarray of shape (h, w, c)
        at : (int, int, int)
            Where in `out` row (0, 0, 0), column 0 is written.
        shape : (int, int)
            The rows y of one group, and the columns u.
        residual : ndarray of the shape of `out`, optional
            Added, with the bias, to what is written.
        """
        rows, columns = shape
        top, left, offset = at
        groups, _, depth, _, _ = packed[0][1].shape
        width = max(
            first + panels.shape[1] * panels.shape[3] * panels.shape[4] for first, panels in packed
        )
        _require(
            min(start, row_step, column_step, *at) >= 0
            and min(rows, columns, depth) >= 1
            and start + (groups * rows - 1) * row_step + (columns - 1) * column_step + depth
            <= x.size
            and top + groups * rows <= out.shape[0]
            and left + columns <= out.shape[1]
            and offset + width <= out.shape[2]
            and (bias is None or bias.shape == (width,))
            and (residual is None or residual.shape == out.shape)
            and (bias is not None or x.dtype == np.float32)
            and all(panels.dtype == x.dtype for _, panels in packed)
            and x.flags.c_contiguous,
            "matmul",
            x=x,
            start=start,
            row_step=row_step,
            column_step=column_step,
            depth=depth,
            width=width,
            shape=shape,
            out=out,
            at=at,
        )
        then = 0 if bias is None else 1 if residual is None else 2
        flat = x.reshape(-1)
        calls = []
        for first, panels in packed:
            n = panels.shape[1] * panels.shape[3] * panels.shape[4]
            own = np.zeros(0, x.dtype) if bias is None else bias[first : first + n]
            tile, function = self._matmul(x.dtype, panels.shape[3] * panels.shape[4], columns)
            wide = x.dtype == np.float64
            sums = np.empty((tile.rows, tile.width) if wide else (0, 0), x.dtype)
            calls.append(
                partial(
                    function,
                    flat,
                    start,
                    depth,
                    groups,
                    rows,
                    columns,
                    row_step,
                    column_step,
                    panels,
                    own,
                    float(low),
                    float(high),
                    out,
                    top,
                    left,
                    offset + first,
                    then,
                    out if residual is None else residual,
                    sums,
                )
            )
        return calls

    def _matmul(self, dtype, width: int, columns: int) -> tuple[Tile, Callable]:
        """The tile, and its function, that computes the fewest rows for nothing."""
        by_width = self._matmuls[dtype]
        fitting = [pair for pair in by_width[width] if pair[0].rows <= columns]

        def cost(pair):  # a tile takes its rows, and something to begin and to end
            rows = pair[0].rows
            return math.ceil(columns / rows) * (rows + 2)

        return min(fitting, key=cost)

    def patches(self, x, size, stride, first, rows, left, channels, out):
        """Copy windows of a padded map to rows.

        Parameters
        ----------
        x : ndarray of shape (hp, wp, c)
        size, stride : int
        first, rows : int
            The rows of windows that are copied.
        left : int
            The first channel copied.
        channels : int
        out : ndarray of shape (>= rows, columns, size, size * channels)
            With fewer channels than the map has, `channels` neighbours for each of the `size`
            columns of a window are not contiguous: then `size` copies of one column each.
        """
        hp, wp, c = x.shape
        columns = out.shape[1]
        _require(
            min(first, left) >= 0
            and out.shape[0] >= rows
            and out.shape[2:] == (size, size * channels)
            and left + channels <= c
            and out.flags.c_contiguous
            and (first + rows - 1) * stride + size <= hp
            and (columns - 1) * stride + size <= wp,
            "patches",
            x=x,
            size=size,
            stride=stride,
            first=first,
            rows=rows,
            left=left,
            channels=channels,
            out=out,
        )
        if channels == c:
            run = self._patches.patches
            run(x.reshape(hp, wp * c), first, rows, columns, stride, 0, stride * c, out)
            return
        dy, dx, dc = x.strides
        windows = np.lib.stride_tricks.as_strided(
            x[first * stride :, :, left:],
            (rows, columns, size, size, channels),
            (dy * stride, dx * stride, dy, dx, dc),
        )
        np.copyto(out[:rows].reshape(windows.shape), windows)

    def bind_winograd_input(
        self, m, r, x, size, base, first, rows, start, tiles
    ) -> Callable[[], None]:
        """Prepare the transform of rows of tiles of a padded map for Winograd's F(m, r).

        Parameters
        ----------
        m, r : int
            One of `WINOGRAD_SIZES`.
        x : ndarray of shape (rows, w + r - 1, c)
            Rows of the map with its border.
        size : (int, int)
            Height h and width w of the map without its border, at least m each.
        base : int
            The row of the map, border included, that is the first in `x`.
        first, rows : int
            The rows of tiles that are transformed.
        start : int
            The place of the first of them among `tiles`.
        tiles : ndarray of shape (n * n, t, c)
            With n = m + r - 1.
        """
        h, w = size
        _require_tiles("winograd_input", m, r, size, first, rows, start, tiles, x.shape[2])
        _require(
            x.shape[1] == w + r - 1
            and 0 <= base <= min(first * m, h - m)
            and min((first + rows) * m, h) + r - 1 <= base + x.shape[0],
            "winograd_input",
            x=x,
            size=size,
            base=base,
            first=first,
            rows=rows,
        )
        module = getattr(self, f"_winograd_input_{m}_{r}")
        run = getattr(module, f"winograd_input_{m}_{r}")
        return partial(run, x, h + r - 1, base, first, rows, start, tiles)

    def bind_winograd_output(
        self, m, r, products, first, rows, start, size, bias, low, high, out, at=(0, 0, 0)
    ) -> Callable[[], None]:
        """Prepare the transform of products of tiles back to a map, with bias and bounds.

        Parameters
        ----------
        m, r, first, rows, start, size
            As for :meth:`bind_winograd_input`.
        products : ndarray of shape (n * n, t, filters)
        bias : ndarray of shape (filters,)
        low, high : float
        out : ndarray of shape (rows, w, c)
        at : (int, int, int)
            Where in `out` the map begins; with a negative row, the map's first rows are not there.
        """
        h, w = size
        filters = products.shape[2]
        _require_tiles("winograd_output", m, r, size, first, rows, start, products, filters)
        top, left, offset = at
        _require(
            top + min(first * m, h - m) >= 0
            and top + min((first + rows) * m, h) <= out.shape[0]
            and 0 <= left <= out.shape[1] - w
            and 0 <= offset <= out.shape[2] - filters
            and bias.shape == (filters,),
            "winograd_output",
            size=size,
            first=first,
            rows=rows,
            bias=bias,
            out=out,
            at=at,
        )
        module = getattr(self, f"_winograd_output_{m}_{r}")
        run = getattr(module, f"winograd_output_{m}_{r}")
        return partial(
            run, products, first, rows, start, h, w, bias, float(low), float(high), out, *at
        )

    def max_pool(self, x, size, stride, out, left=0, columns=None):
        """Maximum of each window of a map.

        Parameters
        ----------
        x : ndarray of shape (h, w, c)
        size, stride : int
            The window is `size` x `size`; it may stick out below and to the right, where it is
            clipped to the map, but has to start inside.
        out : ndarray of shape (oh, ow, c)
        left, columns : int, optional
            The first column of `out` that is written, and how many.
        """
        columns = out.shape[1] - left if columns is None else columns
        _require(
            size >= 1
            and left >= 0
            and left + columns <= out.shape[1]
            and stride >= 1
            and x.shape[2] == out.shape[2]
            and (out.shape[0] - 1) * stride < x.shape[0]
            and (columns - 1) * stride < x.shape[1],
            "max_pool",
            x=x,
            size=size,
            stride=stride,
            out=out,
        )
        line = np.empty(x.shape[1:], np.float32)
        if size == 3:
            self._max_pool.max_pool_3(x, int(stride), line, out, left, columns)
        else:
            self._max_pool.max_pool(x, int(size), int(stride), line, out, left, columns)

    def lrn(self, x, size, alpha, beta, k, out, left=0):
        """Local response normalisation across channels.

        ``x / (k + alpha / size * sum(x ** 2)) ** beta`` with the sum over the `size` channels
        centred at each channel, fewer at the borders.

        Parameters
        ----------
        x : ndarray of shape (h, w, c)
        size : int
            Odd.
        alpha, beta, k : float
            ``size=5, beta=0.75``, the values of every published network, is fast.
        out : ndarray of shape (h, >= left + w, c)
        left : int, default=0
            The first column of `out` that is written.
        """
        _require(
            size >= 1
            and size % 2 == 1
            and out.shape[0] == x.shape[0]
            and 0 <= left <= out.shape[1] - x.shape[1]
            and out.shape[2] == x.shape[2],
            "lrn",
            x=x,
            size=size,
            out=out,
            left=left,
        )
        squares = np.zeros(x.shape[2] + size - 1, np.float32)
        if size == 5 and beta == 0.75:
            self._lrn.lrn_5_075(x, float(alpha), float(k), squares, out, left)
            return
        rows = x.reshape(-1, x.shape[2])
        denominators = np.empty_like(rows)
        self._lrn.lrn_denominators(rows, int(size), float(alpha), float(k), squares, denominators)
        with np.errstate(all="ignore"):  # as silent as the other kernels
            np.power(denominators, np.float32(-beta), out=denominators)
            result = denominators.reshape(x.shape)
            np.multiply(x, result, out=out[:, left : left + x.shape[1]])


def aligned_zeros(shape, dtype=np.float32) -> np.ndarray:
    """Zeros that begin at a cache line (64 bytes), as wide loads want."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def _require_tiles(function, m, r, size, first, rows, start, tiles, channels):
    h, w = size
    across, down = -(-w // m), -(-h // m)
    _require(
        (m, r) in WINOGRAD_SIZES
        and min(h, w) >= m
        and min(first, start) >= 0
        and rows >= 1
        and first + rows <= down
        and tiles.shape[0] == (m + r - 1) ** 2
        and start + rows * across <= tiles.shape[1]
        and tiles.shape[2] == channels,
        function,
        m=m,
        r=r,
        size=size,
        first=first,
        rows=rows,
        start=start,
        tiles=tiles,
    )


def _require_depthwise(function, x_padded, kernel, bias, stride, out):
    rows, columns, channels = out.shape
    _require(
        stride >= 1
        and x_padded.shape[2] == kernel.shape[2] == channels
        and bias.shape == (channels,)
        and (rows - 1) * stride + kernel.shape[0] <= x_padded.shape[0]
        and (columns - 1) * stride + kernel.shape[1] <= x_padded.shape[1],
        function,
        x_padded=x_padded,
        kernel=kernel,
        bias=bias,
        stride=stride,
        out=out,
    )


def _require(condition: bool, function: str, /, **arguments):
    if not condition:
        found = ", ".join(
            f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name}={value}"
            for name, value in arguments.items()
        )
        raise ValueError(f"{function}: the shapes do not belong together: {found}")
