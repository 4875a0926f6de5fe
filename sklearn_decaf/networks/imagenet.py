"""The 1000 classes of the ImageNet challenge (ILSVRC-2012), in the order of a network's output.

The order is that of the sorted WordNet identifiers, which all networks of this package share. The
names are the words of the WordNet synset.

References
----------
O. Russakovsky et al. ImageNet large scale visual recognition challenge. IJCV 115, 2015.
C. Fellbaum (ed.). WordNet: an electronic lexical database. MIT Press, 1998.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _table() -> tuple[tuple[str, str], ...]:
    """(WordNet identifier, name) of each class."""
    text = files(__package__).joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return tuple((wnid, name) for wnid, name in rows)


def imagenet_classes() -> list[str]:
    """Names of the 1000 ILSVRC-2012 classes, in the order of the class scores.

    Returns
    -------
    list of str
        All the words of the WordNet synset. One name is there twice: class 134 is the bird
        called crane and class 517 the machine; :func:`imagenet_wnids` tells them apart.

    Examples
    --------
    >>> from sklearn_decaf.networks.imagenet import imagenet_classes
    >>> imagenet_classes()[0]
    'tench, Tinca tinca'
    """
    return [name for _, name in _table()]


def imagenet_wnids() -> list[str]:
    """WordNet identifiers of the 1000 ILSVRC-2012 classes, in the order of the class scores.

    Returns
    -------
    list of str
        The letter n and eight digits.

    Examples
    --------
    >>> from sklearn_decaf.networks.imagenet import imagenet_wnids
    >>> imagenet_wnids()[:2]
    ['n01440764', 'n01443537']
    """
    return [wnid for wnid, _ in _table()]
