"""Domain labels: what is accepted, what is refused and with which words."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from sklearn_decaf._adaptation.domains import check_sample_domain, is_unlabelled
from sklearn_decaf.adaptation import (
    DomainScaler,
    DomainSubsetClassifier,
    FeatureAugmentation,
    GeodesicFlowKernel,
    LateFusionClassifier,
    MMDTClassifier,
)

ALL = [
    DomainSubsetClassifier(LinearSVC()),
    LateFusionClassifier(LinearSVC()),
    FeatureAugmentation(),
    DomainScaler(),
    GeodesicFlowKernel(2),
    MMDTClassifier(),
]
CLASSIFIERS = [e for e in ALL if hasattr(e, "predict")]


def name(estimator):
    return type(estimator).__name__


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2], 20)
    sample_domain = np.repeat([1, -2], 30)
    X = rng.normal(size=(60, 6)) + 2 * np.eye(6)[y] + (sample_domain < 0)[:, None]
    return X, y, sample_domain


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([True, False, True], "booleans"),
        (np.array([True, False, 1], dtype=object), "True"),
        (["amazon", "webcam", "webcam"], "Give every domain a number"),
        ([1.0, -2.5, 1.0], "-2.5"),
        ([1.0, np.nan, 1.0], "nan"),
        ([1.0, np.inf, 1.0], "inf"),
        ([1, None, -1], "None"),
        ([1, -2], "got 2 values for 3 rows"),
        ([[1], [-2], [1]], r"shape \(3, 1\)"),
        (np.array([1 + 1j, 2, 3]), "complex"),
        (sparse.csr_matrix([[1, -2, 1]]), "sparse"),
        (True, "booleans"),
    ],
)
def test_labels_that_could_be_misread_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        check_sample_domain(labels, 3)


def test_labels_that_are_accepted():
    pandas = pytest.importorskip("pandas")
    for labels in (
        [1, -2, 0],
        np.array([1.0, -2.0, 0.0], dtype=np.float32),
        pandas.Series([1, -2, 0], index=[7, 8, 9]),
        pandas.array([1, -2, 0], dtype="Int64"),
        np.array([1, -2, 0], dtype=object),
    ):
        assert check_sample_domain(labels, 3).tolist() == [1, -2, 0]
    assert check_sample_domain(-3, 2).tolist() == [-3, -3]
    assert check_sample_domain(np.int8(2), 2).tolist() == [2, 2]


def test_unlabelled_rows_by_type_of_labels():
    assert is_unlabelled([0, -1, 2]).tolist() == [False, True, False]
    assert is_unlabelled([0.0, np.nan, -1.0]).tolist() == [False, True, True]
    assert is_unlabelled(np.array(["mug", -1])).tolist() == [False, True]
    mixed = np.array(["mug", -1, None, np.nan, "-1", 3], dtype=object)
    assert is_unlabelled(mixed).tolist() == [False, True, True, True, True, False]
    pandas = pytest.importorskip("pandas")
    assert is_unlabelled(pandas.array([1, None], dtype="Int64")).tolist() == [False, True]


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_source_is_zero_and_above_and_a_scalar_broadcasts(estimator, data):
    X, y, sample_domain = data
    estimator.fit(X, y, sample_domain=np.where(sample_domain > 0, 0, -1))
    with pytest.raises(ValueError, match="target"):
        estimator.fit(X, y, sample_domain=0)
    with pytest.raises(ValueError, match="source"):
        estimator.fit(X, y, sample_domain=-1)


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_inputs_are_left_alone(estimator, data):
    X, y, sample_domain = data
    y = y.copy()
    y[50:] = -1
    given = X, y, sample_domain
    before = [a.copy() for a in given]
    for array in given:
        array.setflags(write=False)
    estimator.fit(X, y, sample_domain=sample_domain)
    method = estimator.predict if hasattr(estimator, "predict") else estimator.transform
    method(X, sample_domain=sample_domain)
    for array, copy in zip(given, before):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_minus_one_is_never_a_class(estimator, data):
    X, y, sample_domain = data
    masked = y.copy()
    masked[40:] = -1
    estimator.fit(X, masked, sample_domain=sample_domain)
    assert estimator.classes_.tolist() == [0, 1, 2]
    as_floats = np.where(masked == -1, np.nan, masked)
    estimator.fit(X, as_floats, sample_domain=sample_domain)
    assert estimator.classes_.tolist() == [0, 1, 2]
    assert set(estimator.predict(X)) <= {0, 1, 2}


@pytest.mark.parametrize("labels", ["str", "object"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_string_labels_with_and_without_unlabelled_rows(estimator, data, labels):
    X, y, sample_domain = data
    words = np.array(["mug", "bike", "mouse"])[y]
    if labels == "object":
        words = words.astype(object)
        words[55:] = -1
    elif labels == "str":
        words[55:] = "-1"
    estimator.fit(X, words, sample_domain=sample_domain)
    assert estimator.classes_.tolist() == ["bike", "mouse", "mug"]
    assert estimator.score(X, words, sample_domain=sample_domain) > 0.7


def test_fit_without_domains_takes_the_unlabelled_rows_as_target(data):
    X, y, sample_domain = data
    masked = np.where(sample_domain < 0, -1, y)
    by_labels = GeodesicFlowKernel(2).fit(X, masked)
    by_domains = GeodesicFlowKernel(2).fit(X, sample_domain=sample_domain)
    assert np.array_equal(by_labels.components_, by_domains.components_)
    both = FeatureAugmentation().fit_transform(X, masked)
    assert np.array_equal(both, FeatureAugmentation().fit_transform(X, sample_domain=sample_domain))
    with pytest.raises(ValueError, match="labelled target rows, and there is none"):
        MMDTClassifier().fit(X, masked)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_no_labelled_target_rows_is_named(estimator, data):
    X, y, sample_domain = data
    masked = np.where(sample_domain < 0, -1, y)
    with pytest.raises(ValueError, match=r"labelled target rows.*domain -2: 30 samples"):
        estimator.fit(X, masked, sample_domain=sample_domain)
    with pytest.raises(ValueError, match="labelled source rows"):
        estimator.fit(X, np.where(sample_domain > 0, -1, y), sample_domain=sample_domain)
    with pytest.raises(ValueError, match="no labelled row"):
        estimator.fit(X, np.full(60, -1), sample_domain=sample_domain)


@pytest.mark.parametrize("train_on", ["source", "target", "both"])
def test_subset_is_the_classifier_on_those_rows(data, train_on):
    X, y, sample_domain = data
    rows = {"source": sample_domain > 0, "target": sample_domain < 0, "both": np.full(60, True)}
    expected = LogisticRegression().fit(X[rows[train_on]], y[rows[train_on]])
    classifier = DomainSubsetClassifier(LogisticRegression(), train_on)
    classifier.fit(X, y, sample_domain=sample_domain)
    assert np.array_equal(classifier.decision_function(X), expected.decision_function(X))
    assert np.array_equal(classifier.predict_proba(X), expected.predict_proba(X))
    assert np.array_equal(classifier.predict_log_proba(X), expected.predict_log_proba(X))
    assert np.array_equal(classifier.predict(X), expected.predict(X))
    assert classifier.score(X, y) == expected.score(X, y)


def test_subset_needs_only_the_domain_it_trains_on(data):
    X, y, sample_domain = data
    source = DomainSubsetClassifier(LinearSVC(), "source").fit(X, y, sample_domain=1)
    assert source.predict(X).shape == (60,)
    masked = np.where(sample_domain < 0, -1, y)
    DomainSubsetClassifier(LinearSVC(), "source").fit(X, masked)
    with pytest.raises(ValueError, match=r"train_on='target'\) needs labelled target rows"):
        DomainSubsetClassifier(LinearSVC(), "target").fit(X, y, sample_domain=1)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [DomainSubsetClassifier, LateFusionClassifier])
def test_sample_weight_reaches_the_right_rows(data, cls):
    X, y, sample_domain = data
    weight = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    repeated = np.repeat(np.arange(60), weight.astype(int))
    weighted = cls(LogisticRegression(C=1, tol=1e-10))
    weighted.fit(X, y, sample_domain=sample_domain, sample_weight=weight)
    again = cls(LogisticRegression(C=1, tol=1e-10))
    again.fit(X[repeated], y[repeated], sample_domain=sample_domain[repeated])
    assert np.allclose(weighted.decision_function(X), again.decision_function(X), atol=1e-4)


def test_sample_weight_that_the_estimator_does_not_take_is_an_error(data):
    X, y, sample_domain = data
    with pytest.raises(TypeError, match="sample_weight"):
        DomainSubsetClassifier(KNeighborsClassifier()).fit(
            X, y, sample_domain=sample_domain, sample_weight=np.ones(60)
        )


def test_subset_takes_lists_of_anything():
    class FirstLetter(LogisticRegression):
        def fit(self, X, y, **params):
            return super().fit([[ord(x[0])] for x in X], y, **params)

        def predict(self, X):
            return super().predict([[ord(x[0])] for x in X])

    paths, y = ["a1.jpg", "b1.jpg", "a2.jpg", "b2.jpg"], ["a", "b", "a", "b"]
    classifier = DomainSubsetClassifier(FirstLetter(C=1e4), "both")
    classifier.fit(paths, y, sample_domain=[1, 1, -2, -2])
    assert classifier.predict(["a9.jpg", "b9.jpg"]).tolist() == ["a", "b"]


def test_late_fusion_scores(data):
    X, y, sample_domain = data
    source = LinearSVC(random_state=0).fit(X[:30], y[:30]).decision_function(X)
    target = LinearSVC(random_state=0).fit(X[30:], y[30:]).decision_function(X)
    svm = LinearSVC(random_state=0)
    linear = LateFusionClassifier(svm, target_weight=0.3).fit(X, y, sample_domain=sample_domain)
    assert np.allclose(linear.decision_function(X), 0.7 * source + 0.3 * target)
    largest = LateFusionClassifier(svm, "max").fit(X, y, sample_domain=sample_domain)
    assert np.allclose(largest.decision_function(X), np.maximum(source, target))
    assert np.array_equal(largest.predict(X), np.maximum(source, target).argmax(axis=1))


@pytest.mark.parametrize("fusion", ["linear", "max"])
@pytest.mark.parametrize("inner", [LinearSVC(), KNeighborsClassifier(3)], ids=name)
def test_late_fusion_with_two_classes_and_with_a_class_of_one_domain(data, fusion, inner):
    X, y, sample_domain = data
    two = LateFusionClassifier(inner, fusion).fit(X, y == 1, sample_domain=sample_domain)
    scores = two.decision_function(X)
    assert scores.shape == (60,)
    assert np.array_equal(two.predict(X), scores > 0)
    keep = (y != 2) | (sample_domain > 0)
    three = LateFusionClassifier(inner, fusion)
    three.fit(X[keep], y[keep], sample_domain=sample_domain[keep])
    assert three.classes_.tolist() == [0, 1, 2]
    assert np.isfinite(three.decision_function(X)).all()
    if isinstance(inner, LinearSVC):  # probabilities of neighbours tie too often
        assert (three.predict(X[:30]) == 2).any()


def test_late_fusion_needs_two_classes_on_each_side(data):
    X, y, sample_domain = data
    keep = (y == 0) | (sample_domain > 0)
    with pytest.raises(ValueError, match="target rows are all of one class, 0"):
        LateFusionClassifier(LinearSVC()).fit(X[keep], y[keep], sample_domain=sample_domain[keep])


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_domain_labels_are_checked_after_fit_too(estimator, data):
    X, y, sample_domain = data
    estimator.fit(X, y, sample_domain=sample_domain)
    method = estimator.predict if hasattr(estimator, "predict") else estimator.transform
    with pytest.raises(ValueError, match="booleans"):
        method(X, sample_domain=sample_domain > 0)
    with pytest.raises(ValueError, match="got 59 values for 60 rows"):
        method(X, sample_domain=sample_domain[1:])


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_score_leaves_out_unlabelled_rows(estimator, data):
    X, y, sample_domain = data
    estimator.fit(X, y, sample_domain=sample_domain)
    masked = y.copy()
    masked[::2] = -1
    assert estimator.score(X, masked) == np.mean(estimator.predict(X)[1::2] == y[1::2])
    with pytest.raises(ValueError, match="score needs labelled rows"):
        estimator.score(X, np.full(60, -1))


@pytest.mark.parametrize("y", [None, sparse.csr_matrix(np.ones((60, 1))), np.linspace(0, 1, 60)])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_labels_that_are_none(estimator, data, y):
    X, _, sample_domain = data
    with pytest.raises(ValueError, match=r"None|sparse|continuous"):
        estimator.fit(X, y, sample_domain=sample_domain)
