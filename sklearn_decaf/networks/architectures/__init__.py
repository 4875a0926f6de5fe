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

#: Names of all networks whose architecture is known.
ARCHITECTURES = tuple(_BUILDERS)


@cache
def get_architecture(name: str) -> Architecture:
    """Look up an architecture by its name.

    Parameters
    ----------
    name : str
        One of ``ARCHITECTURES``.

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
    if name not in _BUILDERS:
        raise ValueError(
            f"no architecture is called {name!r}; there are: {', '.join(ARCHITECTURES)}"
        )
    return _BUILDERS[name](name)


__all__ = ["ARCHITECTURES", "get_architecture"]
