"""Writes the DeCAF network as a Python 2 program pickled it in 2013: cuda-convnet's layer dicts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .pickle_writer import Call, Name, Python2, Raw, opcodes

GEOMETRY = {  # of convolutions: size, stride, padding, groups
    "conv1": (11, 4, 0, 1),
    "conv2": (5, 1, -2, 2),
    "conv3": (3, 1, -1, 1),
    "conv4": (3, 1, -1, 2),
    "conv5": (3, 1, -1, 2),
}


POOLED = {"conv1": 27, "conv2": 13, "conv5": 6}  # output sides


def conv(name: str, weights: np.ndarray, biases: np.ndarray) -> dict:
    """A convolution, from weights (channels / groups, k, k, filters)."""
    channels, k, _, filters = weights.shape
    _, stride, padding, groups = GEOMETRY[name]
    return {
        "name": name,
        "type": "conv",
        "filters": filters,
        "filterSize": [k],
        "stride": [stride],
        "padding": [padding],
        "groups": [groups],
        "channels": [channels * groups],
        "sharedBiases": 1,
        "weights": [weights.reshape(-1, filters)],
        "weightsInc": [np.zeros((1, 1), np.float32)],
        "biases": biases.reshape(-1, 1),
    }


def dense(name: str, weights: np.ndarray, biases: np.ndarray) -> dict:
    """A fully connected layer, from weights (inputs, outputs), maps in (c, h, w) order."""
    fields = {"outputs": weights.shape[1], "weights": [weights], "biases": [biases[None]]}
    return {"name": name, "type": "fc", "numInputs": [weights.shape[0]], **fields}


def other(name: str, kind: str, **fields) -> dict:
    return {"name": name, "type": kind, **fields}


def dumps(layers: list[dict], *, trainer: bool = True) -> bytes:
    """The list of layers; `trainer` adds an instance of a class of the training program."""
    if trainer:
        layers = [dict(layer) for layer in layers]
        layers[0]["owner"] = Call(Name("convnet", "ConvNet"), ("x",), {"op": None})
    return b"\x80\x02" + python2(layers) + b"."


def python2(value) -> bytes:
    """Opcodes of a value, with text and arrays as Python 2 wrote them."""
    match value:
        case str():
            raw = value.encode()
            return b"U" + bytes([len(raw)]) + raw
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case dict():
            return b"}(" + b"".join(python2(k) + python2(v) for k, v in value.items()) + b"u"
        case np.ndarray():
            return array(value)
        case Call(function, arguments, state):
            return b"".join(
                (opcodes(function), b"(", *map(python2, arguments), b"tR", python2(state), b"b")
            )
    return opcodes(value)


def array(values: np.ndarray) -> bytes:
    dtype = opcodes(Name("numpy", "dtype")) + python2("f4") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + python2("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    head = opcodes(Name("numpy.core.multiarray", "_reconstruct")) + opcodes(
        Name("numpy", "ndarray")
    )
    shape = opcodes(Raw(b"(" + b"".join(opcodes(int(n)) for n in values.shape) + b"t"))
    raw = opcodes(Python2(np.ascontiguousarray(values, np.float32).tobytes()))
    return (
        head + b"K\x00\x85" + python2("b") + b"\x87R(K\x01" + shape + dtype + b"\x89" + raw + b"tb"
    )


def network(
    parameters: Mapping[str, np.ndarray], changes: Mapping[str, dict] | None = None
) -> list[dict]:
    """All layers of the network, or of its beginning, from the package's parameters.

    `changes` are fields of layers, by their names.
    """
    layers = [other("data", "data"), other("labels", "data")]
    for name in dict.fromkeys(key.rpartition(".")[0] for key in parameters):
        kernel, biases = parameters[f"{name}.kernel"], parameters[f"{name}.bias"]
        if kernel.ndim == 4:
            layers.append(conv(name, kernel.transpose(2, 0, 1, 3), biases))
        else:
            if name == "fc6":  # rows from (h, w, c) to (c, h, w)
                kernel = kernel.reshape(6, 6, 256, -1).transpose(2, 0, 1, 3).reshape(9216, -1)
            layers.append(dense(name, kernel, biases))
        if name != "fc8":
            layers.append(other(f"{name}_neuron", "neuron", neuron={"type": "relu", "params": {}}))
        if name in POOLED:
            layers.append(
                other(f"pool{name[-1]}", "pool", pool="max", sizeX=3, stride=2, start=0)
                | {"outputsX": POOLED[name]}
            )
        if name in ("conv1", "conv2"):
            # cuda-convnet's scale is alpha / size
            layers.append(other(f"rnorm{name[-1]}", "cmrnorm", size=5, scale=2e-5, pow=0.75))
        if name in ("fc6", "fc7"):
            neuron = {"type": "dropout", "params": {"d": 0.5}}
            layers.append(other(f"{name}dropout", "neuron", neuron=neuron))
    layers += [other("probs", "softmax"), other("logprob", "cost.logreg")]
    for i, layer in enumerate(layers):
        layer["inputs"] = [] if i < 2 else [0] if i == 2 else [i - 1]
        layer.update((changes or {}).get(layer["name"], {}))
    layers[-1]["inputs"] = [1, len(layers) - 2]
    return layers
