"""Comparing a file with one layout of one architecture."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..._utils.locks import cached_attribute
from ..architecture import INPUT, Architecture
from ..formats import Contents
from ..formats._messages import describe
from ..layers import BatchNorm
from .file_layers import compare_layers
from .heads import Head, find_head
from .layouts import Candidate, candidates, index, indices
from .prefixes import find_prefixes, split_names, without_wrappers
from .variants import Changes, describe_changes, with_changes


@dataclass(frozen=True)
class Match:
    """Result of comparing a file with one layout of one architecture.

    Attributes
    ----------
    candidate : Candidate
        What it was compared with.
    architecture : Architecture
        With the head, and the constants of layers, that the file has.
    arrays : mapping of str to ndarray
        By the names that the layout has for them, with as many axes as it has.
    known, found : int
        Arrays whose name is right; whose shape is right too.
    whole : bool
        Whether all of the body is there, that is, all but the head and the dense layers.
    unknown : tuple of str
        Names of arrays that only another network has.
    problems : tuple of str
        Why it is another network, besides.
    missing : mapping of str to str
        Layers that cannot be computed from this file, with the reasons.
    own_classes : bool
        Whether its classes are others than ImageNet's.
    epsilons : mapping of str to float
        Of batch normalisations that are folded, by their names in the layout, where the file
        states them.
    notes : tuple of str
        What was passed over, or made to fit.
    place : tuple of str
        Group of the file, and prefix, in which the names are.
    certainty, evidence : str
        How sure it is, and why.
    """

    candidate: Candidate
    architecture: Architecture
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    known: int = 0
    found: int = 0
    whole: bool = False
    unknown: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    own_classes: bool = False
    epsilons: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    place: tuple[str, str] = ("", "")
    certainty: str = ""
    evidence: str = ""

    @property
    def fits(self) -> bool:
        """Whether it may be this network, or a part of it."""
        return self.found > 0 and not self.problems and not self.unknown

    @cached_attribute
    def computed(self) -> frozenset:
        """What the file is enough for: the layers, with what they read, and the input."""
        net, preprocessing = self.architecture, self.architecture.preprocessing
        lacking = {
            entry.layer
            for entry in self.candidate.entries
            if not all(name in self.arrays for name in entry.needed)
        }
        order, there, found = preprocessing.channel_order, {INPUT}, set()
        for layer in net.layers:
            inputs = net.inputs(layer.name)
            if layer.name not in lacking and there.issuperset(inputs):
                there.add(layer.name)
                found.add((layer, inputs))
        pixels = (order, preprocessing.mean, preprocessing.std, preprocessing.flip_vertical)
        return frozenset(found | {pixels})


def compare_with_all(contents: Contents, names: Collection[str] | None = None) -> Iterator[Match]:
    """Compare a file with all layouts and architectures of which it has a name.

    Parameters
    ----------
    contents : Contents
    names : collection of str or None
        Architectures to compare it with, if not all.
    """
    for group, tensors in contents.groups.items():
        full_names, wrappers = without_wrappers(tensors)
        split = split_names(full_names)
        places: dict[str, _Place] = {}
        every = indices(full_names) if names is None else [index(candidates(names))]
        for by_name in every:
            for candidate, prefixes in find_prefixes(split, by_name).items():
                for prefix in prefixes:
                    if prefix not in places:
                        places[prefix] = _Place(group, prefix, wrappers, tensors, full_names)
                    yield _compare(contents, places[prefix], candidate)


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
        self._without: dict[str, dict[str, np.ndarray]] = {}

    def without(self, ignored: str) -> dict[str, np.ndarray]:
        """All arrays, but for those whose names this regular expression fits."""
        if ignored not in self._without:
            fits = re.compile(ignored).fullmatch
            every = {**self.own, **self.beside}
            self._without[ignored] = {n: array for n, array in every.items() if not fits(n)}
        return self._without[ignored]

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


def _compare(contents: Contents, place: _Place, candidate: Candidate) -> Match:
    net, expected = candidate.architecture, candidate.shapes
    arrays = {
        name: candidate.reshape(name, array)
        for name, array in place.own.items()
        if name in expected
    }
    misfits = {name for name, array in arrays.items() if array.shape != expected[name]}
    others = {
        name: array
        for name, array in place.without(candidate.layout.ignored).items()
        if name not in arrays
    }
    match = Match(
        candidate,
        net,
        arrays,
        known=len(arrays),
        found=len(arrays) - len(misfits),
        place=(place.group, place.prefix),
        own_classes=contents.metadata.get("classes") == "own",
        notes=tuple(place.notes),
    )
    needed, head = candidate.body_names, None
    if needed <= arrays.keys() and not needed & misfits:
        # the body is whole, so this is the network, whatever its head has become
        strange = [name for name in others if name in place.own and _is_inside(candidate, name)]
        if strange:
            return replace(match, unknown=tuple(strange))
        head = find_head(candidate, arrays, others)
        match = replace(
            match,
            architecture=with_changes(net, head.changes),
            arrays=head.arrays,
            found=len(head.arrays),
            whole=True,
            missing=head.missing,
            own_classes=match.own_classes or head.own_classes,
            notes=(*match.notes, *head.notes),
            certainty="likely" if head.guessed else "",
        )
    else:
        problems = _problems(match, misfits)
        if problems or others:
            return replace(match, unknown=tuple(others), problems=problems)
    return _with_layers(match, contents, place, head) if contents.layers else match


def _is_inside(candidate: Candidate, name: str) -> bool:
    """Tell whether an array belongs to a module of the network's body."""
    while name:
        name = name.rpartition(".")[0]
        if name in candidate.inside:
            return True
    return False


def _problems(match: Match, misfits: set[str]) -> tuple[str, ...]:
    """List why a file that lacks some of the body is not just a part of a network."""
    expected, arrays = match.candidate.shapes, match.arrays
    problems = [
        f"{describe(name)} has shape {array.shape}, {expected[name]} is expected"
        for name, array in arrays.items()
        if name in misfits
    ]
    for entry in match.candidate.entries:
        if not any(name in arrays for name in entry.names):
            continue
        lacking = [name for name in entry.needed if name not in arrays]
        if lacking:
            present = next(name for name in entry.names if name in arrays)
            problems.append(
                f"{describe(present)} is there without {', '.join(map(describe, lacking))}"
            )
    return tuple(problems)


def _with_layers(match: Match, contents: Contents, place: _Place, head: Head | None) -> Match:
    """Take over what the file says about its layers, or hold it against the match."""
    layout, net = match.candidate.layout, match.architecture
    entries = [entry for entry in match.candidate.entries if entry.kernel in match.arrays]
    renamed = head.renamed if head is not None else {}
    kernels = {
        entry.layer: place.full_name(renamed.get(entry.kernel, entry.kernel)) for entry in entries
    }
    compared = compare_layers(net, contents.layers, kernels)
    reasons = {layer: f"{layer}: {reason}" for layer, reason in compared.problems.items()}
    notes, epsilons = list(match.notes), {}
    changes: Changes = {name: dict(fields) for name, fields in compared.changes.items()}
    for entry in entries:
        norm = entry.batch_norm or (entry.layer if isinstance(net[entry.layer], BatchNorm) else "")
        name = f"{entry.batch_norm}.weight" if entry.batch_norm else entry.kernel
        epsilon = compared.epsilons.get(place.full_name(name)) if norm else None
        if epsilon is None:
            continue
        if not 0 <= epsilon < math.inf:
            reasons[entry.layer] = f"{entry.layer}: its normalisation has an epsilon of {epsilon}"
        elif entry.batch_norm:
            epsilons[norm] = epsilon
        elif not math.isclose(epsilon, net[norm].epsilon, rel_tol=1e-6):
            changes[norm] = {"epsilon": epsilon}
    if changes:
        net = with_changes(net, changes)
        how = describe_changes(changes)
        notes.append(f"as the file says, {how}")
        expected = layout.shapes(net)
        reasons |= {
            entry.layer: f"{describe(name)} has shape {match.arrays[name].shape}, but with {how}, "
            f"as the file says, {expected[name]} is expected"
            for entry in entries
            for name in entry.names
            if name in match.arrays and match.arrays[name].shape != expected[name]
        }
    body = match.candidate.body
    return replace(
        match,
        architecture=net,
        problems=tuple(reason for layer, reason in reasons.items() if layer in body),
        missing={**match.missing, **reasons},
        epsilons=epsilons,
        notes=tuple(notes),
    )
