"""The networks this package knows, written as data: a module a family.

A module lists the names of its networks in ``NAMES`` and makes one with ``build(name)``. To add a
family, write such a module and list it in `_FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..architecture import Architecture
from . import (
    alexnet,
    convnext,
    densenet,
    efficientnet_lite,
    googlenet,
    inception,
    mobilenet,
    regnet,
    resnet,
    shufflenet,
    squeezenet,
    vgg,
)

_FAMILIES = (
    efficientnet_lite,
    squeezenet,
    alexnet,
    vgg,
    resnet,
    googlenet,
    inception,
    densenet,
    mobilenet,
    shufflenet,
    regnet,
    convnext,
)
_BUILDERS: dict[str, Callable[[str], Architecture]] = {
    name: family.build for family in _FAMILIES for name in family.NAMES
}

#: Names of all networks whose architecture comes with the package. Those that a user registered
#: are found by :func:`get_architecture` too, and are not in this list.
ARCHITECTURES = tuple(_BUILDERS)

_registered: dict[str, Architecture] = {}


def get_architecture(name: str) -> Architecture:
    """Look up an architecture by its name.

    Parameters
    ----------
    name : str
        One of ``ARCHITECTURES``, or a name under which one was registered.

    Returns
    -------
    Architecture

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> net = get_architecture("caffenet")
    >>> net.shapes()["pool5"]
    (6, 6, 256)
    >>> net.resolve(6)
    'relu6'
    """
    if name in _registered:
        return _registered[name]
    if name not in _BUILDERS:
        names = ", ".join([*ARCHITECTURES, *_registered])
        raise ValueError(f"no architecture is called {name!r}; there are: {names}")
    return _build(name)


@cache
def _build(name: str) -> Architecture:
    return _BUILDERS[name](name)


def register_architecture(architecture: Architecture) -> None:
    """Have :func:`get_architecture` find an architecture whose name is free."""
    if architecture.name not in _BUILDERS:
        _registered[architecture.name] = architecture


__all__ = ["ARCHITECTURES", "get_architecture"]
