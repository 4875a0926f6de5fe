"""Recognising the network of a file: its names and shapes compared with all that are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...exceptions import WeightsError
from ..architectures import ARCHITECTURES, get_architecture
from ..formats import Contents
from ..formats._messages import describe
from .matching import Match, compare_with_all

# In the names of copies of a network that is there too: averages of its weights, its teacher.
_COPY = re.compile(r"ema|swa|averag|teacher|momentum|target|shadow|best|previous|old", re.I)

# Networks of which a whole file may belong to another one, by all names and shapes in it.
_TWINS = frozenset(["caffenet", "bvlc_alexnet", "decaf"])


def recognise(contents: Contents, architecture: str | None) -> Match:
    """Find the one architecture, and the layout, that the names and shapes of a file fit.

    Raises
    ------
    WeightsError
        If there is none, or more than one.
    """
    metadata = contents.metadata
    stated = metadata.get("architecture") or _caffe_architecture(metadata)
    if stated is not None and stated not in ARCHITECTURES:
        raise WeightsError(
            f"the file says that its architecture is {describe(stated)}; there are: "
            f"{', '.join(ARCHITECTURES)}"
        )
    if architecture is not None and stated is not None and architecture != stated:
        raise WeightsError(
            f"architecture={architecture!r}, but the file says that its network is {stated!r}"
        )
    wanted = architecture or stated
    name = None if wanted is None else get_architecture(wanted).name
    matches = list(compare_with_all(contents, None if name is None else (name,)))
    hits = [match for match in matches if match.fits]
    if not hits:
        raise WeightsError(_explain(contents.tensors, matches, wanted))
    hit = _choose(hits)
    if hit.candidate.layout.doubt and wanted is None:
        raise WeightsError(
            f"{hit.candidate.layout.doubt}. If it is the first, say "
            f"architecture={hit.architecture.name!r}"
        )
    others: set[str] = set()
    if name is not None and not metadata.get("architecture"):
        # a file of the package's own is not in question; all others are told apart
        near = _TWINS - {name} if hit.whole else None
        others = _rivals(hit, list(compare_with_all(contents, near)))
    return _judge(hit, metadata, sorted(others))


def _choose(hits: list[Match]) -> Match:
    """Choose the match that counts, of all that fit."""
    hits = [match for match in hits if not _COPY.search(".".join(match.place))] or hits
    best: dict[tuple[str, str], tuple[bool, int]] = {}
    for match in hits:
        best[match.place] = max(_amount(match), best.get(match.place, (False, 0)))
    hits = [match for match in hits if _amount(match) == best[match.place]]
    hits = [match for match in hits if not any(_is_better(other, match) for other in hits)]
    fitting = list(dict.fromkeys(match.architecture.name for match in hits))
    if len(fitting) > 1:
        raise WeightsError(
            f"names and shapes fit {' and '.join(fitting)}, which differ in ways that weights do "
            f"not show: say which it is, such as architecture={fitting[0]!r}"
        )
    for other in hits[1:]:
        if other.place != hits[0].place and not _same(hits[0].arrays, other.arrays):
            places = " and ".join(
                describe(".".join(filter(None, m.place))) for m in (hits[0], other)
            )
            raise WeightsError(
                f"there are two networks of this kind in the file, under {places}: save the one "
                "that is meant alone"
            )
    return hits[0]


def _amount(match: Match) -> tuple[bool, int]:
    """How much is there: a whole network is more than parts of a larger one."""
    return match.whole, match.found


def _is_better(one: Match, other: Match) -> bool:
    """Tell whether a match makes another one needless, because it computes the same and more.

    Where only first layers are there, larger networks of a family begin with them too: the smallest
    stands for all.
    """
    if one.place != other.place or one.architecture.name == other.architecture.name:
        return False
    if one.computed == other.computed:
        size, other_size = len(one.architecture.layers), len(other.architecture.layers)
        return (size, one.architecture.name) < (other_size, other.architecture.name)
    return one.computed > other.computed


def _rivals(hit: Match, every: list[Match]) -> set[str]:
    """Architectures that fit as well as the one that the caller, or the file, named."""
    return {
        match.architecture.name
        for match in every
        if match.fits
        and match.architecture.name != hit.architecture.name
        and match.place == hit.place
        and _amount(match) >= _amount(hit)
        and not match.computed <= hit.computed
    }


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(array, other[name]) for name, array in one.items()
    )


def _judge(match: Match, metadata: Mapping[str, str], others: list[str]) -> Match:
    """Say how sure it is, and why; `others` are architectures that fit as well."""
    net, layout = match.architecture, match.candidate.layout
    total = sum(
        name in match.arrays or name not in entry.optional
        for entry in match.candidate.entries
        for name in entry.names
    )
    some = f"all {total}" if match.found == total else f"{match.found} of {total}"
    evidence = f"{some} arrays have names and shapes of {net.name} ({layout.name})"
    if metadata.get("architecture"):
        evidence = "; ".join([f"{evidence}, which the file names itself", *match.notes])
        return replace(match, certainty="certain", evidence=evidence)
    evidence = "; ".join([evidence, *match.notes])
    certainty = match.certainty or ("certain" if match.found == total else "likely")
    if layout.doubt:
        certainty, evidence = "told", f"{evidence}; {layout.doubt}: the caller chose"
    elif others:
        fit = f"{' and '.join(others)} would fit as well"
        if not _caffe_architecture(metadata):
            certainty, reason = "told", "the caller chose"
        elif _has_order(metadata):
            reason = "the order of the layers decides"
        else:  # which is what somebody called it
            certainty, reason = "likely", "the name of the network decides"
        evidence = f"{evidence}; {fit}, {reason}"
    return replace(match, certainty=certainty, evidence=evidence)


def _caffe_architecture(metadata: Mapping[str, str]) -> str | None:
    """Find which of Caffe's two AlexNets a caffemodel is: they have the same parameters.

    The order of its layers tells them apart, or else its name.
    """
    if _has_order(metadata):
        layers = metadata["layers"].split()
        pool_first = layers.index("pool1") < layers.index("norm1")
        return "caffenet" if pool_first else "bvlc_alexnet"
    return {"CaffeNet": "caffenet", "AlexNet": "bvlc_alexnet"}.get(metadata.get("network", ""))


def _has_order(metadata: Mapping[str, str]) -> bool:
    return {"pool1", "norm1"} <= set(metadata.get("layers", "").split())


def _explain(tensors: Mapping[str, np.ndarray], matches: list[Match], wanted: str | None) -> str:
    """Say why a file fits none of these."""
    shown = [f"{describe(name)} {tensor.shape}" for name, tensor in list(tensors.items())[:4]]
    more = f" and {len(tensors) - len(shown)} more" if len(tensors) > len(shown) else ""
    message = (
        f"the arrays do not fit {wanted or 'any known network'}. Found {', '.join(shown)}{more}."
    )
    if not matches:
        names = list(get_architecture(wanted or ARCHITECTURES[0]).parameter_shapes())[:3]
        return f"{message} No name among them is known; expected are names such as {names}."
    closest = max(
        matches,
        key=lambda match: (
            match.found,
            match.known,
            -len(match.unknown) - len(match.problems),
        ),
    )
    problems = [f"{describe(name)} is unknown" for name in closest.unknown[:5]]
    problems += closest.problems[: 5 - len(problems)]
    listed = "; ".join(problems)
    rest = len(closest.unknown) + len(closest.problems) - len(problems)
    name = f"{closest.architecture.name} ({closest.candidate.layout.name})"
    return (
        f"{message} Closest is {name}, where {closest.found} arrays fit, "
        f"but {listed}{f'; and {rest} more' if rest > 0 else ''}."
    )
