"""Pickles of NumPy arrays: dicts of arrays, of ``[kernel, bias]`` lists, or of such dicts.

SqueezeNet's weights in the distribution ``ndf`` come as ``{layer: [kernel, bias]}``, AlexNet's in
the ``.npy`` file of caffe-tensorflow likewise; Flax and others write dicts inside dicts. The keys
on the way to an array are joined with dots. What is no array of numbers is passed over.
"""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ._arrays import NotNumbers, PickledArray, array_names
from ._contents import Contents
from ._messages import describe
from ._objects import describe_foreign, find_leaves
from ._pickle import load_pickle

# Programs whose pickles hold arrays in another form, and what to do about that.
_CURES = {
    "torch": "write the weights with torch.save(model.state_dict(), ...) instead of pickle",
    "joblib": "a file of joblib.dump; save its arrays with numpy.savez",
}


def read(data: memoryview) -> Contents:
    """Arrays of a pickle by name, as read-only views of ``data``."""
    return Contents({"": arrays_in(load_arrays(data))})


def load_arrays(data: memoryview) -> object:
    """The object in a pickle of arrays."""
    return load_pickle(data, names=array_names(len(data)), at_end=True)[0]


def arrays_in(value: object) -> dict[str, np.ndarray]:
    """The arrays of numbers in an unpickled object, by the keys that lead to them."""
    if isinstance(value, PickledArray) and value.objects is None:
        raise WeightsError(f"the pickle holds {describe(value)}, not a dict of arrays")
    tensors, problems = {}, []
    for keys, leaf in find_leaves(value, _is_array):
        name = ".".join(keys)
        if leaf.array is None:
            problems.append(f"{describe(name)} is {leaf.problem}")
        elif name in tensors:
            raise WeightsError(f"two arrays are called {describe(name)}")
        else:
            tensors[name] = leaf.array
    if not tensors:
        raise NotNumbers(f"the pickle holds no arrays of numbers: {_found(value, problems)}")
    return tensors


def _is_array(value: object) -> bool:
    return isinstance(value, PickledArray) and value.objects is None


def _found(value: object, problems: list[str]) -> str:
    """Describe what there is instead."""
    if problems:
        return problems[0]
    found = describe_foreign(value)
    cures = (cure for program, cure in _CURES.items() if f"'{program}." in found)
    return "; ".join([f"it is {found}", *cures])
