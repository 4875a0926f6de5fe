"""Passes where nothing is compiled: plain NumPy, by the methods of the layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ...._utils.parallel import run_in_threads, single_threaded_blas
from ...architecture import INPUT, Architecture
from ...layers import Layer
from ...reference import layer_parameters, preprocess
from .batch_norm import GroupNorm, RunningStatistics, with_group_norms
from .compiled_passes import Loss, cut
from .dropout import draw_factors
from .ordered_sum import OrderedSum
from .trained_network import layers_between, needed_layers

Arrays = dict[str, np.ndarray]


GROUP_SIZE = 16


class NumpyPasses:
    """Forward and backward through a network, for batches of any size.

    Parameters
    ----------
    architecture, parameters, output, start, trainable, dropout, group_size, exact, norms, momentum
        As of :class:`~.compiled_passes.CompiledPasses`; all sums are plain here.

    Attributes
    ----------
    group_size : int
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        output: str,
        *,
        start: str,
        trainable: Collection[str],
        dropout: Mapping[str, float],
        group_size: int | None,
        exact: bool,
        norms: Collection[str],
        momentum: float,
    ):
        self.group_size = group_size or GROUP_SIZE
        self._architecture = architecture
        self._parameters = parameters
        self._start = start
        self._output = output
        self._trainable = trainable
        self._dropout = dropout
        self._layers = layers_between(architecture, start, output)
        training = with_group_norms(architecture, norms)
        self._training_layers = layers_between(training, start, output)
        self._statistics = RunningStatistics(parameters, norms, momentum)
        self._needed = needed_layers(architecture, self._layers, trainable)
        self._sums = OrderedSum()

    def refresh(self) -> None:
        """Do nothing: the parameters are read where they are."""

    def forward(self, inputs: np.ndarray, n_threads: int) -> np.ndarray:
        """Compute the output without dropout."""
        shapes = {INPUT: self._architecture.input_shape, **self._architecture.shapes()}
        found = np.empty((len(inputs), *shapes[self._output]), np.float32)
        groups = cut(slice(0, len(inputs)), self.group_size)

        def run(i: int) -> None:
            found[groups[i]] = self._values(inputs[groups[i]], {}, self._layers)[self._output]

        with single_threaded_blas():
            run_in_threads(run, len(groups), n_threads)
        return found

    def gradients(
        self, inputs: np.ndarray, loss: Loss, seed: int, n_threads: int
    ) -> tuple[float, Arrays]:
        """Compute a loss and its gradients by the trainable parameters."""
        groups, shapes = cut(slice(0, len(inputs)), self.group_size), self._architecture.shapes()
        self._sums.restart()
        if not groups:
            self._sums.clear()

        def run(i: int) -> None:
            factors = draw_factors(shapes, self._dropout, groups[i], seed)
            values = self._values(inputs[groups[i]], factors, self._training_layers)
            value, gradient = loss(values[self._output], groups[i])
            found = self._backward(values, factors, gradient)
            measured = self._measured(values, factors)
            self._sums.add(i, value, {"": found}, lambda: self._statistics.follow(measured))

        with single_threaded_blas():
            run_in_threads(self._sums.guard(run), len(groups), n_threads)
        return self._sums.value, self._sums.arrays.get("", {})

    def _measured(self, values: Arrays, factors: Arrays) -> dict:
        """Mean, variance and number of values that each group norm found."""
        found = {}
        for layer in self._training_layers:
            if isinstance(layer, GroupNorm):
                (x,) = self._read(layer.name, values, factors)
                found[layer.name] = (*layer.measure(x), x.size // x.shape[-1])
        return found

    def _values(self, inputs: np.ndarray, factors: Arrays, layers: Collection[Layer]) -> Arrays:
        """Compute the outputs of all layers; those with dropout before it.

        Parameters
        ----------
        inputs : ndarray of shape (n, h, w, c) or (n, c)
        factors : dict of str to ndarray
            What the outputs of layers with dropout are multiplied by.
        layers : collection of Layer
            With batch normalisations of training, or not.
        """
        net = self._architecture
        if self._start == INPUT:
            inputs = preprocess(inputs, net.preprocessing, np.float32)
        values = {self._start: inputs}
        for layer in layers:
            own = layer_parameters(net, layer.name, self._parameters, np.float32)
            read = self._read(layer.name, values, factors)
            values[layer.name] = layer.forward(read, list(own.values()))
        return values

    def _backward(self, values: Arrays, factors: Arrays, gradient: np.ndarray) -> Arrays:
        """Compute the gradients by the trainable parameters from one by the output."""
        net, found, sums = self._architecture, {}, {self._output: gradient}
        for layer in reversed(self._training_layers):
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
