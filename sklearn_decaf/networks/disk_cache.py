"""The folder in which a process leaves for the next what is slow to make from large weight files.

It holds convolutions and fully connected layers as the engine reads them (`packed_weights`), and
what a weight file was found to be (`known_files`). It changes how fast a process starts and how
much memory it needs, nothing else: whatever is missing, damaged, or from another version is made
again, and where nothing can be written all goes on without.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as _cpu_features

from .. import _kernels
from .._utils.array_file import ArrayFileError, read_array_file, write_array_file
from .._utils.code_digest import ENGINE_SOURCES, code_digest, sources
from .._utils.data_home import find_data_home

VARIABLE = "SKLEARN_DECAF_PACKED_WEIGHTS"
OFF = "none"
FOLDER = "packed_weights"  # inside the data home
SUFFIX = ".packed"
# Files of ours, of any version, whole or unfinished: the folder may be one that others use too.
OWN_NAME = re.compile(r"([0-9a-f]+-[0-9a-f]{40}|\.[0-9a-f]{32})\.packed")
# Smaller weight files are read and packed in less than 0.1 s.
MIN_FILE = 32 * 2**20
MAX_BYTES = 2 * 2**30  # eight AlexNets
# Other versions of the package may be in use beside this one.
KEEP_OTHERS = 14 * 86400.0  # seconds without use
KEEP_UNFINISHED = 3600.0
TOUCH_AFTER = 3600.0  # seconds for which the time of last use may be wrong


def _engine() -> str:
    """All but the weights that packed numbers depend on, and a little more."""
    described = {
        "code": code_digest(sources(*ENGINE_SOURCES)),
        "kernels": _kernels.KERNEL_SET,
        # batch normalisations are folded by NumPy, whose sums may depend on the CPU
        "numpy": np.__version__,
        "cpu": sorted(name for name, has in _cpu_features.items() if has),
        "byteorder": sys.byteorder,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


# At import: code that is edited later is not the code that this process runs.
ENGINE = _engine()


def cache_folder() -> Path | None:
    """Where the files are; None where they are switched off."""
    named = os.environ.get(VARIABLE)
    if named == OFF:
        return None
    home = find_data_home(named or None)
    return home if named or home is None else home / FOLDER


def get(key: Mapping[str, object]) -> tuple[Any, list[np.ndarray]] | None:
    """What was put under a key, mapped from its file; None if it is not there or not intact."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / _name(key)
    try:
        content, arrays = read_array_file(path)
    except ArrayFileError:
        return None
    if not isinstance(content, dict) or content.get("key") != json.loads(json.dumps(key)):
        return None
    with contextlib.suppress(OSError):  # a folder that is only read
        if time.time() - path.stat().st_mtime > TOUCH_AFTER:
            os.utime(path)
    return content["value"], arrays


def put(key: Mapping[str, object], value: object, arrays: Sequence[np.ndarray]) -> bool:
    """Keep a value and arrays under a key; whether that was possible."""
    folder = cache_folder()
    if folder is None or sum(array.nbytes for array in arrays) > MAX_BYTES // 2:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_array_file(folder / _name(key), {"key": key, "value": value}, arrays)
    except OSError:  # no room, no right: it is made again next time
        return False
    _make_room(folder)
    return True


def _name(key: Mapping[str, object]) -> str:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{ENGINE}-{digest[:40]}{SUFFIX}"


def _make_room(folder: Path) -> None:
    """Remove what nobody needs, then what was not used for longest.

    Processes that have a file mapped keep its numbers until they end.
    """
    now, files = time.time(), []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if OWN_NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):  # removed by another process
                    status = entry.stat(follow_symlinks=False)
                    files.append((status.st_mtime, status.st_size, Path(entry.path)))
    total = sum(size for _, size, _ in files)
    for used, size, path in sorted(files):
        if path.name.startswith("."):  # being written, or left by a process that was killed
            superfluous = now - used > KEEP_UNFINISHED
        else:
            others = not path.name.startswith(ENGINE)
            superfluous = total > MAX_BYTES or (others and now - used > KEEP_OTHERS)
        if superfluous:
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
