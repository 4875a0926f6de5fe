"""Writes pickles opcode by opcode, honest and hostile ones, without importing what they name."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass
class Name:
    """A global, such as ``numpy.core.multiarray`` and ``_reconstruct``."""

    module: str
    name: str


@dataclass
class Call:
    """``function(*arguments)``, and a state that it is given afterwards."""

    function: object
    arguments: tuple
    state: object = None


@dataclass
class Persistent:
    """A reference to data outside the pickle."""

    identity: object


@dataclass
class Python2:
    """Bytes as Python 2 wrote its strings."""

    content: bytes


@dataclass
class Raw:
    """Opcodes as they are."""

    opcodes: bytes


def dumps(value: object) -> bytes:
    """A pickle of protocol 2 (3 where it holds bytes)."""
    return b"\x80\x03" + opcodes(value) + b"."


def opcodes(value: object) -> bytes:
    """The opcodes that push `value`."""
    match value:
        case Raw():
            return value.opcodes
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(raw)]) + raw
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            raw = value.encode()
            return b"X" + struct.pack("<I", len(raw)) + raw
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case Python2():
            return b"T" + struct.pack("<i", len(value.content)) + value.content
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case dict():
            pairs = b"".join(opcodes(k) + opcodes(v) for k, v in value.items())
            return b"}(" + pairs + b"u"
        case Name():
            return b"c" + f"{value.module}\n{value.name}\n".encode()
        case Persistent():
            return opcodes(value.identity) + b"Q"
        case Call():
            built = opcodes(value.function) + opcodes(value.arguments) + b"R"
            return built if value.state is None else built + opcodes(value.state) + b"b"
        case np.ndarray():
            return opcodes(array(value))
    raise TypeError(f"cannot write {type(value)}")


def array(values: np.ndarray, core: str = "numpy.core", **changes) -> Call:
    """A NumPy array as NumPy pickles it; `changes` replace parts of its state."""
    state = {
        "version": 1,
        "shape": tuple(map(int, values.shape)),
        "dtype": dtype(values.dtype.str[1:], values.dtype.str[0]),
        "is_fortran": False,
        "data": np.ascontiguousarray(values).tobytes(),
    } | changes
    return Call(
        Name(f"{core}.multiarray", "_reconstruct"),
        (Name("numpy", "ndarray"), (0,), b"b"),
        tuple(state.values()),
    )


def dtype(code: str, order: str = "<") -> Call:
    """A dtype as NumPy pickles it."""
    return Call(
        Name("numpy", "dtype"), (code, False, True), (3, order, None, None, None, -1, -1, 0)
    )
