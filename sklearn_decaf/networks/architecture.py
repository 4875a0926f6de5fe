"""What a network is: layers in order, the input they want, and its DeCAF layers by number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from .._utils.locks import cached_attribute
from .layers import Layer, Shape
from .layers._windows import pair
from .mean_image import MeanImage

INPUT = "data"  # the name under which layers read the preprocessed image
# How a map becomes a vector: as the architecture says, by whole maps, or not at all.
POOLINGS = ("auto", "avg", "max", "avg+max", None)


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB photograph becomes the input of a network.

    The photograph is resized to ``resize`` (both sides, or the shorter one), its centre of
    ``crop`` x ``crop`` pixels, or of ``crop`` rows and columns, is cut out, and
    ``(x - mean) / std`` is taken a channel, with x from 0 to 255 and the channels in
    ``channel_order``. ``flip_vertical`` turns it upside down first, as the network of the DeCAF
    paper wants it. Where there is a ``mean_image``, the same part is cut out of it, and is what is
    subtracted instead of ``mean``.
    """

    resize: int = 256
    crop: int | tuple[int, int] = 224
    channel_order: str = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    flip_vertical: bool = False
    mean_image: MeanImage | None = None

    @property
    def crop_sides(self) -> tuple[int, int]:
        """Rows and columns of what is cut out."""
        return pair(self.crop)

    def crop_mean(self) -> np.ndarray:
        """What is subtracted from the central crop, in ``channel_order``.

        Of shape (3,), or (h, w, 3) in the orientation that the network sees.
        """
        if self.mean_image is None:
            return np.asarray(self.mean)
        return self.mean_image.crop(self.crop_sides)

    def level_crops(self, crops: np.ndarray) -> np.ndarray:
        """Let ten crops (..., 10, h, w, 3) of RGB photographs all have the central crop's mean.

        Where a mean image is subtracted each of them has a part of its own. The result, float32
        then, is what a network that subtracts the central part may be given.
        """
        if self.mean_image is None:
            return crops
        to_rgb = slice(None, None, -1 if self.channel_order == "bgr" else 1)
        levelled = self.mean_image.level_crops(crops[..., to_rgb], flipped=self.flip_vertical)
        return levelled[..., to_rgb]


@dataclass(frozen=True, repr=False)
class Architecture:
    """A feed-forward network as data: layers, preprocessing and the meaning of layer numbers.

    It never changes, so that copies of it are itself. A pickle holds it as text, which is checked
    when it is read, and so does a file that :func:`save_weights` writes.

    Parameters
    ----------
    name : str
        Name by which :func:`get_architecture` finds it.
    layers : tuple of Layer
        In an order in which each reads only earlier ones.
    preprocessing : Preprocessing
    decaf_layers : dict of int to str
        5, 6, 7 and 8 in the counting of the DeCAF paper: 7 is the last hidden layer before the
        class predictions, 6 and 5 the ones before it, 8 the class scores.
    pooling : {"avg", "max", "avg+max", None}
        How a map becomes a vector unless told otherwise; None flattens it in (h, w, c) order.
    layer_pooling : dict of str to str or None
        The same for single layers, where another pooling was measured to be better.
    dropout_layers : frozenset of str
        Layers to which ``dropout="auto"`` applies the paper's dropout.
    aliases : dict of str to str
        Other names of layers, such as those of the framework the weights came from.
    """

    name: str
    layers: tuple[Layer, ...]
    preprocessing: Preprocessing
    decaf_layers: Mapping[int, str]
    pooling: str | None = None
    layer_pooling: Mapping[str, str | None] = field(default_factory=dict)
    dropout_layers: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("decaf_layers", "layer_pooling", "aliases"):
            # a copy, which nobody can change
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        known = {INPUT}
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in known]
            if missing or layer.name in known:
                problem = f"reads {missing}, which come later" if missing else "is there twice"
                raise ValueError(f"architecture {self.name!r}: layer {layer.name!r} {problem}")
            known.add(layer.name)
        for target in (
            *self.decaf_layers.values(),
            *self.layer_pooling,
            *self.dropout_layers,
            *self.aliases.values(),
        ):
            if target not in known:
                raise ValueError(f"architecture {self.name!r} has no layer {target!r}")

    @property
    def input_shape(self) -> Shape:
        """Shape of one input image, ``(h, w, 3)``."""
        return (*self.preprocessing.crop_sides, 3)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of all layers, in order."""
        return tuple(layer.name for layer in self.layers)

    @cached_attribute
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_attribute
    def _inputs(self) -> dict[str, tuple[str, ...]]:
        names = (INPUT, *self.layer_names)
        return {layer.name: layer.inputs or (names[i],) for i, layer in enumerate(self.layers)}

    @cached_attribute
    def _shapes(self) -> dict[str, Shape]:
        shapes = {INPUT: self.input_shape}
        for layer in self.layers:
            shapes[layer.name] = layer.output_shape(*(shapes[i] for i in self.inputs(layer.name)))
        return shapes

    def __hash__(self) -> int:
        return hash((self.name, self.layers, self.preprocessing))

    def __copy__(self) -> Architecture:
        return self

    def __deepcopy__(self, memo: object) -> Architecture:
        return self

    def __repr__(self) -> str:
        h, w, _ = self.input_shape
        return f"{type(self).__name__}({self.name!r}, {len(self.layers)} layers, {h} x {w} pixels)"

    def __getitem__(self, name: str) -> Layer:
        return self._by_name[name]

    def inputs(self, name: str) -> tuple[str, ...]:
        """Names of the layers that the named one reads."""
        return self._inputs[name]

    def shapes(self) -> dict[str, Shape]:
        """Output shape of every layer, without the batch."""
        return {name: shape for name, shape in self._shapes.items() if name != INPUT}

    @cached_attribute
    def parameters_by_layer(self) -> Mapping[str, Mapping[str, Shape]]:
        """Shapes of the parameters by their short names, of all layers that have any."""
        found = {}
        for layer in self.layers:
            shapes = layer.parameter_shapes(*(self._shapes[i] for i in self._inputs[layer.name]))
            if shapes:
                found[layer.name] = shapes
        return found

    def layer_parameter_shapes(self, name: str) -> dict[str, Shape]:
        """Shapes of one layer's parameters, by their full names (``"conv1.kernel"``)."""
        shapes = self.parameters_by_layer.get(name, {})
        return {f"{name}.{key}": shape for key, shape in shapes.items()}

    def parameter_shapes(self) -> dict[str, Shape]:
        """Shapes of all parameters, by their full names."""
        return {
            f"{name}.{key}": shape
            for name, shapes in self.parameters_by_layer.items()
            for key, shape in shapes.items()
        }

    def ancestors(self, names: Iterable[str]) -> tuple[Layer, ...]:
        """The layers that have to be computed for the named ones, those included, in order."""
        needed = set(names)
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(self.inputs(layer.name))
        return tuple(layer for layer in self.layers if layer.name in needed)

    def with_layers(self, *layers: Layer) -> Architecture:
        """The same network with more layers at its end."""
        return replace(self, layers=(*self.layers, *layers))

    def default_pooling(self, layer: str) -> str | None:
        """How the named layer's map becomes a vector unless told otherwise."""
        return self.layer_pooling.get(layer, self.pooling)

    def resolve(self, layer: int | str) -> str:
        """Name of a layer given by number (5, 6, 7 or 8), by name or by alias.

        Raises
        ------
        ValueError
            If this network has no such layer; the message lists the ones it has.
        """
        # bool is an int to Python, and True would be looked up as 1
        if isinstance(layer, str):
            name = self.aliases.get(layer, layer)
            if name in self._by_name:
                return name
        elif not isinstance(layer, bool) and layer in self.decaf_layers:
            return self.decaf_layers[layer]
        numbers = ", ".join(f"{number} ({name})" for number, name in self.decaf_layers.items())
        raise ValueError(
            f"layer={layer!r} is not a layer of {self.name}. By number: {numbers}. "
            f"By name: {', '.join([*self.layer_names, *self.aliases])}."
        )
