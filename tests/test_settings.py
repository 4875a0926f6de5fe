"""All estimators and displays give the same numbers whatever scikit-learn is set to.

They are found by walking through the public modules, and are given what their signatures ask for:
a new one is tested here without being named.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.cheap_layer import CHEAP
from oracles.public_api import public_displays, public_estimators
from oracles.striped_images import weights as striped_weights
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

import sklearn_decaf
from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.inspection import LearningCurveDisplay
from sklearn_decaf.training import ConvNetClassifier, ConvNetRegressor, FineTunedClassifier

pytest.importorskip("polars")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

SETTINGS = [
    {"transform_output": output, "enable_metadata_routing": routing}
    for output in ("default", "pandas", "polars")
    for routing in (False, True)
]
PHOTOS = load_sample_photos()
N = 24
# what parameters without a default, and tests that shall be fast, ask for
PARAMETERS = {
    "estimator": LogisticRegression(),
    "metric": accuracy_score,
    "image_size": 32,
    "n_codewords": 8,
    "random_state": 0,
}


def ids(setting):
    return "-".join(map(str, setting.values()))


def make(cls):
    """An estimator of a class, with cheap parameters."""
    names = inspect.signature(cls).parameters
    parameters = {name: value for name, value in PARAMETERS.items() if name in names}
    if issubclass(cls, DeCAFTransformer):
        parameters = {**CHEAP, "random_state": 0, "dropout": True}
    if issubclass(cls, ConvNetClassifier | ConvNetRegressor):
        parameters = {"network": [], "image_shape": (2, 3), "max_iter": 3, "random_state": 0}
    if issubclass(cls, FineTunedClassifier):
        parameters = {"weights": striped_weights(), "max_iter": 1, "random_state": 0}
        parameters["trainable"] = "last:2"
    return cls(**parameters)


def data_for(estimator):
    """X, y and the metadata that the estimator can be given."""
    y = np.tile([0, 1, 2], N // 3)
    metadata = {
        "sample_domain": np.repeat([1, -2], N // 2),
        "boxes": np.tile([5.0, 5.0, 60.0, 70.0], (N, 1)),
    }
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 6)) + 3 * np.eye(6)[y]
    # classifiers that hand rows on say what their inner one takes
    takes_images = hasattr(estimator, "transform") or isinstance(estimator, FineTunedClassifier)
    if takes_images and not get_tags(estimator).input_tags.two_d_array:
        X = list(PHOTOS.images[:N])
    return X, y, metadata


def call(method, *arguments, **metadata):
    """Call a method with those of the metadata that it takes."""
    taken = inspect.signature(method).parameters
    return method(*arguments, **{key: v for key, v in metadata.items() if key in taken})


def as_array(result) -> np.ndarray:
    if isinstance(result, list | tuple) or type(result).__name__ == "CroppedImages":
        return np.stack([as_array(one) for one in result])
    return np.asarray(result)


RESULTS = ("predict", "predict_proba", "decision_function", "transform", "kernel", "map_target")


def results(cls, prepare=lambda estimator: estimator):
    """All that an estimator gives, and all that it has learnt, by name."""
    estimator = prepare(make(cls))
    X, y, metadata = data_for(estimator)
    found = {}
    if not hasattr(estimator, "fit"):  # a scorer
        classifier = LogisticRegression().fit(X, y)
        return {"score": as_array(call(estimator, classifier, X, y, **metadata))}
    if hasattr(estimator, "fit_transform"):
        given = call(clone(estimator).fit_transform, X, y, **metadata)
        found["fit_transform"] = as_array(given)
    if not get_tags(estimator).requires_fit:
        found["unfitted"] = as_array(call(clone(estimator).transform, X, **metadata))
    call(estimator.fit, X, y, **metadata)
    for name in RESULTS:
        if hasattr(estimator, name):
            found[name] = as_array(call(getattr(estimator, name), X, **metadata))
            if "sample_domain" in inspect.signature(getattr(estimator, name)).parameters:
                found[f"{name} of the target"] = as_array(getattr(estimator, name)(X))
    if hasattr(estimator, "score"):
        found["score"] = as_array(call(estimator.score, X, y, **metadata))
    if hasattr(estimator, "get_feature_names_out"):
        found["names"] = as_array(estimator.get_feature_names_out())
    for name, value in vars(estimator).items():
        if name.endswith("_") and not hasattr(value, "fit") and value is not None:
            value = getattr(value, "digest", value)  # of weights
            if isinstance(value, dict):  # of parameters
                value = np.concatenate([array.ravel() for array in value.values()])
            value = np.array(value) if isinstance(value, list | tuple) else value
            assert isinstance(value, np.ndarray | int | float | str | bool), name
            found[name] = as_array(value)
    return found


@pytest.fixture(scope="module")
def expected():
    """What comes without any setting, computed when it is first asked for."""
    known = {}

    def get(cls, function):
        if cls not in known:
            known[cls] = function(cls)
        return known[cls]

    return get


def assert_same(found, right):
    assert found.keys() == right.keys()
    for name in right:
        assert_array_equal(found[name], right[name], err_msg=name)
        assert found[name].dtype == right[name].dtype, name


@pytest.mark.parametrize("setting", SETTINGS, ids=ids)
@pytest.mark.parametrize("cls", [pytest.param(cls, id=name) for name, cls in public_estimators()])
def test_estimators(cls, setting, expected):
    right = expected(cls, results)
    assert len(right) > 0
    with config_context(**setting):
        assert_same(results(cls), right)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("cls", [pytest.param(cls, id=name) for name, cls in public_estimators()])
def test_estimators_whose_output_is_set(cls, container, expected):
    """`set_output` of each by itself, which its inner steps and copies inherit or not."""

    def prepare(estimator):
        if hasattr(estimator, "set_output"):
            estimator.set_output(transform=container)
        if hasattr(estimator, "estimator"):
            scale = PCA(6).set_output(transform=container)
            estimator.set_params(estimator=make_pipeline(scale, estimator.estimator))
        return estimator

    right = expected(cls, results)
    found = results(cls, prepare)
    if hasattr(make(cls), "estimator"):  # rotated features, so almost the same
        for name in ("predict", "score"):
            assert_array_equal(found[name], right[name])
    else:
        assert_same(found, right)


@pytest.mark.parametrize("setting", SETTINGS, ids=ids)
def test_frames_go_in_as_well(setting, expected):
    """Rows in frames, as a step before makes them."""
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    classes = [cls for _, cls in public_estimators() if hasattr(cls, "fit")]
    tested = 0
    for cls in classes:
        estimator = make(cls)
        X, y, metadata = data_for(estimator)
        if isinstance(X, list):
            continue
        tested += 1
        right = expected(cls, results)
        for frame in (pd.DataFrame(X, columns=list("abcdef")), pl.DataFrame(X, list("abcdef"))):
            with config_context(**setting):
                call(estimator.fit, frame, y, **metadata)
                for name in RESULTS:
                    if hasattr(estimator, name):
                        found = as_array(call(getattr(estimator, name), frame, **metadata))
                        # what goes on to an inner estimator is a frame, of which that sums columns
                        tolerance = 1e-9 if hasattr(estimator, "estimator") else 0
                        message = f"{cls.__name__}.{name}"
                        assert_allclose(found, right[name], tolerance, tolerance, err_msg=message)
    assert tested > 5


@pytest.mark.parametrize("setting", SETTINGS, ids=ids)
def test_pipelines(setting):
    """Steps that hand frames on to one another, metadata routed or passed to steps by name."""
    from sklearn_decaf.adaptation import (
        DomainScaler,
        DomainSubsetClassifier,
        FeatureAugmentation,
        GeodesicFlowKernel,
        MMDTClassifier,
    )

    photos, y = list(PHOTOS.images[:N]), np.tile([0, 1, 2], N // 3)
    sample_domain = np.repeat([1, -2], N // 2)
    last = DomainSubsetClassifier(KNeighborsClassifier(1))
    for steps in (
        [DomainScaler(), GeodesicFlowKernel(4), last],
        [FeatureAugmentation(), last],
        [DomainScaler(), MMDTClassifier()],
    ):
        model = make_pipeline(DeCAFTransformer(**CHEAP), *steps)
        asks = [
            name
            for name, step in model.steps
            if "sample_domain" in inspect.signature(step.fit).parameters
        ]
        by_name = {f"{name}__sample_domain": sample_domain for name in asks}
        right = clone(model).fit(photos, y, **by_name).predict(photos)
        with config_context(**setting):
            routed = setting["enable_metadata_routing"]
            params = {"sample_domain": sample_domain} if routed else by_name
            assert_array_equal(clone(model).fit(photos, y, **params).predict(photos), right)


# Displays -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier():
    """A pipeline that was fitted without any setting."""
    model = make_pipeline(DeCAFTransformer(**CHEAP), KNeighborsClassifier(5))
    return model.fit(list(PHOTOS.images[:N]), np.tile(["a", "b", "c"], N // 3))


def display_arguments(cls, classifier):
    """What `from_estimator` of a display asks for."""
    photos, y = list(PHOTOS.images[:N]), np.tile(["a", "b", "c"], N // 3)
    known = {
        "estimator": classifier,
        "X": photos,
        "y": y,
        "image": photos[0],
        "random_state": 0,
        "batch_size": 2,
        "n_repeats": 1,
    }
    if cls is LearningCurveDisplay:
        rows = np.linspace(0, 1, 12 * 9).reshape(12, 9)
        net = ConvNetClassifier(image_shape=(3, 3), max_iter=2, early_stopping=True, random_state=0)
        known["estimator"] = net.fit(rows, np.arange(12) % 2)
    names = inspect.signature(cls.from_estimator).parameters
    return {name: value for name, value in known.items() if name in names}


def numbers_of(thing):
    """The arrays and numbers in the attributes of a display, those of its axes left out."""
    if isinstance(thing, Bunch | dict):
        return {key: numbers_of(value) for key, value in thing.items()}
    if isinstance(thing, np.ndarray | np.generic | int | float | str | None):
        return np.asarray(thing)
    module = type(thing).__module__
    if module.startswith("sklearn_decaf"):
        return numbers_of(
            {k: v for k, v in vars(thing).items() if not k.endswith(("ax_", "figure_"))}
        )
    if isinstance(thing, list | tuple):
        return [numbers_of(value) for value in thing]
    raise AssertionError(f"a display holds a {type(thing)}: {thing!r:.100}")


@contextmanager
def closing_figures():
    import matplotlib.pyplot as plt

    try:
        yield
    finally:
        plt.close("all")


def display_numbers(cls, classifier):
    with closing_figures():
        display = cls.from_estimator(**display_arguments(cls, classifier))
        display.plot()
        return numbers_of(display)


def without_times(numbers):
    """Measured times are never twice the same."""
    if isinstance(numbers, dict):
        return {k: without_times(v) for k, v in numbers.items() if k not in ("seconds", "gflops")}
    return numbers


@pytest.mark.parametrize("setting", SETTINGS, ids=ids)
@pytest.mark.parametrize("cls", [pytest.param(cls, id=name) for name, cls in public_displays()])
@pytest.mark.filterwarnings("ignore:X has feature names, but KNeighbors")
def test_displays(cls, setting, expected, classifier):
    right = expected(cls, lambda cls: display_numbers(cls, classifier))
    with config_context(**setting):
        found = display_numbers(cls, classifier)
    np.testing.assert_equal(without_times(found), without_times(right))
    assert without_times(right)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_a_display_of_an_embedder_whose_output_is_set(container):
    from sklearn_decaf.inspection import EmbeddingDisplay

    X = np.random.default_rng(0).normal(size=(12, 5))
    embedder = PCA(2).set_output(transform=container)
    with closing_figures():
        display = EmbeddingDisplay.from_features(X, embedder=embedder)
    assert isinstance(display.embedding, np.ndarray)
    assert_array_equal(display.embedding, PCA(2).fit_transform(X))


# Are all of them found? -----------------------------------------------------------------------


def test_what_is_public_is_found():
    estimators, displays = dict(public_estimators()), dict(public_displays())
    assert "sklearn_decaf.DeCAFTransformer" in estimators
    assert {name.split(".")[1] for name in estimators} >= {"adaptation", "descriptors", "metrics"}
    assert "sklearn_decaf.inspection.OcclusionDisplay" in displays
    assert len(estimators) >= 13 and len(displays) >= 5
    for cls in estimators.values():
        if hasattr(cls, "fit"):
            get_routing_for_object(make(cls))
    assert sklearn_decaf.BoundingBoxCropper in estimators.values()
