"""Comparing a file with one layout of one architecture."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..architecture import Architecture
from ..architectures import get_architecture
from ..formats import Contents
from ..formats._messages import describe
from ..layers import Shape
from .file_layers import compare_layers
from .heads import Head, find_head
from .layouts import LAYOUTS, Layout
from .prefixes import find_prefixes, split_names, without_wrappers
from .variants import backbone, describe_changes, from_text, with_changes


@dataclass(frozen=True)
class Match:
    """Result of comparing a file with one layout of one architecture.

    Attributes
    ----------
    layout : Layout
    architecture : Architecture
        With the head, and the constants of layers, that the file has.
    arrays : mapping of str to ndarray
        By the names that the layout has for them.
    known, found : int
        Arrays whose name is right; whose shape is right too.
    problems : tuple of str
        Why it is another network.
    missing : mapping of str to str
        Layers that cannot be computed from this file, with the reasons.
    own_classes : bool
        Whether its classes are others than ImageNet's.
    epsilons : mapping of str to float
        Of batch normalisations, by their names in the layout, where the file states them.
    notes : tuple of str
        What was passed over, or made to fit.
    place : tuple of str
        Group of the file, and prefix, in which the names are.
    certainty, evidence : str
        How sure it is, and why.
    """

    layout: Layout
    architecture: Architecture
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    known: int = 0
    found: int = 0
    problems: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    own_classes: bool = False
    epsilons: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    place: tuple[str, str] = ("", "")
    certainty: str = ""
    evidence: str = ""


def compare_with_all(contents: Contents) -> Iterator[Match]:
    """Compare a file with all layouts and architectures of which it has a name."""
    for group, tensors in contents.groups.items():
        names, wrappers = without_wrappers(tensors)
        split = split_names(names)
        for layout in LAYOUTS:
            if not any(name.endswith(layout.suffix) for name in names):
                continue
            for name in layout.architectures:
                net = _stated(contents.metadata, name)
                expected = layout.shapes(net)
                for prefix in find_prefixes(split, expected):
                    place = _Place(group, prefix, wrappers, tensors, names)
                    yield _compare(contents, place, layout, net, expected)


def _stated(metadata: Mapping[str, str], name: str) -> Architecture:
    """An architecture, with the changes that a file of the package's own says it has."""
    net = get_architecture(name)
    if metadata.get("architecture") != name or "changes" not in metadata:
        return net
    return with_changes(net, from_text(metadata["changes"], net))


class _Place:
    """The arrays in a group of a file, by names without wrappers and the prefix."""

    def __init__(self, group, prefix, wrappers, tensors, names):
        self.group, self.prefix, self.wrappers = group, prefix, wrappers
        start = len(prefix)
        self.own = {
            name[start:]: tensors[full] for name, full in names.items() if name.startswith(prefix)
        }
        self.beside = {
            name: tensors[full] for name, full in names.items() if not name.startswith(prefix)
        }
        self._names = names

    def full_name(self, name: str) -> str:
        """Name in the file of an array of `own`, or of `beside`; empty if there is none."""
        found = self._names.get(self.prefix + name) or self._names.get(name, "")
        return f"{self.group}.{found}" if self.group and found else found

    @property
    def notes(self) -> list[str]:
        """Where they are, and what is taken off their names."""
        notes = [f"they are under {describe(self.group)} in the file"] if self.group else []
        taken = [self.prefix] if self.prefix else []
        taken += [f"{wrapper}." for wrapper in self.wrappers]
        if taken:
            notes.append(f"{' and '.join(map(describe, taken))} is taken off their names")
        return notes


def _compare(
    contents: Contents, place: _Place, layout: Layout, net: Architecture, expected: dict[str, Shape]
) -> Match:
    arrays = {name: array for name, array in place.own.items() if name in expected}
    misfits = {name for name, array in arrays.items() if array.shape != expected[name]}
    others = {
        name: array
        for name, array in {**place.own, **place.beside}.items()
        if name not in arrays and not re.fullmatch(layout.ignored, name)
    }
    match = Match(
        layout,
        net,
        arrays,
        known=len(arrays),
        found=len(arrays) - len(misfits),
        place=(place.group, place.prefix),
        own_classes=contents.metadata.get("classes") == "own",
        notes=tuple(place.notes),
    )
    body = backbone(net)
    needed = {n for entry in layout.entries(net) if entry.layer in body for n in entry.names}
    head = None
    if needed <= arrays.keys() and not needed & misfits:
        # the body is whole, so this is the network, whatever its head has become
        head = find_head(layout, net, arrays, expected, others)
        match = replace(
            match,
            architecture=with_changes(net, head.changes),
            arrays=head.arrays,
            found=len(head.arrays),
            missing=head.missing,
            own_classes=match.own_classes or head.own_classes,
            notes=(*match.notes, *head.notes),
            certainty="likely" if head.guessed else "",
        )
    else:
        problems = _problems(match, expected, misfits, others)
        if problems:
            return replace(match, problems=problems)
    return _with_layers(match, contents, place, head) if contents.layers else match


def _problems(match: Match, expected, misfits, others) -> tuple[str, ...]:
    """List why a file that lacks some of the body is not just a part of a network."""
    problems = [f"{describe(name)} is unknown" for name in others]
    problems += [
        f"{describe(name)} has shape {match.arrays[name].shape}, {expected[name]} is expected"
        for name in match.arrays
        if name in misfits
    ]
    for entry in match.layout.entries(match.architecture):
        present = [name for name in entry.names if name in match.arrays]
        if present and len(present) != len(entry.names):
            lacking = ", ".join(describe(n) for n in entry.names if n not in match.arrays)
            problems.append(f"{describe(present[0])} is there without {lacking}")
    return tuple(problems)


def _with_layers(match: Match, contents: Contents, place: _Place, head: Head | None) -> Match:
    """Take over what the file says about its layers, or hold it against the match."""
    layout, net = match.layout, match.architecture
    entries = [entry for entry in layout.entries(net) if entry.kernel in match.arrays]
    renamed = head.renamed if head is not None else {}
    kernels = {
        entry.layer: place.full_name(renamed.get(entry.kernel, entry.kernel)) for entry in entries
    }
    compared = compare_layers(net, contents.layers, kernels)
    reasons = {layer: f"{layer}: {reason}" for layer, reason in compared.problems.items()}
    notes = list(match.notes)
    if compared.changes:
        net = with_changes(net, compared.changes)
        how = describe_changes(compared.changes)
        notes.append(f"as the file says, {how}")
        expected = layout.shapes(net)
        reasons |= {
            entry.layer: f"{describe(name)} has shape {match.arrays[name].shape}, but with {how}, "
            f"as the file says, {expected[name]} is expected"
            for entry in entries
            for name in entry.names
            if match.arrays[name].shape != expected[name]
        }
    epsilons = {}
    for entry in entries:
        if entry.batch_norm is None:
            continue
        epsilon = compared.epsilons.get(place.full_name(f"{entry.batch_norm}.weight"))
        if epsilon is not None and 0 <= epsilon < math.inf:
            epsilons[entry.batch_norm] = epsilon
        elif epsilon is not None:
            reasons[entry.layer] = f"{entry.layer}: its normalisation has an epsilon of {epsilon}"
    body = backbone(net)
    return replace(
        match,
        architecture=net,
        problems=tuple(reason for layer, reason in reasons.items() if layer in body),
        missing={**match.missing, **reasons},
        epsilons=epsilons,
        notes=tuple(notes),
    )
