"""The public names of the package, found by walking through its public modules."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from sklearn.base import BaseEstimator

import sklearn_decaf


def public_names() -> Iterator[tuple[str, object]]:
    """Each public object once, by the shortest of its names."""
    seen = set()
    for name in ("", *(f".{module}" for module in sklearn_decaf._MODULES)):
        module = import_module("sklearn_decaf" + name)
        for attribute in getattr(module, "__all__", ()):
            value = getattr(module, attribute)
            if id(value) not in seen:
                seen.add(id(value))
                yield f"{module.__name__}.{attribute}", value


def public_estimators() -> list[tuple[str, type[BaseEstimator]]]:
    """(public name, class) of all estimators."""
    return [
        (name, value)
        for name, value in public_names()
        if isinstance(value, type) and issubclass(value, BaseEstimator)
    ]


def public_displays() -> list[tuple[str, type]]:
    """(public name, class) of everything that is drawn from an estimator."""
    return [
        (name, value)
        for name, value in public_names()
        if isinstance(value, type) and hasattr(value, "from_estimator")
    ]
