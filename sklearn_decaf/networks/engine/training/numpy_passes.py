"""Passes where nothing is compiled: plain NumPy, by the methods of the layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ...architecture import INPUT, Architecture
from ...reference import layer_parameters, preprocess
from .trained_network import layers_between, needed_layers

Arrays = dict[str, np.ndarray]


class NumpyPasses:
    """Forward and backward through a network, for any number of images at a time.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
    start, output : str
    trainable : collection of str
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        start: str,
        output: str,
        trainable: Collection[str],
    ):
        self._architecture = architecture
        self._parameters = parameters
        self._start = start
        self._output = output
        self._trainable = trainable
        self._layers = layers_between(architecture, start, output)
        self._needed = needed_layers(architecture, self._layers, trainable)

    def forward(self, inputs: np.ndarray, factors: Arrays) -> Arrays:
        """Compute the outputs of all layers; those with dropout before it.

        Parameters
        ----------
        inputs : ndarray of shape (n, h, w, c) or (n, c)
        factors : dict of str to ndarray
            What the outputs of layers with dropout are multiplied by.
        """
        net = self._architecture
        if self._start == INPUT:
            inputs = preprocess(inputs, net.preprocessing, np.float32)
        values = {self._start: inputs}
        for layer in self._layers:
            own = layer_parameters(net, layer.name, self._parameters, np.float32)
            read = self._read(layer.name, values, factors)
            values[layer.name] = layer.forward(read, list(own.values()))
        return values

    def backward(self, values: Arrays, factors: Arrays, gradient: np.ndarray) -> Arrays:
        """Compute the gradients by the trainable parameters from one by the output."""
        net, found, sums = self._architecture, {}, {self._output: gradient}
        for layer in reversed(self._layers):
            if layer.name not in self._needed:
                continue
            gradient = sums.pop(layer.name)
            if layer.name in factors and layer.name != self._output:
                gradient = gradient * factors[layer.name]
            own = layer_parameters(net, layer.name, self._parameters, np.float32)
            by_inputs, by_parameters = layer.backward(
                self._read(layer.name, values, factors),
                list(own.values()),
                values[layer.name],
                gradient,
            )
            if layer.name in self._trainable:
                names = dict(zip(own, by_parameters))
                for statistic in layer.statistics:
                    del names[f"{layer.name}.{statistic}"]
                found.update(names)
            for source, by_input in zip(net.inputs(layer.name), by_inputs):
                if source in self._needed:
                    sums[source] = sums[source] + by_input if source in sums else by_input
        return found

    def _read(self, name: str, values: Arrays, factors: Arrays) -> list[np.ndarray]:
        """What a layer reads, dropout applied."""
        return [
            values[source] * factors.get(source, np.float32(1))
            for source in self._architecture.inputs(name)
        ]
