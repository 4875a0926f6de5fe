"""Writes protocol buffers field by field, and Caffe's files with them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import numpy as np


def varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field: a varint, a 32-bit float, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def blob(values: np.ndarray, *, legacy: bool = False, axes: Iterable[int] | None = None) -> bytes:
    """A BlobProto; `legacy` has four axes, as before the end of 2014."""
    axes = tuple(values.shape if axes is None else axes)
    if legacy:
        shape = b"".join(field(i, n) for i, n in enumerate((1,) * (4 - len(axes)) + axes, start=1))
    else:
        shape = field(7, field(1, b"".join(map(varint, axes))))
    number = 8 if values.dtype == np.float64 else 5
    return shape + field(number, np.ascontiguousarray(values).tobytes())


# Field numbers of the options of layers: in a layer of today, in one of the first generation.
OPTIONS = {
    "transform": (100, 36),
    "concat": (104, 9),
    "convolution": (106, 10),
    "data": (107, 11),
    "eltwise": (110, 24),
    "inner_product": (117, 17),
    "lrn": (118, 18),
    "pooling": (121, 19),
    "relu": (123, 30),
    "slice": (126, 31),
    "power": (122, 21),
    "prelu": (131, 131),
    "batch_norm": (139, 139),
    "elu": (140, 140),
    "scale": (142, 142),
}
V1_TYPES = {
    "Accuracy": 1,
    "Concat": 3,
    "Convolution": 4,
    "Data": 5,
    "Dropout": 6,
    "InnerProduct": 14,
    "LRN": 15,
    "Pooling": 17,
    "ReLU": 18,
    "Softmax": 20,
    "SoftmaxWithLoss": 21,
    "Slice": 33,
    "Split": 22,
    "Eltwise": 25,
    "Power": 26,
    "Sigmoid": 19,
    "TanH": 23,
}


def fields(numbers: Mapping[int, object]) -> bytes:
    """The fields of a message, each once, or as often as its list has numbers."""
    return b"".join(
        field(number, one)
        for number, value in numbers.items()
        for one in (value if isinstance(value, list) else [value])
    )


def layer(
    name: str,
    kind: str,
    bottoms: Iterable[str],
    tops: Iterable[str],
    blobs: Iterable[bytes] = (),
    options: Mapping[str, Mapping[int, object]] | None = None,
    *,
    v1: bool = False,
) -> bytes:
    """A layer with options by the name of their message and the numbers of their fields."""
    names = b"".join(field(2 if v1 else 3, one) for one in bottoms)
    names += b"".join(field(3 if v1 else 4, one) for one in tops)
    if v1:
        message = names + field(4, name) + field(5, V1_TYPES.get(kind, 39))
    else:
        message = field(1, name) + field(2, kind) + names
    message += b"".join(field(6 if v1 else 7, one) for one in blobs)
    for option, numbers in (options or {}).items():
        message += field(OPTIONS[option][v1], fields(numbers))
    return field(2 if v1 else 100, message)


def layer_v2(name: str, kind: str, bottom: str, blobs: Iterable[bytes] = ()) -> bytes:
    return layer(name, kind, [bottom], [name], blobs)


def layer_v1(name: str, kind: str, bottom: str, blobs: Iterable[bytes] = ()) -> bytes:
    return layer(name, kind, [bottom], [name], blobs, v1=True)


def caffemodel(
    layers: Mapping[str, tuple[str, list[np.ndarray]]], name: str = "CaffeNet", *, v1: bool = False
) -> bytes:
    """A net of ``{layer: (type, blobs)}`` without options, each layer on top of the one before."""
    write, parts, bottom = layer_v1 if v1 else layer_v2, [field(1, name)], "data"
    for one, (kind, values) in layers.items():
        parts.append(write(one, kind, bottom, [blob(value, legacy=v1) for value in values]))
        bottom = one
    return b"".join(parts)
