"""occlusion_map against classifiers whose reasons are known, and its display."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.inspection import OcclusionDisplay, occlusion_map


class Brightness(ClassifierMixin, BaseEstimator):
    """Two classes; the score of "bright" is the sum of a region's red pixels."""

    def __init__(self, region=np.s_[10:20, 30:50], n_classes=2):
        self.region = region
        self.n_classes = n_classes
        self.classes_ = np.array(["dark", "bright", "other"][:n_classes])
        self.calls = []

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, X):
        self.calls.append(len(X))
        sums = np.array([float(image[self.region][..., 0].sum()) for image in X])
        if self.n_classes == 2:
            return sums
        return np.stack([-sums, sums, np.zeros(len(X))], axis=1)

    def predict(self, X):
        scores = self.decision_function(X)
        if self.n_classes == 2:
            return self.classes_[(scores > 0).astype(int)]
        return self.classes_[scores.argmax(axis=1)]


@pytest.fixture
def image():
    pixels = np.full((40, 60, 3), 10, np.uint8)
    pixels[10:20, 30:50] = 200
    return pixels


@pytest.mark.parametrize("n_classes", [2, 3])
def test_losses_are_what_the_covered_pixels_were_worth(image, n_classes):
    classifier = Brightness(n_classes=n_classes)
    result = occlusion_map(classifier, image, patch=10, stride=10, fill=(0, 0, 0))
    assert result.target == "bright"
    assert result.score == 200 * 10 * 20
    assert result.patch == 10
    for (top, left), loss in zip(result.corners, result.losses):
        inside = top == 10 and left in (30, 40)
        assert loss == (200 * 100 if inside else 0)
    expected = np.zeros((40, 60))
    expected[10:20, 30:50] = 200 * 100
    assert_array_equal(result.importances, expected)
    assert_array_equal(result.photograph, image)
    # the other class gains what this one loses
    other = occlusion_map(classifier, image, target="dark", patch=10, stride=10, fill=(0, 0, 0))
    assert_array_equal(other.importances, -expected)
    assert other.score == -result.score


def test_overlapping_squares_are_averaged(image):
    result = occlusion_map(Brightness(), image, patch=10, stride=5, fill=(0, 0, 0))
    total, count = np.zeros((40, 60)), np.zeros((40, 60))
    for top in range(0, 31, 5):
        for left in range(0, 51, 5):
            square = np.s_[top : top + 10, left : left + 10]
            lost = np.zeros((40, 60))
            lost[square] = image[square][..., 0]
            total[square] += lost[10:20, 30:50].sum()
            count[square] += 1
    assert_allclose(result.importances, total / count)
    assert np.unravel_index(result.importances.argmax(), (40, 60))[0] in range(10, 20)


@pytest.mark.parametrize(("patch", "stride"), [(7, 7), (13, 4), (0.3, 0.2), (1.0, None), (40, 1.0)])
def test_squares_reach_all_borders(image, patch, stride):
    result = occlusion_map(Brightness(), image, patch=patch, stride=stride)
    ends = result.corners.max(axis=0) + result.patch
    assert_array_equal(ends, (40, 60))
    assert_array_equal(result.corners.min(axis=0), (0, 0))
    covered = np.zeros((40, 60), bool)
    for top, left in result.corners:
        covered[top : top + result.patch, left : left + result.patch] = True
    assert covered.all()


def test_batches_bound_memory_and_change_nothing(image):
    one, many = Brightness(), Brightness()
    first = occlusion_map(one, image, patch=10, batch_size=1)
    second = occlusion_map(many, image, patch=10, batch_size=1000)
    assert_array_equal(first.importances, second.importances)
    assert max(one.calls) == 1 and max(many.calls) == len(second.losses)


def test_the_mean_colour_covers(image):
    """An image of one colour loses nothing, whatever the classifier."""
    flat = np.full((30, 30, 3), (90, 50, 20), np.uint8)
    classifier = Brightness(np.s_[:, :])
    assert_array_equal(occlusion_map(classifier, flat).importances, 0)
    assert occlusion_map(classifier, flat, fill=(0, 0, 0)).importances.min() > 0


def test_all_kinds_of_images(image, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    expected = occlusion_map(Brightness(), image, patch=20).importances
    for given in (path, str(path), path.read_bytes(), Image.fromarray(image), image / 255):
        assert_array_equal(occlusion_map(Brightness(), given, patch=20).importances, expected)
    with pytest.raises(ImageError, match="missing"):
        occlusion_map(Brightness(), "missing.png")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"patch": 0}, "patch=0"),
        ({"patch": 41}, "patch=41.*from 1 to 40"),
        ({"patch": 1.5}, r"patch=1\.5"),
        ({"patch": True}, "patch=True"),
        ({"stride": -1}, "stride=-1"),
        ({"fill": "blur"}, "fill='blur'"),
        ({"fill": (0, 0, 300)}, "fill"),
        ({"fill": 3}, "fill=3"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"target": "cat"}, r"target='cat'.*\['dark', 'bright'\]"),
        ({"response_method": "predict"}, "response_method='predict'"),
        (
            {"response_method": "predict_proba"},
            "response_method='predict_proba': Brightness has no such method",
        ),
    ],
)
def test_bad_parameters_are_named(image, parameters, message):
    with pytest.raises(ValueError, match=message):
        occlusion_map(Brightness(), image, **parameters)


def test_probabilities_come_first(image):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    X[::2, :16] = 255
    y = np.arange(12) % 2
    gist = GISTTransformer(image_size=32)
    logistic = make_pipeline(gist, LogisticRegression(C=100)).fit(X, y)
    result = occlusion_map(logistic, X[0])
    assert_allclose(result.score, logistic.predict_proba(X[:1])[0, result.target])
    by_margin = occlusion_map(logistic, X[0], response_method="decision_function")
    margin = logistic.decision_function(X[:1])[0]
    assert_allclose(by_margin.score, margin if result.target == 1 else -margin)
    svm = make_pipeline(gist, LinearSVC()).fit(X, y)
    assert_allclose(
        abs(occlusion_map(svm, X[0]).score), abs(svm.decision_function(X[:1])[0]), rtol=1e-6
    )


def test_a_pipeline_looks_where_the_object_is():
    """Class A has a face-like pattern at the left; class B is plain."""
    rng = np.random.default_rng(0)
    images = rng.integers(100, 140, (12, 64, 96, 3), dtype=np.uint8)
    rings = 127 + 120 * np.sin(np.hypot(*np.mgrid[-16:16, -16:16]))
    images[::2, 16:48, 8:40] = rings[..., None].astype(np.uint8)
    y = np.array(["rings", "plain"] * 6)
    network = DeCAFTransformer("fire3", weights="squeezenet1_1", pooling="avg")
    classifier = make_pipeline(network, LogisticRegression(C=10)).fit(images, y)
    result = occlusion_map(classifier, images[0], patch=0.4, target="rings")
    left, right = result.importances[:, :48].mean(), result.importances[:, 48:].mean()
    assert left > 5 * abs(right)


def test_display(image):
    matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    display = OcclusionDisplay.from_estimator(Brightness(), image, patch=10, fill=(0, 0, 0))
    assert "bright: score 40000.00" in display.ax_.get_title()
    grey, heat = display.ax_.images
    assert grey.get_array().shape[:2] == (40, 60)
    assert_array_equal(heat.get_array(), display.result.importances)
    low, high = heat.get_clim()
    assert low == -high == -display.result.importances.max()  # 0 is in the middle
    assert len(display.figure_.axes) == 2
    _, ax = plt.subplots()
    assert display.plot(ax=ax, colorbar=False) is display
    assert display.ax_ is ax and len(ax.figure.axes) == 1
    plt.close("all")
