"""EmbeddingDisplay, and the numbers and groups beside it."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.inspection import EmbeddingDisplay, cluster_quality, group_labels

matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.offsetbox import AnnotationBbox  # noqa: E402

CHEAP = {"weights": "squeezenet1_1", "layer": "pool1", "pooling": "avg"}
TREE = {"a": ("x", "p"), "b": ("x", "q"), "c": ("y", "q")}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def photos():
    """Six sample photographs of three classes: list of arrays, and names."""
    data = load_sample_photos(subset="train")
    rows = np.concatenate([np.flatnonzero(data.target == c)[:4] for c in (0, 3, 6)])
    return [data.images[i] for i in rows], data.target_names[data.target[rows]]


# Groups ---------------------------------------------------------------------------------------


def test_groups_by_level():
    assert group_labels(["a", "c", "b", "a"], TREE).tolist() == ["x", "y", "x", "x"]
    assert group_labels(np.array(["a", "c", "b"]), TREE, level=1).tolist() == ["p", "q", "q"]
    assert group_labels([2, 1], {1: "odd", 2: "even"}).tolist() == ["even", "odd"]


def test_missing_groups_are_named():
    with pytest.raises(ValueError, match=r"hierarchy has no class 'zebra'"):
        group_labels(["a", "zebra"], TREE)
    with pytest.raises(ValueError, match=r"level=2: .* the 2 ancestors of class 'a'"):
        group_labels(["a"], TREE, level=2)


# Numbers --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("n_neighbors", [1, 5])
def test_quality_against_leave_one_out(n_neighbors):
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    X = X + rng.normal(0, 0.3, X.shape)  # no duplicates, some mistakes
    quality = cluster_quality(X, y, n_neighbors=n_neighbors)
    classifier = KNeighborsClassifier(n_neighbors)
    expected = cross_val_score(classifier, X, y, cv=LeaveOneOut()).mean()
    # they may break ties between three classes in different ways
    assert abs(quality.knn_accuracy - expected) <= 2 / len(X)
    assert_allclose(quality.silhouette, silhouette_score(X, y))


def test_quality_does_not_let_a_sample_vote_for_itself():
    X = np.array([[0.0], [0.1], [5.0], [5.1]])
    assert cluster_quality(X, list("abab"), n_neighbors=1).knn_accuracy == 0
    assert cluster_quality(X, list("aabb"), n_neighbors=1).knn_accuracy == 1
    twins = np.repeat(X, 2, axis=0)  # every sample has a copy
    assert cluster_quality(twins, list("abababab"), n_neighbors=1).knn_accuracy == 0


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 5))
def test_quality_does_not_depend_on_names_or_order(seed, n_classes):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % n_classes
    first = cluster_quality(X, y)
    order = rng.permutation(40)
    second = cluster_quality(X[order], np.array(list("vwxyz"))[4 - y][order])
    assert_allclose([first.silhouette, first.knn_accuracy], [*second.values()])


def test_quality_of_clusters_and_of_noise():
    X, y = make_blobs(120, centers=4, cluster_std=0.3, random_state=0)
    assert cluster_quality(X, y).knn_accuracy > 0.95
    shuffled = np.random.default_rng(0).permutation(y)
    assert cluster_quality(X, shuffled).knn_accuracy < 0.45
    assert cluster_quality(X, shuffled).silhouette < 0.05


def test_quality_says_what_it_lacks():
    with pytest.raises(ValueError, match="one class, 'a'"):
        cluster_quality(np.eye(6), ["a"] * 6)
    with pytest.raises(ValueError, match="n_neighbors=5"):
        cluster_quality(np.eye(4), list("aabb"))
    with pytest.raises(ValueError, match="inconsistent"):
        cluster_quality(np.eye(4), list("aab"))


# The display ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_estimator_embeds_and_draws(photos):
    images, names = photos
    display = EmbeddingDisplay.from_estimator(
        DeCAFTransformer(**CHEAP), images, names, random_state=0
    )
    assert display.embedding.shape == (12, 2)
    assert display.figure_ is display.ax_.figure
    features = DeCAFTransformer(**CHEAP).transform(images)
    expected = cluster_quality(features, names)
    assert dict(display.quality) == dict(expected)
    assert f"{100 * expected.knn_accuracy:.0f} %" in display.ax_.get_xlabel()
    (points,) = display.ax_.collections
    drawn = np.asarray(points.get_offsets())
    assert_allclose(np.sort(drawn, axis=0), np.sort(display.embedding, axis=0), rtol=1e-5)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == sorted(set(names))
    again = EmbeddingDisplay.from_estimator(
        DeCAFTransformer(**CHEAP), images, names, random_state=0
    )
    assert_array_equal(again.embedding, display.embedding)


def test_given_coordinates_and_colours():
    embedding = np.array([[0.0, 0], [1, 1], [2, 0], [3, 5]])
    display = EmbeddingDisplay(embedding, labels=["a", "b", "a", "c"])
    _, ax = plt.subplots()
    assert display.plot(ax=ax, colors={"b": "red"}) is display
    assert display.ax_ is ax
    (points,) = ax.collections
    colours = dict(zip(map(tuple, points.get_offsets()), map(tuple, points.get_facecolors())))
    assert set(colours) == set(map(tuple, embedding))
    assert colours[0, 0] == colours[2, 0]
    assert colours[1, 1] == (1, 0, 0, 1)
    assert len(set(colours.values())) == 3
    legend = {
        text.get_text(): line.get_color()
        for text, line in zip(ax.get_legend().get_texts(), ax.get_legend().get_lines())
    }
    assert tuple(legend["c"]) == colours[3, 5]
    assert ax.get_xlabel() == ""  # no features, so nothing is said of them


def test_without_labels_there_is_one_colour():
    display = EmbeddingDisplay(np.random.default_rng(0).random((5, 2))).plot()
    assert display.ax_.get_legend() is None
    assert len(display.ax_.collections[0].get_offsets()) == 5


@pytest.mark.parametrize("n_labels", [2, 10, 15, 40])
def test_labels_have_colours_of_their_own(n_labels):
    labels = [f"label {i:02}" for i in range(n_labels)]
    display = EmbeddingDisplay(np.random.default_rng(0).random((n_labels, 2)), labels=labels)
    display.plot()
    (points,) = display.ax_.collections
    assert len(set(map(tuple, points.get_facecolors()))) == n_labels
    assert (display.ax_.get_legend() is None) == (n_labels > 24)


def test_other_embedders():
    X, y = load_iris(return_X_y=True)
    pca = PCA(2)
    display = EmbeddingDisplay.from_features(X, y, embedder=pca)
    assert_allclose(display.embedding, PCA(2).fit_transform(X))
    assert not hasattr(pca, "components_")  # a clone was fitted

    class Line(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X[:, :1]

    with pytest.raises(ValueError, match=r"two coordinates per sample.*\(150, 1\)"):
        EmbeddingDisplay.from_features(X, y, embedder=Line())


def test_hierarchy_colours_and_quality():
    X, _ = make_blobs(30, centers=3, random_state=0)
    y = np.array(list("abc") * 10)
    display = EmbeddingDisplay.from_features(X, y, hierarchy=TREE, embedder=PCA(2))
    assert set(display.labels) == {"x", "y"}
    assert dict(display.quality) == dict(cluster_quality(X, group_labels(y, TREE)))
    fine = EmbeddingDisplay.from_features(X, y, hierarchy=TREE, level=1, embedder=PCA(2))
    assert set(fine.labels) == {"p", "q"}
    with pytest.raises(ValueError, match="pass y too"):
        EmbeddingDisplay.from_features(X, hierarchy=TREE)


@pytest.mark.slow
@pytest.mark.parametrize("n_features", [2, 49, 200])
def test_default_embedding_of_few_and_many_columns(n_features):
    X = np.random.default_rng(0).normal(size=(12, n_features))
    assert EmbeddingDisplay.from_features(X, random_state=0).embedding.shape == (12, 2)


def test_thumbnails_stand_at_their_points(photos):
    images, names = photos
    display = EmbeddingDisplay.from_estimator(
        DeCAFTransformer(**CHEAP), images, names, embedder=PCA(2), thumbnails=True
    )
    boxes = [a for a in display.ax_.artists if isinstance(a, AnnotationBbox)]
    assert len(boxes) == 12
    places = {tuple(box.xy): box.offsetbox.get_data() for box in boxes}
    assert set(places) == set(map(tuple, display.embedding))
    assert all(len(part.get_offsets()) == 0 for part in display.ax_.collections)
    for place, image in zip(map(tuple, display.embedding), images):
        assert abs(places[place].mean() - image.mean()) < 5
    display.figure_.canvas.draw()  # and all of it can be drawn
    low, high = np.sort(display.ax_.get_xlim())
    assert low < display.embedding[:, 0].min() and high > display.embedding[:, 0].max()

    display.plot(max_thumbnails=5)
    boxes = [a for a in display.ax_.artists if isinstance(a, AnnotationBbox)]
    assert len(boxes) == 5
    assert sum(len(part.get_offsets()) for part in display.ax_.collections) == 7


def test_wrong_numbers_of_things():
    with pytest.raises(ValueError, match="got 1 for 3 samples"):
        EmbeddingDisplay(np.eye(3)[:, :2], images=[np.zeros((4, 4), np.uint8)]).plot()
    with pytest.raises(ValueError, match="inconsistent"):
        EmbeddingDisplay(np.eye(3)[:, :2], labels=["a"]).plot()


def test_without_matplotlib(monkeypatch):
    original = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name!r}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"EmbeddingDisplay.*sklearn-decaf\[plot\]"):
        EmbeddingDisplay(np.eye(2)).plot()
    with pytest.raises(ImportError, match=r"sklearn-decaf\[plot\]"):
        EmbeddingDisplay.from_features(np.eye(4))


def test_the_legend_is_never_cut_off():
    X, y = make_blobs(30, centers=3, random_state=0)
    _, plain = plt.subplots()
    _, managed = plt.subplots(layout="constrained")
    for ax in (plain, managed):
        EmbeddingDisplay(X, labels=y).plot(ax=ax)
        ax.figure.canvas.draw()
        box = ax.get_legend().get_window_extent()
        assert box.x0 >= 0 and box.x1 <= ax.figure.bbox.width


def test_what_cannot_be_drawn_is_named():
    X = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(TypeError, match="types int, str"):
        EmbeddingDisplay.from_features(X, ["a", 1, "b", "a", "b", "a"])
    with pytest.raises(TypeError, match="it must be a mapping of each label"):
        EmbeddingDisplay.from_features(X, list("ababab"), hierarchy=["x"])
    with pytest.raises(ValueError, match="6 classes for 6 samples"):
        cluster_quality(X, list("abcdef"), n_neighbors=2)
    X[4] = np.nan
    with pytest.raises(ValueError, match=r"1 of 6 rows.*the first is row 4"):
        EmbeddingDisplay.from_features(X, list("ababab"))


@pytest.mark.slow
@pytest.mark.parametrize("missing", [None, np.nan])
def test_samples_without_a_label_are_grey(missing):
    X = np.random.default_rng(0).normal(size=(8, 2))
    labels = ["a", missing, "b", "a", "b", "a", missing, "b"]
    known = [0, 2, 3, 4, 5, 7]
    display = EmbeddingDisplay.from_features(X, labels, embedder=PCA(2))
    assert display.quality == cluster_quality(X[known], list("ababab"))
    assert cluster_quality(X, labels) == display.quality
    (points,) = display.ax_.collections
    colors = points.get_facecolors()
    grey = (colors == (0.75, 0.75, 0.75, 1)).all(axis=1)
    assert grey.sum() == 2 and len(np.unique(colors, axis=0)) == 3
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["a", "b"]
    grouped = group_labels(labels, {"a": "x", "b": "y"})
    assert grouped.tolist() == ["x", None, "y", "x", "y", "x", None, "y"]
    with pytest.raises(ValueError, match="y has no label"):
        cluster_quality(X, [missing] * 8)
    assert EmbeddingDisplay.from_features(X, [missing] * 8).quality is None


@pytest.mark.slow
def test_a_class_for_each_sample_is_drawn_without_a_number():
    X = np.random.default_rng(0).normal(size=(6, 3))
    assert EmbeddingDisplay.from_features(X, list("abcdef")).quality is None


@pytest.mark.slow
def test_groups_come_from_a_series_too():
    pd = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal(size=(6, 3))
    groups = pd.Series({"a": "x", "b": "y", "c": "y"})
    display = EmbeddingDisplay.from_features(X, list("abcabc"), hierarchy=groups)
    assert display.labels.tolist() == list("xyyxyy")
