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
from .layouts import LAYOUTS
from .matching import Match, compare_with_all

# In the names of copies of a network that is there too: averages of its weights, its teacher.
_COPY = re.compile(r"ema|swa|averag|teacher|momentum|target|shadow|best|previous|old", re.I)


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
    names = ARCHITECTURES if wanted is None else (get_architecture(wanted).name,)
    every = list(compare_with_all(contents))
    matches = [match for match in every if match.architecture.name in names]
    hits = [match for match in matches if match.found and not match.problems]
    if not hits:
        raise WeightsError(_explain(contents.tensors, matches, wanted))
    hit = _choose(hits)
    if hit.layout.doubt and wanted is None:
        raise WeightsError(
            f"{hit.layout.doubt}. If it is the first, say architecture={hit.architecture.name!r}"
        )
    others = {match.architecture.name for match in every if match.found and not match.problems}
    return _judge(hit, metadata, sorted(others - {hit.architecture.name}))


def _choose(hits: list[Match]) -> Match:
    """Choose the match that counts, of all that fit."""
    hits = [match for match in hits if not _COPY.search(".".join(match.place))] or hits
    most: dict[tuple[str, str], int] = {}
    for match in hits:
        most[match.place] = max(match.found, most.get(match.place, 0))
    hits = [match for match in hits if match.found == most[match.place]]
    hits = _smallest_of_a_family(hits)
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


def _smallest_of_a_family(hits: list[Match]) -> list[Match]:
    """Leave the smallest where only first layers are there: larger networks begin with them too."""
    names = {match.architecture.name for match in hits}
    if len(names) > 1 and all(name.startswith("efficientnet_lite") for name in names):
        return [match for match in hits if match.architecture.name == min(names)]
    return hits


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(array, other[name]) for name, array in one.items()
    )


def _judge(match: Match, metadata: Mapping[str, str], others: list[str]) -> Match:
    """Say how sure it is, and why; `others` are architectures that fit as well."""
    net, total = match.architecture, len(match.layout.shapes(match.architecture))
    some = f"all {total}" if match.found == total else f"{match.found} of {total}"
    evidence = f"{some} arrays have names and shapes of {net.name} ({match.layout.name})"
    if metadata.get("architecture"):
        evidence = "; ".join([f"{evidence}, which the file names itself", *match.notes])
        return replace(match, certainty="certain", evidence=evidence)
    evidence = "; ".join([evidence, *match.notes])
    certainty = match.certainty or ("certain" if match.found == total else "likely")
    if match.layout.doubt:
        certainty, evidence = "told", f"{evidence}; {match.layout.doubt}: the caller chose"
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
        name = wanted or ARCHITECTURES[0]
        layout = next(layout for layout in LAYOUTS if name in layout.architectures)
        names = list(layout.shapes(get_architecture(name)))[:3]
        return f"{message} No name among them is known; expected are names such as {names}."
    closest = max(matches, key=lambda match: (match.found, match.known, -len(match.problems)))
    listed = "; ".join(closest.problems[:5])
    rest = len(closest.problems) - 5
    return (
        f"{message} Closest is {closest.architecture.name} ({closest.layout.name}), where "
        f"{closest.found} arrays fit, but {listed}{f'; and {rest} more' if rest > 0 else ''}."
    )
