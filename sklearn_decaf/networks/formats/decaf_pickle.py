"""The DeCAF network as published in 2013: a Python 2 pickle of cuda-convnet's layers.

A list of dicts, one a layer, with its name, type, geometry and parameters. Convolution weights are
(channels / groups, height, width, filters), those of dense layers (inputs, outputs) with maps in
(c, h, w) order; they are called ``<layer>.weights`` and ``<layer>.biases`` here.

The dicts hold much besides, from the training program that wrote them. Objects of unknown classes
among it are replaced by blanks, without looking at what they would be made of.
"""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ._arrays import PickledArray, array_names
from ._messages import describe
from ._pickle import Blank, load_pickle

MAX_LAYERS = 1000


def looks_like(data: memoryview) -> bool:
    """Whether a pickle of protocol 2 begins with a list."""
    return bytes(data[:3]) == b"\x80\x02]"


def read(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Parameters by name as read-only views of ``data``, and the names of the layers."""
    layers, _ = load_pickle(data, names=array_names(len(data)), unknown=Blank, at_end=True)
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise WeightsError("the pickle does not hold a list of layers")
    tensors: dict[str, np.ndarray] = {}
    names = []
    for i, layer in enumerate(layers):
        if not isinstance(layer, dict):
            raise WeightsError(f"layer {i} is {describe(layer)}, not a dict")
        name, kind = (_text(layer.get(key), f"{key} of layer {i}") for key in ("name", "type"))
        if name in names:
            raise WeightsError(f"two layers are called {describe(name)}")
        names.append(name)
        if kind not in ("conv", "fc"):
            continue
        weights = _array(layer.get("weights"), f"weights of {describe(name)}", in_list=True)
        biases = layer.get("biases")
        biases = _array(biases, f"biases of {describe(name)}", in_list=isinstance(biases, list))
        if kind == "conv":
            weights = weights.reshape(_kernel_shape(layer, name, weights.size))
        tensors[f"{name}.weights"] = weights
        tensors[f"{name}.biases"] = biases.reshape(-1)
    return tensors, {"network": "cuda-convnet", "layers": " ".join(names)}


def _kernel_shape(layer: dict, name: str, size: int) -> tuple[int, int, int, int]:
    """(channels / groups, height, width, filters) of a convolution."""
    filters = _integer(layer, "filters", name)
    k = _integer(layer, "filterSize", name)
    channels = _integer(layer, "channels", name)
    groups = _integer(layer, "groups", name) if "groups" in layer else 1
    if not layer.get("sharedBiases", 1):
        raise WeightsError(f"layer {describe(name)} has a bias for every position")
    shape = (channels // groups, k, k, filters)
    if channels % groups or shape[0] * k * k * filters != size:
        raise WeightsError(
            f"layer {describe(name)} of {filters} filters, size {k}, {channels} channels and "
            f"{groups} groups does not fit its {size} weights"
        )
    return shape


def _integer(layer: dict, key: str, name: str) -> int:
    """A number of a layer's geometry, which may be the first of a list, one for each input."""
    value = layer.get(key)
    if isinstance(value, list) and value:
        value = value[0]
    if type(value) is not int or not 0 < value < 2**20:
        raise WeightsError(f"layer {describe(name)}: its {key} is {describe(value)}")
    return value


def _text(value: object, what: str) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str) or not value:
        raise WeightsError(f"the {what} is {describe(value)}, not text")
    return value


def _array(value: object, what: str, *, in_list: bool) -> np.ndarray:
    if in_list:
        if not isinstance(value, list) or len(value) != 1:
            raise WeightsError(f"the {what} are not a list of one array")
        (value,) = value
    if not isinstance(value, PickledArray) or value.array is None:
        raise WeightsError(f"the {what} are {describe(value)}, not an array")
    return value.array
