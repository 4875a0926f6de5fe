"""Kernels of the gradients of layers that work on each value, each channel or each window.

Arrays may be views with any steps, as long as their last axis is contiguous. With `accumulate`
results are added to what is there.
"""

from __future__ import annotations

import math

import numpy as np

from ._arrays import require
from ._layers import require_windows
from .calls import Call

# Activation functions whose slope is computed from what they return.
SLOPES_FROM_OUTPUTS = frozenset({"elu", "hard_sigmoid", "sigmoid", "tanh"})


class LayerGradientKernels:
    """Functions that bind kernels of ``sources/gradients/``, which are written in C++."""

    def bind_clip_gradient(self, gradient, output, bounds, sums, accumulate: bool = False) -> Call:
        """Set a gradient to 0 where an output is not within bounds, and sum what is left.

        Parameters
        ----------
        gradient : ndarray of shape (h, w, c)
            By the output of an activation with bounds (a ReLU, a ReLU6); changed in place to that
            by its input.
        output : ndarray of shape (h, w, c)
        bounds : (float, float)
            Gradients pass where the output lies between them.
        sums : ndarray of shape (c,)
            Of the gradient over the positions: by a bias before the activation.
        accumulate : bool, default=False
        """
        require(
            gradient.shape == output.shape and sums.shape == gradient.shape[2:],
            "clip_gradient",
            gradient=gradient,
            output=output,
            sums=sums,
        )
        run = self._gradients.clip_gradient
        return Call(run(gradient, output, *map(float, bounds), sums, int(accumulate)))

    def bind_channel_sums(self, gradient, sums, accumulate: bool = False) -> Call:
        """Sum a gradient (h, w, c) over the positions, to `sums` (c,)."""
        require(sums.shape == gradient.shape[2:], "channel_sums", gradient=gradient, sums=sums)
        return Call(self._gradients.channel_sums(gradient, sums, int(accumulate)))

    def bind_channel_products(self, gradient, x, centre, sums, accumulate: bool = False) -> Call:
        """Sum ``gradient * (x - centre)`` over the positions: the gradient by a scale.

        Parameters
        ----------
        gradient, x : ndarray of shape (h, w, c)
        centre, sums : ndarray of shape (c,)
        accumulate : bool, default=False
        """
        require(
            gradient.shape == x.shape and centre.shape == sums.shape == x.shape[2:],
            "channel_products",
            gradient=gradient,
            x=x,
            centre=centre,
            sums=sums,
        )
        run = self._gradients.channel_products
        return Call(run(gradient, x, centre, sums, int(accumulate)))

    def bind_prelu_gradient(self, gradient, x, slope, sums, accumulate: bool = False) -> Call:
        """Multiply a gradient by the slope of its channel where `x` is not positive, in place.

        Parameters
        ----------
        gradient, x : ndarray of shape (h, w, c)
        slope : ndarray of shape (c,)
        sums : ndarray of shape (c,)
            The gradient by the slopes.
        accumulate : bool, default=False
        """
        require(
            gradient.shape == x.shape and slope.shape == sums.shape == x.shape[2:],
            "prelu_gradient",
            gradient=gradient,
            x=x,
            slope=slope,
            sums=sums,
        )
        run = self._gradients.prelu_gradient
        return Call(run(gradient, x, slope, sums, int(accumulate)))

    def bind_activation_gradient(self, name: str, gradient, values, *constants: float) -> Call:
        """Multiply a gradient by the slope of an activation function, in place.

        Parameters
        ----------
        name : str
            A function of ``sources/activations.py``.
        gradient : ndarray of shape (h, w, c)
        values : ndarray of shape (h, w, c)
            The outputs of the function if it is one of `SLOPES_FROM_OUTPUTS`, else its inputs.
        *constants : float
            The first number of the function: the slope of a leaky ReLU or of a hard sigmoid, the
            alpha of an ELU, which must be positive.
        """
        function = f"{name}_gradient"
        require(gradient.shape == values.shape, function, gradient=gradient, values=values)
        run = getattr(self._gradients, function)
        return Call(run(gradient, values, *map(float, constants)))

    def bind_max_pool_gradient(
        self, x, output, size, stride, border, gradient, out, accumulate: bool = False
    ) -> Call:
        """Give each gradient to the first of the largest values of its window.

        Parameters
        ----------
        x : ndarray of shape (h, w, c)
        output, gradient : ndarray of shape (oh, ow, c)
        size, stride : (int, int)
            For rows and columns. Windows of the size of `x` are those of a global maximum.
        border : (int, int)
            How far above and before `x` the first window begins; less than a window.
        out : ndarray of shape (h, w, c)
        accumulate : bool, default=False
        """
        require_windows("max_pool_gradient", x, size, stride, border, output, 0, output.shape[1])
        require(
            gradient.shape == output.shape and out.shape == x.shape,
            "max_pool_gradient",
            x=x,
            output=output,
            gradient=gradient,
            out=out,
        )
        run = self._gradients.max_pool_gradient
        windows = *size, *stride, *border
        return Call(run(x, output, gradient, *windows, out, int(accumulate)))

    def bind_average_pool_gradient(
        self, size, stride, border, counts, gradient, out, accumulate: bool = False
    ) -> Call:
        """Share each gradient among the values of its window; see `bind_max_pool_gradient`.

        Parameters
        ----------
        size, stride, border : (int, int)
        counts : (ndarray of shape (oh,), ndarray of shape (ow,))
            How many rows, and how many columns, of each window count.
        gradient : ndarray of shape (oh, ow, c)
        out : ndarray of shape (h, w, c)
        accumulate : bool, default=False
        """
        down, across = counts
        require_windows(
            "average_pool_gradient", out, size, stride, border, gradient, 0, gradient.shape[1]
        )
        require(
            (*down.shape, *across.shape) == gradient.shape[:2],
            "average_pool_gradient",
            down=down,
            across=across,
            gradient=gradient,
        )
        run = self._gradients.average_pool_gradient
        windows = *size, *stride, *border
        return Call(run(gradient, *windows, down, across, out, int(accumulate)))

    def bind_lrn_gradient(self, x, gradient, size, alpha, beta, k, out) -> Call:
        """Compute the gradient of local response normalisation; see :meth:`bind_lrn`.

        Parameters
        ----------
        x, gradient, out : ndarray of shape (h, w, c)
            `out` may be `gradient`.
        size : int
            Odd.
        alpha, beta, k : float
        """
        require(
            size >= 1 and size % 2 == 1 and x.shape == gradient.shape == out.shape,
            "lrn_gradient",
            x=x,
            gradient=gradient,
            size=size,
            out=out,
        )
        channels = x.shape[2]
        lines = np.zeros((2, channels + size - 1), np.float32)
        powers = np.empty(channels, np.float32)
        constants = int(size), float(alpha), float(beta), float(k)
        return Call(self._gradients.lrn_gradient(x, gradient, *constants, *lines, powers, out))

    def bind_layer_norm_gradient(
        self, x, scale, epsilon, gradient, by_scale, by_shift, accumulate: bool = False
    ) -> Call:
        """Change a gradient by the output of layer normalisation to that by its input, in place.

        Parameters
        ----------
        x, gradient : ndarray of shape (h, w, c)
        scale : ndarray of shape (c,)
        epsilon : float
        by_scale, by_shift : ndarray of shape (c,)
            The gradients by scale and shift.
        accumulate : bool, default=False
            For these two.
        """
        require(
            x.shape == gradient.shape
            and scale.shape == by_scale.shape == by_shift.shape == x.shape[2:],
            "layer_norm_gradient",
            x=x,
            scale=scale,
            gradient=gradient,
            by_scale=by_scale,
            by_shift=by_shift,
        )
        lines = np.empty((2, x.shape[2]), np.float32)
        run = self._gradients.layer_norm_gradient
        sums = by_scale, by_shift, lines
        return Call(run(x, scale, float(epsilon), gradient, *sums, int(accumulate)))

    # Steps of solvers -----------------------------------------------------------------------------

    def bind_sgd_step(
        self, values, velocity, gradient, rate, momentum, nesterov: bool = False
    ) -> Call:
        """Change values by gradient descent with momentum.

        ``velocity = momentum * velocity + gradient; values -= rate * velocity``, or, with
        `nesterov`, ``values -= rate * (gradient + momentum * velocity)``.

        Parameters
        ----------
        values, velocity : ndarray of shape (n,)
            Changed in place.
        gradient : ndarray of shape (n,)
        rate, momentum : float
        nesterov : bool, default=False
        """
        _require_alike("sgd_step", values=values, velocity=velocity, gradient=gradient)
        run = self._gradients.sgd_step
        return Call(run(values, velocity, gradient, float(rate), float(momentum), int(nesterov)))

    def bind_adam_step(
        self, values, mean, square, gradient, step: int, rate, betas, epsilon, decay=0.0
    ) -> Call:
        """Change values by a step of Adam, or of AdamW.

        Parameters
        ----------
        values, mean, square : ndarray of shape (n,)
            Changed in place; `mean` and `square` remember gradients and their squares.
        gradient : ndarray of shape (n,)
        step : int
            The number of this step, from 1 on, which corrects for both having begun at 0.
        rate : float
        betas : (float, float)
            What remains of the mean and of the square.
        epsilon : float
            Added to the root of the corrected square.
        decay : float, default=0.0
            ``rate * decay`` of the values is taken away first.
        """
        _require_alike("adam_step", values=values, mean=mean, square=square, gradient=gradient)
        beta_1, beta_2 = betas
        corrected = rate / (1 - beta_1**step)
        root_scale = 1 / math.sqrt(1 - beta_2**step)
        run = self._gradients.adam_step
        shares = beta_1, 1 - beta_1, beta_2, 1 - beta_2
        numbers = 1 - rate * decay, corrected, *shares, root_scale, epsilon
        return Call(run(values, mean, square, gradient, *map(float, numbers)))


def _require_alike(function: str, **arrays: np.ndarray) -> None:
    shapes = {array.shape for array in arrays.values()}
    require(len(shapes) == 1, function, **arrays)
