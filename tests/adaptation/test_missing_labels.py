"""Rows without a label, in all containers: classifiers, scores and splitters leave them alike."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score

from sklearn_decaf._adaptation.domains import check_sample_domain
from sklearn_decaf.adaptation import (
    DomainScaler,
    DomainSubsetClassifier,
    GeodesicFlowKernel,
    LateFusionClassifier,
    MMDTClassifier,
)
from sklearn_decaf.metrics import (
    target_accuracy,
    target_accuracy_score,
    target_mean_class_accuracy_score,
)
from sklearn_decaf.model_selection import DomainShuffleSplit, PerClassShuffleSplit

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

CLASSIFIERS = {
    "subset": DomainSubsetClassifier(LogisticRegression()),
    "fusion": LateFusionClassifier(LogisticRegression()),
    "mmdt": MMDTClassifier(),
}
CLASSES = {
    "int": [3, 5, 8],
    "str": ["bike", "mouse", "mug"],
    "bool": [False, True],
    "float": [0.0, 1.0, 2.0],
}
NULLABLE = {"int": "Int64", "str": "string", "bool": "boolean", "float": "Float64"}
MISSING = {
    "None": lambda y, gone, kind: with_values(y, gone, None),
    "NaN": lambda y, gone, kind: with_values(y, gone, np.nan),
    "NA": lambda y, gone, kind: pd.Series(with_values(y, gone, None), dtype=NULLABLE[kind]),
    "masked": lambda y, gone, kind: np.ma.array(y, mask=gone),
    "null": lambda y, gone, kind: pl.Series(with_values(y, gone, None).tolist()),
    "list": lambda y, gone, kind: with_values(y, gone, None).tolist(),
}


def with_values(y, gone, value):
    labels = y.astype(object)
    labels[gone] = value
    return labels


@pytest.fixture(scope="module", params=CLASSES)
def data(request):
    """X, labels with nothing missing, rows whose label is to go, domains, kind of the labels."""
    rng = np.random.default_rng(0)
    classes = np.array(CLASSES[request.param])
    codes = np.tile(np.arange(len(classes)), 30)[:60]
    sample_domain = np.repeat([1, -2], 30)
    X = rng.normal(size=(60, 6)) + 2 * np.eye(6)[codes] + (sample_domain < 0)[:, None]
    gone = np.zeros(60, bool)
    gone[[4, 11, 40, 41, 42, 59]] = True
    return X, classes[codes], gone, sample_domain, request.param


@pytest.mark.slow
@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name, missing, data):
    """As if the rows were not there, and with labels of the same type."""
    X, y, gone, sample_domain, kind = data
    labels = MISSING[missing](y, gone, kind)
    expected = CLASSIFIERS[name].fit(X[~gone], y[~gone], sample_domain=sample_domain[~gone])
    predicted = expected.predict(X)
    score = expected.score(X[~gone], y[~gone])
    classifier = CLASSIFIERS[name].fit(X, labels, sample_domain=sample_domain)
    assert_array_equal(classifier.classes_, np.unique(y), strict=True)
    found = classifier.predict(X)
    assert found.dtype == y.dtype
    assert_array_equal(found, predicted)
    assert classifier.score(X, labels) == score
    assert score == accuracy_score(y[~gone], predicted[~gone])
    weight = np.arange(60.0)
    weighted = accuracy_score(y[~gone], predicted[~gone], sample_weight=weight[~gone])
    assert classifier.score(X, labels, sample_weight=weight) == weighted


@pytest.mark.parametrize("missing", MISSING)
def test_missing_labels_tell_the_target(missing, data):
    X, y, _, _, kind = data
    target = np.arange(60) >= 45
    labels = MISSING[missing](y, target, kind)
    sample_domain = np.where(target, -2, 1)
    for estimator in (GeodesicFlowKernel(2), GeodesicFlowKernel(2, source_basis="pls")):
        expected = estimator.fit(X, y, sample_domain=sample_domain).components_
        assert_array_equal(estimator.fit(X, labels).components_, expected)
    expected = DomainScaler().fit_transform(X, y, sample_domain=sample_domain)
    assert_array_equal(DomainScaler().fit_transform(X, labels), expected)


@pytest.mark.parametrize("missing", MISSING)
def test_metrics(missing, data):
    _, y, gone, sample_domain, kind = data
    predicted = np.roll(y, 1)
    predicted[::2] = y[::2]
    labels = MISSING[missing](y, gone, kind)
    for metric in (target_accuracy_score, target_mean_class_accuracy_score):
        expected = metric(y[~gone], predicted[~gone], sample_domain=sample_domain[~gone])
        assert metric(labels, predicted, sample_domain=sample_domain) == expected


@pytest.mark.parametrize("missing", MISSING)
def test_splitters(missing, data):
    X, y, gone, sample_domain, kind = data
    labels = MISSING[missing](y, gone, kind)
    target = sample_domain < 0
    splitter = DomainShuffleSplit(5, 2, n_splits=2, random_state=0)
    for train, test in splitter.split(X, labels, sample_domain=sample_domain):
        assert set(np.flatnonzero(gone & target)) <= set(train)
        assert not gone[test].any() and not gone[train][~target[train]].any()
        counts = np.unique(y[train][target[train] & ~gone[train]], return_counts=True)[1]
        assert (counts == 2).all()
    for train, test in PerClassShuffleSplit(4, n_splits=2, random_state=0).split(X, labels):
        assert sorted([*train, *test]) == np.flatnonzero(~gone).tolist()
        assert (np.unique(y[train], return_counts=True)[1] == 4).all()


@pytest.mark.slow
@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize("missing", ["None", "NA", "masked"])
def test_cross_validation(missing, routing, data):
    X, y, gone, sample_domain, kind = data
    labels = MISSING[missing](y, gone, kind)
    minus_one = np.where(gone, -1, np.unique(y, return_inverse=True)[1])
    scores = []
    for target in (labels, minus_one):
        splits = list(
            DomainShuffleSplit(5, 2, n_splits=3, random_state=0).split(
                X, target, sample_domain=sample_domain
            )
        )
        with config_context(enable_metadata_routing=routing):
            model = DomainSubsetClassifier(LogisticRegression())
            params = {"sample_domain": sample_domain}
            scores.append(
                cross_val_score(
                    model,
                    X,
                    target,
                    cv=splits,
                    scoring=target_accuracy,
                    params=params,
                    error_score="raise",
                )
            )
    assert_array_equal(*scores)


def test_masked_domains_are_refused():
    with pytest.raises(ValueError, match="masked"):
        check_sample_domain(np.ma.array([1, -2, 1], mask=[0, 1, 0]), 3)
    assert check_sample_domain(np.ma.array([1, -2, 1]), 3).tolist() == [1, -2, 1]
    with pytest.raises(ValueError, match=r"value (<NA>|nan)"):
        check_sample_domain(pd.array([1, None, -2], dtype="Int64"), 3)
    with pytest.raises(ValueError, match="nan"):
        check_sample_domain(pl.Series([1, None, -2]), 3)
