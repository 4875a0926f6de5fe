"""Torch state dicts as torch has written them since version 1.6: a zip archive.

Inside one folder are ``data.pkl``, the pickled state dict, and for each storage a member
``data/<key>`` that holds its bytes.
"""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ._messages import describe
from ._pickle import load_pickle
from ._torch_state import StateReader, named_views, tensor_array
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


def read(archive: Archive) -> dict[str, np.ndarray]:
    """Tensors of a state dict by name, read-only."""
    folder = _folder(archive)
    if folder is None:
        raise WeightsError("the archive has no data.pkl: it was not written by torch.save")
    if any(name.startswith(f"{folder}code/") for name in archive):
        raise WeightsError("the archive is a TorchScript program; save its state dict instead")
    if f"{folder}byteorder" in archive and archive.read(f"{folder}byteorder") != b"little":
        raise WeightsError("the file was not written on a little-endian machine")
    pickled = archive.read(f"{folder}data.pkl")
    if len(pickled) > MAX_PICKLE:
        raise WeightsError(f"a state dict of {len(pickled)} bytes, without its numbers")
    reader = StateReader()
    state, _ = load_pickle(pickled, names=reader.names, persistent=reader.persistent, at_end=True)
    views = named_views(state, reader)
    blocks = {}
    for key, storage in reader.storages.items():
        member = f"{folder}data/{key}"
        if member not in archive:
            raise WeightsError(f"storage {describe(key)} is missing from the archive")
        blocks[key] = archive.read(member)
        if len(blocks[key]) != storage.count * storage.itemsize:
            raise WeightsError(
                f"storage {describe(key)} has {len(blocks[key])} bytes where the state dict "
                f"declares {storage.count * storage.itemsize}"
            )
    return {name: tensor_array(view, blocks[view.storage.key]) for name, view in views.items()}
