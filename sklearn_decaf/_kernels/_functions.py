"""The kernels as the engine calls them: shapes checked, the fastest variant chosen.

The compiled functions check types and contiguity themselves, but no shapes: an index out of
bounds would read or write foreign memory.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from ._arrays import Region, require
from ._layer_gradients import LayerGradientKernels
from ._layers import LayerKernels
from ._products import MatrixProducts
from ._weight_gradients import WeightGradientKernels
from .calls import Call
from .places import UNBOUNDED, WINOGRAD_SIZES, Place, TileRows, require_tiles

# (size, stride) of the windows for which depthwise convolutions keep their sums in registers
DEPTHWISE_WINDOWS = ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1))
MODULES = (
    "activations",
    "channelwise",
    "depthwise",
    "depthwise_double",
    "depthwise_windows",
    "elementwise",
    "global_pool",
    "gradients",
    "layer_norm",
    "lrn",
    "max_pool",
    "patches",
    "pool",
    "preprocess",
    *(f"winograd_{side}_{m}_{r}" for m, r in WINOGRAD_SIZES for side in ("input", "output")),
)


class Kernels(MatrixProducts, LayerKernels, WeightGradientKernels, LayerGradientKernels):
    """All functions of one compiled set, each as a method that binds it to arguments.

    Binding checks the arguments and computes nothing: the :class:`~.calls.Call` that it returns
    does, when it is called or as part of a :class:`~.calls.CallList`, without the interpreter's
    lock.

    Arrays are float32 and C-contiguous; results are written into arrays that the caller made.
    An output must not overlap an input, except where a function works in place. NaN propagates
    as in NumPy. Scratch memory belongs to a call, so nobody may run a call twice at a time.

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
        super().__init__(kernel_set)
        for name in MODULES:
            setattr(self, f"_{name}", import_module(f"{__package__}.{kernel_set}.{name}"))

    def bind_depthwise(self, x_padded, kernel, bias, stride, low, high, out) -> Call:
        """Convolve each channel of a padded map with its own kernel, add the bias and clip.

        Parameters
        ----------
        x_padded : ndarray of shape (hp, wp, c)
        kernel : ndarray of shape (kh, kw, c)
            Fast for 3x3 and 5x5 with stride 1 and 2, and for 7x7 with stride 1.
        bias : ndarray of shape (c,)
        stride : int
        low, high : float
            Bounds of the activation; infinite for none.
        out : ndarray of shape (oh, ow, c)
        """
        _require_depthwise("depthwise", x_padded, kernel, bias, stride, out)
        low, high = float(low), float(high)
        height, width, columns = *kernel.shape[:2], out.shape[1]
        if height == width and (height, stride) in DEPTHWISE_WINDOWS and columns >= 4:
            run = self._depthwise_windows.depthwise_windows
        else:
            run = self._depthwise.depthwise
        return Call(run(x_padded, kernel, bias, int(stride), low, high, out))

    def bind_depthwise_double(self, x_padded, kernel, bias, stride, low, high, out) -> Call:
        """The same as :meth:`bind_depthwise`, with sums in float64: slower, and rounded once."""
        _require_depthwise("depthwise_double", x_padded, kernel, bias, stride, out)
        low, high = float(low), float(high)
        if (*kernel.shape[:2], stride) == (3, 3, 1) and out.shape[1] >= 4:
            run = self._depthwise_double.depthwise_double_3x3_stride_1
            return Call(run(x_padded, kernel, bias, low, high, out))
        sums = np.empty(out.shape[2], np.float64)
        run = self._depthwise_double.depthwise_double
        return Call(run(x_padded, kernel, bias, int(stride), low, high, sums, out))

    def bind_patches(self, x, windows, first, rows, left, channels, out) -> Call:
        """Copy windows of a padded map to rows.

        Parameters
        ----------
        x : ndarray of shape (hp, wp, c)
        windows : ((int, int), (int, int), (int, int))
            Sides, steps and dilation, for rows and columns each.
        first, rows : int
            The rows of windows that are copied.
        left : int
            The first channel copied.
        channels : int
        out : ndarray of shape (>= rows, columns, kh, kw * channels), float32 or float64
        """
        (kh, kw), (sy, sx), (dy, dx) = windows
        hp, wp, c = x.shape
        columns = out.shape[1]
        require(
            min(first, left) >= 0
            and min(kh, kw, sy, sx, dy, dx) >= 1
            and out.shape[0] >= rows
            and out.shape[2:] == (kh, kw * channels)
            and left + channels <= c
            and x.flags.c_contiguous
            and out.flags.c_contiguous
            and (first + rows - 1) * sy + dy * (kh - 1) + 1 <= hp
            and (columns - 1) * sx + dx * (kw - 1) + 1 <= wp,
            "patches",
            x=x,
            windows=windows,
            first=first,
            rows=rows,
            left=left,
            channels=channels,
            out=out,
        )
        if channels == c and dy == dx == 1:
            run = self._patches.patches
            return Call(run(x.reshape(hp, wp * c), first, rows, columns, sy, 0, sx * c, out))
        apart = out.reshape(*out.shape[:3], kw, channels)
        run = self._patches.patches_any
        return Call(run(x, first, rows, columns, sy, sx, dy, dx, left, apart))

    def bind_winograd_input(self, tile_rows: TileRows, x, base, tiles) -> Call:
        """Transform rows of tiles of a padded map.

        Parameters
        ----------
        tile_rows : TileRows
            Of the map without its border, (h, w).
        x : ndarray of shape (rows, w + r - 1, c)
            Rows of the map with its border.
        base : int
            The row of the map, border included, that is the first in `x`.
        tiles : ndarray of shape (n * n, t, c)
            With n = m + r - 1.
        """
        m, r, (h, w) = tile_rows.m, tile_rows.r, tile_rows.size
        require_tiles("winograd_input", tile_rows, tiles, x.shape[2])
        require(
            x.shape[1] == w + r - 1
            and 0 <= base <= min(tile_rows.first * m, h - m)
            and min((tile_rows.first + tile_rows.n_rows) * m, h) + r - 1 <= base + x.shape[0],
            "winograd_input",
            x=x,
            base=base,
            tile_rows=tile_rows,
        )
        module = getattr(self, f"_winograd_input_{m}_{r}")
        run = getattr(module, f"winograd_input_{m}_{r}")
        of_tiles = tile_rows.first, tile_rows.n_rows, tile_rows.start
        return Call(run(x, h + r - 1, base, *of_tiles, tiles))

    def bind_winograd_output(
        self, tile_rows: TileRows, products, bias, place: Place, bounds=UNBOUNDED
    ) -> Call:
        """Transform the products of rows of tiles back to a map, with bias and bounds.

        Parameters
        ----------
        tile_rows : TileRows
            Of the map that is written, (h, w).
        products : ndarray of shape (n * n, t, filters)
        bias : ndarray of shape (filters,)
        place : Place
            Where the map begins; with a negative row, its first rows are not there. Without a
            residual.
        bounds : (float, float)
            Of the activation.
        """
        m, r, (h, w) = tile_rows.m, tile_rows.r, tile_rows.size
        filters = products.shape[2]
        require_tiles("winograd_output", tile_rows, products, filters)
        out, (top, left, channel) = place.out, place.at
        first, n_rows = tile_rows.first, tile_rows.n_rows
        require(
            top + min(first * m, h - m) >= 0
            and top + min((first + n_rows) * m, h) <= out.shape[0]
            and 0 <= left <= out.shape[1] - w
            and 0 <= channel <= out.shape[2] - filters
            and bias.shape == (filters,)
            and place.residual is None,
            "winograd_output",
            tile_rows=tile_rows,
            bias=bias,
            out=out,
            at=place.at,
        )
        module = getattr(self, f"_winograd_output_{m}_{r}")
        run = getattr(module, f"winograd_output_{m}_{r}")
        low, high = float(bounds[0]), float(bounds[1])
        of_tiles = first, n_rows, tile_rows.start
        return Call(run(products, *of_tiles, h, w, bias, low, high, out, *place.at))

    def bind_max_pool(self, x, size, stride, out, left=0, columns=None) -> Call:
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
        require(
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
            run = self._max_pool.max_pool_3
            return Call(run(x, int(stride), line, out, left, columns))
        run = self._max_pool.max_pool
        return Call(run(x, int(size), int(stride), line, out, left, columns))

    def bind_lrn(self, x, size, alpha, beta, k, out, left=0) -> Call:
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
        require(
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
        alpha, k = float(alpha), float(k)
        squares = np.zeros(x.shape[2] + size - 1, np.float32)
        if size == 5 and beta == 0.75:
            return Call(self._lrn.lrn_5_075(x, alpha, k, squares, out, left))
        sums = np.empty(x.shape[2], np.float32)
        run = self._lrn.lrn
        return Call(run(x, int(size), alpha, float(beta), k, squares, sums, out, left))

    # Regions: views of shape (h, w, c), perhaps parts of larger arrays ----------------------------

    def bind_copy(self, x, out) -> Call:
        """Copy a region to another, which may overlap it if it begins earlier."""
        require(x.shape == out.shape and x.ndim == 3, "copy", x=x, out=out)
        return Call(self._elementwise.copy(*Region.of(x), *Region.of(out), *x.shape))

    def bind_fill(self, out, value) -> Call:
        """Set all values of a region whose columns follow one another."""
        rows, columns, channels = out.shape
        region = Region.of(out)
        require(region.column == channels or columns == 1, "fill", out=out)
        run = self._elementwise.fill
        size = columns * channels
        return Call(run(region.whole, region.start, region.row, rows, size, float(value)))

    def bind_clip(self, x, low, high, out) -> Call:
        """Put bounds to the values of a region; `out` may be `x`."""
        require(x.shape == out.shape and x.ndim == 3, "clip", x=x, out=out)
        regions = *Region.of(x), *Region.of(out)
        return Call(self._elementwise.clip(*regions, *x.shape, float(low), float(high)))

    def bind_add_and_clip(self, a, b, low, high, out) -> Call:
        """Add two regions and put bounds to the sums; `out` may be one of them."""
        require(a.shape == b.shape == out.shape and a.ndim == 3, "add", a=a, b=b, out=out)
        regions = *Region.of(a), *Region.of(b), *Region.of(out)
        return Call(self._elementwise.add_and_clip(*regions, *a.shape, float(low), float(high)))

    def bind_average(self, x, out) -> Call:
        """The average of a region of shape (h, w, c) over its positions, to `out` (c,)."""
        require(out.shape == (x.shape[2],) and x.size > 0, "average", x=x, out=out)
        line = np.empty(out.shape, np.float32)
        return Call(self._global_pool.average(*Region.of(x), *x.shape[:2], line, out))

    def bind_maximum(self, x, out) -> Call:
        """The maximum of a region of shape (h, w, c) over its positions, to `out` (c,)."""
        require(out.shape == (x.shape[2],) and x.size > 0, "maximum", x=x, out=out)
        return Call(self._global_pool.maximum(*Region.of(x), *x.shape[:2], out))

    def bind_preprocess(self, image, mean, std, flip, out) -> Call:
        """Subtract the mean from pixels and divide by the deviation.

        Parameters
        ----------
        image : ndarray of shape (h, w * 3), uint8 or float32
        mean : ndarray of shape (1, w * 3) or (h, w * 3)
        std : ndarray of shape (w * 3,)
        flip : bool
            Whether to turn the image upside down.
        out : ndarray of shape (h, 1, w * 3)
            A region.
        """
        h, width = image.shape
        require(
            mean.shape in ((1, width), (h, width))
            and std.shape == (width,)
            and out.shape == (h, 1, width),
            "preprocess",
            image=image,
            mean=mean,
            std=std,
            out=out,
        )
        region = Region.of(out)
        rows = (h - 1, -1) if flip else (0, 1)
        run = self._preprocess.preprocess
        place = region.whole, region.start, region.row
        return Call(run(image, *rows, mean, int(len(mean) > 1), std, *place))


def _require_depthwise(function, x_padded, kernel, bias, stride, out):
    rows, columns, channels = out.shape
    require(
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
