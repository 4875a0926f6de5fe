"""Files as torch has written them since version 1.6: a zip archive.

Inside one folder are ``data.pkl``, the pickled object, and for each storage a member
``data/<key>`` that holds its bytes.
"""

from __future__ import annotations

from ...exceptions import WeightsError
from ._contents import Contents
from ._messages import describe
from ._pickle import load_pickle
from ._torch_state import StateReader, contents, find_groups, needed_storages
from ._zip import Archive

MAX_PICKLE = 2**26


def looks_like(archive: Archive) -> bool:
    """Whether an archive holds a pickle where torch puts it."""
    return _folder(archive) is not None


def _folder(archive: Archive) -> str | None:
    """Name of the folder with the state dict, with its slash."""
    for name in archive:
        folder, slash, file = name.partition("/")
        if file == "data.pkl":
            return folder + slash
    return None


def read(archive: Archive) -> Contents:
    """Tensors of the state dicts by name, read-only."""
    folder = _folder(archive)
    if folder is None:
        raise WeightsError("the archive has no data.pkl: it was not written by torch.save")
    if any(name.startswith(f"{folder}code/") for name in archive):
        raise WeightsError("the archive is a TorchScript program; save its state dict instead")
    if f"{folder}byteorder" in archive and archive.read(f"{folder}byteorder") != b"little":
        raise WeightsError("the file was not written on a little-endian machine")
    pickled = archive.read(f"{folder}data.pkl")
    if len(pickled) > MAX_PICKLE:
        raise WeightsError(f"a pickle of {len(pickled)} bytes, without its numbers")
    reader = StateReader(len(pickled))
    value, _ = load_pickle(pickled, names=reader.names, persistent=reader.persistent, at_end=True)
    groups = find_groups(value, reader)
    blocks = {}
    for key in needed_storages(groups):
        storage, member = reader.storages[key], f"{folder}data/{key}"
        if member not in archive:
            raise WeightsError(f"storage {describe(key)} is missing from the archive")
        blocks[key] = archive.read(member)
        if len(blocks[key]) != storage.count * storage.itemsize:
            raise WeightsError(
                f"storage {describe(key)} has {len(blocks[key])} bytes where the pickle "
                f"declares {storage.count * storage.itemsize}"
            )
    return contents(value, groups, blocks)
