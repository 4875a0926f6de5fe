"""Rewrites a network into one that the engine computes: the same values, fewer kinds of layers.

- A batch normalisation, or a scale, after a convolution that nobody else reads becomes part of its
  weights, in float64.
- Other batch normalisations become scales: their statistics are fixed.
- Fully connected layers whose results act on maps again (squeeze-and-excitation) become 1x1
  convolutions on maps of one pixel.
- Layers that do nothing are left out.
- Where the image is not read by one convolution alone, one that copies it is put before.

A network that needs none of this is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..architecture import INPUT, Architecture
from ..layers import (
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Layer,
    Scale,
)

IMAGE_COPY = f"{INPUT}:copy"
_FOLDED = BatchNorm | Scale


@dataclass(frozen=True, eq=False)
class Lowered:
    """A network as the engine runs it.

    Parameters
    ----------
    architecture : Architecture
    parameters : mapping of str to ndarray
    names : mapping of str to str
        Where the values of the wanted layers are found.
    originals : mapping of str to tuple of str
        The layers of the first network that a layer here stands for, if not just its own.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    names: Mapping[str, str]
    originals: Mapping[str, tuple[str, ...]]


class LoweredParameters(Mapping[str, np.ndarray]):
    """Parameters of a lowered network, made from those of the first when they are asked for.

    `identity` tells, like that of the first parameters, what they are; it is None where that is.
    """

    def __init__(self, parameters: Mapping[str, np.ndarray], lowering: _Lowering):
        self._parameters = parameters
        self._lowering = lowering
        identity = getattr(parameters, "identity", None)
        self.identity = None if identity is None else f"{identity} lowered {lowering.described()}"

    def __getitem__(self, name: str) -> np.ndarray:
        layer, _, part = name.rpartition(".")
        return self.of_layer(layer)[part]

    def of_layer(self, name: str) -> dict[str, np.ndarray]:
        """Make all parameters of a layer at once, by their short names."""
        return self._lowering.layer_parameters(name, self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lowering.architecture.parameter_shapes())

    def __len__(self) -> int:
        return len(self._lowering.architecture.parameter_shapes())

    def let_go(self, names: Iterable[str]) -> None:
        """Free the memory of arrays that will hardly be asked for again."""
        first = self._lowering.parameters_of(names)
        self._parameters.let_go(first)


def lower(
    architecture: Architecture, parameters: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> Lowered:
    """Rewrite a network for the engine.

    Parameters
    ----------
    architecture : Architecture
    parameters : mapping of str to ndarray
    outputs : sequence of str
        The wanted layers: their values stay.

    Returns
    -------
    Lowered
    """
    lowering = _Lowering(architecture, outputs)
    if not lowering.changes:
        return Lowered(architecture, parameters, dict(zip(outputs, outputs)), {})
    names = {name: lowering.source_of(name) for name in outputs}
    return Lowered(
        lowering.architecture,
        LoweredParameters(parameters, lowering),
        names,
        {name: layers for name, layers in lowering.originals.items() if layers != (name,)},
    )


class _Lowering:
    """Goes through the layers once, in order, and keeps what stands for what.

    What becomes of a layer depends on the whole network, not on the layers that are wanted: its
    values have the same bits whatever else is asked for.
    """

    def __init__(self, architecture: Architecture, outputs: Sequence[str]):
        self.first = architecture
        self.steps = architecture.ancestors(outputs)
        self.originals: dict[str, tuple[str, ...]] = {}
        self._sources: dict[str, str] = {}  # of layers that do nothing, and of the image
        for layer in architecture.layers:
            if isinstance(layer, Identity):
                self._sources[layer.name] = self.source_of(*architecture.inputs(layer.name))
        self.changes = any(isinstance(layer, Identity) for layer in self.steps)
        self.outputs = frozenset(map(self.source_of, outputs))
        self._layers: dict[str, Layer] = {}
        self._shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
        self._n_readers = self._count_readers()
        self._acting_on_maps = self._find_acting_on_maps()
        self._copy_image_if_needed()
        for layer in self.steps:
            if not isinstance(layer, Identity):
                self._lower(layer)
        self.architecture = self._make_architecture()

    def source_of(self, name: str) -> str:
        """Return the layer whose value that of the named one is."""
        name = self._sources.get(name, name)
        return self._sources.get(name, name)

    def described(self) -> str:
        """Return a text that tells this rewriting from others."""
        return repr(sorted(self.originals.items()))

    # -- what is asked of the network first --

    def _count_readers(self) -> dict[str, int]:
        counts = dict.fromkeys((INPUT, *self.first.layer_names), 0)
        for layer in self.first.layers:
            if not isinstance(layer, Identity):
                for name in self.first.inputs(layer.name):
                    counts[self.source_of(name)] += 1
        return counts

    def _find_acting_on_maps(self) -> set[str]:
        """Return the layers whose values are vectors and reach a map again.

        And those that are combined with such vectors, so that all of them are maps of one pixel.
        """
        reaching: set[str] = set()
        for layer in reversed(self.first.layers):
            if len(self._shapes[layer.name]) == 3 or layer.name in reaching:
                reaching.update(self.first.inputs(layer.name))
        acting = {name for name in reaching if len(self._shapes[name]) == 1}
        alike = [
            {layer.name, *self.first.inputs(layer.name)}
            for layer in self.first.layers
            if len(self._shapes[layer.name]) == 1
            and not isinstance(layer, Dense | GlobalAveragePool | GlobalMaxPool)
        ]
        size = -1
        while acting and len(acting) != size:
            size = len(acting)
            acting.update(*(names for names in alike if not acting.isdisjoint(names)))
        return acting

    def _copy_image_if_needed(self) -> None:
        readers = [
            layer
            for layer in self.first.layers
            if not isinstance(layer, Identity)
            and INPUT in map(self.source_of, self.first.inputs(layer.name))
        ]
        if len(readers) == 1 and type(readers[0]) is Conv and INPUT not in self.outputs:
            return
        channels = self._shapes[INPUT][-1]
        self._layers[IMAGE_COPY] = Conv(IMAGE_COPY, (INPUT,), filters=channels)
        self.originals[IMAGE_COPY] = ()
        self._sources[INPUT] = IMAGE_COPY
        self.changes = True

    # -- one layer after another --

    def _lower(self, layer: Layer) -> None:
        inputs = tuple(self.source_of(name) for name in self.first.inputs(layer.name))
        if isinstance(layer, _FOLDED) and self._can_fold(layer, inputs[0]):
            (source,) = inputs
            self._layers[layer.name] = replace(self._layers[source], name=layer.name)
            self.originals[layer.name] = (*self.originals[source], layer.name)
            if source not in self.outputs:  # else it is computed for itself, too
                del self._layers[source], self.originals[source]
            self.changes = True
            return
        new = layer
        if isinstance(layer, BatchNorm):
            new = Scale(layer.name, inputs)
        elif layer.name in self._acting_on_maps:
            if isinstance(layer, GlobalAveragePool | GlobalMaxPool):
                new = replace(layer, keep_sides=True)
            elif isinstance(layer, Dense):
                shape = self._shapes[self.first.inputs(layer.name)[0]]
                size = shape[:2] if len(shape) == 3 else 1
                new = Conv(layer.name, inputs, filters=layer.units, kernel_size=size)
        self.changes |= new is not layer
        self._layers[layer.name] = replace(new, inputs=inputs)
        self.originals[layer.name] = (layer.name,)

    def _can_fold(self, layer: Layer, source: str) -> bool:
        """Tell whether a scale can become part of the convolution before it."""
        return (
            isinstance(self._layers.get(source), Conv)
            and source != IMAGE_COPY
            and self._n_readers[source] == 1
        )

    def _make_architecture(self) -> Architecture:
        return replace(
            self.first,
            layers=tuple(self._layers.values()),
            decaf_layers={},
            layer_pooling={},
            dropout_layers=frozenset(),
            aliases={},
        )

    # -- parameters --

    def parameters_of(self, names: Iterable[str]) -> list[str]:
        """Return the names of the first network's parameters that these are made from."""
        layers = dict.fromkeys(name.rpartition(".")[0] for name in names)
        return [
            parameter
            for layer in layers
            for original in self.originals.get(layer, ())
            for parameter in self.first.layer_parameter_shapes(original)
        ]

    def layer_parameters(
        self, name: str, parameters: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the parameters of a lowered layer by their short names."""
        if name == IMAGE_COPY:
            channels = self._shapes[INPUT][-1]
            kernel = np.eye(channels, dtype=np.float32)[np.newaxis, np.newaxis]
            return {"kernel": kernel, "bias": np.zeros(channels, np.float32)}
        original, *folded = self.originals[name]
        first = self.first[original]
        values = self._own(original, parameters)
        if isinstance(first, BatchNorm) and not folded:
            scale, shift = first.as_scale(*values.values())
            return {"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
        if isinstance(first, Dense) and isinstance(self._layers[name], Conv):
            kernel = values["kernel"]
            shape = self.architecture.layer_parameter_shapes(name)[f"{name}.kernel"]
            return {**values, "kernel": kernel.reshape(shape)}
        if not folded:
            return values
        kernel, bias = (np.asarray(values[part], np.float64) for part in ("kernel", "bias"))
        for other in folded:
            scale, shift = self._as_scale(other, parameters)
            kernel, bias = kernel * scale, bias * scale + shift
        return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}

    def _own(self, name: str, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        keys = self.first.layer_parameter_shapes(name)
        return {key.rpartition(".")[2]: parameters[key] for key in keys}

    def _as_scale(self, name: str, parameters) -> tuple[np.ndarray, np.ndarray]:
        layer, values = self.first[name], self._own(name, parameters)
        if isinstance(layer, BatchNorm):
            return layer.as_scale(*values.values())
        scale = np.asarray(values["scale"], np.float64)
        return scale, np.asarray(values.get("shift", np.zeros_like(scale)), np.float64)
