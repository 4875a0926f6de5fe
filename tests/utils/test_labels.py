"""Class labels in all containers, some of them missing: which are, and what the others stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning

from sklearn_decaf._utils.labels import as_labels, is_missing, plain_labels

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

KINDS = {
    "int": st.integers(-(2**40), 2**40),
    "str": st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1).filter(
        lambda text: text != "nan"
    ),
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False),
}
NULLABLE = {"int": "Int64", "str": "string", "bool": "boolean", "float": "Float64"}


def object_array(labels):
    array = np.empty(len(labels), object)
    array[:] = labels
    return array


def masked_array(labels):
    missing = [label is None for label in labels]
    known = next((label for label in labels if label is not None), 0)
    return np.ma.array([known if label is None else label for label in labels], mask=missing)


CONTAINERS = {
    "list": lambda labels, kind: labels,
    "tuple": lambda labels, kind: tuple(labels),
    "object array": lambda labels, kind: object_array(labels),
    "NaN": lambda labels, kind: object_array([np.nan if x is None else x for x in labels]),
    "list with NaN": lambda labels, kind: [float("nan") if x is None else x for x in labels],
    "pandas.NA": lambda labels, kind: object_array([pd.NA if x is None else x for x in labels]),
    "masked array": lambda labels, kind: masked_array(labels),
    "nullable Series": lambda labels, kind: pd.Series(labels, dtype=NULLABLE[kind]),
    "object Series": lambda labels, kind: pd.Series(
        labels, dtype=object, index=range(7, 7 + len(labels))
    ),
    "nullable array": lambda labels, kind: pd.array(labels, dtype=NULLABLE[kind]),
    "category": lambda labels, kind: pd.Series(pd.Categorical(labels)),
    "Categorical": lambda labels, kind: pd.Categorical(labels),
    "polars": lambda labels, kind: pl.Series(labels),
    "polars frame": lambda labels, kind: pl.DataFrame({"y": labels}),
    "pandas frame": lambda labels, kind: pd.DataFrame({"y": pd.array(labels, NULLABLE[kind])}),
    "Arrow": lambda labels, kind: pa.array(labels),
    "Arrow chunks": lambda labels, kind: pa.chunked_array(
        [labels[:1], labels[1:]], pa.array(labels).type
    ),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_labels_keep_their_type_beside_missing_ones(kind, container, data):
    labels = data.draw(st.lists(st.none() | KINDS[kind], min_size=1, max_size=8))
    labels.append(data.draw(KINDS[kind]))
    found = as_labels(CONTAINERS[container](labels, kind))
    missing = is_missing(found)
    assert missing.tolist() == [label is None for label in labels]
    known = plain_labels(found[~missing])
    assert known.tolist() == [label for label in labels if label is not None]
    assert known.dtype.kind == {"int": "i", "str": "U", "bool": "b", "float": "f"}[kind]


def test_other_labels():
    assert as_labels(np.array([[0], [1]])).tolist() == [0, 1]
    assert is_missing(as_labels(np.array(["mug", np.nan]))).tolist() == [False, True]
    assert is_missing(as_labels(np.array([0.5, np.nan]))).tolist() == [False, True]
    assert is_missing(np.array(["NaT", "2020-01-01"], "M8[D]")).tolist() == [True, False]
    assert plain_labels(object_array(["mug", 3])).tolist() == ["mug", 3]
    assert plain_labels(object_array([1, 2.5])).tolist() == [1.0, 2.5]
    assert as_labels([]).tolist() == []
    given = np.arange(3)
    assert as_labels(given) is given or (as_labels(given) == given).all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_one_column_is_warned_of_and_two_are_refused(frame):
    with pytest.warns(DataConversionWarning, match="one column"):
        assert as_labels(frame({"y": [0, 1]}), warn=True).tolist() == [0, 1]
    with pytest.raises(ValueError, match="1d array"):
        as_labels(frame({"y": [0, 1], "z": [0, 1]}))
    with pytest.raises(ValueError, match="1d array"):
        as_labels([[0, 1], [1, 0]])
