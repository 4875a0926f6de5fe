"""scikit-learn's own checks, and those that it skips for images, written out here."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from oracles.cheap_layer import CHEAP
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf import ActivationDropout, DeCAFTransformer

# Dropout is what makes fit_transform differ from fit().transform(); these checks compare the two.
DROPOUT_FAILURES = {
    "check_transformer_general": "dropout: fit_transform is for training rows",
    "check_transformer_data_not_an_array": "dropout: fit_transform is for training rows",
}


class RowsOfAnyWidth(DeCAFTransformer):
    """Takes a row of n numbers as a grey image of 1 x n pixels, whatever the numbers are."""

    _check_range = False

    def _row_shape(self, n_features):
        return (1, n_features)


def expected_failures(estimator):
    return DROPOUT_FAILURES if getattr(estimator, "dropout", True) is True else {}


if "expected_failed_checks" in parametrize_with_checks.__code__.co_varnames:

    @parametrize_with_checks(
        [
            RowsOfAnyWidth(image_shape=(1, 1), dropout=False, **CHEAP),
            RowsOfAnyWidth(image_shape=(1, 1), dropout=True, random_state=0, **CHEAP),
            RowsOfAnyWidth(image_shape=(1, 1), **CHEAP),
            ActivationDropout(random_state=0),
        ],
        expected_failed_checks=expected_failures,
    )
    def test_sklearn_checks(estimator, check):
        check(estimator)


def test_the_two_expected_failures_do_fail():
    """Were they to pass, dropout would do nothing."""
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(
        ActivationDropout(random_state=0),
        on_fail=None,
        on_skip=None,
        expected_failed_checks=DROPOUT_FAILURES,
    )
    xfailed = {r["check_name"] for r in results if r["status"] == "xfail"}
    assert xfailed == set(DROPOUT_FAILURES)


def test_tags_follow_the_input():
    tags = get_tags(DeCAFTransformer())
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert tags.transformer_tags.preserves_dtype == []
    assert get_tags(DeCAFTransformer(image_shape=(8, 8))).input_tags.two_d_array


def test_fit_returns_self_and_keeps_parameters(photos):
    images, y = photos
    transformer = DeCAFTransformer(**CHEAP)
    before = transformer.get_params()
    assert transformer.fit(images, y) is transformer
    assert transformer.get_params() == before


def test_fit_is_idempotent(photos):
    images, _ = photos
    transformer = DeCAFTransformer(**CHEAP).fit(images)
    first = transformer.transform(images)
    assert_array_equal(transformer.fit(images).transform(images), first)


def test_transform_leaves_the_estimator_and_the_images_alone(photos):
    images, _ = photos
    copies = [image.copy() for image in images]
    transformer = DeCAFTransformer(**CHEAP).fit(images)
    state = pickle.dumps(transformer)
    transformer.transform(images)
    assert pickle.dumps(transformer) == state
    for image, copy in zip(images, copies):
        assert_array_equal(image, copy)


def test_unfitted_transform_equals_fitted(photos):
    images, _ = photos
    expected = DeCAFTransformer(**CHEAP).fit_transform(images)
    assert_array_equal(DeCAFTransformer(**CHEAP).transform(images), expected)
    assert expected.dtype == np.float32
    assert expected.shape == (12, 64)


def test_rows_follow_the_order_of_the_images(photos):
    images, _ = photos
    transformer = DeCAFTransformer(**CHEAP)
    order = np.random.default_rng(0).permutation(len(images))
    expected = transformer.transform(images)[order]
    assert_array_equal(transformer.transform([images[i] for i in order]), expected)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [6, "prob"])
@pytest.mark.parametrize("weights", ["squeezenet1_1", "efficientnet_lite0"])
def test_rows_do_not_depend_on_batches_threads_or_neighbours(photos, weights, layer):
    images, _ = photos
    expected = DeCAFTransformer(layer, weights=weights, n_jobs=1).transform(images)
    for parameters in ({"batch_size": 1}, {"batch_size": 5, "n_jobs": 2}, {"n_jobs": 3}):
        other = DeCAFTransformer(layer, weights=weights, **parameters).transform(images)
        assert_array_equal(other, expected)
    alone = DeCAFTransformer(layer, weights=weights).transform(images[3:4])
    assert_array_equal(alone, expected[3:4])


def test_clone_and_repr():
    transformer = DeCAFTransformer((5, 6), dropout=True, weights="squeezenet1_1", n_jobs=2)
    assert clone(transformer).get_params() == transformer.get_params()
    assert repr(transformer).startswith("DeCAFTransformer(")
    assert "DeCAFTransformer" in estimator_html_repr(make_pipeline(transformer, LinearSVC()))


@pytest.mark.parametrize("parameters", [{"weights": "missing.npz"}, {"layer": 99}, {"layer": None}])
def test_what_cannot_be_resolved_can_still_be_shown(parameters):
    transformer = DeCAFTransformer(**parameters)
    assert "fit" in dir(transformer)
    assert not hasattr(transformer, "_n_features_out")
    assert "DeCAFTransformer" in transformer._repr_html_()


def test_another_fit_forgets_the_columns_of_the_first(files):
    paths, _ = files
    transformer = DeCAFTransformer(**CHEAP).fit(pd.DataFrame({"a": paths}))
    assert transformer.feature_names_in_.tolist() == ["a"]
    transformer.fit(paths)
    assert not hasattr(transformer, "feature_names_in_")
    assert not hasattr(transformer, "n_features_in_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer": 9}, r"layer=9.*5 \(.*By name"),
        ({"layer": "conv99"}, "conv99"),
        ({"layer": True}, "True"),
        ({"layer": 6.0}, "layer"),
        ({"layer": ()}, "layer"),
        ({"layer": (6, 6)}, "twice"),
        ({"layer": (6, None)}, "None"),
        ({"dropout": "yes"}, "dropout"),
        ({"pooling": "mean"}, "pooling"),
        ({"resize": "squash"}, "resize"),
        ({"on_error": "skip"}, "on_error"),
        ({"batch_size": 0}, "batch_size"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"weights": "resnet500"}, "resnet500"),
        ({"weights": "missing.npz"}, r"missing\.npz"),
        ({"weights": 3}, "weights"),
        ({"image_shape": (0, 3)}, "image_shape"),
    ],
)
def test_bad_parameters_are_named(photos, parameters, message):
    images, _ = photos
    X = np.stack(images).reshape(12, -1) if "image_shape" in parameters else images
    with pytest.raises(ValueError, match=message):
        DeCAFTransformer(**{**CHEAP, **parameters}).fit_transform(X)
