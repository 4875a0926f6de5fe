"""Networks as Caffe knows them: prototxt and caffemodel, to be run by OpenCV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sklearn_decaf.networks import Architecture
from sklearn_decaf.networks.layers import (
    LRN,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    Softmax,
)

from . import protobuf_writer

KINDS = {
    Conv: "Convolution",
    Dense: "InnerProduct",
    ReLU: "ReLU",
    MaxPool: "Pooling",
    GlobalAveragePool: "Pooling",
    Concat: "Concat",
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
                f"lrn_param {{ local_size: {layer.size} alpha: {layer.alpha} beta: {layer.beta} "
                f"k: {layer.k} }}"
            )
        case Dense():
            return f"inner_product_param {{ num_output: {layer.units} }}"
    return ""


def caffemodel(
    net: Architecture,
    parameters: Mapping[str, np.ndarray],
    name: str,
    *,
    v1: bool = False,
    options: Mapping[str, Mapping[str, Mapping[int, object]]] | None = None,
    kinds: Mapping[str, str] | None = None,
    renamed: Mapping[str, str] | None = None,
    data: Mapping[int, object] | None = None,
    training: bool = False,
) -> bytes:
    """The file with the package's parameters in Caffe's order of axes, as Caffe writes it.

    `options` are changed fields of options, and `kinds` changed types, by layers; layers are
    `renamed`; `data` are the transformation's options of a data layer. A snapshot of `training` has
    activations in place, dropout, splits and losses.
    """
    renamed, parts, blob_of = renamed or {}, [protobuf_writer.field(1, name)], {"data": "data"}

    def add(layer, kind, bottoms, tops, blobs=(), own=None):
        parts.append(protobuf_writer.layer(layer, kind, bottoms, tops, blobs, own, v1=v1))

    if data is not None or training:
        add("input", "Data", [], ["data", "label"], own={"transform": data} if data else None)
    for layer in net.layers:
        top = ours = renamed.get(layer.name, layer.name)
        bottoms = [blob_of[one] for one in net.inputs(layer.name)]
        kind = (kinds or {}).get(layer.name, KINDS[type(layer)])
        if training and isinstance(layer, ReLU):
            top = bottoms[0]
        if training and isinstance(layer, Softmax):
            split = [f"{bottoms[0]}_split_{i}" for i in range(2)]
            add("split", "Split", bottoms, split)
            add("accuracy", "Accuracy", [split[0], "label"], ["accuracy"])
            add("loss", "SoftmaxWithLoss", [split[1], "label"], ["loss"])
            continue
        own = {option: dict(numbers) for option, numbers in _fields(layer).items()}
        for option, numbers in (options or {}).get(layer.name, {}).items():
            own.setdefault(option, {}).update(numbers)
        arrays = _blobs(net, layer, parameters)
        if own.get("convolution", own.get("inner_product", {})).get(2) == 0:
            arrays = arrays[:1]
        if own.get("inner_product", {}).get(6) == 1:
            arrays[0] = arrays[0].T
        blobs = [protobuf_writer.blob(one, legacy=v1) for one in arrays]
        add(ours, kind, bottoms, [top], blobs, own)
        blob_of[layer.name] = top
        if training and layer.name in ("relu6", "relu7"):
            add(f"drop{ours}", "Dropout", [top], [top])
    return b"".join(parts)


def _fields(layer) -> dict[str, dict[int, object]]:
    """The options of a layer; Caffe leaves out what has its default."""
    match layer:
        case Conv():
            numbers = {1: layer.filters, 4: layer.kernel_size, 6: layer.stride}
            numbers |= {3: layer.padding} if layer.padding else {}
            return {"convolution": numbers | ({5: layer.groups} if layer.groups > 1 else {})}
        case MaxPool():
            return {"pooling": {2: layer.size, 3: layer.stride}}
        case GlobalAveragePool():
            return {"pooling": {1: 1, 12: 1}}
        case LRN():
            return {"lrn": {1: layer.size, 2: layer.alpha, 3: layer.beta}}
        case Dense():
            return {"inner_product": {1: layer.units}}
    return {}


def _blobs(net: Architecture, layer, parameters: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Kernel and bias of a layer, if they are there."""
    if f"{layer.name}.kernel" not in parameters:
        return []
    kernel = parameters[f"{layer.name}.kernel"]
    if kernel.ndim == 4:
        kernel = kernel.transpose(3, 2, 0, 1)
    else:
        shape = net.shapes()[net.inputs(layer.name)[0]]
        if len(shape) == 3:  # rows from (h, w, c) to (c, h, w)
            kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3)
        kernel = kernel.reshape(-1, layer.units).T
    return [kernel, parameters[f"{layer.name}.bias"]]
