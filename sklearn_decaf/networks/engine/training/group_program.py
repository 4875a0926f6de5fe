"""A program that takes a group of images through a network, forward and backward.

Forward is the engine's own list of calls, with all maps kept that backward needs. Backward goes
through the same steps from the last to the first. What has no compiled step is computed in NumPy,
by the methods of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ...architecture import INPUT
from ...layers import Conv, Dense, Layer, ReLU, Softmax
from ...layers.activations import Activation
from ..chains import split_chains
from ..checks import has_step
from ..fusion import FusedConv, fuse
from ..image_input import compile_image
from ..limits import Limits
from ..memory import Maps
from ..program import compile_step
from ..schedule import schedule_chain
from ..steps import Step
from .batch_norm import GroupNorm, GroupNormCalls
from .convolution_backward import ConvolutionBackward
from .dropout import Dropout
from .gradient_maps import GradientMaps, whole
from .group_builder import GroupBuilder
from .layer_backward import Backward, add_backward, mask, sum_channels
from .tape import Seconds, Tape
from .trained_network import TrainedNetwork

FEW_IMAGES = 2  # of so many, a chain's strips of rows are still high enough


class GroupProgram:
    """Forward and backward for a group of n images, on buffers of its own, for one thread.

    Parameters
    ----------
    network : TrainedNetwork
    layers : tuple of Layer
        Those of the network that are computed, in order.
    output : str
        The one of them whose value is wanted, and whose gradient is given.
    n : int
    pixels : dtype
        Of the images, uint8 or float32; of no meaning where the network begins at a layer.
    limits : Limits

    Attributes
    ----------
    gradients : dict of str to dict of str to ndarray
        By layer and parameter, in the form in which they are summed up.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        layers: tuple[Layer, ...],
        output: str,
        n: int,
        pixels: np.dtype,
        limits: Limits,
    ):
        self.network = network
        self.layers = layers
        self.output = output
        self.n = n
        self._limits = limits if n <= FEW_IMAGES else replace(limits, small_map=1 << 62)
        self._fused = fused = fuse(
            network.architecture, layers, kept_layers(network, layers, output)
        )
        self._builder = GroupBuilder(
            network.architecture, network.packed, fused, n, 1, self._limits
        )
        self.gradients = {
            layer.name: {
                name: np.zeros(shape, np.float32)
                for name, shape in network.parameter_shapes(layer).items()
            }
            for layer in layers
            if layer.name in network.trained
        }
        self._in_numpy = {layer.name for layer in layers if self._is_in_numpy(layer)}
        self._norms: dict[str, GroupNormCalls] = {}
        self._forward = Tape()
        self._inputs = self._compile_inputs(pixels)
        self._compile_forward()
        self._backward: Tape | None = None
        self._output_gradient: np.ndarray | None = None

    def forward(
        self,
        inputs: np.ndarray,
        factors: dict[str, np.ndarray],
        *,
        training: bool = False,
        seconds: Seconds | None = None,
    ) -> np.ndarray:
        """Compute the output of at most n images.

        Parameters
        ----------
        inputs : ndarray of shape (m, h, w, c) or (m, c)
        factors : dict of str to ndarray
            Of dropout layers; without any, all values stay as they are.
        training : bool, default=False
            Whether group norms take the statistics of these images, of which there are n then.
        seconds : dict, optional
            The time of each step is added, by its layers and "forward".

        Returns
        -------
        ndarray of shape (m, ...)
        """
        m = len(inputs)
        for calls in self._norms.values():
            calls.is_training = training
        self._inputs[:m] = inputs.reshape(m, *self._inputs.shape[1:])
        self._inputs[m:] = 0
        for layer in self.layers:
            if isinstance(layer, Dropout):
                array = self._builder.factors(layer.name)
                if layer.name in factors:
                    array[:m] = factors[layer.name].reshape(m, *array.shape[1:])
                else:
                    array[...] = 1
        self._forward.run(seconds)
        return self._values(self.output)[:m].copy()

    def backward(self, gradient: np.ndarray, seconds: Seconds | None = None) -> None:
        """Compute the gradients by the parameters, after :meth:`forward`, from its output's.

        Times are added by layers, and "activation", "weights" or "input": what the gradient is
        of.
        """
        if self._backward is None:
            self._compile_backward()
        m = len(gradient)
        target = self._output_gradient
        target[:m] = np.asarray(gradient).reshape(m, *target.shape[1:])
        target[m:] = 0
        self._backward.run(seconds)

    def measured(self) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
        """Mean, variance and number of values that each group norm found."""
        return {name: (one.mean, one.variance, one.n) for name, one in self._norms.items()}

    # What is computed how -------------------------------------------------------------------------

    def _is_in_numpy(self, layer: Layer) -> bool:
        """Tell whether a layer is computed forward by NumPy: the engine has no step for it."""
        if isinstance(layer, Conv):
            return False
        if isinstance(layer, Dense | Softmax) or not has_step(layer):
            return True
        try:
            shapes = [
                self.network.shapes[name] for name in self.network.architecture.inputs(layer.name)
            ]
            layer.check_step(*shapes)
        except ValueError:
            return True
        return False

    # Values ---------------------------------------------------------------------------------------

    def _values(self, name: str) -> np.ndarray:
        """The values of a layer, (n, h, w, c) or (n, c)."""
        rows = whole(self._builder.maps[name])
        return rows if len(self.network.shapes[name]) == 3 else rows[:, 0, 0]

    def _compile_inputs(self, pixels: np.dtype) -> np.ndarray:
        builder, start = self._builder, self.network.start
        if start == INPUT:
            phases, images = compile_image(builder, pixels)
            self._forward.topic = (), "forward"
            self._forward.phases(phases)
            return images
        maps = builder.new_maps(start)
        maps.allocate(builder.arena)
        return whole(maps)

    # Forward --------------------------------------------------------------------------------------

    def _compile_forward(self) -> None:
        """Add all steps; consecutive ones with calls are scheduled together."""
        steps: list[Step] = []
        for item in self._fused:
            if item.name not in self._in_numpy:
                steps.append(compile_step(item, self._builder))
                continue
            self._schedule(steps)
            steps = []
            out = self._builder.new_maps(item.name)
            out.allocate(self._builder.arena)
            self._forward.topic = (item.name,), "forward"
            if isinstance(item, GroupNorm):
                self._normalise(item, whole(out))
            else:
                self._compute_in_numpy(item)
        self._schedule(steps)

    def _schedule(self, steps: list[Step]) -> None:
        kept = {step.output for step in steps}
        for chain in split_chains(steps, self._limits):
            schedule = schedule_chain(chain, kept, self._builder.arena, self._limits)
            for step, phase in schedule:
                self._forward.topic = step.layers, "forward"
                self._forward.phases([phase])
            self._builder.workspace.release()

    def _compute_in_numpy(self, layer: Layer) -> None:
        sources, out = self._sources(layer), self._values(layer.name)
        network = self.network

        def run() -> None:
            out[...] = layer.forward(sources, network.packed[layer.name])

        self._forward.function(run)

    def _normalise(self, layer: GroupNorm, out: np.ndarray) -> None:
        calls = GroupNormCalls(layer, self.network.packed[layer.name])
        self._norms[layer.name] = calls
        x = self._builder.maps[self.network.source(layer)]
        calls.add_forward(self._forward, whole(x), out)

    def _sources(self, layer: Layer) -> list[np.ndarray]:
        return [self._values(name) for name in self.network.architecture.inputs(layer.name)]

    # Backward -------------------------------------------------------------------------------------

    def _compile_backward(self) -> None:
        network, builder = self.network, self._builder
        self._backward = tape = Tape()
        borders = {
            item.name: network.data_gradients[item.conv.name].pads
            for item in self._fused
            if isinstance(item, FusedConv) and item.conv.name in network.data_gradients
        }
        gradients = GradientMaps(tape, builder.arena, self.n, network.shapes, borders)
        convolutions = ConvolutionBackward(tape, gradients, builder.workspace, self._limits)
        given = Backward(tape, gradients, self.gradients, network, builder)
        first = gradients.plain(builder.maps[self.output].shape)
        self._output_gradient = whole(first)  # never given back: it is written to from outside
        gradients.pass_on(self.output, first)
        for item in reversed(self._fused):
            inner = item.layers if isinstance(item, FusedConv) else (item.name,)
            if network.needed.isdisjoint(inner):
                continue
            tape.topic = inner, "activation"
            by_output = gradients.take(item.name)
            if isinstance(item, FusedConv):
                self._convolution_backward(item, by_output, given, convolutions)
            elif isinstance(item, GroupNorm):
                self._normalise_backward(item, by_output, given)
            else:
                add_backward(item, by_output, given)
            gradients.give_back(by_output)

    def _convolution_backward(
        self, item: FusedConv, by_output: Maps, given: Backward, backward: ConvolutionBackward
    ) -> None:
        """Go backward through a convolution and what is computed with it."""
        network, conv, source = self.network, item.conv, item.inputs[0]
        by_bias = given.sums(conv, "bias", conv.filters)
        if item.activation is not None:
            mask(item.activation, given.maps(item.name), by_output, by_bias, given)
        elif conv.name in network.trained:
            sum_channels(by_output, by_bias, given)
        if item.residual in network.needed:
            given.gradients.pass_on(item.residual, by_output)
        packed = network.packed[conv.name]
        if conv.name in network.trained:
            given.tape.topic = item.layers, "weights"
            own, x = self.gradients[conv.name], self._builder.maps[source]
            backward.by_kernel(conv, packed.algorithm, x, by_output, own["kernel"])
        if conv.name not in network.needed or source not in network.needed:
            return
        given.tape.topic = item.layers, "input"
        if conv.name in network.data_gradients:
            backward.by_input(network.data_gradients[conv.name], source, by_output)
        elif packed.algorithm.kind == "depthwise":
            backward.by_depthwise_input(conv, packed.kernels[0], source, by_output)
        else:
            self._input_in_numpy(conv, by_output, given)

    def _normalise_backward(self, layer: GroupNorm, by_output: Maps, given: Backward) -> None:
        calls, source = self._norms[layer.name], self.network.source(layer)
        own = self.gradients.get(layer.name)

        def write(out: Maps, _) -> None:
            calls.add_backward(given.tape, given.maps(source), by_output, out, own)

        if source in self.network.needed:
            given.gradients.add(source, write)
        else:
            aside = given.gradients.plain(by_output.shape)
            write(aside, None)
            given.gradients.give_back(aside)

    def _input_in_numpy(self, conv: Conv, by_output: Maps, given: Backward) -> None:
        """Steps, dilations or borders that are rare: by the layer's own method."""
        network, source = self.network, self.network.source(conv)
        x, gradient = given.values(source), whole(by_output)

        def write(out: Maps, _) -> None:
            def run() -> None:
                (by_x,), _ = conv.backward([x], network.weights(conv), gradient, gradient)
                whole(out)[...] = by_x

            given.tape.function(run)

        given.gradients.add(source, write)


def kept_layers(network: TrainedNetwork, layers: Collection[Layer], output: str) -> set[str]:
    """What may not be fused away: activations other than ReLU want their inputs again."""
    kept = {output}
    for layer in layers:
        if isinstance(layer, Activation) and not isinstance(layer, ReLU):
            kept.update(network.architecture.inputs(layer.name))
    return kept


def map_bytes(network: TrainedNetwork, layers: tuple[Layer, ...], output: str) -> int:
    """The size of all maps that are kept, of one image."""
    fused = fuse(network.architecture, layers, kept_layers(network, layers, output))
    return sum(4 * math.prod(network.shapes[item.name]) for item in fused)
