"""Pickles of NumPy arrays: a dict of arrays, of ``[kernel, bias]`` lists, or of such dicts.

SqueezeNet's weights in the distribution ``ndf`` come as ``{layer: [kernel, bias]}``; Flax and
others write dicts inside dicts. The names on the way to an array are joined with dots.
"""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ._arrays import PickledArray, array_names
from ._messages import describe
from ._pickle import load_pickle

MAX_ARRAYS = 10_000
MAX_DEPTH = 8


def read(data: memoryview) -> dict[str, np.ndarray]:
    """Arrays of a pickle by name, as read-only views of ``data``."""
    value, _ = load_pickle(data, names=array_names(len(data)), at_end=True)
    if not isinstance(value, dict):
        raise WeightsError(f"the pickle holds {describe(value)}, not a dict of arrays")
    tensors: dict[str, np.ndarray] = {}
    _collect(value, "", 0, tensors)
    return tensors


def _collect(value: object, name: str, depth: int, tensors: dict[str, np.ndarray]) -> None:
    if isinstance(value, PickledArray) and value.array is not None:
        if len(tensors) >= MAX_ARRAYS or len(name) > 1000 or name in tensors:
            raise WeightsError(f"too many arrays, or two called {describe(name)}")
        tensors[name] = value.array
        return
    if depth >= MAX_DEPTH:
        raise WeightsError(f"dicts more than {MAX_DEPTH} deep")
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and len(value) == 2:
        items = zip(("kernel", "bias"), value)
    else:
        raise WeightsError(
            f"{describe(name)} is {describe(value)}: an array, a [kernel, bias] pair or a dict "
            "of them is expected"
        )
    for key, item in items:
        _collect(item, f"{name}.{key}" if name else key, depth + 1, tensors)
