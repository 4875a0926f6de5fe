"""What a graph does to the pixels first, and what follows for the preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..architecture import INPUT, Preprocessing
from ..layers import Scale
from .network import Network, one_or_two

ASSUMED = (
    "the file does not say what its pictures are: RGB, less ImageNet's mean and over its "
    "deviation, is assumed (preprocessing= says otherwise)"
)


def take_preprocessing(network: Network) -> tuple[Preprocessing | None, str]:
    """The preprocessing that the first layer of a network is, and that layer taken out.

    It is one if it scales the channels of pictures with values from 0 to 255, or from 0 to 1, to
    about one.

    Returns
    -------
    Preprocessing or None
    str
        What speaks for it, or what is assumed.
    """
    readers = [layer for layer in network.layers.values() if INPUT in layer.inputs]
    if len(readers) != 1 or not isinstance(readers[0], Scale):
        return None, ASSUMED
    (scale,) = readers
    factor = np.asarray(network.parameters[f"{scale.name}.scale"], np.float64)
    shift = np.asarray(network.parameters.get(f"{scale.name}.shift", np.zeros(3)), np.float64)
    if not np.all(factor > 0):
        return None, ASSUMED
    mean, std = -shift / factor, 1 / factor
    if np.all((std > 0.1) & (std < 0.6) & (mean >= 0) & (mean <= 1)):
        mean, std, what = mean * 255, std * 255, "0 to 1"
    elif np.all((std > 30) & (std < 300) & (mean >= 0) & (mean <= 255)) or np.all(
        (mean > 60) & (mean < 180) & (std == 1)
    ):
        what = "0 to 255"
    else:
        return None, ASSUMED
    for name, layer in list(network.layers.items()):
        if scale.name in layer.inputs:
            inputs = tuple(INPUT if one == scale.name else one for one in layer.inputs)
            network.layers[name] = replace(layer, inputs=inputs)
    del network.layers[scale.name], network.shapes[scale.name]
    for key in ("scale", "shift"):
        network.parameters.pop(f"{scale.name}.{key}", None)
    preprocessing = Preprocessing(
        mean=tuple(np.round(mean, 4).tolist()), std=tuple(np.round(std, 4).tolist())
    )
    return preprocessing, f"the file scales pictures with values from {what} itself"


def for_sides(preprocessing: Preprocessing, sides: Sequence[int]) -> Preprocessing:
    """The preprocessing with this crop, which is as large a part of the picture as usual.

    Of 227 pixels are the networks that have 224 with another border.
    """
    usual, longer = max(preprocessing.crop_sides), max(sides)
    resize = round(longer * preprocessing.resize / usual)
    if longer in (224, 227) and usual in (224, 227):
        resize = preprocessing.resize
    crop = one_or_two((sides[0], sides[1]))
    return replace(preprocessing, crop=crop, resize=resize)
