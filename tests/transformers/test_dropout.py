"""Dropout on features: the paper's, by itself and within DeCAFTransformer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.cheap_layer import CHEAP
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from sklearn_decaf import ActivationDropout, DeCAFTransformer
from sklearn_decaf.networks import get_architecture


def test_dropout_is_the_papers(photos):
    """Section 4.1: zeros with probability 0.5 in training, times 0.5 at test time."""
    images, _ = photos
    plain = DeCAFTransformer(dropout=False, **CHEAP).transform(images)
    transformer = DeCAFTransformer(dropout=True, random_state=0, **CHEAP)
    training = transformer.fit_transform(images)
    kept = training != 0
    assert_array_equal(training[kept], plain[kept])
    share = kept[plain != 0].mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt((plain != 0).sum())  # five standard deviations
    assert_array_equal(transformer.transform(images), 0.5 * plain)


def test_dropout_delegates_to_activation_dropout(photos):
    images, _ = photos
    plain = DeCAFTransformer(dropout=False, **CHEAP).transform(images)
    expected = ActivationDropout(random_state=7).fit_transform(plain)
    parameters = {**CHEAP, "dropout": True, "random_state": 7}
    assert_array_equal(DeCAFTransformer(**parameters).fit_transform(images), expected)
    split = DeCAFTransformer(batch_size=5, n_jobs=2, **parameters).fit_transform(images)
    assert_array_equal(split, expected)


@pytest.mark.slow
def test_auto_dropout_is_off_for_the_embedded_networks(photos):
    images, _ = photos
    for layer in (5, 6, 7):
        for weights in ("squeezenet1_1", "efficientnet_lite0"):
            transformer = DeCAFTransformer(layer, weights=weights)
            assert_array_equal(
                transformer.fit_transform(images[:2]), transformer.transform(images[:2])
            )


@pytest.fixture(scope="module")
def caffenet_file(tmp_path_factory):
    """Random weights of CaffeNet in a file, for what only fully connected layers show."""
    net = get_architecture("caffenet")
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in net.parameter_shapes().items():
        scale = np.sqrt(2 / np.prod(shape[:-1])) if name.endswith("kernel") else 0.1
        arrays[name] = (rng.standard_normal(shape, np.float32) * scale).astype(np.float32)
    path = tmp_path_factory.mktemp("weights") / "caffenet.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.slow
def test_auto_dropout_is_on_for_fully_connected_layers(photos, caffenet_file):
    images = photos[0][:3]
    parameters = {"weights": caffenet_file, "architecture": "caffenet", "random_state": 0}
    layers = (5, 6, 7, 8)
    plain = DeCAFTransformer(layers, dropout=False, **parameters).transform(images)
    transformer = DeCAFTransformer(layers, **parameters)
    test, training = transformer.transform(images), transformer.fit_transform(images)
    widths = np.cumsum([0, 9216, 4096, 4096, 1000])
    assert plain.shape == (3, widths[-1])
    for i, dropped in enumerate([False, True, True, False]):
        block = slice(widths[i], widths[i + 1])
        assert_array_equal(test[:, block], plain[:, block] * (0.5 if dropped else 1))
        same = training[:, block] == plain[:, block]
        assert same.all() != dropped


def test_activation_dropout_on_sparse_rows():
    X = sparse.csr_array(sparse.random(50, 40, density=0.3, random_state=0))
    dropout = ActivationDropout(p=0.25, random_state=0)
    training = dropout.fit_transform(X)
    kept = training.toarray() != 0
    assert_array_equal(training.toarray()[kept], X.toarray()[kept])
    assert abs(kept.sum() / X.nnz - 0.75) < 0.1
    assert_allclose(dropout.transform(X).toarray(), 0.75 * X.toarray())
    assert sparse.issparse(training)


def test_activation_dropout_zero_does_nothing():
    X = np.random.default_rng(0).standard_normal((5, 4))
    assert_array_equal(ActivationDropout(p=0).fit_transform(X), X)
    assert_array_equal(ActivationDropout(p=0).transform(X), X)
    with pytest.raises(ValueError, match="'p'"):
        ActivationDropout(p=1.0).fit(X)


def test_a_frozen_transformer_has_no_dropout(photos):
    """A documented trap: FrozenEstimator never calls fit_transform."""
    from sklearn.frozen import FrozenEstimator

    images, _ = photos
    transformer = DeCAFTransformer(dropout=True, random_state=0, **CHEAP)
    pipe = make_pipeline(FrozenEstimator(transformer.fit(images)))
    assert_array_equal(pipe.fit_transform(images), transformer.transform(images))


def test_a_cached_pipeline_freezes_one_mask(photos, tmp_path):
    """A documented trap: Pipeline(memory=...) with random_state=None draws once."""
    X = np.ones((20, 10), np.float32)
    y = np.arange(20) % 2
    pipe = Pipeline([("dropout", ActivationDropout()), ("svm", LinearSVC())], memory=str(tmp_path))
    assert_array_equal(pipe.fit(X, y)[-1].coef_, clone(pipe).fit(X, y)[-1].coef_)


def test_train_scores_show_test_behaviour():
    """A documented trap: scoring on training rows transforms them, without zeros."""
    X = np.random.default_rng(0).standard_normal((40, 6))
    y = (X[:, 0] > 0).astype(int)
    pipe = make_pipeline(ActivationDropout(p=0.9, random_state=0), LogisticRegression())
    search = GridSearchCV(pipe, {"logisticregression__C": [1.0]}, cv=2, return_train_score=True)
    search.fit(X, y)
    rows, _ = next(StratifiedKFold(2).split(X, y))
    again = clone(pipe).fit(X[rows], y[rows])
    assert search.cv_results_["split0_train_score"][0] == again.score(X[rows], y[rows])


def test_activation_dropout_validates_in_transform_too():
    with pytest.raises(ValueError, match="'p'"):
        ActivationDropout(p=7).transform(np.ones((2, 2)))
