"""A network as it is trained: rewritten for the engine, weights packed, gradients taken back.

The rewriting (:mod:`..lowering`) makes batch normalisations with fixed statistics parts of the
convolutions before them. Gradients by the parameters of the first network follow from those of the
rewritten one, once for a whole batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from ...._utils.parallel import run_in_threads
from ...architecture import INPUT, Architecture
from ...layers import BatchNorm, Conv, Dense, Layer
from ...layers._windows import pair
from ..convolutions import (
    PackedConv,
    kernel_swaps_channels,
    pack_convolution,
    rewrite_kernel,
)
from ..limits import Limits
from ..lowering import LoweredParameters, lower
from .data_gradients import DataGradient, supports_data_gradient
from .kernel_forms import as_kernel, kernel_form

Arrays = dict[str, np.ndarray]


class TrainedNetwork:
    """The layers between `start` and `output`, with weights that change.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
    start, output : str
    trainable : collection of str
    exact : bool
    limits : Limits

    Attributes
    ----------
    architecture : Architecture
        The rewritten network.
    layers : tuple of Layer
        What is computed, in order.
    start, output : str
        Their names in it.
    trained : set of str
        Its layers whose gradients are wanted.
    needed : set of str
        Its layers by whose outputs gradients are wanted.
    packed : dict
        By layer: :class:`PackedConv` of a convolution, else a list of arrays. All are rewritten in
        place when the parameters change.
    data_gradients : dict of str to DataGradient
        Of convolutions that have to hand a gradient on.
    originals : dict of str to tuple of str
        The layers of the first network that each of the layers stands for.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        start: str,
        output: str,
        trainable: Collection[str],
        *,
        exact: bool,
        limits: Limits,
    ):
        self.first = architecture
        self._first_parameters = parameters
        self._trainable = frozenset(trainable)
        self._settings = {"exact": exact, "limits": limits}
        outputs = [output] if start == INPUT else [start, output]
        if not exact:
            architecture = _in_single_precision(architecture)
        lowered = lower(architecture, parameters, outputs)
        self.architecture, self._parameters = lowered.architecture, lowered.parameters
        self.output = lowered.names[output]
        self.start = start if start == INPUT else lowered.names[start]
        self.layers = layers_between(self.architecture, self.start, self.output)
        self.originals = {
            layer.name: lowered.originals.get(layer.name, (layer.name,)) for layer in self.layers
        }
        self.trained = {
            name for name, layers in self.originals.items() if self._trainable & set(layers)
        }
        self.needed = needed_layers(self.architecture, self.layers, self.trained)
        self.shapes = {INPUT: self.architecture.input_shape, **self.architecture.shapes()}
        self.packed: dict[str, PackedConv | list[np.ndarray]] = {}
        self.data_gradients: dict[str, DataGradient] = {}
        for layer in self.layers:
            self._pack(layer)
        self.refresh()  # the same bits as after any change

    def refresh(self, n_threads: int = 1) -> None:
        """Pack the parameters again, in place."""
        run_in_threads(lambda i: self._refresh_layer(self.layers[i]), len(self.layers), n_threads)

    def _refresh_layer(self, layer: Layer) -> None:
        weights = self.weights(layer)
        if isinstance(layer, Conv):
            kernel, bias = weights
            turned = kernel[:, :, ::-1] if self._turns_channels(layer) else kernel
            rewrite_kernel(self.packed[layer.name], layer, turned, bias)
            if layer.name in self.data_gradients:
                self.data_gradients[layer.name].refresh(kernel)
        elif isinstance(layer, Dense):
            self.packed[layer.name] = weights
        else:
            for own, values in zip(self.packed[layer.name], weights):
                own[...] = values

    def source(self, layer: Layer) -> str:
        """The one layer that a layer reads."""
        (name,) = self.architecture.inputs(layer.name)
        return name

    def parameter_shapes(self, layer: Layer) -> dict[str, tuple[int, ...]]:
        """The shapes in which a layer's gradients are summed up, by short names."""
        shapes = {
            name.rpartition(".")[2]: shape
            for name, shape in self.architecture.layer_parameter_shapes(layer.name).items()
        }
        for statistic in layer.statistics:
            del shapes[statistic]
        if isinstance(layer, Conv):
            algorithm = self.packed[layer.name].algorithm
            shapes["kernel"] = kernel_form(algorithm, shapes["kernel"])
        return shapes

    def original_gradients(self, sums: Mapping[str, Arrays]) -> Arrays:
        """Turn gradients of the rewritten network into those of the first, by full names."""
        found: Arrays = {}
        for layer in self.layers:
            if layer.name in sums:
                for name, own in self._of_layer(layer, sums[layer.name]).items():
                    if name.rpartition(".")[0] in self._trainable:
                        found[name] = own
        return found

    # Weights -------------------------------------------------------------------------------------

    def weights(self, layer: Layer) -> list[np.ndarray]:
        """The parameters of a layer of the rewritten network as they are now."""
        values = self._parameters
        if isinstance(values, LoweredParameters):
            return list(values.of_layer(layer.name).values())
        names = self.architecture.layer_parameter_shapes(layer.name)
        return [np.asarray(values[name], np.float32) for name in names]

    def _pack(self, layer: Layer) -> None:
        """Take memory for the weights of a layer."""
        weights = self.weights(layer)
        if not isinstance(layer, Conv):
            # those of fully connected layers are large, and read where they are
            read_there = isinstance(layer, Dense)
            self.packed[layer.name] = weights if read_there else list(map(np.array, weights))
            return
        names = self.architecture.layer_parameter_shapes(layer.name)
        self.packed[layer.name] = pack_convolution(
            self.architecture, dict(zip(names, weights)), layer, **self._settings
        )
        source = self.source(layer)
        shapes = self.shapes[source], self.shapes[layer.name]
        strided = pair(layer.stride) != (1, 1)
        own_kernel = strided and layer.is_depthwise(shapes[0][-1])
        if source in self.needed and not own_kernel and supports_data_gradient(layer, *shapes):
            self.data_gradients[layer.name] = DataGradient(
                layer, *shapes, weights[0], **self._settings
            )

    def _turns_channels(self, layer: Conv) -> bool:
        """Tell whether a kernel reads the image, and turns RGB to BGR."""
        return self.source(layer) == INPUT and kernel_swaps_channels(self.architecture, layer)

    # Gradients -----------------------------------------------------------------------------------

    def _of_layer(self, layer: Layer, sums: Arrays) -> Arrays:
        """Gradients by the parameters of the layers that one stands for."""
        if isinstance(layer, Conv):
            (shape, _) = self.architecture.layer_parameter_shapes(layer.name).values()
            algorithm, swapped = self.packed[layer.name].algorithm, self._turns_channels(layer)
            kernel = as_kernel(algorithm, shape, swapped, sums["kernel"])
            sums = {"kernel": kernel, "bias": sums["bias"]}
        original, *folded = self.originals[layer.name]
        found: Arrays = {}
        if folded:
            sums = self._unfold(original, folded, sums, found)
        first = self.first[original]
        if isinstance(first, BatchNorm):
            own = _of_normalisation(first, self._values(original), sums["scale"], sums["shift"])
        else:
            shapes = self.first.layer_parameter_shapes(original)
            own = {name: sums[name].reshape(shapes[f"{original}.{name}"]) for name in sums}
        found.update({f"{original}.{name}": value for name, value in own.items()})
        return found

    def _unfold(self, original: str, folded: list[str], sums: Arrays, found: Arrays) -> Arrays:
        """Go back through the scales that became part of a convolution, last first."""
        kernel, bias = self._values(original)
        steps = []
        for name in folded:
            scale, shift = self._as_scale(name)
            steps.append((name, scale, kernel, bias))
            kernel, bias = kernel * scale, bias * scale + shift
        by_kernel, by_bias = sums["kernel"], sums["bias"]
        for name, scale, kernel, bias in reversed(steps):
            by_scale = np.einsum("ijcf,ijcf->f", by_kernel, kernel) + by_bias * bias
            own = {"scale": by_scale, "shift": by_bias}
            layer = self.first[name]
            if isinstance(layer, BatchNorm):
                own = _of_normalisation(layer, self._values(name), by_scale, by_bias)
            elif not layer.has_shift:
                del own["shift"]
            found.update({f"{name}.{part}": value for part, value in own.items()})
            by_kernel, by_bias = by_kernel * scale, by_bias * scale
        return {"kernel": by_kernel, "bias": by_bias}

    def _values(self, name: str) -> list[np.ndarray]:
        keys = self.first.layer_parameter_shapes(name)
        return [np.asarray(self._first_parameters[key], np.float32) for key in keys]

    def _as_scale(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        layer, values = self.first[name], self._values(name)
        if isinstance(layer, BatchNorm):
            scale, shift = layer.as_scale(*values)
            return scale.astype(np.float32), shift.astype(np.float32)
        scale, *shift = values
        return scale, shift[0] if shift else np.zeros_like(scale)


def _of_normalisation(
    layer: BatchNorm, values: list[np.ndarray], by_factor: np.ndarray, by_offset: np.ndarray
) -> Arrays:
    """Gradients by scale and shift from those by ``BatchNorm.as_scale``."""
    _, _, mean, variance = values
    deviation = np.sqrt(variance + np.float32(layer.epsilon))
    return {"scale": (by_factor - mean * by_offset) / deviation, "shift": by_offset}


def _in_single_precision(architecture: Architecture) -> Architecture:
    """The same network without sums in double precision, whose effect is less than one step's."""
    layers = tuple(
        replace(layer, double_precision=False) if isinstance(layer, Conv) else layer
        for layer in architecture.layers
    )
    return replace(architecture, layers=layers)


def layers_between(architecture: Architecture, start: str, output: str) -> tuple[Layer, ...]:
    """The layers on the way from one to another, in order.

    Raises
    ------
    ValueError
        If the output depends on more than `start`.
    """
    needed, found = {output}, []
    for layer in reversed(architecture.ancestors([output])):
        if layer.name in needed and layer.name != start:
            found.append(layer)
            needed.update(architecture.inputs(layer.name))
    if INPUT in needed and start != INPUT:
        raise ValueError(f"layer {output!r} depends on more than {start!r}")
    return tuple(found[::-1])


def needed_layers(
    architecture: Architecture, layers: Collection[Layer], trained: Collection[str]
) -> set[str]:
    """The trained layers, and what lies between them and the output."""
    needed = set(trained)
    for layer in layers:
        if not needed.isdisjoint(architecture.inputs(layer.name)):
            needed.add(layer.name)
    return needed
