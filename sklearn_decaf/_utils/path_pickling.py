"""Paths among the attributes of an estimator, as text in its pickles.

Pickled pathlib objects name modules that differ between versions of Python and between systems.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Any


def paths_as_text(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state to be pickled, in which paths are text, and those of pathlib are named.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_decaf._utils.path_pickling import paths_as_text, paths_from_text
    >>> state = paths_as_text({"cache": Path("folder"), "layer": 6})
    >>> state
    {'cache': 'folder', 'layer': 6, '_paths': ['cache']}
    >>> paths_from_text(state) == {"cache": Path("folder"), "layer": 6}
    True
    """
    names = [name for name, value in state.items() if isinstance(value, PurePath)]
    text = {
        name: os.fsdecode(value) if isinstance(value, os.PathLike) else value
        for name, value in state.items()
    }
    return {**text, "_paths": names}


def paths_from_text(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state that was pickled, with the paths that it had."""
    state = dict(state)
    for name in state.pop("_paths", ()):
        state[name] = Path(state[name])
    return state
