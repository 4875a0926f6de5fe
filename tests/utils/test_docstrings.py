"""Shared passages in docstrings."""

import inspect

import pytest

from sklearn_decaf._utils.docstrings import fill_docstring


def test_passages_take_the_indentation_of_their_place():
    @fill_docstring(one="a : int\n    First.\n\nb : int\n    Second.", two="Text.")
    def function():
        """Do it.

        %(one)s

            %(two)s
        100 %
        """

    assert inspect.getdoc(function) == (
        "Do it.\n\na : int\n    First.\n\nb : int\n    Second.\n\n    Text.\n100 %"
    )


def test_a_docstring_without_the_place():
    with pytest.raises(ValueError, match=r"has 0 lines '%\(one\)s'"):

        @fill_docstring(one="text")
        def function():
            """Do it: %(one)s."""


def test_no_docstring_at_all():
    def function():
        pass

    assert fill_docstring(one="text")(function) is function
    assert function.__doc__ is None
