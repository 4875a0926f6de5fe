"""Passages that the docstrings of several functions share."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import indent
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)


def fill_docstring(**passages: str) -> Callable[[Function], Function]:
    """Put shared passages into the docstring of the decorated function.

    Parameters
    ----------
    **passages : str
        Each takes the place of the line ``%(name)s`` and is indented as that line is.

    Returns
    -------
    decorator : callable
        It changes the docstring alone and returns the function itself.

    Raises
    ------
    ValueError
        When the function is decorated, if its docstring does not have one of the lines.

    Examples
    --------
    >>> from sklearn_decaf._utils.docstrings import fill_docstring
    >>> @fill_docstring(delay="delay : float\\n    Seconds to wait.")
    ... def fetch(delay):
    ...     \"\"\"Fetch a file.
    ...
    ...     Parameters
    ...     ----------
    ...     %(delay)s
    ...     \"\"\"
    >>> import inspect
    >>> print(inspect.getdoc(fetch))
    Fetch a file.
    <BLANKLINE>
    Parameters
    ----------
    delay : float
        Seconds to wait.
    """

    def decorate(function: Function) -> Function:
        if function.__doc__ is None:  # python -OO
            return function
        lines = function.__doc__.split("\n")
        for name, passage in passages.items():
            places = [i for i, line in enumerate(lines) if line.strip() == f"%({name})s"]
            if len(places) != 1:
                raise ValueError(
                    f"the docstring of {function.__qualname__} has {len(places)} lines "
                    f"'%({name})s': it must have one."
                )
            (i,) = places
            margin = lines[i][: -len(lines[i].lstrip())]
            lines[i : i + 1] = indent(passage.strip("\n"), margin).split("\n")
        function.__doc__ = "\n".join(lines)
        return function

    return decorate
