"""Caffe's ``.caffemodel``: a ``NetParameter`` message with the blobs of each layer.

Layers are in field 100 (``LayerParameter``), or in field 2 in files from before the end of 2014
(``V1LayerParameter``), whose blobs all have four axes. A layer's blobs are called
``<layer>.weight`` and ``<layer>.bias`` here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...exceptions import WeightsError
from ._arrays import MAX_DIMENSIONS, array_from_bytes, zeros
from ._caffe_layers import (
    V1,
    V1_KINDS,
    V2,
    CaffeNet,
    LayerMessage,
    describe_layers,
    has_options,
    read_options,
)
from ._contents import Contents
from ._messages import describe
from ._protobuf import BYTES, VARINT, FieldReader, text, varints

MAX_LAYERS = 10_000
_BLOB_NAMES = ("weight", "bias")
# field numbers: NetParameter
_NET_NAME, _NET_V1_LAYERS, _NET_DIMENSION, _NET_SHAPE, _NET_LAYERS = 1, 2, 4, 8, 100
_INPUT_OPTIONS, _INPUT_SHAPE = 143, 1  # of a layer
_V0_LAYER = 1  # in a layer of the first generation
# options of convolutions and dense layers
_BIAS_TERM, _TRANSPOSE = 2, 6
# BlobProto
_LEGACY_AXES, _DATA, _SHAPE, _DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8


@dataclass
class _Blob:
    axes: list[int] | None = None
    legacy_axes: dict[int, int] = field(default_factory=dict)
    raw: memoryview | None = None
    dtype: str = "<f4"


def read(data: memoryview) -> Contents:
    """Blobs by name as read-only views of ``data``; the net's name, and its layers."""
    reader = FieldReader()
    tensors: dict[str, np.ndarray] = {}
    layers: list[LayerMessage] = []
    metadata: dict[str, str] = {}
    net = CaffeNet(layers)
    for number, kind, value in reader.fields(data):
        if number == _NET_DIMENSION and len(net.input_shape) < 4:
            net.input_shape += varints(value, 4) if kind == BYTES else [value]
        if kind != BYTES:
            continue
        if number == _NET_SHAPE:
            net.input_shape = _read_axes(reader, value)
        if number == _NET_NAME:
            metadata["network"] = text(value)[:100]
        elif number in (_NET_LAYERS, _NET_V1_LAYERS):
            layer, blobs = _read_layer(reader, value, net, v1=number == _NET_V1_LAYERS)
            layers.append(layer)
            if len(layers) > MAX_LAYERS:
                raise WeightsError(f"more than {MAX_LAYERS} layers")
            named = _named_arrays(layer, blobs)
            for name, array in named.items():
                if name in tensors:
                    raise WeightsError(f"two blobs are called {describe(name)}")
                tensors[name] = array
            net.blobs[layer.name] = list(named.values())
    if not layers:
        raise WeightsError("there are no layers in it")
    metadata["layers"] = " ".join(layer.name for layer in layers)
    described = any(layer.bottoms for layer in layers) and has_options(layers)
    graph = net if described else None
    return Contents({"": tensors}, metadata, describe_layers(layers), graph=graph)


def _named_arrays(layer: LayerMessage, blobs: list[_Blob]) -> dict[str, np.ndarray]:
    """The blobs of a layer. One that has no bias, as its options say, gets zeros."""
    names = [f"{layer.name}.{_BLOB_NAMES[i] if i < 2 else i}" for i in range(len(blobs))]
    arrays = {name: _blob_array(blob, name) for name, blob in zip(names, blobs)}
    if not arrays:
        return {}
    layer.kernel = names[0]
    own = layer.options.get("convolution") or layer.options.get("inner_product") or {}
    kernel = arrays[names[0]]
    if layer.options.get("inner_product", {}).get(_TRANSPOSE, [0])[-1]:
        arrays[names[0]] = kernel = kernel.T
    if len(arrays) == 1 and own.get(_BIAS_TERM) == [0] and kernel.ndim:
        arrays[f"{layer.name}.bias"] = zeros(len(kernel))
    return arrays


def read_blob(data: memoryview) -> np.ndarray:
    """The array in a ``BlobProto`` message of its own, such as a ``.binaryproto`` file."""
    return _blob_array(_read_blob(FieldReader(), data), "of the file")


def _read_layer(
    reader: FieldReader, message: memoryview, net: CaffeNet, *, v1: bool
) -> tuple[LayerMessage, list[_Blob]]:
    layer, blobs, fields = LayerMessage(), [], V1 if v1 else V2
    for number, kind, value in reader.fields(message):
        if v1 and number == fields.kind and kind == VARINT:
            layer.kind = V1_KINDS.get(value, f"type {value}")
        if kind != BYTES:
            continue
        if number == fields.name:
            layer.name = text(value)
        elif number == fields.kind and not v1:
            layer.kind = text(value)[:100]
        elif number == fields.bottom:
            layer.bottoms.append(text(value))
        elif number == fields.top:
            layer.tops.append(text(value))
        elif number == fields.blobs:
            blobs.append(_read_blob(reader, value))
        elif number in fields.options:
            layer.options[fields.options[number]] = read_options(reader, value)
        elif not v1 and number == _INPUT_OPTIONS:
            for part, of_kind, shape in reader.fields(value):
                if part == _INPUT_SHAPE and of_kind == BYTES:
                    net.input_shape = _read_axes(reader, shape)
        elif v1 and number == _V0_LAYER:
            raise WeightsError(
                "a file from the first months of Caffe (V0); upgrade it with Caffe's own tool "
                "upgrade_net_proto_binary"
            )
    return layer, blobs


def _read_blob(reader: FieldReader, message: memoryview) -> _Blob:
    blob = _Blob()
    for number, kind, value in reader.fields(message):
        if number in _LEGACY_AXES and kind == VARINT:
            blob.legacy_axes[number] = value
        elif number == _SHAPE and kind == BYTES:
            blob.axes = _read_axes(reader, value)
        elif number in (_DATA, _DOUBLE_DATA):
            if kind != BYTES or blob.raw is not None:
                raise WeightsError("a blob whose numbers are not in one piece")
            blob.raw, blob.dtype = value, "<f4" if number == _DATA else "<f8"
    return blob


def _read_axes(reader: FieldReader, message: memoryview) -> list[int]:
    axes: list[int] = []
    for number, kind, value in reader.fields(message):
        if number == 1:
            axes += varints(value, MAX_DIMENSIONS) if kind == BYTES else [value]
    return axes


def _blob_array(blob: _Blob, name: str) -> np.ndarray:
    axes = blob.axes
    if axes is None:
        # four axes for everything: those of one in front stand for nothing
        axes = [blob.legacy_axes.get(number, 1) for number in _LEGACY_AXES]
        while len(axes) > 1 and axes[0] == 1:
            axes = axes[1:]
    if blob.raw is None:
        raise WeightsError(f"blob {describe(name)} has no numbers")
    try:
        return array_from_bytes(blob.raw, tuple(axes), np.dtype(blob.dtype))
    except WeightsError as error:
        raise WeightsError(f"blob {describe(name)}: {error}") from error
