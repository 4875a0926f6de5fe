"""DeCAFTransformer with a cache: the same features, and each distinct image computed once."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, ImageFile
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_decaf import ActivationCache, DeCAFTransformer
from sklearn_decaf._kernels import KERNEL_SET
from sklearn_decaf.exceptions import ImageError, ImageWarning, WeightsError
from sklearn_decaf.networks import load_weights, save_weights
from sklearn_decaf.networks.features import FeatureExtractor

CHEAP = {"weights": "squeezenet1_1", "layer": "pool1", "pooling": "avg"}


@pytest.fixture(scope="module")
def photos():
    """Twenty different crops of two photographs, arrays (h, w, 3), and their labels."""
    pair = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    images = [
        np.ascontiguousarray(photo[12 * i : 12 * i + 160, 30 * i : 30 * i + 160])
        for i in range(10)
        for photo in pair
    ]
    return images, np.array(["china", "flower"] * 10)


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    paths = [str(folder / f"{i}.png") for i in range(len(photos[0]))]
    for path, image in zip(paths, photos[0]):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture
def passes(monkeypatch, tmp_path):
    """The number of images that went through a network, in this process and its forks."""
    log = tmp_path / "passes"
    compute = FeatureExtractor.__call__

    def logged(self, images, n_threads=1):
        with open(log, "a") as stream:
            stream.write(f"{len(images)}\n")
        return compute(self, images, n_threads)

    monkeypatch.setattr(FeatureExtractor, "__call__", logged)

    def count():
        n = sum(map(int, log.read_text().split())) if log.exists() else 0
        log.unlink(missing_ok=True)
        return n

    return count


# Equal features ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["squeezenet1_1", "efficientnet_lite0"])
def test_same_bits_with_and_without(photos, tmp_path, weights, passes):
    """Though layers are computed with others, and read back one by one."""
    images = photos[0][:4]
    for layer in (5, 6, 7, 8, "prob", (7, 5), "pool1" if weights == "squeezenet1_1" else "stem"):
        plain = DeCAFTransformer(layer, dropout=False, weights=weights)
        cached = clone(plain).set_params(cache=tmp_path / "cache")
        expected = plain.transform(images)
        passes()
        assert_array_equal(cached.transform(images), expected, strict=True)
        assert passes() == (4 if layer in (5, "prob", "pool1", "stem") else 0), layer
        assert_array_equal(cached.transform(images[::-1]), expected[::-1])
        assert passes() == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {"pooling": "avg+max"},
        {"pooling": None},
        {"ten_crop": True},
        {"resize": "crop"},
        {"exact": True, "layer": "fire9", "pooling": "avg"},
        {"dropout": True, "random_state": 0},
        {"layer": ("pool1", "conv1")},
    ],
)
def test_options_are_part_of_the_key(photos, tmp_path, parameters):
    images = photos[0][:3]
    DeCAFTransformer(**CHEAP, cache=tmp_path).transform(images)
    parameters = {**CHEAP, **parameters}
    expected = DeCAFTransformer(**parameters).fit_transform(images)
    for _ in range(2):
        cached = DeCAFTransformer(**parameters, cache=tmp_path)
        assert_array_equal(cached.fit_transform(images), expected)
        assert_array_equal(
            cached.transform(images), DeCAFTransformer(**parameters).transform(images)
        )


def test_booleans_of_numpy(photos, tmp_path):
    """As a grid of parameters in an array has them."""
    options = ("ten_crop", "exif_transpose", "exact", "draft")
    for value in (False, True):
        own, numpys = (
            DeCAFTransformer(
                "pool1",
                weights="squeezenet1_1",
                cache=tmp_path / str(value),
                **dict.fromkeys(options, kind(value)),
            ).transform(photos[0][:1])
            for kind in (bool, np.bool_)
        )
        np.testing.assert_array_equal(own, numpys)


@pytest.mark.skipif(KERNEL_SET is None, reason="NumPy computes plain sums either way")
def test_exact_rows_are_kept_apart(photos, tmp_path, passes):
    """They differ in a few bits, so nobody would notice rows of the wrong kind."""
    images = photos[0][:2]
    cached = DeCAFTransformer(6, weights="squeezenet1_1", cache=tmp_path)
    rows = [clone(cached).set_params(exact=exact).transform(images) for exact in (False, True)]
    assert passes() == 4
    assert (rows[0] != rows[1]).any()
    for exact in (False, True):
        again = clone(cached).set_params(exact=exact).transform(images)
        assert_array_equal(again, rows[exact])
    assert passes() == 0


def test_poolings_share_what_they_have_in_common(photos, tmp_path, passes):
    images = photos[0][:3]
    cached = DeCAFTransformer(**{**CHEAP, "pooling": "avg+max"}, cache=tmp_path)
    both = cached.transform(images)
    assert passes() == 3
    assert_array_equal(cached.set_params(pooling="avg").transform(images), both[:, :64])
    assert_array_equal(cached.set_params(pooling="max").transform(images), both[:, 64:])
    assert passes() == 0


def test_every_kind_of_image(photos, files, tmp_path, passes):
    images = photos[0]
    turned = Image.fromarray(images[0])
    exif = turned.getexif()
    exif[0x0112] = 6
    upright = Image.open(files[2])
    kinds = [
        files[0],
        Path(files[1]).read_bytes(),
        upright,
        Image.fromarray(images[3]),
        turned,
        images[5],
        images[6] / 255,
        images[7][:, :, 0],
        images[8][::-1],
        images[9].astype(np.uint16) * 257,
        Image.fromarray(images[10]).convert("P"),
        Image.fromarray(images[11]).convert("RGBA"),
        bytearray(Path(files[12]).read_bytes()),
    ]
    expected = DeCAFTransformer(**CHEAP).transform(kinds)
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path)
    passes()
    assert_array_equal(cached.transform(kinds), expected)
    assert passes() == len(kinds)
    assert_array_equal(cached.transform(kinds), expected)
    assert passes() == 0
    # the orientation counts only where it is asked for
    sideways = DeCAFTransformer(**CHEAP, exif_transpose=False)
    assert_array_equal(
        clone(sideways).set_params(cache=tmp_path).transform([turned]), sideways.transform([turned])
    )


def test_rows_of_pixels(photos, tmp_path):
    X = np.stack([image.ravel() for image in photos[0][:4]])
    plain = DeCAFTransformer(**CHEAP, image_shape=(160, 160, 3))
    expected = plain.fit_transform(X)
    cached = clone(plain).set_params(cache=tmp_path)
    assert_array_equal(cached.fit_transform(X), expected)
    assert_array_equal(cached.transform(X), expected)
    assert_array_equal(DeCAFTransformer(**CHEAP, cache=tmp_path).transform(photos[0][:4]), expected)


def test_weights_without_the_last_layers(photos, tmp_path, passes):
    """What a file does not reach is not asked of it."""
    weights = load_weights("squeezenet1_1")
    parameters = {
        name: array for name, array in weights.parameters.items() if not name.startswith("conv10")
    }
    save_weights(replace(weights, parameters=parameters), tmp_path / "part.safetensors")
    images = photos[0][:3]
    how = {"weights": tmp_path / "part.safetensors", "architecture": "squeezenet1_1"}
    for layer, n_passes in ((5, 3), (6, 0)):
        cached = DeCAFTransformer(layer, cache=tmp_path / "cache", **how)
        found = cached.transform(images)
        assert passes() == n_passes
        assert_array_equal(found, DeCAFTransformer(layer, **how).transform(images))
        passes()
    with pytest.raises(WeightsError, match="conv10"):
        DeCAFTransformer(7, cache=tmp_path / "cache", **how).transform(images)


# Known by content -------------------------------------------------------------------------------


def test_an_edited_file_is_another_image(photos, tmp_path, passes):
    """Even where size and times are those of before."""
    path = tmp_path / "photo.bmp"
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path / "cache")
    features = []
    for image in photos[0][:2]:
        Image.fromarray(image).save(path)
        os.utime(path, (10**9, 10**9))
        features.append(cached.transform([path]))
    assert passes() == 2
    assert (features[0] != features[1]).any()
    assert_array_equal(features[1], DeCAFTransformer(**CHEAP).transform([path]))


def test_a_file_that_changes_while_it_is_read(photos, tmp_path):
    """Between the look-up and the computation: what is kept belongs to what was computed."""
    path = tmp_path / "photo.bmp"
    old, new = photos[0][0], photos[0][1]

    class Changing(Sequence):
        """Two paths, asked for first to look up and then to compute."""

        reads = 0

        def __len__(self):
            return 2

        def __getitem__(self, row):
            Image.fromarray(old if self.reads < 2 else new).save(path)
            self.reads += 1
            return path

    images = Changing()
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path / "cache", n_jobs=1)
    features = cached.transform(images)
    expected_old, expected_new = DeCAFTransformer(**CHEAP).transform([old, new])
    assert_array_equal(features, [expected_new, expected_new])
    for image, expected in ((old, expected_old), (new, expected_new)):
        Image.fromarray(image).save(path)
        assert_array_equal(cached.transform([path]), expected[None])


def test_the_same_image_twice_is_computed_once(files, tmp_path, passes):
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path)
    content = Path(files[0]).read_bytes()
    rows = cached.transform([files[0], files[1], content, files[0]])
    assert passes() == 2
    assert_array_equal(rows[2], rows[0])
    assert_array_equal(rows[3], rows[0])


def test_limits_of_reading_are_part_of_the_key(files, tmp_path, monkeypatch):
    """What Pillow would refuse now is not found either, nor what it filled with grey."""
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path)
    cached.transform(files[:1])
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(ImageError, match=r"row 0, '.*0.png'.*bomb"):
            cached.transform(files[:1])
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(Path(files[0]).read_bytes()[:-2000])
    with monkeypatch.context() as patch:
        patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        cached.transform([truncated])
    with pytest.raises(ImageError, match=r"truncated.png'.*truncated"):
        cached.transform([truncated])


# Failures ---------------------------------------------------------------------------------------


def test_images_that_fail(photos, files, tmp_path, passes):
    images = [files[0], "missing.png", files[1], b"text", files[0], b"text", tmp_path]
    plain = DeCAFTransformer(**CHEAP, on_error="nan", batch_size=2)
    cached = clone(plain).set_params(cache=tmp_path / "cache")
    with pytest.warns(ImageWarning) as expected:
        features = plain.transform(images)
    passes()
    for _ in range(2):
        with pytest.warns(ImageWarning) as found:
            assert_array_equal(cached.transform(images), features)
        assert str(found[0].message) == str(expected[0].message)
    cached.set_params(on_error="raise")
    with pytest.raises(ImageError, match=r"row 1, 'missing.png': no such file"):
        cached.transform(images)
    with pytest.raises(ImageError, match=r"row 1, 4 encoded bytes: not an image but text: bytes"):
        cached.transform([files[0], b"text"])


def test_messages_about_files_speak_of_files(tmp_path):
    path = tmp_path / "page.jpg"
    path.write_text("<html>")
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(ImageError, match=r"row 0, '.*page.jpg': not an image but an HTML page"):
            DeCAFTransformer(**CHEAP, cache=cache).transform([path])


# Estimator --------------------------------------------------------------------------------------


def test_clone_pickle_and_parameters(photos, tmp_path):
    for cache in (str(tmp_path), tmp_path, ActivationCache(tmp_path, max_bytes=10**8)):
        cached = DeCAFTransformer(**CHEAP, cache=cache)
        assert cached.get_params()["cache"] is cache
        expected = cached.fit_transform(photos[0][:2])
        copy = pickle.loads(pickle.dumps(clone(cached).fit(photos[0])))
        assert copy.cache == cache
        assert_array_equal(copy.transform(photos[0][:2]), expected)
        assert len(pickle.dumps(cached)) < 2000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ActivationCache(7), "path of a folder"),
        (
            lambda: ActivationCache("x", max_bytes=0),
            "max_bytes=.*: it must be an integer of at least 1",
        ),
        (
            lambda: ActivationCache("x", max_bytes=1e9),
            "max_bytes=.*: it must be an integer of at least 1",
        ),
        (lambda: DeCAFTransformer(cache=True).fit([b"x"]), "'cache' parameter"),
    ],
)
def test_wrong_parameters(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_methods_of_the_cache(photos, tmp_path, passes):
    cache = ActivationCache(tmp_path / "cache")
    assert (len(cache), cache.n_bytes > 0) == (0, True)
    cached = DeCAFTransformer(**CHEAP, cache=cache)
    cached.transform(photos[0])
    assert len(cache) == 20
    cache.clear()
    assert len(cache) == 0
    passes()
    cached.transform(photos[0])
    assert passes() == 20
    assert repr(cache) == f"ActivationCache({str(tmp_path / 'cache')!r}, max_bytes=10737418240)"


def test_progress_counts_found_images_too(photos, tmp_path, capsys):
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path, verbose=True)
    for n in (10, 20, 20):
        cached.transform(photos[0][:n])
        assert f"{n}/{n} images" in capsys.readouterr().err


# One pass an image ------------------------------------------------------------------------------


def search(cache, **parameters):
    """Three layers, two kinds of dropout, two values of C."""
    pipeline = Pipeline(
        [
            ("decaf", DeCAFTransformer(weights="squeezenet1_1", random_state=0, cache=cache)),
            ("classifier", LogisticRegression(max_iter=20)),
        ]
    )
    grid = {
        "decaf__layer": [5, 6, 7],
        "decaf__dropout": [False, True],
        "classifier__C": [0.1, 10.0],
    }
    return GridSearchCV(pipeline, grid, cv=3, refit=False, error_score="raise", **parameters)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_grid_search_computes_each_image_once(photos, tmp_path, passes):
    images, y = photos
    first = search(tmp_path / "cache").fit(images, y).cv_results_["mean_test_score"]
    assert passes() == len(images)
    again = search(tmp_path / "cache").fit(images, y).cv_results_["mean_test_score"]
    assert passes() == 0
    assert_array_equal(again, first)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_so_do_the_processes_of_a_grid_search(photos, tmp_path, passes):
    """They start at the same time with almost the same images, and share the work."""
    images, y = photos
    with joblib.parallel_config("multiprocessing"):
        search(tmp_path / "cache", n_jobs=2).fit(images, y)
    assert passes() == len(images)
    search(tmp_path / "cache", n_jobs=2).fit(images, y)  # processes of another kind
    assert passes() == 0


def test_threads_share_the_work(photos, tmp_path, passes):
    images, _ = photos
    cached = DeCAFTransformer(**CHEAP, cache=tmp_path, batch_size=2, n_jobs=1)
    expected = DeCAFTransformer(**CHEAP).transform(images)
    passes()
    results = joblib.Parallel(n_jobs=4, backend="threading")(
        joblib.delayed(clone(cached).transform)(images[i:] + images[:i]) for i in range(4)
    )
    assert passes() == len(images)
    for i, result in enumerate(results):
        assert_array_equal(result, np.roll(expected, -i, axis=0))


def test_a_search_inside_a_pipeline_with_memory(photos, tmp_path):
    images, y = photos
    pipeline = make_pipeline(
        DeCAFTransformer(**CHEAP, cache=tmp_path / "cache"),
        LogisticRegression(),
        memory=str(tmp_path / "memory"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(images, y)
    assert pipeline.score(images, y) > 0.9
