"""Checks of parameters that functions share; those of estimators are scikit-learn's."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral


def check_integer(name: str, value: object, *, minimum: int = 1) -> int:
    """Return a parameter as an int, if it is an integer of at least `minimum`.

    True and False are refused, although Python counts them as integers.

    Raises
    ------
    ValueError
        If it is anything else. The message names the parameter, its value and the bound.

    Examples
    --------
    >>> from sklearn_decaf._utils.validation import check_integer
    >>> check_integer("batch_size", 32)
    32
    >>> check_integer("batch_size", 0)
    Traceback (most recent call last):
        ...
    ValueError: batch_size=0: it must be an integer of at least 1.
    """
    if not is_integer(value) or value < minimum:
        raise ValueError(f"{name}={value!r}: it must be an integer of at least {minimum}.")
    return int(value)


def check_integers(name: str, values: object, *, minimum: int = 1) -> tuple[int, ...]:
    """Return a parameter as a tuple, if it is a sequence of one or more such integers.

    Raises
    ------
    ValueError
        If it is anything else. The message names the parameter, its value and the bound.
    """
    good = isinstance(values, tuple | list) and len(values) > 0
    if not good or not all(is_integer(value) and value >= minimum for value in values):
        raise ValueError(
            f"{name}={values!r}: it must be a tuple of integers, each of at least {minimum}."
        )
    return tuple(map(int, values))


def check_option(name: str, value: object, options: Iterable[str | None]) -> None:
    """Make sure that a parameter is one of the strings that are known, or None if that is one.

    Raises
    ------
    ValueError
        If it is none of them. The message names the parameter, its value and all of them.

    Examples
    --------
    >>> from sklearn_decaf._utils.validation import check_option
    >>> check_option("subset", "val", ("all", "train", "test"))
    Traceback (most recent call last):
        ...
    ValueError: subset='val': it must be 'all', 'train' or 'test'.
    """
    options = list(options)
    if not (value is None or isinstance(value, str)) or value not in options:
        *others, last = map(repr, options)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}={value!r}: it must be {listed}.")


def is_integer(value: object) -> bool:
    """Tell whether a value is an integer, of Python or NumPy, and not True or False."""
    return isinstance(value, Integral) and not isinstance(value, bool)
