"""The fully connected layers at the end of a network, for many images at a time.

Where their weights are large, reading them, and writing their gradients, takes longer than the
products for a few images. Then these layers run on a block of images at once; threads share each
product. It is cut in parts of fixed sizes: the bits do not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ...._utils.parallel import run_in_threads
from ...layers import Dense, Layer
from ..batch_stage import split_batch_layers
from .batch_norm import GroupNorm
from .dropout import Dropout
from .tape import Seconds, timed
from .trained_network import TrainedNetwork

Arrays = dict[str, np.ndarray]

HEAD_BYTES = 16 * 1024 * 1024  # of the weights, from which on images are brought together
INPUTS_AT_ONCE = 1024  # of a fully connected layer, in one part of a product
ROWS_AT_ONCE = 128  # of a gradient by a kernel, which stay in the cache


def dense_head_layers(network: TrainedNetwork) -> tuple[Layer, ...]:
    """The layers of a network that had better run on many images; none if that does not pay.

    They are those from the first fully connected layer on, if they read just one layer before it.
    """
    _, layers = split_batch_layers(network.architecture, network.layers)
    names = {layer.name for layer in layers}
    read = {name for layer in layers for name in network.architecture.inputs(layer.name)}
    nbytes = sum(
        network.packed[layer.name][0].nbytes for layer in layers if isinstance(layer, Dense)
    )
    pays = (
        nbytes >= HEAD_BYTES
        and network.output in names
        and len(read - names) == 1
        and not any(isinstance(layer, GroupNorm) for layer in layers)
    )
    return layers if pays and len(layers) < len(network.layers) else ()


class DenseHead:
    """Layers on vectors, computed in NumPy.

    Parameters
    ----------
    network : TrainedNetwork
    layers : tuple of Layer
        From :func:`dense_head_layers`.

    Attributes
    ----------
    source : str
        The layer that they read.
    """

    def __init__(self, network: TrainedNetwork, layers: tuple[Layer, ...]):
        self.layers = layers
        self._network = network
        names = {layer.name for layer in layers}
        (self.source,) = {
            name
            for layer in layers
            for name in network.architecture.inputs(layer.name)
            if name not in names
        }

    def forward(
        self,
        values: np.ndarray,
        factors: Mapping[str, np.ndarray],
        n_threads: int,
        seconds: Seconds | None = None,
    ) -> Arrays:
        """Compute all layers.

        Parameters
        ----------
        values : ndarray of shape (n, ...)
            What the source gives.
        factors : dict of str to ndarray
            Of dropout layers.
        n_threads : int
        seconds : dict, optional
            The time of each layer is added, by its name and "forward".
        """
        found = {self.source: values}
        for layer in self.layers:
            read = [found[name] for name in self._network.architecture.inputs(layer.name)]
            with timed(seconds, ((layer.name,), "forward")):
                if isinstance(layer, Dropout):
                    found[layer.name] = read[0] * factors.get(layer.name, np.float32(1))
                elif isinstance(layer, Dense):
                    found[layer.name] = _dense(*read, *self._network.packed[layer.name], n_threads)
                else:
                    found[layer.name] = layer.forward(read, self._network.packed[layer.name])
        return found

    def backward(
        self,
        values: Arrays,
        factors: Mapping[str, np.ndarray],
        gradient: np.ndarray,
        sums: dict[str, Arrays],
        *,
        first: bool,
        n_threads: int,
        seconds: Seconds | None = None,
    ) -> np.ndarray | None:
        """Go back from a gradient by the output.

        Parameters
        ----------
        values : dict of str to ndarray
            From :meth:`forward`.
        factors : dict of str to ndarray
        gradient : ndarray
        sums : dict of str to dict of str to ndarray
            By layer and parameter; the gradients are added there.
        first : bool
            Whether what is in `sums` does not count.
        n_threads : int
        seconds : dict, optional
            Times are added as by :meth:`.group_program.GroupProgram.backward`.

        Returns
        -------
        ndarray or None
            The gradient by the source, if it is needed.
        """
        network, totals = self._network, {self._network.output: gradient}
        for layer in reversed(self.layers):
            if layer.name not in network.needed:
                continue
            own = totals.pop(layer.name)
            names = network.architecture.inputs(layer.name)
            read = [values[name] for name in names]
            topic = (layer.name,)
            if isinstance(layer, Dense):
                kernel, _ = network.packed[layer.name]
                if layer.name in network.trained:
                    with timed(seconds, (topic, "weights")):
                        target = sums.setdefault(layer.name, {})
                        _add_dense(target, read[0], own, first=first, n_threads=n_threads)
                by_inputs = []
                if names[0] in network.needed:
                    with timed(seconds, (topic, "input")):
                        by_inputs = [_dense_by_input(read[0], kernel, own, n_threads)]
            else:
                with timed(seconds, (topic, "activation")):
                    by_inputs = self._backward(layer, read, values, factors, own, sums, first)
            for name, by_input in zip(names, by_inputs):
                if name in network.needed:
                    totals[name] = totals[name] + by_input if name in totals else by_input
        return totals.get(self.source)

    def _backward(self, layer, read, values, factors, gradient, sums, first) -> list[np.ndarray]:
        """Go back through a layer that is not fully connected; the gradients by its inputs."""
        network = self._network
        if isinstance(layer, Dropout):
            return [gradient * factors.get(layer.name, np.float32(1))]
        weights = network.packed[layer.name]
        by_inputs, by_parameters = layer.backward(read, weights, values[layer.name], gradient)
        if layer.name in network.trained:
            own = sums.setdefault(layer.name, {})
            for name, found in zip(network.parameter_shapes(layer), by_parameters):
                if first or name not in own:
                    own[name] = np.array(found)
                else:
                    own[name] += found
        return by_inputs


def _dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, n_threads: int) -> np.ndarray:
    """Parts of the inputs, each multiplied by its rows of the kernel; sums in their order."""
    x = x.reshape(len(x), -1)
    parts = range(0, len(kernel), INPUTS_AT_ONCE)
    products: list = [None] * len(parts)

    def multiply(i: int) -> None:
        own = slice(parts[i], parts[i] + INPUTS_AT_ONCE)
        products[i] = np.dot(x[:, own], kernel[own])

    run_in_threads(multiply, len(parts), n_threads)
    total = products[0] + bias
    for product in products[1:]:
        total += product
    return total


def _dense_by_input(
    x: np.ndarray, kernel: np.ndarray, gradient: np.ndarray, n_threads: int
) -> np.ndarray:
    found = np.empty((len(gradient), len(kernel)), np.float32)
    gradient = np.ascontiguousarray(gradient, np.float32)

    def multiply(first: int, end: int) -> None:
        found[:, first:end] = np.dot(gradient, kernel[first:end].T)

    _in_parts(multiply, len(kernel), INPUTS_AT_ONCE, n_threads)
    return found.reshape(x.shape)


def _add_dense(
    sums: Arrays, x: np.ndarray, gradient: np.ndarray, *, first: bool, n_threads: int
) -> None:
    """Add the gradients by kernel and bias, some rows of the kernel at a time."""
    rows = x.reshape(len(x), -1)
    gradient = np.ascontiguousarray(gradient, np.float32)
    shape = rows.shape[1], gradient.shape[1]
    if "kernel" not in sums:
        sums["kernel"], sums["bias"] = np.zeros(shape, np.float32), np.zeros(shape[1], np.float32)
    kernel, bias = sums["kernel"], sums["bias"]

    def multiply(start: int, end: int) -> None:
        left = rows[:, start:end].T
        if first:
            np.dot(left, gradient, out=kernel[start:end])
        else:
            kernel[start:end] += np.dot(left, gradient)

    _in_parts(multiply, len(kernel), ROWS_AT_ONCE, n_threads)
    total = gradient.sum(axis=0)
    bias[...] = total if first else bias + total


def _in_parts(work: Callable[[int, int], None], n: int, size: int, n_threads: int) -> None:
    """Call ``work(first, end)`` for parts of a range, from several threads."""
    parts = range(0, n, size)
    run_in_threads(lambda i: work(parts[i], min(n, parts[i] + size)), len(parts), n_threads)
