"""The calls of the backward pass of layers that are no convolutions, one function a kind.

Each is given the gradient by the layer's output, which it may change, and hands gradients on to
the layers that are read. What has no kernel is computed in NumPy, by the layer's own method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .... import _kernels
from ...._kernels._layer_gradients import SLOPES_FROM_OUTPUTS
from ...layers import (
    ELU,
    LRN,
    Add,
    AveragePool,
    Concat,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    LayerNorm,
    MaxPool,
    PReLU,
    ReLU,
    Scale,
)
from ...layers._windows import pair
from ...layers.activations import Activation
from ..memory import Maps
from .dropout import Dropout
from .gradient_maps import GradientMaps, copies, whole
from .group_builder import GroupBuilder
from .tape import Tape
from .trained_network import TrainedNetwork


@dataclass(frozen=True, eq=False)
class Backward:
    """What the functions of this module work with.

    Parameters
    ----------
    tape : Tape
        The backward pass.
    gradients : GradientMaps
        By the outputs of layers.
    by_parameters : dict of str to dict of str to ndarray
        Where the gradients of trained layers are written, by layer and parameter.
    network : TrainedNetwork
    builder : GroupBuilder
        Of the forward pass.
    """

    tape: Tape
    gradients: GradientMaps
    by_parameters: Mapping[str, Mapping[str, np.ndarray]]
    network: TrainedNetwork
    builder: GroupBuilder

    def needed(self, layer: Layer) -> list[str]:
        """The layers that it reads and by whose outputs gradients are wanted."""
        names = self.network.architecture.inputs(layer.name)
        return [name for name in names if name in self.network.needed]

    def maps(self, name: str) -> np.ndarray:
        """The values of a layer, (n, h, w, c)."""
        return whole(self.builder.maps[name])

    def view(self, maps: Maps, name: str) -> np.ndarray:
        """Values in the shape of a layer's output, (n, h, w, c) or (n, c)."""
        rows = whole(maps)
        return rows if len(self.network.shapes[name]) == 3 else rows[:, 0, 0]

    def values(self, name: str) -> np.ndarray:
        """The values of a layer, (n, h, w, c) or (n, c)."""
        return self.view(self.builder.maps[name], name)

    def sums(self, layer: Layer, name: str, channels: int) -> np.ndarray:
        """Where a parameter's gradient is summed up, wanted or not."""
        own = self.by_parameters.get(layer.name)
        return np.zeros(channels, np.float32) if own is None else own[name]


def add_backward(layer: Layer, by_output: Maps, given: Backward) -> None:
    """Add a layer's backward pass to the tape.

    Parameters
    ----------
    layer : Layer
    by_output : Maps
        The gradient by its output, which may be changed.
    given : Backward
    """
    for kind, function in _KINDS.items():
        if isinstance(layer, kind) and _fits(layer):
            function(layer, by_output, given)
            return
    _in_numpy(layer, by_output, given)


def mask(
    relu: ReLU, output: np.ndarray, by_output: Maps, sums: np.ndarray, given: Backward
) -> None:
    """Let no gradient through where a ReLU did not, and sum what is left, by channels."""
    bind, bounds = _kernels.kernels.bind_clip_gradient, (0.0, relu.max_value)
    given.tape.calls(
        [
            bind(gradient, y, bounds, sums, i > 0)
            for i, (gradient, y) in enumerate(zip(whole(by_output), output))
        ]
    )


def sum_channels(by_output: Maps, sums: np.ndarray, given: Backward) -> None:
    """Sum a gradient over images and pixels: (n, h, w, c) -> (c,)."""
    bind = _kernels.kernels.bind_channel_sums
    given.tape.calls([bind(one, sums, i > 0) for i, one in enumerate(whole(by_output))])


def _fits(layer: Layer) -> bool:
    """Tell whether the kernels compute a layer with these numbers."""
    if isinstance(layer, ELU):
        return layer.alpha > 0
    return not isinstance(layer, LRN) or layer.size % 2 == 1


def _add(layer: Add, by_output: Maps, given: Backward) -> None:
    for name in given.needed(layer):
        given.gradients.pass_on(name, by_output)


def _relu(layer: ReLU, by_output: Maps, given: Backward) -> None:
    scratch = np.zeros(by_output.shape[2], np.float32)
    mask(layer, given.maps(layer.name), by_output, scratch, given)
    _add(layer, by_output, given)


def _activation(layer: Activation, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    values = given.maps(layer.name if layer.kernel in SLOPES_FROM_OUTPUTS else source)
    bind, constants = _kernels.kernels.bind_activation_gradient, layer.constants[:1]
    both = zip(whole(by_output), values)
    given.tape.calls([bind(layer.kernel, gradient, x, *constants) for gradient, x in both])
    _add(layer, by_output, given)


def _prelu(layer: PReLU, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    (slope,) = given.network.packed[layer.name]
    sums, bind = given.sums(layer, "slope", len(slope)), _kernels.kernels.bind_prelu_gradient
    both = enumerate(zip(whole(by_output), given.maps(source)))
    given.tape.calls([bind(gradient, x, slope, sums, i > 0) for i, (gradient, x) in both])
    _add(layer, by_output, given)


def _scale(layer: Scale, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    scale, *_ = given.network.packed[layer.name]
    zeros, kernels = np.zeros_like(scale), _kernels.kernels
    own = given.by_parameters.get(layer.name)
    if own is not None:
        both = enumerate(zip(whole(by_output), given.maps(source)))
        bind = kernels.bind_channel_products
        given.tape.calls([bind(g, x, zeros, own["scale"], i > 0) for i, (g, x) in both])
        if "shift" in own:
            sum_channels(by_output, own["shift"], given)
    bind = kernels.bind_scale_and_shift
    given.tape.calls([bind(one, scale, zeros, one) for one in whole(by_output)])
    _add(layer, by_output, given)


def _layer_norm(layer: LayerNorm, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    scale, _ = given.network.packed[layer.name]
    sums = [given.sums(layer, name, len(scale)) for name in ("scale", "shift")]
    bind = _kernels.kernels.bind_layer_norm_gradient
    both = enumerate(zip(given.maps(source), whole(by_output)))
    given.tape.calls([bind(x, scale, layer.epsilon, g, *sums, i > 0) for i, (x, g) in both])
    _add(layer, by_output, given)


def _dropout(layer: Dropout, by_output: Maps, given: Backward) -> None:
    multiply, factors = _kernels.kernels.bind_multiply, given.builder.factors(layer.name)
    both = zip(whole(by_output), factors)
    given.tape.calls([multiply(one, factor, one) for one, factor in both])
    _add(layer, by_output, given)


def _concat(layer: Concat, by_output: Maps, given: Backward) -> None:
    channel = 0
    for name in given.network.architecture.inputs(layer.name):
        end = channel + given.network.shapes[name][-1]
        if name in given.network.needed:
            part = whole(by_output)[..., channel:end]
            given.gradients.add(name, _writer(part, given))
        channel = end


def _writer(part: np.ndarray, given: Backward) -> Callable:
    def write(out: Maps, _) -> None:
        given.tape.calls(copies(part, whole(out)))

    return write


def _by_images(layer: Layer, given: Backward, bind: Callable) -> None:
    """Add ``bind(i, out)`` for each image to the gradient by the one layer that is read."""
    for name in given.needed(layer):

        def write(out: Maps, _) -> None:
            given.tape.calls([bind(i, one) for i, one in enumerate(whole(out))])

        given.gradients.add(name, write)


def _max_pool(layer: MaxPool | GlobalMaxPool, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    x, y, gradient = given.maps(source), given.maps(layer.name), whole(by_output)
    windows = _windows(layer, x.shape[1:])
    pool = _kernels.kernels.bind_max_pool_gradient
    _by_images(layer, given, lambda i, out: pool(x[i], y[i], *windows, gradient[i], out))


def _average_pool(layer: AveragePool | GlobalAveragePool, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    shape, gradient = given.network.shapes[source], whole(by_output)
    windows = _windows(layer, shape)
    if isinstance(layer, AveragePool):
        counts = layer.window_counts(shape)
    else:
        counts = tuple(np.array([side], np.float32) for side in shape[:2])
    pool = _kernels.kernels.bind_average_pool_gradient
    _by_images(layer, given, lambda i, out: pool(*windows, counts, gradient[i], out))


def _windows(layer: Layer, shape) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Sides, steps and border of the windows of a pooling layer."""
    if isinstance(layer, GlobalAveragePool | GlobalMaxPool):
        return shape[:2], (1, 1), (0, 0)
    (top, _), (left, _) = layer.pads(shape)
    return pair(layer.size), pair(layer.stride), (top, left)


def _lrn(layer: LRN, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    constants = layer.size, layer.alpha, layer.beta, layer.k
    bind = _kernels.kernels.bind_lrn_gradient
    both = zip(given.maps(source), whole(by_output))
    given.tape.calls([bind(x, gradient, *constants, gradient) for x, gradient in both])
    _add(layer, by_output, given)


def _dense(layer: Dense, by_output: Maps, given: Backward) -> None:
    (source,) = given.network.architecture.inputs(layer.name)
    x, gradient = given.values(source), given.view(by_output, layer.name)
    x, own = x.reshape(len(x), -1), given.by_parameters.get(layer.name)
    if own is not None:
        given.tape.topic = (layer.name,), "weights"
        product = _kernels.kernels.bind_transposed_product(x, gradient, own["kernel"])
        given.tape.calls([product])
        sum_channels(by_output, own["bias"], given)
    for name in given.needed(layer):

        def write(out: Maps, _) -> None:
            target = whole(out).reshape(x.shape)

            def run() -> None:
                kernel, _ = given.network.packed[layer.name]
                np.dot(gradient, kernel.T, out=target)

            given.tape.topic = (layer.name,), "input"
            given.tape.function(run)

        given.gradients.add(name, write, bordered=False)


def _in_numpy(layer: Layer, by_output: Maps, given: Backward) -> None:
    """Call the layer's own method, and hand its results on."""
    network = given.network
    names = network.architecture.inputs(layer.name)
    sources, output = [given.values(name) for name in names], given.values(layer.name)
    gradient, own = given.view(by_output, layer.name), given.by_parameters.get(layer.name, {})
    found: list[np.ndarray] = []

    def run() -> None:
        weights = network.packed[layer.name]
        by_inputs, by_parameters = layer.backward(sources, weights, output, gradient)
        found[:] = by_inputs
        for target, values in zip(own.values(), by_parameters):
            target[...] = values

    given.tape.function(run)
    for i, name in enumerate(names):
        if name in network.needed:

            def write(out: Maps, _, i=i, name=name) -> None:
                target = given.view(out, name)
                given.tape.function(lambda: np.copyto(target, found[i]))

            given.gradients.add(name, write)
    given.tape.function(found.clear)


_KINDS: dict[type[Layer], Callable[[Layer, Maps, Backward], None]] = {
    Add: _add,
    AveragePool: _average_pool,
    Concat: _concat,
    Dense: _dense,
    Dropout: _dropout,
    GlobalAveragePool: _average_pool,
    GlobalMaxPool: _max_pool,
    LRN: _lrn,
    LayerNorm: _layer_norm,
    MaxPool: _max_pool,
    PReLU: _prelu,
    ReLU: _relu,
    Scale: _scale,
    Activation: _activation,  # after those that are kinds of it
}
