"""What DeCAFTransformer takes for photographs, and what becomes of those that are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from oracles.cheap_layer import CHEAP
from PIL import Image
from sklearn.datasets import load_sample_image

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.exceptions import ImageError, ImageWarning


@pytest.mark.slow
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
