"""Kernels of layers that work on each value, each channel or each window; shapes are checked."""

from __future__ import annotations

import numpy as np

from ._arrays import Region, require
from .calls import Call
from .places import UNBOUNDED

_LANES = 16  # of the sums in layer_norm


class LayerKernels:
    """Functions that bind kernels to regions: views of shape (h, w, c), perhaps parts of arrays."""

    def bind_activation(self, name: str, x, out, *constants: float) -> Call:
        """Apply an activation function to each value; `out` may be `x`.

        Parameters
        ----------
        name : str
            A function of ``sources/activations.py``.
        x, out : ndarray of shape (h, w, c)
            Regions.
        *constants : float
            Numbers of the function.
        """
        require(x.shape == out.shape and x.ndim == 3, name, x=x, out=out)
        run = getattr(self._activations, name)
        regions = *Region.of(x), *Region.of(out)
        return Call(run(*regions, *x.shape, *map(float, constants)))

    def bind_scale_and_shift(self, x, scale, shift, out, bounds=UNBOUNDED) -> Call:
        """Multiply each channel by a number, add one, and put bounds to it; `out` may be `x`."""
        own = x.shape[-1:]
        require(
            x.shape == out.shape and x.ndim == 3 and scale.shape == shift.shape == own,
            "scale_and_shift",
            x=x,
            scale=scale,
            shift=shift,
            out=out,
        )
        regions = *Region.of(x), *Region.of(out)
        run = self._channelwise.scale_and_shift
        return Call(run(*regions, *x.shape, scale, shift, *map(float, bounds)))

    def bind_prelu(self, x, slope, out) -> Call:
        """Multiply what is negative by the slope of its channel; `out` may be `x`."""
        require(
            x.shape == out.shape and x.ndim == 3 and slope.shape == x.shape[-1:],
            "prelu",
            x=x,
            slope=slope,
            out=out,
        )
        return Call(self._channelwise.prelu(*Region.of(x), *Region.of(out), *x.shape, slope))

    def bind_multiply(self, x, factors, out) -> Call:
        """Multiply two regions; `out` may be `x`.

        Parameters
        ----------
        x, out : ndarray of shape (h, w, c)
        factors : ndarray of shape (h, w, c), (1, 1, c) or (h, w, 1)
        """
        h, w, c = x.shape
        require(
            out.shape == x.shape and factors.shape in ((h, w, c), (1, 1, c), (h, w, 1)),
            "multiply",
            x=x,
            factors=factors,
            out=out,
        )
        other = Region.of(factors)
        if factors.shape[:2] != (h, w):  # the same numbers for each position
            other = other._replace(row=0, column=0)
        kernels = self._channelwise
        run = kernels.multiply if factors.shape[2] == c else kernels.multiply_pixels
        return Call(run(*Region.of(x), *other, *Region.of(out), *x.shape))

    def bind_move_channels(self, x, x_step, out, out_step, n) -> Call:
        """Copy `n` channels of a region, every `x_step`-th to every `out_step`-th of another."""
        require(
            x.shape[:2] == out.shape[:2]
            and x.ndim == out.ndim == 3
            and min(n, x_step, out_step) >= 1
            and (n - 1) * x_step < x.shape[2]
            and (n - 1) * out_step < out.shape[2],
            "move_channels",
            x=x,
            x_step=x_step,
            out=out,
            out_step=out_step,
            n=n,
        )
        run = self._channelwise.move_channels
        regions = *Region.of(x), x_step, *Region.of(out), out_step
        return Call(run(*regions, *x.shape[:2], n))

    def bind_layer_norm(self, x, scale, shift, epsilon, out) -> Call:
        """Normalise the channels of each position, then scale and shift them."""
        require(
            x.shape == out.shape and x.ndim == 3 and scale.shape == shift.shape == x.shape[-1:],
            "layer_norm",
            x=x,
            scale=scale,
            shift=shift,
            out=out,
        )
        sums, line = np.empty(_LANES, np.float32), np.empty(x.shape[2], np.float32)
        run = self._layer_norm.layer_norm
        regions = *Region.of(x), *Region.of(out)
        return Call(run(*regions, *x.shape, scale, shift, float(epsilon), sums, line))

    def bind_max_pool_any(self, x, size, stride, border, out, left=0, columns=None) -> Call:
        """Maximum of each window, of any sides and steps, that may reach beyond the map.

        Parameters
        ----------
        x : ndarray of shape (h, w, c)
        size, stride : (int, int)
            For rows and columns.
        border : (int, int)
            How far above and before `x` the first window begins; less than a window.
        out : ndarray of shape (oh, ow, c)
        left, columns : int, optional
            The first column of `out` that is written, and how many.
        """
        columns = out.shape[1] - left if columns is None else columns
        require_windows("max_pool_any", x, size, stride, border, out, left, columns)
        run = self._pool.max_pool_any
        return Call(run(x, *size, *stride, *border, out, left, columns))

    def bind_average_pool(self, x, size, stride, border, counts, out, left=0) -> Call:
        """Sum of each window over how many values count; parameters as `bind_max_pool_any`.

        Parameters
        ----------
        counts : (ndarray of shape (oh,), ndarray of shape (columns,))
            How many rows, and how many columns, of each window count.
        """
        down, across = counts
        require_windows("average_pool", x, size, stride, border, out, left, len(across))
        require(down.shape == out.shape[:1], "average_pool", down=down, out=out)
        run = self._pool.average_pool
        return Call(run(x, *size, *stride, *border, down, across, out, left))


def require_windows(function, x, size, stride, border, out, left, columns):
    sides = list(zip(size, stride, border, x.shape[:2], (out.shape[0], columns)))
    require(
        x.shape[2] == out.shape[2]
        and 0 <= left <= out.shape[1] - columns
        and all(0 <= before < k and s >= 1 for k, s, before, _, _ in sides)
        # the last window begins inside
        and all((count - 1) * s - before < length for _, s, before, length, count in sides),
        function,
        x=x,
        size=size,
        stride=stride,
        border=border,
        out=out,
        left=left,
    )
