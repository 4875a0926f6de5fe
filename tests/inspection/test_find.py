"""Displays find the transformer inside pipelines, searches and other estimators."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.inspection._find import find_transformer, transform_with

CHEAP = DeCAFTransformer("pool1", weights="squeezenet1_1", pooling="avg")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (8, 40, 50, 3), dtype=np.uint8)


Y = np.arange(8) % 2
NESTED = make_pipeline(make_pipeline(CHEAP, Normalizer()), LogisticRegression())


@pytest.mark.parametrize(
    "estimator",
    [
        CHEAP,
        NESTED,
        CalibratedClassifierCV(NESTED),
        GridSearchCV(NESTED, {"logisticregression__C": [1, 2]}),
        ColumnTransformer([("photo", CHEAP, ["photo"])]),
        FeatureUnion([("a", CHEAP), ("b", "passthrough")]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_found_inside(estimator):
    assert find_transformer(estimator, "It") is CHEAP


@pytest.mark.slow
def test_of_a_fitted_search_the_best_counts(images):
    grid = {"decaftransformer__layer": ["pool1", "fire2"]}
    search = GridSearchCV(make_pipeline(CHEAP, LogisticRegression()), grid, cv=2)
    search.fit(images, Y)
    assert find_transformer(search, "It") is search.best_estimator_[0]
    features = transform_with(search, images, "It")
    np.testing.assert_array_equal(features, search.best_estimator_[0].transform(images))


def test_features_are_what_comes_before_the_classifier(images):
    fitted = make_pipeline(CHEAP, Normalizer(), LogisticRegression()).fit(images, Y)
    features = transform_with(fitted, images, "It")
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(transform_with(CHEAP, images, "It"), CHEAP.transform(images))


@pytest.mark.parametrize("wrong", [LogisticRegression(), DeCAFTransformer, "squeezenet1_1", None])
def test_what_has_none_is_named(wrong):
    with pytest.raises(TypeError, match=r"Display\.from_estimator takes a DeCAFTransformer"):
        find_transformer(wrong, "Display.from_estimator")


def test_several_are_not_chosen_from():
    union = FeatureUnion([("a", CHEAP), ("b", DeCAFTransformer())])
    with pytest.raises(ValueError, match="2 DeCAFTransformers, pass one"):
        find_transformer(union, "It")


def test_a_classifier_alone_has_no_features(images):
    with pytest.raises(TypeError, match="got LogisticRegression"):
        transform_with(LogisticRegression(), images, "It")
