"""Writers of weight files in the formats that the package reads, independent of its readers."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from .pickle_writer import Call, Name, Persistent, Raw, dumps, opcodes

TORCH_TYPES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
}


def numpy_pickle(layers: Mapping[str, list[np.ndarray]]) -> bytes:
    """``{layer: [kernel, bias]}``."""
    return dumps(dict(layers))


def safetensors(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None, **changes
) -> bytes:
    """`changes` replace the header entry of the tensor of that name."""
    types = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64"}
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    buffer = b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {
            "dtype": types[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [len(buffer), len(buffer) + len(raw)],
        }
        buffer += raw
    header |= changes
    return safetensors_raw(json.dumps(header), buffer)


def safetensors_raw(header: str, buffer: bytes) -> bytes:
    raw = header.encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + buffer


def torch_state(tensors: Mapping[str, np.ndarray]) -> tuple[Raw, dict[str, bytes]]:
    """A state dict to be pickled, and the bytes of its storages by their keys."""
    items, storages = {}, {}
    for i, (name, values) in enumerate(tensors.items()):
        values = np.ascontiguousarray(values) if values.ndim else values
        key = str(1000 + i)
        storages[key] = values.tobytes()
        identity = ("storage", Name("torch", TORCH_TYPES[values.dtype.name]), key, "cpu")
        items[name] = torch_tensor((*identity, values.size), 0, values.shape)
    return ordered_dict(items), storages


def torch_tensor(identity: tuple, offset: int, shape: tuple, strides: tuple | None = None) -> Call:
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :], dtype=int)) for i in range(len(shape)))
    hooks = Call(Name("collections", "OrderedDict"), ())
    return Call(
        Name("torch._utils", "_rebuild_tensor_v2"),
        (Persistent(identity), offset, tuple(shape), strides, False, hooks),
    )


def ordered_dict(items: dict) -> Raw:
    """The opcodes that make an OrderedDict and fill it."""
    made = opcodes(Call(Name("collections", "OrderedDict"), ()))
    pairs = b"".join(opcodes(k) + opcodes(v) for k, v in items.items())
    return Raw(made + b"(" + pairs + b"u")


def torch_zip(
    tensors: Mapping[str, np.ndarray] | None = None,
    *,
    state=None,
    storages: Mapping[str, bytes] | None = None,
    folder: str = "archive/",
    **members: bytes,
) -> bytes:
    """The format since torch 1.6; `members` are more files in the folder."""
    if tensors is not None:
        state, storages = torch_state(tensors)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{folder}data.pkl", dumps_2(state))
        archive.writestr(f"{folder}byteorder", members.pop("byteorder", b"little"))
        for key, raw in storages.items():
            archive.writestr(f"{folder}data/{key}", raw)
        for name, raw in ({"version": b"3\n"} | members).items():
            archive.writestr(folder + name, raw)
    return stream.getvalue()


def torch_legacy(
    tensors: Mapping[str, np.ndarray] | None = None,
    *,
    state=None,
    storages: Mapping[str, bytes] | None = None,
    itemsize: int = 4,
    keys: list[str] | None = None,
    system: dict | None = None,
    version: int = 1001,
) -> bytes:
    """The format before torch 1.6, from arrays or from a state dict and its storages."""
    sizes = {}
    if tensors is not None:
        state, storages = torch_state(tensors)
        for i, values in enumerate(tensors.values()):
            sizes[str(1000 + i)] = values.size
    counts = {key: sizes.get(key, len(raw) // itemsize) for key, raw in storages.items()}
    system = system or {"protocol_version": 1001, "little_endian": True}
    parts = [dumps_2(0x1950A86A20F9469CFC6C), dumps(version), dumps(system), dumps(state)]
    parts.append(dumps(list(storages) if keys is None else keys))
    parts += [struct.pack("<q", counts[key]) + raw for key, raw in storages.items()]
    return b"".join(parts)


def dumps_2(value) -> bytes:
    return b"\x80\x02" + dumps(value)[2:]
