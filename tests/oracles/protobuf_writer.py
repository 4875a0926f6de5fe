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


def layer_v2(name: str, kind: str, bottom: str, blobs: Iterable[bytes] = ()) -> bytes:
    message = field(1, name) + field(2, kind) + field(3, bottom) + field(4, name)
    return field(100, message + b"".join(field(7, one) for one in blobs))


V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18}


def layer_v1(name: str, kind: str, bottom: str, blobs: Iterable[bytes] = ()) -> bytes:
    message = field(2, bottom) + field(3, name) + field(4, name)
    message += field(5, V1_TYPES.get(kind, 20))
    return field(2, message + b"".join(field(6, one) for one in blobs))


def caffemodel(
    layers: Mapping[str, tuple[str, list[np.ndarray]]], name: str = "CaffeNet", *, v1: bool = False
) -> bytes:
    """A net of ``{layer: (type, blobs)}``, each layer on top of the one before."""
    write, parts, bottom = layer_v1 if v1 else layer_v2, [field(1, name)], "data"
    for layer, (kind, values) in layers.items():
        parts.append(write(layer, kind, bottom, [blob(one, legacy=v1) for one in values]))
        bottom = layer
    return b"".join(parts)
