"""Draws of random rows of every class."""

from __future__ import annotations

import numpy as np

from .._utils.labels import as_labels, shown


def class_labels(y, splitter):
    if y is None:
        raise ValueError(f"{type(splitter).__name__} needs the class labels: pass y to split.")
    return as_labels(y)


def draw(rng, rows, labels, count, what):
    """Draw `count` random rows of each class; return them and the others as lists of arrays."""
    chosen, rest = [], []
    for label in np.unique(labels):
        of_class = rng.permutation(rows[labels == label])
        if len(of_class) < count:
            raise ValueError(
                f"class {shown(label)} has {len(of_class)} {what} rows, fewer than the {count} "
                "to draw."
            )
        chosen.append(of_class[:count])
        rest.append(of_class[count:])
    return chosen, rest
