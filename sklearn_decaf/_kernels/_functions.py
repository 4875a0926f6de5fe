"""The kernels as the engine calls them: shapes checked, the fastest variant chosen.

The compiled functions check types and contiguity themselves, but no shapes: an index out of
bounds would read or write foreign memory.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

MODULES = (
    "bias_clip",
    "depthwise",
    "depthwise_3x3",
    "depthwise_5x5",
    "depthwise_double",
    "lrn",
    "max_pool",
)


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
        for name in MODULES:
            setattr(self, f"_{name}", import_module(f"{__package__}.{kernel_set}.{name}"))
        self._fast_depthwise = {
            (3, 3, 1): self._depthwise_3x3.depthwise_3x3_stride_1,
            (3, 3, 2): self._depthwise_3x3.depthwise_3x3_stride_2,
            (5, 5, 1): self._depthwise_5x5.depthwise_5x5_stride_1,
            (5, 5, 2): self._depthwise_5x5.depthwise_5x5_stride_2,
        }

    def bias_clip(self, x, bias, low=-np.inf, high=np.inf):
        """Replace `x` (rows, c) by min(max(x + bias, low), high)."""
        _require(bias.shape == x.shape[1:], "bias_clip", x=x, bias=bias)
        self._bias_clip.bias_clip(x, bias, float(low), float(high))

    def bias_add_clip(self, x, bias, residual, low=-np.inf, high=np.inf):
        """Replace `x` (rows, c) by min(max(x + bias + residual, low), high)."""
        _require(
            bias.shape == x.shape[1:] and residual.shape == x.shape,
            "bias_add_clip",
            x=x,
            bias=bias,
            residual=residual,
        )
        self._bias_clip.bias_add_clip(x, bias, residual, float(low), float(high))

    def bias_clip_into(self, x, bias, low, high, out, offset):
        """Write min(max(x + bias, low), high) into the columns of `out` from `offset` on."""
        _require(
            bias.shape == x.shape[1:]
            and out.shape[0] == x.shape[0]
            and 0 <= offset <= out.shape[1] - x.shape[1],
            "bias_clip_into",
            x=x,
            bias=bias,
            out=out,
            offset=offset,
        )
        self._bias_clip.bias_clip_into(x, bias, float(low), float(high), out, int(offset))

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
        _require_depthwise("depthwise", x_padded, kernel, bias, stride, out)
        low, high = float(low), float(high)
        fast = self._fast_depthwise.get((*kernel.shape[:2], stride))
        if fast is not None and out.shape[1] >= 4:
            fast(x_padded, kernel, bias, low, high, out)
        else:
            self._depthwise.depthwise(x_padded, kernel, bias, int(stride), low, high, out)

    def depthwise_double(self, x_padded, kernel, bias, stride, low, high, out):
        """The same as :meth:`depthwise`, with sums in float64: slower, and rounded once."""
        _require_depthwise("depthwise_double", x_padded, kernel, bias, stride, out)
        low, high = float(low), float(high)
        if (*kernel.shape[:2], stride) == (3, 3, 1) and out.shape[1] >= 4:
            run = self._depthwise_double.depthwise_double_3x3_stride_1
            run(x_padded, kernel, bias, low, high, out)
        else:
            sums = np.empty(out.shape[2], np.float64)
            run = self._depthwise_double.depthwise_double
            run(x_padded, kernel, bias, int(stride), low, high, sums, out)

    def max_pool(self, x, size, stride, out):
        """Maximum of each window of a map.

        Parameters
        ----------
        x : ndarray of shape (h, w, c)
        size, stride : int
            The window is `size` x `size`; it may stick out below and to the right, where it is
            clipped to the map, but has to start inside.
        out : ndarray of shape (oh, ow, c)
        """
        _require(
            size >= 1
            and stride >= 1
            and x.shape[2] == out.shape[2]
            and (out.shape[0] - 1) * stride < x.shape[0]
            and (out.shape[1] - 1) * stride < x.shape[1],
            "max_pool",
            x=x,
            size=size,
            stride=stride,
            out=out,
        )
        line = np.empty(x.shape[1:], np.float32)
        if size == 3:
            self._max_pool.max_pool_3(x, int(stride), line, out)
        else:
            self._max_pool.max_pool(x, int(size), int(stride), line, out)

    def lrn(self, x, size, alpha, beta, k, out):
        """Local response normalisation across channels.

        ``x / (k + alpha / size * sum(x ** 2)) ** beta`` with the sum over the `size` channels
        centred at each channel, fewer at the borders.

        Parameters
        ----------
        x, out : ndarray of shape (rows, c)
        size : int
            Odd.
        alpha, beta, k : float
            ``size=5, beta=0.75``, the values of every published network, is fast.
        """
        _require(
            size >= 1 and size % 2 == 1 and out.shape == x.shape, "lrn", x=x, size=size, out=out
        )
        squares = np.zeros(x.shape[1] + size - 1, np.float32)
        if size == 5 and beta == 0.75:
            self._lrn.lrn_5_075(x, float(alpha), float(k), squares, out)
        else:
            self._lrn.lrn_denominators(x, int(size), float(alpha), float(k), squares, out)
            with np.errstate(all="ignore"):  # as silent as the other kernels
                np.power(out, np.float32(-beta), out=out)
                np.multiply(x, out, out=out)


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
