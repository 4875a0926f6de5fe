"""The same number of training rows from every class: counts, chance, bad inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from sklearn_decaf.model_selection import (
    PerClassShuffleSplit,
)


@given(
    sizes=st.lists(st.integers(4, 30), min_size=1, max_size=6),
    train=st.integers(1, 3),
    test=st.none() | st.integers(1, 10),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_per_class_counts(sizes, train, test, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    splitter = PerClassShuffleSplit(train, test, n_splits=2, random_state=seed)
    splits = list(splitter.split(y, y))
    assert len(splits) == splitter.get_n_splits() == 2
    for train_rows, test_rows in splits:
        assert not set(train_rows) & set(test_rows)
        assert (np.bincount(y[train_rows], minlength=len(sizes)) == train).all()
        left = np.array(sizes) - train
        assert (
            np.bincount(y[test_rows]) == (left if test is None else np.minimum(left, test))
        ).all()
    again = list(PerClassShuffleSplit(train, test, n_splits=2, random_state=seed).split(y, y))
    for one, other in zip(splits, again):
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


def test_per_class_is_random_and_in_random_order():
    y = np.repeat(["a", "b"], 50)
    splits = list(PerClassShuffleSplit(10, 10, n_splits=2, random_state=0).split(y, y))
    assert set(splits[0][0]) != set(splits[1][0])
    assert (np.diff(splits[0][0]) < 0).any()
    assert y[splits[0][0][:10]].tolist() != ["a"] * 10


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"train_per_class": 5}, "class 'b' has 4 training rows, fewer than the 5 to draw"),
        ({"train_per_class": 4}, r"class 'b' has 4 rows: with train_per_class=4 none is left"),
        ({"train_per_class": 0}, "train_per_class=0: it must be an integer of at least 1"),
        ({"train_per_class": 2.5}, "train_per_class=2.5: it must be"),
        ({"train_per_class": True}, "train_per_class=True: it must be"),
        ({"train_per_class": 1, "test_per_class": 0}, "test_per_class=0: it must be"),
        ({"train_per_class": 1, "n_splits": 0}, "n_splits=0: it must be"),
    ],
)
def test_per_class_errors(params, words):
    y = np.repeat(["a", "b"], [9, 4])
    with pytest.raises(ValueError, match=words):
        list(PerClassShuffleSplit(**params).split(y, y))


def test_labels_are_needed():
    with pytest.raises(ValueError, match="pass y to split"):
        list(PerClassShuffleSplit(1).split(np.ones(3)))
    with pytest.raises(ValueError, match="got 3 for 4 rows"):
        list(PerClassShuffleSplit(1).split(np.ones(4), [0, 0, 0]))


def test_as_cv():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(150) % 4)
    X = rng.normal(size=(150, 3)) + y[:, None]
    search = GridSearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=PerClassShuffleSplit(5)
    )
    assert search.fit(X, y).best_score_ > 0
