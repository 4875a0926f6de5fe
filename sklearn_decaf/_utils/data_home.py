"""The folder that downloads go to, and the user's home directory, which not everybody has.

A container that runs under a number without an entry among the users has none, unless ``HOME``
says where it is.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SKLEARN_DECAF_DATA"


def expand_user(path: str | bytes | os.PathLike) -> str:
    """Put the home directory in the place of ``~`` at the beginning of a path.

    Raises
    ------
    FileNotFoundError
        If there is no home directory; a folder called ``~`` is never what was meant.
    """
    expanded = os.path.expanduser(os.fsdecode(path))
    if expanded == "~" or expanded.startswith(("~/", f"~{os.sep}")):
        raise FileNotFoundError(
            f"{expanded!r} stands for a folder in the home directory, and this user has none: pass "
            f"another path, set HOME, or name a folder for downloads in {VARIABLE}."
        )
    return expanded


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Path of the folder that holds downloaded weights and data sets.

    It is created when something is put there, not before.

    Parameters
    ----------
    data_home : str or path-like, default=None
        A folder of your own choice; ``~`` is expanded. None: the one that the environment variable
        ``SKLEARN_DECAF_DATA`` names, else ``~/sklearn_decaf_data``.

    Returns
    -------
    pathlib.Path
        Absolute.

    Raises
    ------
    FileNotFoundError
        If the folder is in the home directory, and there is none.

    Examples
    --------
    >>> from sklearn_decaf.datasets import get_data_home
    >>> get_data_home("/data/images").as_posix()
    '/data/images'
    """
    if data_home is None:
        data_home = os.environ.get(VARIABLE) or "~/sklearn_decaf_data"
    return Path(expand_user(data_home)).absolute()


def find_data_home(data_home: str | os.PathLike[str] | None = None) -> Path | None:
    """Path of that folder, or None where there is no home directory for it to be in."""
    try:
        return get_data_home(data_home)
    except FileNotFoundError:
        return None
