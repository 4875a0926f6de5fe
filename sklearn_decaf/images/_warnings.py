"""Warnings about images: one a call, which lists all that it is about."""

from __future__ import annotations

import sys
import warnings

from ..exceptions import ImageWarning

_LISTED = 20
# Code of these is not where a user looks for the call that was warned of.
_INSIDE = ("sklearn_decaf", "sklearn")


def warn_of_failures(failures: list[tuple[int, str]], n_images: int, effect: str = "") -> None:
    """Warn of all images that could not be read, given as (row, message)."""
    _warn(f"{len(failures)} of {n_images} images could not be read{effect}", failures)


def warn_of_ignored_transparency(ignored: list[tuple[int, str]], n_images: int) -> None:
    """Warn of all images that were read as opaque, given as (row, name), if there are any."""
    if ignored:
        _warn(
            f"{len(ignored)} of {n_images} images are transparent everywhere and were read as if "
            "they were opaque",
            sorted(ignored),
        )


def _warn(title: str, rows: list[tuple[int, str]]) -> None:
    lines = [f"  {text}" for _, text in rows[:_LISTED]]
    if len(rows) > _LISTED:
        lines.append(f"  ... and {len(rows) - _LISTED} more")
    # in the name of the line that called the public method
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn("\n".join([f"{title}:", *lines]), ImageWarning, stacklevel=level)
