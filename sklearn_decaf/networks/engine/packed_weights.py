"""Layers packed as the engine reads them: from the disk if an earlier process left them there.

One file a layer, so that plans for any layers of a network share them. They are mapped, read-only:
all processes of a machine share the memory, and a process that finds all its layers does not read
the weight file at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from .. import disk_cache
from ..architecture import Architecture
from ..layers import Layer

Packed = TypeVar("Packed")
_classes: dict[str, type] = {}


def storable(kind: type) -> type:
    """Decorator of dataclasses that packed layers may consist of."""
    _classes[kind.__name__] = kind
    return kind


def pack_layers(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    layers: Iterable[Layer],
    pack: Callable[..., Packed],
    **settings: object,
) -> dict[str, Packed]:
    """Pack layers, or find them packed.

    Parameters
    ----------
    architecture : Architecture
    parameters : mapping of str to ndarray
        Only those that know the file they come from are looked up on the disk.
    layers : iterable of Layer
    pack : callable
        ``pack(architecture, parameters, layer, **settings)`` packs one, into arrays of floats
        inside lists, tuples and :func:`storable` dataclasses.
    settings
        What the result depends on besides, with a `repr` that tells it.

    Returns
    -------
    dict
        By names of layers.
    """
    known = getattr(parameters, "identity", None) is not None
    keep = known and disk_cache.cache_folder() is not None
    packed, mapped = {}, []
    for layer in layers:
        key = _key(architecture, parameters, layer, settings) if keep else {}
        found = disk_cache.get(key) if keep else None
        if found is None:
            made = pack(architecture, parameters, layer, **settings)
            packed[layer.name] = made
            if keep and _put(key, made):
                # mapped memory, which all processes share, takes the place of our own
                del made, packed[layer.name]
                found = disk_cache.get(key)
                if found is None:  # removed by another process, or a disk that loses data
                    packed[layer.name] = pack(architecture, parameters, layer, **settings)
        if found is not None:
            packed[layer.name] = _decode(*found)
            mapped += architecture.layer_parameter_shapes(layer.name)
            parameters.let_go(mapped)  # all, as to read one array may bring back the others
    return packed


def _put(key: dict[str, object], made: object) -> bool:
    arrays: list[np.ndarray] = []
    return disk_cache.put(key, _encode(made, arrays), arrays)


def _key(architecture, parameters, layer, settings) -> dict[str, object]:
    """All that decides how a layer is packed: the weights, and the network up to the layer."""
    preprocessing = replace(architecture.preprocessing, mean_image=None)
    return {
        "parameters": parameters.identity,
        "layer": layer.name,
        "preprocessing": repr(preprocessing),
        "network": [repr(step) for step in architecture.ancestors([layer.name])],
        "settings": {name: repr(value) for name, value in settings.items()},
    }


def _encode(value: object, arrays: list[np.ndarray]):
    """As JSON, with arrays put aside. Tuples and objects are marked."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, list):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, arrays) for item in value]}
    if type(value).__name__ in _classes:
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        encoded = {name: _encode(part, arrays) for name, part in parts.items()}
        return {"class": type(value).__name__, "fields": encoded}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a packed layer holds {value!r}, for which there is no form in a file")


def _decode(value, arrays: list[np.ndarray]):
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "tuple" in value:
        return tuple(_decode(item, arrays) for item in value["tuple"])
    parts = {name: _decode(part, arrays) for name, part in value["fields"].items()}
    return _classes[value["class"]](**parts)
