"""Columns, structs, addresses and lazy collections; and no images at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracles.bad_images import encode, photo
from oracles.image_containers import (
    ARROW_STRUCT,
    CONTAINERS,
    EMPTY,
    content,
    struct_of_both,
    struct_of_path,
)
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.descriptors import GISTTransformer, HOGTransformer, LLCTransformer
from sklearn_decaf.exceptions import ImageAccessError, ImageError
from sklearn_decaf.images import check_images, find_unreadable, iter_batches, read_image
from sklearn_decaf.images._files import address_to_path, is_url

pytestmark = pytest.mark.filterwarnings("error")

N = 4
PICTURES = [photo(seed=number) for number in range(N)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number, pixels in enumerate(PICTURES):
        (folder / f"{number} ü%20#.png").write_bytes(encode(pixels, "PNG"))
    return [os.fspath(folder / f"{number} ü%20#.png") for number in range(N)]


def made(make, *arguments):
    try:
        return make(*arguments)
    except ImportError as error:
        pytest.skip(f"{error}: its containers are not tested")


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name, paths):
    X = made(CONTAINERS[name], paths)
    images = check_images(X)
    assert len(images) == N
    for image, pixels in zip(images, PICTURES):
        assert_array_equal(read_image(image), pixels)
    assert_array_equal(
        DeCAFTransformer("stem").fit(X).transform(X), DeCAFTransformer("stem").transform(PICTURES)
    )
    assert find_unreadable(X, n_jobs=2) == []


def test_columns_of_bytes_are_not_copied():
    images = check_images(pa.array([b"a" * 1000] * 3))
    assert not images.is_cheap  # looked at one by one, as they are read
    assert check_images(pa.array(["a.png"] * 3)).is_cheap


def test_structs_are_named_by_their_path(paths, tmp_path):
    cut = {"bytes": content(paths[0])[:200], "path": "train/cat.png"}
    with pytest.raises(ImageError, match=r"^'train/cat\.png': a truncated"):
        read_image(cut)
    for cache in (None, tmp_path):
        with pytest.raises(ImageError, match=r"^row 1, 'train/cat\.png': a truncated"):
            DeCAFTransformer("stem", cache=cache).transform([PICTURES[0], cut])
    for missing in ({"bytes": None, "path": None}, {"path": None}, {"bytes": None}):
        with pytest.raises(ImageError, match="a missing value"):
            read_image(missing)
    for other in ({}, {"image": paths[0]}, {"path": paths[0], "label": 1}):
        with pytest.raises(ImageError, match=r"pass the entry that holds the image"):
            read_image(other)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: pa.table({"path": ["a"], "label": [1]}), r"X is a Table with 2 columns \('path'"),
        (lambda: pa.record_batch({"a": ["a"], "b": ["b"]}), "X is a RecordBatch with 2 columns"),
        (lambda: pa.array(["a.png", None]), "row 1, None: a missing value"),
        (lambda: pa.array([1, 2]), "row 0, 1: no image"),
        (lambda: pa.array([[1, 2], [3]]), r"row 0, .* lists are not read as pixels"),
        (lambda: pl.Series([1, 2]), "row 0, 1: no image"),
        (lambda: pl.LazyFrame({"path": ["a"]}), r"pass X\.collect\(\)"),
        (lambda: {"path": np.array(["a.png"])}, r"X is a dict: pass the entry .*, X\['path'\]"),
        (lambda: (frame for frame in [pd.DataFrame()]), "if it yields data frames, as Spark's"),
        (
            lambda: np.array(["a", None], np.dtypes.StringDType(na_object=None)),
            "row 1, None: a missing value",
        ),
    ],
)
def test_wrong_containers(make, pattern):
    with pytest.raises(ImageError, match=pattern):
        list(iter_batches(make(), size=8, crop=8))


@pytest.mark.parametrize(
    ("library", "kind", "fix"),
    [
        ("dask.bag.core", "Bag", "compute()"),
        ("dask.dataframe.dask_expr._collection", "Series", "compute()"),
        ("dask.delayed", "Delayed", "compute()"),
        ("pyspark.sql.dataframe", "DataFrame", "toPandas()"),
        ("ray.data.dataset", "MaterializedDataset", "to_pandas()"),
        ("daft.dataframe.dataframe", "DataFrame", "to_pandas()"),
    ],
)
def test_lazy_collections_say_what_to_do(library, kind, fix):
    def anything(self, name):  # as dask's Delayed has every attribute
        return self

    lazy = type(kind, (), {"__module__": library, "__getattr__": anything})()
    pattern = rf"X is a {kind} of .*map the transformer over its partitions.*pass X\.{fix[:-2]}\("
    with pytest.raises(ImageError, match=pattern):
        check_images(lazy)


@pytest.mark.parametrize("library", ["dask.bag", "dask.dataframe"])
def test_collections_of_dask(library, paths):
    pytest.importorskip(library, reason="Dask is not installed: its collections are not tested")
    module = sys.modules[library]
    if library == "dask.bag":
        bag = module.from_sequence(paths, npartitions=2)
        rows = bag.map_partitions(lambda part: list(DeCAFTransformer("stem").transform(list(part))))
        rows = np.array(rows.compute(scheduler="sync"))
    else:
        transformer = DeCAFTransformer("stem").set_output(transform="pandas")
        frame = module.from_pandas(pd.DataFrame({"path": paths}), npartitions=3)
        meta = transformer.transform([])
        rows = frame["path"].map_partitions(transformer.transform, meta=meta)
        rows = rows.compute(scheduler="sync").to_numpy()
    assert_array_equal(rows, DeCAFTransformer("stem").transform(PICTURES))


# Addresses of files ----------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_addresses_of_paths(parts):
    path = PurePosixPath("/", *parts)
    assert PurePosixPath(address_to_path(path.as_uri(), windows=False)) == path
    assert not is_url(path.as_uri())


@given(
    st.sampled_from([("C:\\",), ("z:\\",), ("\\\\server\\share\\",)]),
    st.lists(st.text("abc äß%#?&+ ", min_size=1).filter(str.strip), min_size=1, max_size=4),
)
def test_addresses_of_windows(root, parts):
    path = PureWindowsPath(*root, *parts)
    assert PureWindowsPath(address_to_path(path.as_uri(), windows=True)) == path


def test_addresses_with_an_old_drive():
    assert address_to_path("file:///C|/a.png", windows=True) == r"C:\a.png"
    assert address_to_path("FILE:/c:/a%20b.png", windows=True) == r"c:\a b.png"


def test_bytes_that_are_no_text(tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff.png"
    try:
        Path(os.fsdecode(name)).write_bytes(encode(PICTURES[0], "PNG"))
    except OSError:
        pytest.skip("this file system has names of text only")
    assert read_image(Path(os.fsdecode(name)).as_uri()).size == (128, 96)


@pytest.mark.skipif(os.name == "nt", reason="there, it is a network path")
def test_files_of_other_machines():
    with pytest.raises(ImageAccessError, match=r"a file of another machine, 'nas'"):
        read_image("file://nas/photos/a.png")


@pytest.mark.parametrize(
    "url",
    ["https://x.org/a.png", "s3://b/a.png", "hdfs:/a.png", "dbfs:/a", "data:,x", "gs://b/a.png"],
)
def test_other_addresses_are_urls(url):
    with pytest.raises(ImageError, match="a URL: download the file"):
        read_image(url)


def test_names_that_look_like_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("file", "files:a.png", "c:a.png", "a:b"):
        Path(name).write_bytes(encode(PICTURES[0], "PNG"))
        assert read_image(name).size == (128, 96)


def test_missing_files_in_a_folder_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ImageAccessError, match=r"no such file \(the working directory is gone\)"):
        read_image("a.png")


# No images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_no_images(name, on_error, tmp_path):
    X = made(EMPTY[name])
    assert len(check_images(X, on_error=on_error)) == 0
    for n_jobs in (1, 3):
        assert list(iter_batches(X, n_jobs=n_jobs, on_error=on_error)) == []
    assert find_unreadable(X) == []
    for transformer in (
        DeCAFTransformer(on_error=on_error, n_jobs=1),
        DeCAFTransformer(on_error=on_error, n_jobs=3, verbose=True),
        DeCAFTransformer((6, "stem"), dropout=True, on_error=on_error),
        DeCAFTransformer(cache=tmp_path / "cache", ten_crop=True, on_error=on_error),
        GISTTransformer(on_error=on_error),
        HOGTransformer(on_error=on_error),
    ):
        for fitted in (transformer, clone(transformer).fit(X)):
            rows = fitted.transform(X)
            assert rows.shape == (0, len(fitted.get_feature_names_out()))
            assert rows.dtype == np.float32
        assert clone(transformer).fit_transform(X).shape == rows.shape


def test_no_images_as_frames():
    for transformer in (DeCAFTransformer(), GISTTransformer()):
        names = list(transformer.get_feature_names_out())
        frame = transformer.set_output(transform="pandas").transform(pd.Series([], dtype=object))
        assert list(frame.columns) == names and len(frame) == 0
        assert (frame.dtypes == np.float32).all()
        frame = transformer.set_output(transform="polars").transform(pl.DataFrame({"path": []}))
        assert frame.columns == names and frame.height == 0


def test_no_crops(paths):
    boxes = np.empty((0, 4))
    frame = pd.DataFrame({"image": [], "a": [], "b": [], "c": [], "d": []})
    for crops in (
        BoundingBoxCropper().transform([], boxes=boxes),
        BoundingBoxCropper().transform([]),
        BoundingBoxCropper().fit_transform(np.empty((0, 5), object)),
        BoundingBoxCropper().transform(frame),
        BoundingBoxCropper().transform(pl.from_pandas(frame)),
    ):
        assert len(crops) == 0
        assert DeCAFTransformer("stem").transform(crops).shape == (0, 32)


def test_boxes_beside_columns(paths):
    boxes = np.tile([10, 10, 60, 60], (N, 1))
    expected = [np.asarray(crop) for crop in BoundingBoxCropper().transform(PICTURES, boxes)]
    columns = dict(zip("abcd", boxes.T.tolist()))
    structs = pa.array([*map(struct_of_path, paths)], ARROW_STRUCT)
    for X in (
        pa.table({"image": paths, **columns}),
        pa.table({"image": structs, "box": boxes.tolist()}),
        pl.DataFrame({"image": paths, "box": boxes.tolist()}),
        pd.DataFrame({"image": paths, **columns}),
        np.column_stack([paths, boxes]),  # all strings
        list(zip(map(struct_of_both, paths), boxes)),
    ):
        crops = BoundingBoxCropper().transform(X)
        assert_array_equal([np.asarray(crop) for crop in crops], expected)


def test_what_learns_from_images_still_needs_some():
    with pytest.raises(ValueError, match="n_samples=0"):
        LLCTransformer(n_codewords=8).fit([])
    with pytest.raises(ValueError, match="0 sample"):
        make_pipeline(DeCAFTransformer("stem"), LogisticRegression()).fit([], [])
    coder = LLCTransformer(n_codewords=8, step=16).fit(PICTURES)
    assert coder.transform([]).shape == (0, len(coder.get_feature_names_out()))


def test_rows_of_pixels_still_need_some():
    shape = (8, 8)
    for transformer in (DeCAFTransformer(image_shape=shape), GISTTransformer(image_shape=shape)):
        for X in (np.empty((0, 64)), [], pd.DataFrame(np.empty((0, 64)))):
            with pytest.raises(ValueError):
                transformer.transform(X)
    with pytest.raises(ImageError, match="need image_shape="):
        DeCAFTransformer().transform(np.empty((0, 64)))


def test_no_images_have_no_labels():
    assert DeCAFTransformer().predict_labels([]) == []
