"""Splitters: the counts of the protocols, published splits, bad inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sklearn_decaf.model_selection import (
    DomainShuffleSplit,
    PerClassShuffleSplit,
    PredefinedDomainSplit,
)


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    sample_domain = rng.permutation(np.repeat([1, 2, -3], [60, 40, 50]))
    y = rng.permutation(np.arange(150) % 4)
    return y, sample_domain


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
    with pytest.raises(ValueError, match="pass y to split"):
        list(DomainShuffleSplit(1).split(np.ones(3), groups=[1, 1, -1]))
    with pytest.raises(ValueError, match="got 3 for 4 rows"):
        list(PerClassShuffleSplit(1).split(np.ones(4), [0, 0, 0]))


def test_saenko_protocol(domains):
    y, sample_domain = domains
    splitter = DomainShuffleSplit(5, 3, n_splits=4, random_state=0)
    for train, test in splitter.split(y, y, sample_domain=sample_domain):
        for domain, count in ((1, 5), (2, 5), (-3, 3)):
            of_domain = train[sample_domain[train] == domain]
            assert (np.bincount(y[of_domain]) == count).all()
        target = np.flatnonzero(sample_domain < 0)
        assert sorted([*test, *train[sample_domain[train] < 0]]) == target.tolist()


def test_counts_per_source_domain(domains):
    y, sample_domain = domains
    splitter = DomainShuffleSplit({1: 6, 2: 2}, 1, n_splits=1, random_state=0)
    train, _ = next(splitter.split(y, y, sample_domain=sample_domain))
    assert [(sample_domain[train] == d).sum() for d in (1, 2, -3)] == [24, 8, 4]
    train, _ = next(DomainShuffleSplit(None, 1).split(y, y, sample_domain=sample_domain))
    assert (sample_domain[train] > 0).sum() == 100
    with pytest.raises(ValueError, match=r"no entry for the source domain 2; it has \[1\]"):
        next(DomainShuffleSplit({1: 6}).split(y, y, sample_domain=sample_domain))


def test_unlabelled_target_rows_are_trained_on_and_never_tested(domains):
    y, sample_domain = domains
    y = y.copy()
    hidden = np.flatnonzero(sample_domain < 0)[:10]
    y[hidden] = -1
    for train, test in DomainShuffleSplit(5, 2, n_splits=3).split(
        y, y, sample_domain=sample_domain
    ):
        assert set(hidden) <= set(train)
        assert (y[test] != -1).all()


def test_string_labels_and_groups(domains):
    y, sample_domain = domains
    words = np.array(["a", "b", "c", "d"], dtype=object)[y]
    words[np.flatnonzero(sample_domain < 0)[0]] = None
    by_groups = list(
        DomainShuffleSplit(5, 3, n_splits=1, random_state=0).split(words, words, sample_domain)
    )
    by_name = list(
        DomainShuffleSplit(5, 3, n_splits=1, random_state=0).split(
            words, words, sample_domain=sample_domain
        )
    )
    assert np.array_equal(by_groups[0][0], by_name[0][0])
    with pytest.raises(ValueError, match="not as both"):
        next(DomainShuffleSplit().split(words, words, sample_domain, sample_domain))


@pytest.mark.parametrize(
    ("params", "domain", "words"),
    [
        ({}, 1, "labelled target rows"),
        ({}, -1, "labelled source rows"),
        ({"n_source_per_class": 99}, None, r"class 0 has \d+ source \(domain 1\) rows"),
        ({"n_source_per_class": 1, "n_target_per_class": 99}, None, r"target \(domain -3\) rows"),
        (
            {"n_source_per_class": 0},
            None,
            "n_source_per_class=0: it must be an integer of at least 1",
        ),
    ],
)
def test_saenko_errors(domains, params, domain, words):
    y, sample_domain = domains
    with pytest.raises(ValueError, match=words):
        next(
            DomainShuffleSplit(**params).split(
                y, y, sample_domain=sample_domain if domain is None else domain
            )
        )


def test_no_target_row_left_to_test_on():
    y, sample_domain = [0, 1, 0, 1], [1, 1, -2, -2]
    with pytest.raises(ValueError, match="none is left to test on"):
        next(DomainShuffleSplit(1, 1).split(y, y, sample_domain=sample_domain))


def test_published_splits_count_rows_by_domain():
    sample_domain = np.array([-2, 1, -2, 1, 3, -2])
    splitter = PredefinedDomainSplit([[0], [1]], [[2], [0]], [[0], [1, 2]], source=1)
    splits = [
        (a.tolist(), b.tolist()) for a, b in splitter.split(sample_domain, None, sample_domain)
    ]
    assert splits == [([1, 5], [0]), ([3, 0], [2, 5])]
    assert splitter.get_n_splits() == 2
    one_based = PredefinedDomainSplit([[1]], [[3]], source=1, index_base=1)
    ((train, test),) = one_based.split(sample_domain, sample_domain=sample_domain)
    assert (train.tolist(), test.tolist()) == ([1, 5], [0, 2])


@pytest.mark.parametrize(
    ("splitter", "words"),
    [
        (PredefinedDomainSplit([[0]], [[0]]), r"source domains \[1, 3\]: pass source="),
        (PredefinedDomainSplit([[0]], [[0]], source=9), "no source domain 9"),
        (PredefinedDomainSplit([[2]], [[0]], source=1), r"source_train\[0\] holds row 2.*0 to 1"),
        (PredefinedDomainSplit([[0]], [[3]], source=1, index_base=1), r"holds row 0.*1 to 2"),
        (PredefinedDomainSplit([[0]], [[0]], [[0]], source=1), "tests on target rows"),
        (PredefinedDomainSplit([[0]], [[0], [1]], source=1), "one entry per split; got 1, 2 and 1"),
        (PredefinedDomainSplit([[0]], [[0]], index_base=2), "index_base=2: it must be 0 or 1"),
    ],
)
def test_published_split_errors(splitter, words):
    sample_domain = np.array([-2, 1, -2, 1, 3, -2])
    with pytest.raises(ValueError, match=words):
        list(splitter.split(sample_domain, sample_domain=sample_domain))


def test_matlab_file(tmp_path):
    from scipy.io import savemat

    def cells(*columns):
        out = np.empty((1, len(columns)), dtype=object)
        out[0] = [np.atleast_2d(np.array(c, dtype=np.uint16)) for c in columns]
        return out

    path = tmp_path / "splits.mat"
    savemat(
        path,
        {
            "train": {"source": cells([1, 2], [2, 3]), "target": cells([1], [2])},
            "test": {"source": cells([3], [1]), "target": cells([2, 3], [1, 3])},
        },
    )
    splitter = PredefinedDomainSplit.from_mat(path)
    sample_domain = np.repeat([1, -2], 3)
    splits = [
        (a.tolist(), b.tolist())
        for a, b in splitter.split(sample_domain, sample_domain=sample_domain)
    ]
    assert splits == [([0, 1, 3], [4, 5]), ([1, 2, 4], [3, 5])]
    savemat(path, {"train": {"source": cells([1])}})
    with pytest.raises(ValueError, match="holds no splits"):
        PredefinedDomainSplit.from_mat(path)


def test_published_files(shared_data):
    folder = shared_data / "office_caltech10_mmdt_splits"
    files = sorted(folder.glob("*.mat"))
    assert len(files) == 12
    sizes = {"amazon": 958, "caltech": 1123, "dslr": 157, "webcam": 295}
    for path in files:
        source, target = path.name.split("_")[1].split("-")
        sample_domain = np.repeat([1, -2], [sizes[source], sizes[target]])
        splitter = PredefinedDomainSplit.from_mat(path)
        assert splitter.get_n_splits() == 20
        for train, test in splitter.split(sample_domain, sample_domain=sample_domain):
            n_source = (sample_domain[train] > 0).sum()
            assert n_source == (200 if source == "amazon" else 80)
            assert len(train) - n_source == 30
            assert len(test) == sizes[target] - 30 and (sample_domain[test] < 0).all()


def test_as_cv_with_and_without_routing(domains):
    y, sample_domain = domains
    X = np.random.default_rng(0).normal(size=(150, 3)) + y[:, None]
    splitter = DomainShuffleSplit(5, 3, n_splits=3, random_state=0)
    off = cross_val_score(KNeighborsClassifier(), X, y, cv=splitter, groups=sample_domain)
    with config_context(enable_metadata_routing=True):
        on = cross_val_score(
            KNeighborsClassifier(), X, y, cv=splitter, params={"sample_domain": sample_domain}
        )
    assert np.array_equal(on, off)
    search = GridSearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=PerClassShuffleSplit(5)
    )
    assert search.fit(X, y).best_score_ > 0


def test_representation():
    assert repr(DomainShuffleSplit(8, random_state=1)).startswith("DomainShuffleSplit(")
    assert "train_per_class=30" in repr(PerClassShuffleSplit())
