"""Runs a network forward and backward, a group of images at a time.

Images do not depend on each other, so a group goes forward and backward at once, and of its maps
nothing is kept but the gradients of the parameters. Memory does not grow with the batch. The
gradients of the groups are added in their order: the bits do not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from ...architecture import INPUT, Architecture
from ...reference import layer_parameters, preprocess

# (scores of a group, which images of the batch they are of) -> sum of losses, gradient by scores
Loss = Callable[[np.ndarray, slice], tuple[float, np.ndarray]]


class TrainingPlan:
    """A network prepared to be trained.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray of float32
        By full names, such as ``"conv1.kernel"``. They are read where they are: whoever changes
        them in place calls :meth:`refresh` afterwards.
    output : str
        The layer that the loss is computed from.
    start : str, default="data"
        What the network is given: pixels, or the output of this layer.
    trainable : collection of str, optional
        Layers whose gradients are wanted. Default: all between `start` and `output`.
    dropout : dict of str to float, default={}
        Layers whose output is dropped in training, with its probability; what is left is scaled
        up.
    group_size : int, default=16
        Images that go forward and backward together.
    exact : bool, default=False
        Compute convolutions and their gradients by plain sums only.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        output: str,
        *,
        start: str = INPUT,
        trainable: Collection[str] | None = None,
        dropout: Mapping[str, float] | None = None,
        group_size: int = 16,
        exact: bool = False,
    ):
        self.architecture = architecture
        self.parameters = parameters
        self.output = output
        self.start = start
        self.dropout = dict(dropout or {})
        self.group_size = group_size
        self.exact = exact
        self.layers = _between(architecture, start, output)
        if trainable is None:
            trainable = [
                one.name for one in self.layers if architecture.layer_parameter_shapes(one.name)
            ]
        self.trainable = tuple(trainable)
        # what lies between the trainable layers and the output
        self._needed = set(self.trainable)
        for layer in self.layers:
            if not self._needed.isdisjoint(architecture.inputs(layer.name)):
                self._needed.add(layer.name)

    def refresh(self) -> None:
        """Take over parameters that have changed."""

    def forward(self, inputs: np.ndarray, *, n_threads: int = 1) -> np.ndarray:
        """Compute the output without dropout.

        Parameters
        ----------
        inputs : ndarray of shape (n, h, w, c) or (n, c)
            RGB images, 0 to 255, uint8 or float32; or the output of `start`, float32.
        n_threads : int, default=1

        Returns
        -------
        ndarray of shape (n, oh, ow, oc) or (n, oc), float32
        """
        shape = self.architecture.shapes()[self.output]
        found = np.empty((len(inputs), *shape), np.float32)
        for part in self._groups(len(inputs)):
            found[part] = self._values(inputs[part], {})[self.output]
        return found

    def gradients(
        self, inputs: np.ndarray, loss: Loss, *, seed: int = 0, n_threads: int = 1
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Compute a loss and its gradients by the trainable parameters.

        Parameters
        ----------
        inputs : ndarray
            As of :meth:`forward`.
        loss : callable
            Given the output of a group of images and the slice that says which they are, returns
            a float, and the gradient by the output. Several threads may call it.
        seed : int, default=0
            Draws the zeros of dropout, together with an image's place in the batch.
        n_threads : int, default=1

        Returns
        -------
        float
            The sum over the groups.
        dict of str to ndarray
            The same of the gradients, by the full names of the parameters. The arrays are valid
            until the next call.
        """
        total, sums = 0.0, {}
        for part in self._groups(len(inputs)):
            masks = self._masks(part, seed)
            values = self._values(inputs[part], masks)
            value, gradient = loss(values[self.output], part)
            found = self._backward(values, masks, gradient)
            total += value
            for name, own in found.items():
                sums[name] = sums[name] + own if name in sums else own
        return total, sums

    def _groups(self, n: int) -> Iterator[slice]:
        for first in range(0, n, self.group_size):
            yield slice(first, min(first + self.group_size, n))

    def _masks(self, part: slice, seed: int) -> dict[str, np.ndarray]:
        """0, or 1 / (1 - p), for each value of each layer with dropout."""
        shapes = self.architecture.shapes()
        masks = {}
        for place, (name, p) in enumerate(sorted(self.dropout.items())):
            rows = [
                np.random.default_rng((seed, image, place)).random(shapes[name], np.float32) >= p
                for image in range(part.start, part.stop)
            ]
            masks[name] = np.stack(rows) / np.float32(1 - p)
        return masks

    def _values(self, inputs, masks) -> dict[str, np.ndarray]:
        """Outputs of all layers, those with dropout before it."""
        net = self.architecture
        if self.start == INPUT:
            inputs = preprocess(inputs, net.preprocessing, np.float32)
        values = {self.start: inputs}
        for layer in self.layers:
            own = layer_parameters(net, layer.name, self.parameters, np.float32)
            read = [
                values[name] * masks.get(name, np.float32(1)) for name in net.inputs(layer.name)
            ]
            values[layer.name] = layer.forward(read, list(own.values()))
        return values

    def _backward(self, values, masks, gradient) -> dict[str, np.ndarray]:
        net, found, sums = self.architecture, {}, {self.output: gradient}
        for layer in reversed(self.layers):
            if layer.name not in self._needed or layer.name not in sums:
                continue
            gradient = sums.pop(layer.name)
            if layer.name in masks:
                gradient = gradient * masks[layer.name]
            sources = net.inputs(layer.name)
            read = [values[name] * masks.get(name, np.float32(1)) for name in sources]
            own = layer_parameters(net, layer.name, self.parameters, np.float32)
            by_inputs, by_parameters = layer.backward(
                read, list(own.values()), values[layer.name], gradient
            )
            if layer.name in self.trainable:
                names = dict(zip(own, by_parameters))
                for statistic in layer.statistics:
                    del names[f"{layer.name}.{statistic}"]
                found.update(names)
            for source, by_input in zip(sources, by_inputs):
                if source in self._needed:
                    sums[source] = sums[source] + by_input if source in sums else by_input
        return found


def _between(architecture: Architecture, start: str, output: str) -> tuple:
    """The layers on the way from one to another, in order."""
    needed, found = {output}, []
    for layer in reversed(architecture.ancestors([output])):
        if layer.name in needed and layer.name != start:
            found.append(layer)
            needed.update(architecture.inputs(layer.name))
    if INPUT in needed and start != INPUT:
        raise ValueError(f"layer {output!r} depends on more than {start!r}")
    return tuple(found[::-1])
