"""The batch stage: from the first fully connected layer on, layers run on the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import numpy as np

from .. import reference
from ..architecture import Architecture
from ..layers import Dense, Layer, Softmax
from ..layers.activations import Activation
from .dense import compute_dense, pack_dense
from .limits import Limits
from .packed_weights import pack_layers


def split_batch_layers(
    architecture: Architecture, layers: tuple[Layer, ...]
) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Cut layers, in order, into those on maps and those of the batch stage.

    The batch stage is every fully connected layer and softmax, and all that reads one of these.
    """
    in_batch: set[str] = set()
    for layer in layers:
        reads_one = not in_batch.isdisjoint(architecture.inputs(layer.name))
        if isinstance(layer, Dense | Softmax) or reads_one:
            in_batch.add(layer.name)
    return (
        tuple(layer for layer in layers if layer.name not in in_batch),
        tuple(layer for layer in layers if layer.name in in_batch),
    )


class BatchStage:
    """Layers that run on the whole batch.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
    layers : tuple of Layer
        In order.
    limits : Limits
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        layers: tuple[Layer, ...],
        limits: Limits,
    ):
        self.architecture = architecture
        self.layers = layers
        dense = [layer for layer in layers if isinstance(layer, Dense)]
        self.packed = pack_layers(
            architecture, parameters, dense, pack_dense, depth=limits.dense_depth
        )
        # of other layers, which run in NumPy; most are short work on vectors
        self.parameters = {
            layer.name: [parameters[key] for key in architecture.layer_parameter_shapes(layer.name)]
            for layer in layers
            if not isinstance(layer, Dense)
        }

    def run(self, blobs: dict[str, np.ndarray], n_threads: int) -> None:
        """Compute all layers from the values `blobs`, and put theirs there."""
        for layer in self.layers:
            self._run_layer(layer, blobs, n_threads)

    def add_seconds(
        self,
        blobs: dict[str, np.ndarray],
        n_threads: int,
        seconds: dict[tuple[str, ...], float],
    ) -> None:
        """The same as :meth:`run`; the time of each layer is added."""
        for layer in self.layers:
            start = perf_counter()
            self._run_layer(layer, blobs, n_threads)
            seconds[layer.name,] = perf_counter() - start

    def _run_layer(self, layer: Layer, blobs: dict[str, np.ndarray], n_threads: int) -> None:
        inputs = [blobs[name] for name in self.architecture.inputs(layer.name)]
        if isinstance(layer, Dense):
            blobs[layer.name] = compute_dense(self.packed[layer.name], *inputs, n_threads)
        elif isinstance(layer, Activation):
            blobs[layer.name] = _activate(layer, *inputs)
        else:
            blobs[layer.name] = reference.compute(layer, self.parameters[layer.name], *inputs)


def _activate(layer: Activation, x: np.ndarray) -> np.ndarray:
    """Apply an activation by its kernel: (n, ...) -> (n, ...)."""
    x = np.ascontiguousarray(x, np.float32)
    out = np.empty_like(x)
    whole = 1, 1, -1
    if x.size:
        layer.bind(x.reshape(whole), out.reshape(whole))()
    return out
