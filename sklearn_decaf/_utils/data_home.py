"""The folder that downloads go to."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SKLEARN_DECAF_DATA"


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

    Examples
    --------
    >>> from sklearn_decaf.datasets import get_data_home
    >>> get_data_home("/data/images").as_posix()
    '/data/images'
    """
    if data_home is None:
        data_home = os.environ.get(VARIABLE) or "~/sklearn_decaf_data"
    return Path(data_home).expanduser().absolute()
