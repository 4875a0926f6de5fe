"""Scores and scorers of the target."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.model_selection import cross_validate
from sklearn.svm import LinearSVC

from sklearn_decaf.adaptation import FeatureAugmentation, MMDTClassifier
from sklearn_decaf.metrics import (
    TargetScorer,
    target_accuracy,
    target_accuracy_score,
    target_mean_class_accuracy,
    target_mean_class_accuracy_score,
)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    y_true[:20] = -1
    return y_true, y_pred, rng.choice([0, 2, -1, -5], 200)


def test_only_labelled_target_rows_count(predictions):
    y_true, y_pred, sample_domain = predictions
    rows = (sample_domain < 0) & (y_true != -1)
    weight = np.random.default_rng(1).uniform(size=200)
    for ours, theirs in (
        (target_accuracy_score, accuracy_score),
        (target_mean_class_accuracy_score, balanced_accuracy_score),
    ):
        assert ours(y_true, y_pred, sample_domain=sample_domain) == theirs(
            y_true[rows], y_pred[rows]
        )
        assert np.isclose(
            ours(y_true, y_pred, sample_domain=sample_domain, sample_weight=weight),
            theirs(y_true[rows], y_pred[rows], sample_weight=weight[rows]),
        )
        labelled = y_true != -1
        assert ours(y_true, y_pred) == theirs(y_true[labelled], y_pred[labelled])


def test_no_labelled_target_row(predictions):
    y_true, y_pred, _ = predictions
    with pytest.raises(ValueError, match="labelled target rows"):
        target_accuracy_score(y_true, y_pred, sample_domain=1)
    with pytest.raises(ValueError, match="labelled target rows"):
        target_accuracy_score(y_true[:20], y_pred[:20])
    with pytest.raises(ValueError, match="booleans"):
        target_accuracy_score(y_true, y_pred, sample_domain=y_true > 0)


def test_label_types():
    words = np.array(["mug", "bike", None], dtype=object)
    assert target_accuracy_score(words, np.array(["mug", "mug", "mug"])) == 0.5
    assert target_accuracy_score([0.0, 1.0, np.nan], np.array([0, 1, 1])) == 1.0


class Recorder(ClassifierMixin, BaseEstimator):
    """Predicts 0, and remembers how it was asked."""

    __metadata_request__predict = {"sample_domain": True}

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X, sample_domain=None):
        self.asked_ = np.asarray(X), sample_domain
        return np.zeros(len(X), dtype=int)


@pytest.mark.parametrize("routing", [True, False])
def test_scorer_predicts_target_rows_only(routing):
    X, y = np.arange(6)[:, None], np.array([0, 1, 0, 1, -1, 0])
    sample_domain = [1, 1, -2, -2, -2, -3]
    recorder = Recorder().fit(X, y)
    with config_context(enable_metadata_routing=routing):
        assert target_accuracy(recorder, X, y, sample_domain=sample_domain) == 2 / 3
        assert recorder.asked_[0].ravel().tolist() == [2, 3, 5]
        assert recorder.asked_[1].tolist() == [-2, -2, -3]
        assert target_accuracy(recorder, X, y) == 3 / 5
        assert recorder.asked_[1] is None
        assert target_accuracy.score(recorder, X, y, [-1, -1, 1, 1, 1, 1]) == 0.5
        # a plain classifier is not given what it does not know
        svm = LinearSVC().fit(X, y)
        assert 0 <= target_accuracy(svm, X, y, sample_domain=sample_domain) <= 1


def test_scorer_with_two_target_domains_through_a_pipeline():
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    sample_domain = np.repeat([1, -2, -3], 20)
    X = rng.normal(size=(60, 3)) + 3 * y[:, None]
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(FeatureAugmentation(), LinearSVC())
        pipeline.fit(X, y, sample_domain=sample_domain)
        assert target_accuracy(pipeline, X, y, sample_domain=sample_domain) > 0.9


def test_scorers_in_cross_validation_ignore_source_rows():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    sample_domain = rng.permutation(np.repeat([1, -2], 45))
    X = rng.normal(size=(90, 3)) + np.eye(3)[y]
    mine = TargetScorer(lambda a, b, sample_weight=None: f1_score(a, b, average="macro"))
    with config_context(enable_metadata_routing=True):
        result = cross_validate(
            MMDTClassifier(),
            X,
            y,
            cv=3,
            scoring={"rows": target_accuracy, "classes": target_mean_class_accuracy, "f1": mine},
            params={"sample_domain": sample_domain},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for model, test, score in zip(
        result["estimator"], result["indices"]["test"], result["test_rows"]
    ):
        target = test[sample_domain[test] < 0]
        assert score == np.mean(model.predict(X[target]) == y[target])


def test_scorers_are_copied_and_pickled():
    assert clone(target_accuracy).metric is accuracy_score
    assert pickle.loads(pickle.dumps(target_mean_class_accuracy)).metric is balanced_accuracy_score
