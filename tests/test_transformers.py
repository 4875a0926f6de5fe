"""DeCAFTransformer and ActivationDropout as scikit-learn estimators."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf import ActivationDropout, DeCAFTransformer
from sklearn_decaf._kernels import KERNEL_SET
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.exceptions import ImageError, ImageWarning, WeightsError
from sklearn_decaf.networks import get_architecture, imagenet_classes, load_weights
from sklearn_decaf.networks.reference import forward

# The cheapest real features: the first pooled layer of the smaller embedded network.
CHEAP = {"weights": "squeezenet1_1", "layer": "pool1", "pooling": "avg"}

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


@pytest.fixture(scope="module")
def photos():
    """Twelve crops of two photographs: list of arrays (h, w, 3), and their labels."""
    china, flower = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    images = []
    for i in range(6):
        for photo in (china, flower):
            images.append(np.ascontiguousarray(photo[30 * i : 30 * i + 200, 60 * i : 60 * i + 240]))
    return images, np.array(["china", "flower"] * 6)


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory):
    """The same as PNG files: paths, and their labels."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for i, image in enumerate(photos[0]):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths, photos[1]


# scikit-learn's own checks ---------------------------------------------------------------------


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


# The checks that scikit-learn skips for inputs that are not 2-D, with images --------------------


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


# Kinds of input -------------------------------------------------------------------------------


def test_all_kinds_of_input_give_the_same_rows(photos, files):
    images, _ = photos
    paths, _ = files
    transformer = DeCAFTransformer(**CHEAP)
    expected = transformer.transform(images)
    stacked = np.stack(images)
    object_array = np.empty(len(images), dtype=object)
    object_array[:] = images
    kinds = {
        "array": stacked,
        "float array": stacked / 255,
        "tuple": tuple(images),
        "object array": object_array,
        "PIL": [Image.fromarray(image) for image in images],
        "bytes": [Path(path).read_bytes() for path in paths],
        "str": paths,
        "str array": np.array(paths),
        "Path": [Path(path) for path in paths],
        "Series": pd.Series(paths, index=range(100, 112)),
        "DataFrame": pd.DataFrame({"photo": paths}),
        "mixed": [paths[0], images[1], Image.fromarray(images[2]), *paths[3:]],
    }
    for name, X in kinds.items():
        assert_array_equal(transformer.transform(X), expected, err_msg=name)


def test_rows_of_pixels(photos):
    images, _ = photos
    stacked = np.stack(images)
    expected = DeCAFTransformer(**CHEAP).transform(stacked)
    rows = DeCAFTransformer(image_shape=stacked.shape[1:], **CHEAP)
    flat = stacked.reshape(len(stacked), -1)
    assert_array_equal(rows.fit_transform(flat), expected)
    assert rows.n_features_in_ == flat.shape[1]
    with pytest.raises(ValueError, match=r"features"):
        rows.transform(flat[:, :-3])
    assert_array_equal(rows.transform(flat / 255), expected)
    with pytest.raises(ImageError, match=r"row 0.*\[0, 1\]"):
        rows.transform(flat.astype(float))


def test_two_dimensions_without_image_shape():
    with pytest.raises(ValueError, match="image_shape"):
        DeCAFTransformer().fit(np.zeros((3, 64)))


def test_image_shape_with_paths():
    with pytest.raises(ValueError, match="image_shape=None"):
        DeCAFTransformer(image_shape=(2, 2)).fit(["a.jpg"])


def test_grey_images_equal_their_rgb_copies(photos):
    grey = photos[0][0].mean(axis=2).astype(np.uint8)
    transformer = DeCAFTransformer(**CHEAP)
    one = transformer.transform([grey])
    three = transformer.transform([np.repeat(grey[..., None], 3, axis=2)])
    assert_array_equal(one, three)


# Bad input ------------------------------------------------------------------------------------


def test_a_bad_image_raises_and_is_named(files, tmp_path):
    paths, _ = files
    bad = tmp_path / "page.jpg"
    bad.write_text("<!DOCTYPE html><title>404</title>")
    X = [*paths[:4], str(bad), *paths[4:]]
    with pytest.raises(ImageError, match=r"row 4.*page\.jpg"):
        DeCAFTransformer(batch_size=2, **CHEAP).transform(X)


def test_a_bad_image_becomes_a_row_of_nan(files, tmp_path):
    paths, _ = files
    bad, missing = tmp_path / "page.jpg", tmp_path / "missing.jpg"
    bad.write_text("<!DOCTYPE html><title>404</title>")
    X = [*paths[:4], bad, *paths[4:], missing, None]
    transformer = DeCAFTransformer(on_error="nan", batch_size=3, **CHEAP)
    with pytest.warns(ImageWarning) as record:
        rows = transformer.fit_transform(X)
    assert len(record) == 1
    message = str(record[0].message)
    assert message.startswith("3 of 15 images")
    assert "page.jpg" in message and "missing.jpg" in message and "row 14" in message
    assert_array_equal(np.isnan(rows).all(axis=1), np.isin(np.arange(15), [4, 13, 14]))
    good = [i for i in range(15) if i not in (4, 13, 14)]
    assert_array_equal(rows[good], DeCAFTransformer(**CHEAP).transform(paths))


def test_nan_rows_stay_nan_under_dropout(files):
    X = [*files[0][:2], "missing.jpg"]
    transformer = DeCAFTransformer(on_error="nan", dropout=True, random_state=0, **CHEAP)
    with pytest.warns(ImageWarning):
        rows = transformer.fit_transform(X)
    assert np.isnan(rows[2]).all() and not np.isnan(rows[:2]).any()


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
        ({"weights": "resnet50"}, "resnet50"),
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


# Layers and pooling ---------------------------------------------------------------------------


def centre(images, size, crop):
    """Warp and centre crop with Pillow, written out here."""
    offset = (size - crop) // 2
    box = (offset, offset, offset + crop, offset + crop)
    resized = (Image.fromarray(i).resize((size, size), Image.Resampling.BILINEAR) for i in images)
    return np.stack([np.asarray(image.crop(box)) for image in resized])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("weights", ["efficientnet_lite0", "squeezenet1_1"])
def test_every_layer_is_within_1e_5_of_float64(photos, weights, exact):
    images = photos[0][:2]
    loaded = load_weights(weights)
    net = loaded.architecture
    pixels = centre(images, 256, net.preprocessing.crop)
    expected = forward(net, loaded.parameters, pixels, net.layer_names, np.float64)
    transformer = DeCAFTransformer(net.layer_names, weights=weights, pooling=None, exact=exact)
    got = transformer.transform(images)
    start = 0
    for name in net.layer_names:
        reference = expected[name].reshape(2, -1)
        block = got[:, start : start + reference.shape[1]]
        assert_allclose(block, reference, rtol=0, atol=1e-5 * abs(reference).max(), err_msg=name)
        start += reference.shape[1]
    assert start == got.shape[1]


@pytest.mark.parametrize(
    ("weights", "layer", "name", "width"),
    [
        ("efficientnet_lite0", 5, "block15", 192),
        ("efficientnet_lite0", 6, "block16", 320),
        ("efficientnet_lite0", 7, "head", 1280),
        ("efficientnet_lite0", 8, "fc", 1000),
        ("squeezenet1_1", 5, "fire8", 1024),
        ("squeezenet1_1", 6, "fire9", 1024),
        ("squeezenet1_1", 7, "relu10", 1000),
        ("squeezenet1_1", 8, "pool10", 1000),
    ],
)
def test_layers_by_number_and_by_name(photos, weights, layer, name, width):
    images = photos[0][:2]
    by_number = DeCAFTransformer(layer, weights=weights)
    by_name = DeCAFTransformer(name, weights=weights)
    rows = by_number.transform(images)
    assert rows.shape == (2, width)
    assert_array_equal(by_name.transform(images), rows)
    assert by_number._n_features_out == width  # known without fitting
    assert by_number.get_feature_names_out()[0].startswith(f"decaf{layer}_0000")
    assert by_name.get_feature_names_out()[0].startswith(f"{name}_0000")


def test_pooling(photos):
    images = photos[0][:2]
    parameters = {"weights": "squeezenet1_1", "layer": "fire9"}
    flat = DeCAFTransformer(pooling=None, **parameters).transform(images)
    maps = flat.reshape(2, 14, 14, 512)  # (n, h, w, c)
    average, largest = maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))
    for pooling, expected in {
        "avg": average,
        "max": largest,
        "avg+max": np.hstack([average, largest]),
        "auto": np.hstack([average, largest]),
    }.items():
        got = DeCAFTransformer(pooling=pooling, **parameters).transform(images)
        assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=pooling)


def test_a_tuple_of_layers_stands_side_by_side(photos):
    images = photos[0][:2]
    both = DeCAFTransformer((5, "fire9", 7), weights="squeezenet1_1")
    parts = [DeCAFTransformer(i, weights="squeezenet1_1").transform(images) for i in (5, 6, 7)]
    assert_array_equal(both.transform(images), np.hstack(parts))
    names = both.get_feature_names_out()
    assert names[0] == "decaf5_0000" and names[1024] == "fire9_0000" and names[-1] == "decaf7_0999"
    assert len(set(names)) == len(names) == 3048


def test_exact_rounds_less(photos):
    """Plain sums instead of Winograd's: nearer to float64 where there are kernels for both."""
    images = photos[0][:3]
    loaded = load_weights("squeezenet1_1")
    net = loaded.architecture
    pixels = centre(images, 256, net.preprocessing.crop)
    expected = forward(net, loaded.parameters, pixels, ["fire9"], np.float64)["fire9"]
    transformer = DeCAFTransformer("fire9", weights="squeezenet1_1", pooling=None)
    errors = [
        abs(transformer.set_params(exact=exact).transform(images) - expected.reshape(3, -1)).max()
        for exact in (False, True)
    ]
    assert errors[1] < 1.2e-6 * abs(expected).max()
    if KERNEL_SET is not None:
        assert errors[1] < errors[0]
    with pytest.raises(ValueError, match="'exact' parameter"):
        DeCAFTransformer(exact="very").transform(images)


def test_ten_crop_is_the_mean_over_ten_crops(photos):
    image = photos[0][0]
    resized = Image.fromarray(image).resize((256, 256), Image.Resampling.BILINEAR)
    crops = []
    for x, y in [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)]:
        crop = np.asarray(resized.crop((x, y, x + 224, y + 224)))
        crops += [crop, crop[:, ::-1]]
    single = DeCAFTransformer(7, resize=None).transform(crops)
    averaged = DeCAFTransformer(7, ten_crop=True).transform([image, image])
    assert_allclose(averaged, np.tile(single.mean(axis=0), (2, 1)), rtol=1e-5, atol=1e-6)


def test_classes_of_imagenet(photos):
    images = photos[0][:2]
    transformer = DeCAFTransformer("prob")
    probabilities = transformer.transform(images)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    labels = transformer.predict_labels(images, top=3)
    for row, best in zip(probabilities, labels):
        assert [name for name, _ in best] == [imagenet_classes()[i] for i in np.argsort(-row)[:3]]
        assert_allclose([p for _, p in best], np.sort(row)[::-1][:3])
    assert DeCAFTransformer().predict_labels(images, top=3) == labels
    names = transformer.get_feature_names_out()
    assert len(set(names)) == 1000 and names[0] == "prob_0000_tench"
    with pytest.raises(ValueError, match="top=0"):
        transformer.predict_labels(images, top=0)


# Dropout --------------------------------------------------------------------------------------


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
    X = sparse.random_array((50, 40), density=0.3, rng=np.random.default_rng(0), format="csr")
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


# Inside scikit-learn --------------------------------------------------------------------------


def test_pipeline_learns(photos, files):
    for X, y in (photos, files):
        classifier = make_pipeline(DeCAFTransformer(), LinearSVC()).fit(X[:8], y[:8])
        assert classifier.score(X[8:], y[8:]) == 1.0


@pytest.mark.filterwarnings("ignore:Liblinear failed to converge")
def test_grid_search_over_layer_dropout_and_c(files):
    X, y = files
    pipe = Pipeline(
        [("decaf", DeCAFTransformer(weights="squeezenet1_1", random_state=0)), ("svm", LinearSVC())]
    )
    grid = {"decaf__layer": [5, "pool1"], "decaf__dropout": [True, False], "svm__C": [0.1, 1.0]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert search.best_score_ == 1.0
    assert search.predict(X[:2]).tolist() == ["china", "flower"]


def test_cross_validation_in_two_processes(files):
    X, y = files
    classifier = make_pipeline(DeCAFTransformer(**CHEAP), StandardScaler(), LogisticRegression())
    one = cross_val_score(classifier, X, y, cv=3, n_jobs=1, error_score="raise")
    two = cross_val_score(classifier, X, y, cv=3, n_jobs=2, error_score="raise")
    assert_array_equal(one, two)


def test_column_transformer_and_feature_union(files):
    X, _ = files
    frame = pd.DataFrame({"photo": X, "width": np.arange(12.0)})
    for columns in ("photo", ["photo"]):
        columns_in = ColumnTransformer(
            [("decaf", DeCAFTransformer(**CHEAP), columns), ("rest", "passthrough", ["width"])]
        )
        rows = columns_in.fit_transform(frame)
        assert rows.shape == (12, 65)
        assert columns_in.get_feature_names_out()[[0, -1]].tolist() == [
            "decaf__pool1_0000",
            "rest__width",
        ]
    union = FeatureUnion(
        [("a", DeCAFTransformer(**CHEAP)), ("b", DeCAFTransformer(**{**CHEAP, "pooling": "max"}))]
    )
    assert union.fit_transform(X).shape == (12, 128)


def test_set_output_pandas_keeps_the_index(files):
    X, _ = files
    photos = pd.DataFrame({"photo": X}, index=[f"photo {i}" for i in range(12)])
    frame = DeCAFTransformer(**CHEAP).set_output(transform="pandas").fit_transform(photos)
    assert frame.columns.tolist() == DeCAFTransformer(**CHEAP).get_feature_names_out().tolist()
    assert frame.index.tolist() == photos.index.tolist()
    assert (frame.dtypes == np.float32).all()


def test_set_output_polars(files):
    polars = pytest.importorskip("polars")
    X, _ = files
    rows = DeCAFTransformer(**CHEAP).fit_transform(X)
    column = polars.DataFrame({"photo": X})
    for given in (X, column, column["photo"]):
        frame = DeCAFTransformer(**CHEAP).set_output(transform="polars").fit_transform(given)
        assert isinstance(frame, polars.DataFrame)
        assert_array_equal(frame.to_numpy(), rows)


def test_clone_and_repr():
    transformer = DeCAFTransformer((5, 6), dropout=True, weights="squeezenet1_1", n_jobs=2)
    assert clone(transformer).get_params() == transformer.get_params()
    assert repr(transformer).startswith("DeCAFTransformer(")
    assert "DeCAFTransformer" in estimator_html_repr(make_pipeline(transformer, LinearSVC()))


def test_verbose_shows_progress(files, capsys):
    DeCAFTransformer(verbose=True, **CHEAP).transform(files[0])
    shown = capsys.readouterr().err
    assert "100%" in shown and "12/12" in shown and "/s" in shown
    DeCAFTransformer(**CHEAP).transform(files[0])
    assert capsys.readouterr().err == ""


# Weights by reference -------------------------------------------------------------------------


def test_a_pickle_carries_no_weights(files, tmp_path):
    X, y = files
    transformer = DeCAFTransformer().fit(X)
    expected = transformer.transform(X)
    assert len(pickle.dumps(transformer)) < 10_000
    assert_array_equal(pickle.loads(pickle.dumps(transformer)).transform(X), expected)
    classifier = make_pipeline(DeCAFTransformer(), LinearSVC()).fit(X, y)
    buffer = io.BytesIO()
    joblib.dump(classifier, buffer)
    buffer.seek(0)
    assert_array_equal(joblib.load(buffer).predict(X), classifier.predict(X))


def test_weights_that_changed_since_fit_are_refused(photos, tmp_path):
    images = photos[0][:2]
    net = get_architecture("squeezenet1_1")
    path = tmp_path / "mine.npz"
    parameters = dict(load_weights("squeezenet1_1").parameters)
    np.savez(path, **parameters)
    transformer = DeCAFTransformer("fire2", weights=path).fit(images)
    expected = DeCAFTransformer("fire2", weights="squeezenet1_1").transform(images)
    assert_array_equal(transformer.transform(images), expected)
    copy = pickle.loads(pickle.dumps(transformer))
    parameters["conv1.bias"] = parameters["conv1.bias"] + 1
    np.savez(path, **parameters)
    with pytest.raises(WeightsError, match=r"(?s)mine\.npz.*changed"):
        copy.transform(images)
    assert not np.array_equal(copy.fit(images).transform(images), expected)  # fitted anew: fine
    assert net.name == "squeezenet1_1"


def test_weights_without_the_last_layers(photos, shared_data):
    images = photos[0][:2]
    path = shared_data("weights/alexnet_torchvision_conv1-5.npz")
    rows = DeCAFTransformer(5, weights=path).transform(images)
    assert rows.shape == (2, 9216)
    assert DeCAFTransformer("relu3", weights=path, pooling="avg").transform(images).shape[1] == 384
    for layer in (6, 7, "prob"):
        with pytest.raises(WeightsError, match=r"(?s)fc6.*pool5"):
            DeCAFTransformer(layer, weights=path).fit(images)


def test_sample_photographs_end_to_end():
    train, test = load_sample_photos(subset="train"), load_sample_photos(subset="test")
    classifier = make_pipeline(DeCAFTransformer(), LinearSVC()).fit(train.images, train.target)
    assert classifier.score(test.images, test.target) > 0.8  # guessing: 0.07


# Traps and mishaps ----------------------------------------------------------------------------


def test_joblib_knows_a_path_by_its_text(files, tmp_path):
    """A documented trap: an edited file gives its old features from a cache of joblib."""
    path = tmp_path / "photo.png"
    path.write_bytes(Path(files[0][0]).read_bytes())
    pipe = Pipeline(
        [("decaf", DeCAFTransformer(**CHEAP)), ("scale", StandardScaler(with_std=False))],
        memory=str(tmp_path / "cache"),
    )
    X = [str(path), files[0][2]]
    first = pipe.fit_transform(X)
    path.write_bytes(Path(files[0][1]).read_bytes())
    assert_array_equal(pipe.fit_transform(X), first)
    assert not np.array_equal(DeCAFTransformer(**CHEAP).transform(X[:1]), first[:1])


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


@pytest.mark.parametrize("parameters", [{"weights": "missing.npz"}, {"layer": 99}, {"layer": None}])
def test_what_cannot_be_resolved_can_still_be_shown(parameters):
    transformer = DeCAFTransformer(**parameters)
    assert "fit" in dir(transformer)
    assert not hasattr(transformer, "_n_features_out")
    assert "DeCAFTransformer" in transformer._repr_html_()


def test_predict_labels_under_another_output_container(photos):
    from sklearn import config_context

    expected = DeCAFTransformer().predict_labels(photos[0][:2], top=2)
    with config_context(transform_output="pandas"):
        assert DeCAFTransformer().predict_labels(photos[0][:2], top=2) == expected
    transformer = DeCAFTransformer().set_output(transform="pandas")
    assert transformer.predict_labels(photos[0][:2], top=2) == expected


def test_predict_labels_refuses_weights_that_changed(photos):
    transformer = DeCAFTransformer().fit(photos[0])
    transformer.weights_sha256_ = "0" * 64
    with pytest.raises(WeightsError, match="changed"):
        transformer.predict_labels(photos[0])


def test_another_fit_forgets_the_columns_of_the_first(files):
    paths, _ = files
    transformer = DeCAFTransformer(**CHEAP).fit(pd.DataFrame({"a": paths}))
    assert transformer.feature_names_in_.tolist() == ["a"]
    transformer.fit(paths)
    assert not hasattr(transformer, "feature_names_in_")
    assert not hasattr(transformer, "n_features_in_")


def test_images_where_rows_are_expected(photos):
    for X in (np.stack(photos[0]), photos[0]):
        with pytest.raises(ImageError, match="image_shape=None"):
            DeCAFTransformer(image_shape=(200, 240, 3), **CHEAP).transform(X)


def test_opened_photographs_are_not_loaded_in_place(files):
    """Or a long list of them would end up in memory."""
    paths, _ = files
    opened = [Image.open(path) for path in paths]
    rows = DeCAFTransformer(**CHEAP).transform(opened)
    assert_array_equal(rows, DeCAFTransformer(**CHEAP).transform(paths))
    assert all(image.tile for image in opened)  # still to be decoded
    for image in opened:
        image.close()


def test_large_jpeg_as_path_and_as_array(tmp_path):
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((2560, 1920))
    path = tmp_path / "large.jpg"
    photo.save(path, quality=95)
    transformer = DeCAFTransformer(**CHEAP)
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert_array_equal(transformer.transform([path]), transformer.transform([pixels]))


def test_items_that_cannot_be_fetched(photos):
    class OnDemand(Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, row):
            if row == 1:
                raise OSError("the disk is gone")
            return photos[0][row]

    with pytest.raises(ImageError, match=r"row 1.*the disk is gone"):
        DeCAFTransformer(**CHEAP).transform(OnDemand())
    with pytest.warns(ImageWarning, match="row 1"):
        rows = DeCAFTransformer(on_error="nan", **CHEAP).transform(OnDemand())
    assert np.isnan(rows[1]).all() and not np.isnan(rows[[0, 2]]).any()


def test_activation_dropout_validates_in_transform_too():
    with pytest.raises(ValueError, match="'p'"):
        ActivationDropout(p=7).transform(np.ones((2, 2)))


def test_draft(tmp_path):
    """Large JPEG files are reduced by the decoder; nothing else changes, the cache knows both."""
    photo = Image.fromarray(load_sample_image("china.jpg"))
    photo.resize((1200, 1040), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg", quality=90)
    photo.save(tmp_path / "small.jpg")
    names = [str(tmp_path / name) for name in ("large.jpg", "small.jpg")]
    how = {"weights": "squeezenet1_1", "pooling": "avg", "cache": tmp_path / "cache"}
    whole = DeCAFTransformer("pool1", **how).transform(names)
    reduced = DeCAFTransformer("pool1", draft=True, **how).transform(names)
    with Image.open(names[0]) as opened:
        opened.load()
        from_pil = DeCAFTransformer("pool1", draft=True, **how).transform([opened])
    assert_array_equal(from_pil[0], whole[0])
    assert_array_equal(reduced[1], whole[1])
    assert not np.array_equal(reduced[0], whole[0])
    assert np.linalg.norm(reduced[0] - whole[0]) < 0.05 * np.linalg.norm(whole[0])
    assert_array_equal(DeCAFTransformer("pool1", **how).transform(names), whole)
    del how["cache"]
    assert_array_equal(DeCAFTransformer("pool1", draft=True, **how).transform(names), reduced)
