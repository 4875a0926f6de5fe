"""An `Architecture` as the peers know networks: maps are (n, c, h, w), kernels (o, i, h, w).

`graph` writes it as plain dictionaries and arrays, once; `_onnx_graph.py` and `_torch_graph.py`
build the same network from these. They need nothing of the package, so that processes in which
peers are measured do not load it. Normalisations are folded into convolutions first, as everybody
would.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sklearn_decaf.networks.engine.lowering import lower
from sklearn_decaf.networks.layers import Layer
from sklearn_decaf.networks.layers._windows import pair

INPUT = "data"


def graph(architecture, parameters: Mapping[str, np.ndarray], output: str):
    """Nodes on the way to one output, and their weights.

    Returns
    -------
    nodes : list of dict
        In order; each with ``op``, ``name``, ``inputs`` and what the operation needs.
    weights : dict of str to ndarray
        ``<name>.kernel``: (o, i, h, w) or (o, i); others as they are: (c,).
    """
    lowered = lower(architecture, parameters, [output])
    architecture, parameters = lowered.architecture, lowered.parameters
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
    nodes, weights = [], {}
    for layer in architecture.ancestors([lowered.names[output]]):
        inputs = list(architecture.inputs(layer.name))
        shape = shapes[inputs[0]]
        node = {"op": type(layer).__name__, "name": layer.name, "inputs": inputs}
        node.update(_options(layer, shape))
        nodes.append(node)
        for key in architecture.layer_parameter_shapes(layer.name):
            values = parameters[key]
            if key.endswith(".kernel"):
                values = _kernel(values, shape)
            weights[key] = np.ascontiguousarray(values, np.float32)
    return nodes, weights


def _options(layer: Layer, shape) -> dict:
    """What is to be known of a layer that reads values of this shape."""
    match type(layer).__name__:
        case "Conv":
            return {
                **_windows(layer, shape, layer.kernel_size),
                "dilation": pair(layer.dilation),
                "groups": layer.groups,
            }
        case "MaxPool" | "AveragePool":
            options = _windows(layer, shape, layer.size)
            sides = zip(shape, layer.pads(shape), pair(layer.size), pair(layer.stride))
            uneven = any((n + sum(pads) - size) % step for n, pads, size, step in sides)
            options["ceil"] = layer.ceil_mode and uneven
            return {**options, "count_padding": getattr(layer, "count_padding", False)}
        case "LRN":
            return {key: getattr(layer, key) for key in ("size", "alpha", "beta", "k")}
        case "ReLU":
            return {"maximum": None if np.isinf(layer.max_value) else layer.max_value}
        case "LayerNorm":
            return {"epsilon": layer.epsilon, "map": len(shape) == 3}
        case "ChannelSlice":
            return {"start": layer.start, "stop": layer.stop, "step": layer.step}
        case "ChannelShuffle":
            return {"groups": layer.groups, "shape": shape}
        case "GELU":
            return {"approximate": layer.approximate}
        case "GlobalAveragePool":
            return {"keep_sides": layer.keep_sides}
        case "Add" | "Concat" | "Multiply" | "Scale" | "Dense":
            return {}
        case "SiLU" | "Sigmoid" | "HardSwish" | "HardSigmoid" | "Tanh":
            return {}
    raise TypeError(f"layers of type {type(layer).__name__} are not known to the peers")


def _windows(layer: Layer, shape, size) -> dict:
    (top, bottom), (left, right) = layer.pads(shape)
    return {"size": pair(size), "stride": pair(layer.stride), "pads": [top, left, bottom, right]}


def _kernel(kernel: np.ndarray, shape) -> np.ndarray:
    if kernel.ndim == 4:
        return kernel.transpose(3, 2, 0, 1)
    if len(shape) == 3:  # fully connected rows in the order (h, w, c) become (c, h, w)
        kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3)
        kernel = kernel.reshape(-1, kernel.shape[-1])
    return kernel.T
