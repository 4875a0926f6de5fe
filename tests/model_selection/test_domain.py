"""Splits of source and target rows: the counts of the protocol, published splits, bad inputs."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.model_selection import cross_val_score
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


def test_labels_are_needed():
    with pytest.raises(ValueError, match="pass y to split"):
        list(DomainShuffleSplit(1).split(np.ones(3), groups=[1, 1, -1]))


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


def test_representation():
    assert repr(DomainShuffleSplit(8, random_state=1)).startswith("DomainShuffleSplit(")
    assert "train_per_class=30" in repr(PerClassShuffleSplit())
