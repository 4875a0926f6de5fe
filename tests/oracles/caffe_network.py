"""Networks as Caffe knows them: prototxt and caffemodel, to be run by OpenCV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sklearn_decaf.networks import Architecture
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    Softmax,
)
from sklearn_decaf.networks.layers._windows import pair

from . import protobuf_writer

KINDS = {
    Add: "Eltwise",
    BatchNorm: "BatchNorm",
    Conv: "Convolution",
    Dense: "InnerProduct",
    ReLU: "ReLU",
    MaxPool: "Pooling",
    GlobalAveragePool: "Pooling",
    Concat: "Concat",
    LRN: "LRN",
    Softmax: "Softmax",
}


def prototxt(net: Architecture, renamed: Mapping[str, str] | None = None) -> str:
    """The layers of an architecture in Caffe's text format; some may be `renamed`."""
    renamed = renamed or {}
    h, w, c = net.input_shape
    parts = [f'name: "{net.name}" input: "data" input_dim: [1, {c}, {h}, {w}]']
    for layer in net.layers:
        sources = (renamed.get(one, one) for one in net.inputs(layer.name))
        bottoms = " ".join(f'bottom: "{one}"' for one in sources)
        name = renamed.get(layer.name, layer.name)
        head = f'name: "{name}" type: "{KINDS[type(layer)]}"'
        parts.append(f'layer {{ {head} {bottoms} top: "{name}" {_options(layer)} }}')
        if isinstance(layer, BatchNorm):  # the scale is a layer of its own, in place
            head = f'name: "{scale_name(layer.name)}" type: "Scale"'
            ends = f'bottom: "{layer.name}" top: "{layer.name}"'
            parts.append(f"layer {{ {head} {ends} scale_param {{ bias_term: true }} }}")
    return "\n".join(parts)


def scale_name(norm: str) -> str:
    """Name of the scale behind a batch normalisation, as in the authors' ResNet."""
    return norm.replace("bn", "scale", 1)


def _pad(layer) -> int:
    """The border, the same on all sides."""
    (side,) = set(pair(layer.padding))
    return side


def _options(layer) -> str:
    match layer:
        case Conv():
            return (
                f"convolution_param {{ num_output: {layer.filters} kernel_size: "
                f"{layer.kernel_size} stride: {layer.stride} pad: {_pad(layer)} "
                f"group: {layer.groups} }}"
            )
        case MaxPool():
            return (
                f"pooling_param {{ pool: MAX kernel_size: {layer.size} stride: {layer.stride} "
                f"pad: {_pad(layer)} }}"
            )
        case GlobalAveragePool():
            return "pooling_param { pool: AVE global_pooling: true }"
        case BatchNorm():
            return f"batch_norm_param {{ use_global_stats: true eps: {layer.epsilon} }}"
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
        if isinstance(layer, BatchNorm):
            add(ours, kind, bottoms, [top], map(protobuf_writer.blob, arrays[2:]))
            add(scale_name(ours), "Scale", [top], [top], map(protobuf_writer.blob, arrays[:2]))
            blob_of[layer.name] = top
            continue
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
            numbers |= {3: _pad(layer)} if _pad(layer) else {}
            return {"convolution": numbers | ({5: layer.groups} if layer.groups > 1 else {})}
        case MaxPool():
            numbers = {2: layer.size, 3: layer.stride}
            return {"pooling": numbers | ({4: _pad(layer)} if _pad(layer) else {})}
        case GlobalAveragePool():
            return {"pooling": {1: 1, 12: 1}}
        case LRN():
            return {"lrn": {1: layer.size, 2: layer.alpha, 3: layer.beta}}
        case Dense():
            return {"inner_product": {1: layer.units}}
    return {}


def _blobs(net: Architecture, layer, parameters: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Kernel and bias of a layer, if they are there; scale, shift and statistics of another."""
    if isinstance(layer, BatchNorm) and f"{layer.name}.mean" in parameters:
        scale, shift, mean, variance = (
            parameters[f"{layer.name}.{key}"] for key in ("scale", "shift", "mean", "variance")
        )
        batches = np.full(1, 250, np.float32)  # the statistics are sums over so many
        return [scale, shift, mean * batches, variance * batches, batches]
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
