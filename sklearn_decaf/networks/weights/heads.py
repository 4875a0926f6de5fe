"""The head of a network that was trained for something else: other classes, another name, none.

The body of the network is whole by then. What is above it either fits, or is left out with the
reason; layers below need nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..formats._arrays import zeros
from ..formats._messages import describe
from ..layers import Shape
from .layouts import Candidate, Entry
from .variants import Changes, number_of_classes

Arrays = Mapping[str, np.ndarray]


@dataclass
class Head:
    """The layers above the body, as far as they are there.

    Attributes
    ----------
    arrays : dict of str to ndarray
        All that fit, body and head, by the names of the layout.
    changes : Changes
        Of the architecture: the number of classes.
    missing : dict of str to str
        Layers whose parameters do not fit, with the reasons.
    renamed : dict of str to str
        Names in the file of arrays of the head, by those of the layout, where they differ.
    own_classes : bool
        Whether its classes are not those of ImageNet.
    guessed : bool
        Whether it was recognised by its shape alone.
    notes : list of str
    """

    arrays: dict[str, np.ndarray]
    changes: Changes = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    own_classes: bool = False
    guessed: bool = False
    notes: list[str] = field(default_factory=list)


def find_head(candidate: Candidate, arrays: Arrays, others: Arrays) -> Head:
    """Find the layers above the body of a network.

    Parameters
    ----------
    candidate : Candidate
    arrays : mapping of str to ndarray
        Those of the file whose names the layout has.
    others : mapping of str to ndarray
        All others of the file.
    """
    found = Head(dict(arrays))
    others = {name: array for name, array in others.items() if array.size > 1}  # counters
    for entry in candidate.entries:
        if entry.layer in candidate.body:
            continue
        if entry.layer == candidate.head:
            _find_classes(found, entry, candidate, others)
        else:
            _check(found, entry, candidate.shapes)
    if others:
        some = ", ".join(map(describe, list(others)[:2])) + (" ..." if len(others) > 2 else "")
        found.notes.append(f"{len(others)} arrays are no part of it ({some})")
    return found


def _check(found: Head, entry: Entry, expected: Mapping[str, Shape]) -> None:
    """Keep the arrays of a layer if all are there and fit."""
    present = [name for name in entry.names if name in found.arrays]
    wrong = [name for name in present if found.arrays[name].shape != expected[name]]
    lacking = [name for name in entry.needed if name not in present]
    if wrong:
        shape = found.arrays[wrong[0]].shape
        reason = f"{describe(wrong[0])} has shape {shape}, {expected[wrong[0]]} is expected"
    elif present and lacking:
        reason = f"{describe(present[0])} is there without {describe(lacking[0])}"
    else:
        return
    found.missing[entry.layer] = reason
    for name in present:
        del found.arrays[name]


def _find_classes(
    found: Head, entry: Entry, candidate: Candidate, others: dict[str, np.ndarray]
) -> None:
    """The layer of the classes, of any number, by its own name or another."""
    net, expected = candidate.architecture, candidate.shapes
    axis = 0 if candidate.layout.axes.startswith("o") else -1
    shape, bias_name = expected[entry.kernel], entry.parameters["bias"]
    if entry.kernel not in found.arrays and bias_name not in found.arrays:
        name = _only_kernel(others, shape, axis)
        if name is not None:
            found.renamed[entry.kernel] = name
            found.arrays[entry.kernel] = others.pop(name)
            for other in list(others):
                found.renamed[bias_name] = other
                found.arrays[bias_name] = others.pop(other)
            found.guessed = found.own_classes = True
        elif others:
            some = ", ".join(f"{describe(n)} {a.shape}" for n, a in list(others.items())[:3])
            found.missing[entry.layer] = f"the file has something else for a head: {some}"
    kernel = found.arrays.get(entry.kernel)
    if kernel is None or not _fits(kernel, shape, axis):
        _check(found, entry, expected)
        return
    n = kernel.shape[axis]
    if bias_name not in found.arrays:
        found.arrays[bias_name] = zeros(n)
        found.notes.append("its head has no bias")
    if n == shape[axis] and not found.guessed:
        _check(found, entry, expected)
        return
    bias = found.arrays[bias_name]
    stacked = [name for name, array in others.items() if _reads(array, n, axis)]
    if bias.shape != (n,) or stacked:
        found.missing[entry.layer] = (
            f"{describe(stacked[0])} comes after {describe(entry.kernel)} {kernel.shape}"
            if stacked
            else f"a bias of shape {bias.shape} for {n} classes"
        )
        del found.arrays[entry.kernel], found.arrays[bias_name]
        return
    found.own_classes = True
    found.changes = number_of_classes(net, n)
    name = found.renamed.get(entry.kernel)
    found.notes.append(f"its head has {n} classes" + (f" and is {describe(name)}" if name else ""))


def _only_kernel(others: dict[str, np.ndarray], shape: Shape, axis: int) -> str | None:
    """The name of a kernel that can be the head, if there is nothing else but its bias."""
    kernels = [name for name, array in others.items() if _fits(array, shape, axis)]
    if len(kernels) != 1 or len(others) > 2:
        return None
    n = others[kernels[0]].shape[axis]
    rest = [array.shape for name, array in others.items() if name != kernels[0]]
    return kernels[0] if rest in ([], [(n,)]) else None


def _fits(array: np.ndarray, shape: Shape, axis: int) -> bool:
    """Tell whether an array has this shape but for the number of classes."""
    if array.ndim != len(shape) or not array.shape[axis]:
        return False
    found, wanted = list(array.shape), list(shape)
    found[axis] = wanted[axis] = 0
    return found == wanted


def _reads(array: np.ndarray, n: int, axis: int) -> bool:
    """Tell whether an array may be the kernel of a layer that reads n numbers."""
    return array.ndim > 1 and array.shape[1 if axis == 0 else -2] == n
