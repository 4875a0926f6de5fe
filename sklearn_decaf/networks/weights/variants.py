"""Architectures of which a weight file changes something: constants of layers, or the head.

A network that was fine-tuned has other classes, one that was trained by somebody else may normalise
otherwise. What a file says about its layers is kept as changes of the known architecture: fields of
layers by name, and under `INPUT` those of the preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture, Preprocessing
from ..layers import Conv, Dense, Layer
from ..mean_image import MeanImage

Changes = dict[str, dict[str, Any]]

_MAX_LENGTH = 2**16  # of strides, windows, and numbers of filters
_MAX_BORDER = 64  # a wide one around every map would take any amount of memory


def head(architecture: Architecture) -> str:
    """The layer whose outputs are the classes: the last one that has parameters."""
    return next(
        layer.name
        for layer in reversed(architecture.layers)
        if architecture.layer_parameter_shapes(layer.name)
    )


def backbone(architecture: Architecture) -> frozenset[str]:
    """The layers that a network trained for something else still has, and what they need.

    These are all that have parameters, except dense layers and the head. A network that lacks one
    of them is not this one.
    """
    last = head(architecture)
    kept = [
        layer.name
        for layer in architecture.layers
        if not isinstance(layer, Dense)
        and layer.name != last
        and architecture.layer_parameter_shapes(layer.name)
    ]
    return frozenset(layer.name for layer in architecture.ancestors(kept))


def number_of_classes(architecture: Architecture, n: int) -> Changes:
    """The change that gives a network's head so many outputs."""
    layer = architecture[head(architecture)]
    field = "filters" if isinstance(layer, Conv) else "units"
    return {} if getattr(layer, field) == n else {layer.name: {field: n}}


def with_changes(architecture: Architecture, changes: Mapping[str, Mapping]) -> Architecture:
    """The architecture with these fields changed; the same object if there are none.

    Raises
    ------
    WeightsError
        If no network can be like that.
    """
    if not changes:
        return architecture
    layers = tuple(
        replace(layer, **changes[layer.name]) if layer.name in changes else layer
        for layer in architecture.layers
    )
    preprocessing = replace(architecture.preprocessing, **changes.get(INPUT, {}))
    try:
        changed = replace(architecture, layers=layers, preprocessing=preprocessing)
        changed.parameter_shapes()  # raises if maps become too small
    except ValueError as error:
        raise WeightsError(f"a network that cannot be: {error}") from error
    return changed


def with_mean(net: Architecture, mean: np.ndarray | None) -> Architecture:
    """A network that subtracts this mean image, or this mean pixel; the same if there is none.

    Raises
    ------
    WeightsError
        If the numbers are no mean, or the image is smaller than the network's input.
    """
    if mean is None:
        return net
    if mean.shape == (3,):
        if not (np.isfinite(mean).all() and mean.min() >= 0 and mean.max() <= 255):
            raise WeightsError(f"a mean pixel of {mean.tolist()}; 0 to 255 are expected")
        change = {"mean": tuple(mean.tolist()), "mean_image": None}
    else:
        image = MeanImage(mean)
        image.crop(net.preprocessing.crop)  # raises if it is too small
        change = {"mean_image": image}
    return replace(net, preprocessing=replace(net.preprocessing, **change))


def describe_changes(changes: Changes) -> str:
    """Changes in words, such as ``"norm1 with alpha 0.04"``."""
    alike: dict[str, list[str]] = {}
    for name, values in changes.items():
        how = " and ".join(f"{field} {_shown(value)}" for field, value in values.items())
        alike.setdefault(how, []).append(name if name != INPUT else "the input")
    return ", ".join(f"{_some(names)} with {how}" for how, names in alike.items())


def _some(names: list[str]) -> str:
    if len(names) <= 3:
        return " and ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_shown, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_possible(target: Layer | Preprocessing, field: str, value: Any) -> bool:
    """Tell whether a field of a layer, or of the preprocessing, can have this value."""
    if isinstance(target, Preprocessing):
        numbers = value if isinstance(value, list | tuple) else ()
        low = 1e-6 if field == "std" else -1e6
        return len(numbers) == 3 and all(
            type(n) in (int, float) and low <= n <= 1e6 for n in numbers
        )
    if field == "padding":
        sides = value if isinstance(value, list | tuple) else [value]
        pairs = all(isinstance(side, list | tuple) for side in sides)
        flat = [n for side in sides for n in side] if pairs else list(sides)
        return value == "same" or (
            len(sides) <= 2
            and len(flat) in (1, 2, 4)
            and all(type(n) is int and 0 <= n <= _MAX_BORDER for n in flat)
        )
    if field in ("stride", "size", "dilation") and isinstance(value, list | tuple):
        return len(value) == 2 and all(map(_is_length, value))
    (default,) = (f.default for f in fields(target) if f.name == field)
    if isinstance(default, bool):
        return type(value) is bool
    if isinstance(default, int):
        return _is_length(value)
    return type(value) in (int, float) and 0 <= value < 1e9


def _is_length(value: Any) -> bool:
    return type(value) is int and 1 <= value < _MAX_LENGTH
