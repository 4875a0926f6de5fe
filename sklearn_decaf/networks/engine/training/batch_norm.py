"""Batch normalisation in training: with the statistics of the images of a group.

A group is the same images whatever the threads are, so that gradients keep their bits. The running
statistics, which a trained network normalises with, follow those of the groups, in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .... import _kernels
from ...architecture import Architecture
from ...layers import BatchNorm, Layer
from ...layers.base import Arrays, LayerGradients, Shape, sum_to_channels
from .gradient_maps import whole


@dataclass(frozen=True)
class GroupNorm(Layer):
    """Batch normalisation with the statistics of the values that it is given.

    ``y = (x - mean) / sqrt(variance + epsilon) * scale + shift``, where mean and variance are those
    of each channel over all images and pixels.
    """

    epsilon: float = 1e-5

    statistics = BatchNorm.statistics

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        return BatchNorm(self.name).parameter_shapes(*shapes)

    def measure(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each channel."""
        axes = tuple(range(x.ndim - 1))
        return x.mean(axis=axes), x.var(axis=axes)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Normalise each channel, then scale and shift it."""
        (x,), (scale, shift, *_) = inputs, parameters
        mean, variance = self.measure(x)
        return (x - mean) / np.sqrt(variance + x.dtype.type(self.epsilon)) * scale + shift

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (scale, *_) = inputs, parameters
        mean, variance = self.measure(x)
        deviation = np.sqrt(variance + x.dtype.type(self.epsilon))
        normal, n = (x - mean) / deviation, x.dtype.type(x.size // x.shape[-1])
        by_scale, by_shift = sum_to_channels(gradient * normal), sum_to_channels(gradient)
        # what would shift all values alike, or stretch them, is normalised away
        by_x = (gradient - by_shift / n - normal * by_scale / n) * (scale / deviation)
        zeros = np.zeros_like(mean)
        return [by_x], [by_scale, by_shift, zeros, zeros]


def with_group_norms(architecture: Architecture, names: Collection[str]) -> Architecture:
    """Let some batch normalisations take the statistics of the images that they are given."""
    layers = tuple(
        GroupNorm(layer.name, architecture.inputs(layer.name), layer.epsilon)
        if isinstance(layer, BatchNorm) and layer.name in names
        else layer
        for layer in architecture.layers
    )
    return replace(architecture, layers=layers)


class RunningStatistics:
    """The statistics that a trained network normalises with, changed group by group.

    They are torch's: ``running = (1 - momentum) * running + momentum * group``, with the variance
    of the group divided by one less than the number of values.

    Parameters
    ----------
    parameters : dict of str to ndarray
        Changed in place.
    names : collection of str
        The layers that normalise.
    momentum : float

    Raises
    ------
    ValueError
        If an array is read-only.
    """

    def __init__(
        self, parameters: Mapping[str, np.ndarray], names: Collection[str], momentum: float
    ):
        self._parameters = parameters
        self.names = tuple(names)
        self._momentum = np.float32(momentum)
        for name in self.names:
            for key in (f"{name}.{statistic}" for statistic in GroupNorm.statistics):
                if not parameters[key].flags.writeable:
                    raise ValueError(f"the parameter {key!r} is read-only: train a copy of it")

    def follow(self, measured: Mapping[str, tuple[np.ndarray, np.ndarray, int]]) -> None:
        """Take a group into account: mean, variance and number of values of each layer."""
        for name, (mean, variance, n) in measured.items():
            both = mean, variance * np.float32(n / max(1, n - 1))
            for statistic, found in zip(GroupNorm.statistics, both):
                running = self._parameters[f"{name}.{statistic}"]
                running += self._momentum * (found - running)


class GroupNormCalls:
    """The calls that normalise the maps of a group, and go back through that.

    Parameters
    ----------
    layer : GroupNorm
    weights : list of ndarray
        Scale, shift, running mean and running variance, which may be rewritten.

    Attributes
    ----------
    mean, variance : ndarray of shape (c,)
        Of the group.
    n : int
        Values of a channel.
    is_training : bool
        Whether these count, or the running ones.
    """

    def __init__(self, layer: GroupNorm, weights: list[np.ndarray]):
        self._layer = layer
        self._weights = weights
        c = len(weights[0])
        self.mean, self.variance = np.zeros(c, np.float32), np.zeros(c, np.float32)
        self.n = 0
        self.is_training = True
        self._factor, self._offset = np.zeros(c, np.float32), np.zeros(c, np.float32)
        self._by_scale, self._by_shift = np.zeros(c, np.float32), np.zeros(c, np.float32)
        self._of_gradient, self._of_x = np.zeros(c, np.float32), np.zeros(c, np.float32)

    def add_forward(self, tape, x: np.ndarray, out: np.ndarray) -> None:
        """Normalise maps (n, h, w, c) into others."""
        kernels = _kernels.kernels
        self.n = x.size // x.shape[-1]
        tape.calls([kernels.bind_channel_sums(one, self.mean, i > 0) for i, one in enumerate(x)])
        tape.function(self._divide_sums)
        # the sum of x * (x - mean) is that of (x - mean)^2
        bind = kernels.bind_channel_products
        tape.calls([bind(one, one, self.mean, self.variance, i > 0) for i, one in enumerate(x)])
        tape.function(self._set_factors)
        bind = kernels.bind_scale_and_shift
        tape.calls([bind(a, self._factor, self._offset, b) for a, b in zip(x, out)])

    def _divide_sums(self) -> None:
        self.mean /= np.float32(self.n)

    def _set_factors(self) -> None:
        self.variance /= np.float32(self.n)
        scale, shift, mean, variance = self._weights
        if self.is_training:
            mean, variance = self.mean, self.variance
        self._factor[...] = scale / np.sqrt(variance + np.float32(self._layer.epsilon))
        self._offset[...] = shift - mean * self._factor

    def add_backward(self, tape, x: np.ndarray, by_output, by_input, own) -> None:
        """Go back from a gradient, which is changed, to that by the input.

        Parameters
        ----------
        tape : Tape
        x : ndarray of shape (n, h, w, c)
        by_output, by_input : Maps
        own : dict of str to ndarray, or None
            Where the gradients by scale and shift are written.
        """
        kernels, gradient, out = _kernels.kernels, whole(by_output), whole(by_input)
        zeros = np.zeros_like(self.mean)
        bind = kernels.bind_channel_sums
        tape.calls([bind(one, self._by_shift, i > 0) for i, one in enumerate(gradient)])
        bind, both = kernels.bind_channel_products, enumerate(zip(gradient, x))
        tape.calls([bind(g, v, self.mean, self._by_scale, i > 0) for i, (g, v) in both])
        tape.function(lambda: self._set_backward_factors(own))
        bind, add = kernels.bind_scale_and_shift, kernels.bind_add_and_clip
        for g, v, o in zip(gradient, x, out):
            tape.calls(
                [
                    bind(v, self._of_x, self._offset, o),
                    bind(g, self._of_gradient, zeros, g),
                    add(g, o, -np.inf, np.inf, o),
                ]
            )

    def _set_backward_factors(self, own) -> None:
        """``factor * (dy - mean(dy) - normal * mean(dy * normal))`` as a sum over dy, x and 1."""
        scale = self._weights[0]
        squares = self.variance + np.float32(self._layer.epsilon)
        deviation, n = np.sqrt(squares), np.float32(self.n)
        self._of_gradient[...] = scale / deviation
        self._of_x[...] = -self._of_gradient * self._by_scale / (n * squares)
        self._offset[...] = -self._of_gradient * self._by_shift / n - self._of_x * self.mean
        if own is not None:
            own["scale"][...] = self._by_scale / deviation
            own["shift"][...] = self._by_shift
