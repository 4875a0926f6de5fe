"""How messages name what a file holds."""

from __future__ import annotations


def describe(value: object) -> str:
    """A short name for a value, for messages; containers are never printed (they may be cyclic)."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return getattr(value, "description", None) or type(value).__name__
