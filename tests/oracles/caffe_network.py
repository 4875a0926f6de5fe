"""Networks as Caffe knows them: prototxt and caffemodel, to be run by OpenCV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sklearn_decaf.networks import Architecture
from sklearn_decaf.networks.layers import LRN, Conv, Dense, MaxPool, ReLU, Softmax

from . import protobuf_writer

KINDS = {
    Conv: "Convolution",
    Dense: "InnerProduct",
    ReLU: "ReLU",
    MaxPool: "Pooling",
    LRN: "LRN",
    Softmax: "Softmax",
}


def prototxt(net: Architecture) -> str:
    """The layers of an architecture in Caffe's text format."""
    h, w, c = net.input_shape
    parts = [f'name: "{net.name}" input: "data" input_dim: [1, {c}, {h}, {w}]']
    for layer in net.layers:
        (bottom,) = net.inputs(layer.name)
        head = f'name: "{layer.name}" type: "{KINDS[type(layer)]}"'
        ends = f'bottom: "{bottom}" top: "{layer.name}"'
        parts.append(f"layer {{ {head} {ends} {_options(layer)} }}")
    return "\n".join(parts)


def _options(layer) -> str:
    match layer:
        case Conv():
            return (
                f"convolution_param {{ num_output: {layer.filters} kernel_size: "
                f"{layer.kernel_size} stride: {layer.stride} pad: {layer.padding} "
                f"group: {layer.groups} }}"
            )
        case MaxPool():
            return f"pooling_param {{ pool: MAX kernel_size: {layer.size} stride: {layer.stride} }}"
        case LRN():
            return (
                f"lrn_param {{ local_size: {layer.size} alpha: {layer.alpha} beta: {layer.beta} }}"
            )
        case Dense():
            return f"inner_product_param {{ num_output: {layer.units} }}"
    return ""


def caffemodel(
    net: Architecture, parameters: Mapping[str, np.ndarray], name: str, *, v1: bool = False
) -> bytes:
    """The file with the package's parameters in Caffe's order of axes."""
    layers = {}
    for layer in net.layers:
        blobs = []
        if f"{layer.name}.kernel" in parameters:
            kernel = parameters[f"{layer.name}.kernel"]
            if kernel.ndim == 4:
                kernel = kernel.transpose(3, 2, 0, 1)
            else:
                shape = net.shapes()[net.inputs(layer.name)[0]]
                if len(shape) == 3:  # rows from (h, w, c) to (c, h, w)
                    kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3)
                kernel = kernel.reshape(-1, layer.units).T
            blobs = [kernel, parameters[f"{layer.name}.bias"]]
        layers[layer.name] = (KINDS[type(layer)], blobs)
    return protobuf_writer.caffemodel(layers, name, v1=v1)
