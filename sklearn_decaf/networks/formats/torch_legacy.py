"""Torch's format before version 1.6: pickles, then raw storages.

The file is five pickles (a magic number, the format's version, the writer's byte order, the saved
object, the keys of its storages in order), then for each key the number of elements as a 64-bit
integer and the elements themselves.
"""

from __future__ import annotations

import struct

from ...exceptions import WeightsError
from ._contents import Contents
from ._messages import describe
from ._pickle import load_pickle
from ._torch_state import StateReader, contents, find_groups

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001


def read(data: memoryview) -> Contents:
    """Tensors of the state dicts by name, as read-only views of ``data``."""
    magic, position = load_pickle(data, names={})
    if magic != MAGIC_NUMBER:
        raise WeightsError("the magic number of torch's old format is missing")
    version, position = load_pickle(data, position, names={})
    if version != VERSION:
        raise WeightsError(f"version {describe(version)} of torch's old format, not {VERSION}")
    system, position = load_pickle(data, position, names={})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError("the file was not written on a little-endian machine")
    reader = StateReader(len(data))
    value, position = load_pickle(data, position, names=reader.names, persistent=reader.persistent)
    groups = find_groups(value, reader)
    keys, position = load_pickle(data, position, names={})
    return contents(value, groups, _storage_blocks(data, position, keys, reader))


def _storage_blocks(data, position, keys, reader) -> dict[str, memoryview]:
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WeightsError("the keys of the storages are not a list of names")
    if len(set(keys)) != len(keys) or set(keys) != set(reader.storages):
        raise WeightsError(
            f"the pickle refers to {len(reader.storages)} storages, "
            f"but the file lists {len(keys)} others"
        )
    blocks = {}
    for key in keys:
        storage = reader.storages[key]
        start = position + 8
        end = start + storage.count * storage.itemsize
        if end > len(data):
            raise WeightsError(
                f"storage {describe(key)} ends at byte {end}, but the file at byte {len(data)}: "
                "it is truncated or damaged"
            )
        (count,) = struct.unpack("<q", data[position:start])
        if count != storage.count:
            raise WeightsError(
                f"storage {describe(key)} has {count} elements where the pickle "
                f"declares {storage.count}"
            )
        blocks[key] = data[start:end]
        position = end
    if position != len(data):
        raise WeightsError(f"{len(data) - position} bytes follow the last storage")
    return blocks
