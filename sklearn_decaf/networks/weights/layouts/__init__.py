"""Families of weight files: how each names the parameters of a network and orders their axes.

To read the files of one more family, describe it as a `Layout` and add it to the `LAYOUTS` of the
module where it belongs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache

from . import caffe, others, own, timm, torchvision
from .base import Candidate, Entry, Layout, get_candidate

LAYOUTS = (
    *own.LAYOUTS,
    *torchvision.LAYOUTS,
    *timm.LAYOUTS,
    *caffe.LAYOUTS,
    *others.LAYOUTS,
)


def candidates(names: Collection[str] | None = None) -> Iterator[Candidate]:
    """All layouts of all architectures, or of those named."""
    for layout in LAYOUTS:
        for name in layout.architectures:
            if names is None or name in names:
                yield get_candidate(layout, name)


def index(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """By names of arrays: the candidates that have one of this name."""
    found: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        for name in candidate.shapes:
            found.setdefault(name, []).append(candidate)
    return found


def indices(names: Iterable[str]) -> list[dict[str, list[Candidate]]]:
    """Indices of all layouts that a file with these names may have."""
    names = list(names)
    return [
        _index_of(layout)
        for layout in LAYOUTS
        if any(name.endswith(layout.suffix) for name in names)
    ]


@cache  # of tens of thousands of names, which take a tenth of a second if all are needed
def _index_of(layout: Layout) -> dict[str, list[Candidate]]:
    return index(get_candidate(layout, name) for name in layout.architectures)


__all__ = ["LAYOUTS", "Candidate", "Entry", "Layout", "candidates", "get_candidate"]
