"""The DeCAF network as published in 2013: a Python 2 pickle of cuda-convnet's layers.

A list of dicts, one a layer, with its name, type, geometry and parameters. Convolution weights are
(channels / groups, height, width, filters), those of dense layers (inputs, outputs) with maps in
(c, h, w) order; they are called ``<layer>.weights`` and ``<layer>.biases`` here.

The dicts hold much besides, from the training program that wrote them, and objects of its classes,
which are not made.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...exceptions import WeightsError
from ._arrays import PickledArray
from ._contents import NETWORK_INPUT, Contents, FileLayer
from ._messages import describe
from .numpy_pickle import load_arrays

MAX_LAYERS = 1000


def looks_like(data: memoryview) -> bool:
    """Whether a pickle of protocol 2 begins with a list."""
    return bytes(data[:3]) == b"\x80\x02]"


def read(data: memoryview) -> Contents:
    """Parameters by name as read-only views of ``data``, and the layers."""
    layers = load_arrays(data)
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise WeightsError("the pickle does not hold a list of layers")
    tensors: dict[str, np.ndarray] = {}
    described, side = _Layers(), None
    for i, layer in enumerate(layers):
        if not isinstance(layer, dict):
            raise WeightsError(f"layer {i} is {describe(layer)}, not a dict")
        name, kind = (_text(layer.get(key), f"{key} of layer {i}") for key in ("name", "type"))
        if name in described.names:
            raise WeightsError(f"two layers are called {describe(name)}")
        if kind in ("conv", "fc"):
            weights = _array(layer.get("weights"), f"weights of {describe(name)}", in_list=True)
            biases = layer.get("biases")
            biases = _array(biases, f"biases of {describe(name)}", in_list=isinstance(biases, list))
            if kind == "conv":
                side = _value(layer, "imgSize") if side is None else side
                weights = weights.reshape(_kernel_shape(layer, name, weights.size))
            tensors[f"{name}.weights"] = weights
            tensors[f"{name}.biases"] = biases.reshape(-1)
        described.add(name, kind, layer)
    metadata = {"network": "cuda-convnet", "layers": " ".join(described.names)}
    if type(side) is int:
        metadata["side"] = str(side)
    described_layers = tuple(described.layers)
    return Contents({"": tensors}, metadata, described_layers, graph=described_layers)


# -- what the layers compute --


class _Layers:
    """The layers that compute something, in order."""

    def __init__(self):
        self.layers: list[FileLayer] = []
        self.names: list[str] = []
        self._outputs: list[int] = []  # of each dict, the layer here whose output it gives

    def add(self, name: str, kind: str, layer: dict) -> None:
        self.names.append(name)
        if kind == "data":
            self._outputs.append(NETWORK_INPUT)
            return
        sources = self._sources(layer, name)
        read = _KINDS.get(kind)
        found = (kind, {}) if read is None else read(layer, name)
        if found is None or kind.startswith("cost."):
            self._outputs.append(sources[0])
            return
        ours, constants = found
        kernel = f"{name}.weights" if kind in ("conv", "fc") else ""
        self.layers.append(FileLayer(name, ours, sources, constants, kernel))
        self._outputs.append(len(self.layers) - 1)

    def _sources(self, layer: dict, name: str) -> tuple[int, ...]:
        """The layers that this one reads; the one before it where the file does not say."""
        inputs = layer.get("inputs")
        if inputs is None:
            return (self._outputs[-1] if self._outputs else NETWORK_INPUT,)
        if not isinstance(inputs, list) or not inputs:
            raise WeightsError(f"layer {describe(name)}: its inputs are {describe(inputs)}")
        for place in inputs:
            if type(place) is not int or not 0 <= place < len(self._outputs):
                raise WeightsError(
                    f"layer {describe(name)} reads layer {describe(place)}, which is not before it"
                )
        return tuple(self._outputs[place] for place in inputs)


def _conv(layer: dict, name: str) -> tuple[str, dict]:
    constants: dict[str, object] = {}
    if "stride" in layer:
        constants["stride"] = (_integer(layer, "stride", name),) * 2
    if "padding" in layer:  # a negative number of zeros
        constants["pads"] = (-_integer(layer, "padding", name, low=-1000, high=1),) * 4
    if "groups" in layer:
        constants["groups"] = _integer(layer, "groups", name)
    return "conv", constants


def _pool(layer: dict, name: str) -> tuple[str, dict]:
    constants: dict[str, object] = {}
    if "sizeX" in layer:
        constants["size"] = (_integer(layer, "sizeX", name),) * 2
    if "stride" in layer:
        constants["stride"] = (_integer(layer, "stride", name),) * 2
    if "start" in layer:  # a negative number of zeros above and on the left
        start = -_integer(layer, "start", name, low=-1000, high=1)
        constants["pads"] = (start, start, 0, 0)
    kind = _text(layer["pool"], f"pool of layer {describe(name)}") if "pool" in layer else "max"
    if "outputsX" in layer:
        constants["output"] = (_integer(layer, "outputsX", name),) * 2
    return {"max": "max_pool", "avg": "average_pool"}.get(kind, f"{kind} pooling"), constants


def _normalisation(layer: dict, name: str) -> tuple[str, dict]:
    constants: dict[str, object] = {"k": 1.0}
    if "size" in layer:
        constants["size"] = _integer(layer, "size", name)
    if "pow" in layer:
        constants["beta"] = _number(layer, "pow", name)
    if "scale" in layer:  # of the sum, not of the mean
        size = _integer(layer, "size", name) if "size" in layer else 5
        constants["alpha"] = _number(layer, "scale", name) * size
    return "lrn", constants


def _neuron(layer: dict, name: str) -> tuple[str, dict] | None:
    neuron = layer.get("neuron")
    if not isinstance(neuron, dict):
        raise WeightsError(f"layer {describe(name)}: its neuron is {describe(neuron)}")
    kind = _text(neuron.get("type"), f"neuron of layer {describe(name)}")
    params = neuron.get("params")
    if kind in ("dropout", "ident"):
        return None
    if kind == "relu":
        return "relu", {"max_value": math.inf}
    if kind == "brelu" and isinstance(params, dict):  # bounded
        return "relu", {"max_value": _number(params, "a", name)}
    return f"{kind} neuron", {}


_KINDS: dict[str, Callable[[dict, str], tuple[str, dict] | None]] = {
    "conv": _conv,
    "fc": lambda layer, name: ("dense", {}),
    "pool": _pool,
    "cmrnorm": _normalisation,
    "neuron": _neuron,
    "softmax": lambda layer, name: ("softmax", {}),
}


# -- what is in a dict --


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


def _value(layer: dict, key: str) -> object:
    """A number of a layer's geometry, which may be the first of a list, one for each input."""
    value = layer.get(key)
    return value[0] if isinstance(value, list) and value else value


def _integer(layer: dict, key: str, name: str, low: int = 1, high: int = 2**20) -> int:
    value = _value(layer, key)
    if type(value) is not int or not low <= value < high:
        raise WeightsError(f"layer {describe(name)}: its {key} is {describe(value)}")
    return value


def _number(layer: dict, key: str, name: str) -> float:
    value = _value(layer, key)
    if type(value) not in (int, float) or not 0 <= value < 1e9:
        raise WeightsError(f"layer {describe(name)}: its {key} is {describe(value)}")
    return float(value)


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
