"""The life of all descriptors as estimators."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_decaf._utils import parallel
from sklearn_decaf.descriptors import GISTTransformer, HOGTransformer, LLCTransformer
from sklearn_decaf.exceptions import ImageError, ImageWarning

SMALL_GIST = {"image_size": 32, "n_orientations": 4}
SMALL_LLC = {"n_codewords": 8, "max_size": 64, "random_state": 0}
SMALL_HOG = {"image_size": 32}


HAS_SKIMAGE = find_spec("skimage") is not None
needs_skimage = pytest.mark.skipif(not HAS_SKIMAGE, reason="needs scikit-image")

SMALL = [
    pytest.param(GISTTransformer(**SMALL_GIST), id="GIST"),
    pytest.param(LLCTransformer(**SMALL_LLC), id="LLC"),
    pytest.param(HOGTransformer(**SMALL_HOG), id="HOG", marks=needs_skimage),
]
every_descriptor = pytest.mark.parametrize("transformer", SMALL)


def rows_of_any_width(base):
    """A subclass that takes a row of n numbers as a grey image of 1 x n pixels."""

    class RowsOfAnyWidth(base):
        _check_range = False

        def _row_shape(self, n_features):
            return (1, n_features)

    RowsOfAnyWidth.__name__ = f"RowsOfAnyWidth{base.__name__}"
    RowsOfAnyWidth.__qualname__ = RowsOfAnyWidth.__name__
    globals()[RowsOfAnyWidth.__name__] = RowsOfAnyWidth  # the checks pickle it
    return RowsOfAnyWidth


CHECKED = [
    rows_of_any_width(GISTTransformer)(image_shape=(1, 1), image_size=16, n_orientations=2),
    rows_of_any_width(LLCTransformer)(
        image_shape=(1, 1), n_codewords=2, n_neighbors=2, step=16, random_state=0
    ),
]
if HAS_SKIMAGE:
    CHECKED.append(rows_of_any_width(HOGTransformer)(image_shape=(1, 1), image_size=16))


@pytest.mark.slow
@parametrize_with_checks(CHECKED)
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@every_descriptor
def test_all_kinds_of_input_give_the_same_rows(transformer, photos, files):
    images, _ = photos
    transformer = clone(transformer).fit(images)
    expected = transformer.transform(images)
    assert expected.dtype == np.float32 and np.isfinite(expected).all()
    stacked = np.stack(images)
    kinds = {
        "array": stacked,
        "float array": stacked / 255,
        "PIL": [Image.fromarray(image) for image in images],
        "bytes": [Path(path).read_bytes() for path in files],
        "str": files,
        "Series": pd.Series(files, index=range(100, 108)),
        "mixed": [files[0], images[1], Image.fromarray(images[2]), *files[3:]],
    }
    for name, X in kinds.items():
        assert_array_equal(transformer.transform(X), expected, err_msg=name)
    frame = pd.DataFrame({"photo": files})
    assert_array_equal(clone(transformer).fit(frame).transform(frame), expected)


@pytest.mark.slow
@every_descriptor
def test_rows_do_not_depend_on_threads_or_neighbours(transformer, photos):
    images, _ = photos
    transformer = clone(transformer).set_params(n_jobs=1).fit(images)
    expected = transformer.transform(images)
    assert_array_equal(transformer.set_params(n_jobs=3).transform(images), expected)
    assert_array_equal(transformer.transform(images[3:4]), expected[3:4])
    order = np.random.default_rng(0).permutation(len(images))
    assert_array_equal(transformer.transform([images[i] for i in order]), expected[order])


@pytest.mark.slow
@every_descriptor
def test_rows_of_pixels(transformer, photos):
    stacked = np.stack(photos[0])
    flat = stacked.reshape(len(stacked), -1)
    expected = clone(transformer).fit(stacked).transform(stacked)
    rows = clone(transformer).set_params(image_shape=stacked.shape[1:])
    assert not get_tags(transformer).input_tags.two_d_array
    assert get_tags(rows).input_tags.two_d_array
    assert_array_equal(rows.fit(flat).transform(flat), expected)
    assert rows.n_features_in_ == flat.shape[1]
    with pytest.raises(ValueError, match="image_shape"):
        clone(transformer).fit(flat)


@pytest.mark.slow
@every_descriptor
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_bad_image_raises_and_is_named(transformer, files, tmp_path, n_jobs):
    bad = tmp_path / "page.jpg"
    bad.write_text("<!DOCTYPE html><title>404</title>")
    X = [*files[:4], str(bad), *files[4:], "missing.jpg"]
    transformer = clone(transformer).set_params(n_jobs=n_jobs).fit(files)
    with pytest.raises(ImageError, match=r"row 4.*page\.jpg"):
        transformer.transform(X)


@pytest.mark.slow
@every_descriptor
def test_a_bad_image_becomes_a_row_of_nan(transformer, files):
    X = [*files[:4], "missing.jpg", *files[4:], None]
    expected = clone(transformer).fit(files).transform(files)
    transformer = clone(transformer).set_params(on_error="nan").fit(files)
    with pytest.warns(ImageWarning, match="2 of 10 images") as record:
        rows = transformer.transform(X)
    assert len(record) == 1 and "row 4" in str(record[0].message)
    bad = np.isin(np.arange(10), [4, 9])
    assert np.isnan(rows[bad]).all()
    assert_array_equal(rows[~bad], expected)


@pytest.mark.slow
@every_descriptor
def test_names_clone_and_pickle(transformer, photos):
    images, _ = photos
    transformer = clone(transformer).fit(images)
    rows = transformer.transform(images)
    names = transformer.get_feature_names_out()
    assert len(names) == len(set(names)) == rows.shape[1]
    prefix = type(transformer).__name__.removesuffix("Transformer").lower()
    assert names[0] == f"{prefix}_0000"
    assert_array_equal(pickle.loads(pickle.dumps(transformer)).transform(images), rows)
    assert clone(transformer).get_params() == transformer.get_params()
    frame = clone(transformer).set_output(transform="pandas").fit(images).transform(images)
    assert frame.columns.tolist() == names.tolist()


@every_descriptor
@pytest.mark.parametrize(
    "parameters", [{"n_jobs": 0}, {"on_error": "skip"}, {"image_shape": (0, 3)}, {"verbose": "x"}]
)
def test_bad_parameters_are_named(transformer, photos, parameters):
    (name,) = parameters
    X = np.stack(photos[0])
    if name == "image_shape":
        X = X.reshape(len(X), -1)
    with pytest.raises(ValueError, match=name):
        clone(transformer).set_params(**parameters).fit(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"patch_sizes": ()},
        {"patch_sizes": (16, 2.5)},
        {"patch_sizes": (3,)},
        {"pyramid": (1, 0)},
        {"max_size": 20},
        {"n_neighbors": 9},
        {"regularization": 0},
    ],
)
def test_bad_parameters_of_llc_are_named(photos, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        LLCTransformer(**{**SMALL_LLC, **parameters}).fit(photos[0])


@pytest.mark.slow
@every_descriptor
def test_inside_scikit_learn(transformer, photos):
    images, y = photos
    classifier = make_pipeline(clone(transformer), LogisticRegression(C=100))
    search = GridSearchCV(classifier, {"logisticregression__C": [1.0, 100.0]}, cv=2)
    search.fit(images, y)
    assert search.score(images, y) > 0.8
    union = FeatureUnion([("a", clone(transformer)), ("b", GISTTransformer(**SMALL_GIST))])
    assert union.fit_transform(images).shape[0] == 8


@pytest.mark.slow
@every_descriptor
def test_verbose_shows_progress(transformer, photos, capsys):
    transformer = clone(transformer).fit(photos[0])
    capsys.readouterr()
    transformer.set_params(verbose=True).transform(photos[0])
    assert "8/8 images" in capsys.readouterr().err


@pytest.mark.slow
@every_descriptor
def test_blas_is_left_as_it_was(transformer, photos):
    before = parallel._blas_threads()
    clone(transformer).fit(photos[0]).transform(photos[0])
    assert parallel._blas_threads() == before


@pytest.mark.slow
def test_descriptors_tell_classes_of_photographs_apart(shared_data):
    """Far better than guessing, which gives 0.25."""
    from sklearn_decaf.datasets import load_image_folder

    folder = shared_data("caltech101_20x60") / "101_ObjectCategories"
    classes = ["airplanes", "bonsai", "car_side", "sunflower"]
    photographs = load_image_folder(folder, classes=classes)
    train = np.concatenate([np.flatnonzero(photographs.target == c)[:10] for c in range(4)])
    X, y = np.asarray(photographs.filenames), photographs.target
    for transformer in (
        GISTTransformer(image_size=128),
        LLCTransformer(64, max_descriptors=10_000, random_state=0),
    ):
        classifier = make_pipeline(transformer, LogisticRegression(C=100, max_iter=1000))
        classifier.fit(X[train], y[train])
        assert classifier.score(X[train + 10], y[train + 10]) > 0.75
