"""Checks of parameters name the parameter, its value and what it must be."""

import numpy as np
import pytest

from sklearn_decaf._utils.validation import check_integer, check_integers, check_option


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(255)])
def test_integers(value):
    checked = check_integer("n", value)
    assert checked == value and type(checked) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.True_, np.int64(0), [1], np.nan])
def test_anything_else(value):
    with pytest.raises(ValueError) as caught:
        check_integer("n", value)
    assert str(caught.value) == f"n={value!r}: it must be an integer of at least 1."


def test_the_bound():
    assert check_integer("n", 0, minimum=0) == 0
    with pytest.raises(ValueError, match=r"^n=1: it must be an integer of at least 2\.$"):
        check_integer("n", 1, minimum=2)


@pytest.mark.parametrize("values", [(1,), [1, 2], (np.int64(3), 4)])
def test_several_integers(values):
    checked = check_integers("sizes", values)
    assert checked == tuple(values) and all(type(value) is int for value in checked)


@pytest.mark.parametrize("values", [(), [], 1, "12", (0, 1), (1, True), (1.0,), ("1",), None])
def test_anything_else_but_several_integers(values):
    with pytest.raises(ValueError) as caught:
        check_integers("sizes", values)
    assert str(caught.value) == (
        f"sizes={values!r}: it must be a tuple of integers, each of at least 1."
    )


def test_options():
    check_option("kind", "layer", ("layer", "type"))
    check_option("base", None, ("a", None))
    with pytest.raises(ValueError, match=r"^kind='x': it must be 'layer' or 'type'\.$"):
        check_option("kind", "x", ("layer", "type"))
    with pytest.raises(ValueError, match=r"^kind=\['layer'\]: it must be 'layer'\.$"):
        check_option("kind", ["layer"], ("layer",))
    for value in (True, 0, np.zeros(2), None):
        with pytest.raises(ValueError, match="it must be 'layer' or 'type'"):
            check_option("kind", value, ("layer", "type"))
    check_option("kind", np.str_("type"), ("layer", "type"))
