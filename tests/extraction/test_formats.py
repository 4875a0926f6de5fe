"""Files with features: what readers make of them, wherever in a block images failed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.extractions import CHEAP, N_FEATURES, write_photographs

from sklearn_decaf import extract
from sklearn_decaf._extraction import formats
from sklearn_decaf._extraction.formats import (
    as_text,
    has_fixed_lists,
    read_features,
    read_names,
    write_block,
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photos"), 6)


def with_pandas(out):
    import pandas as pd

    frame = pd.read_parquet(out)
    assert list(frame.columns) == ["row", "path", "features", "error"]
    return frame["path"], frame["features"], frame["error"]


def with_polars(out):
    import polars as pl

    frame = pl.read_parquet(f"{out}/*.parquet")
    assert frame.schema["features"] == pl.List(pl.Float32)
    return frame["path"], frame["features"], frame["error"]


def with_polars_file_by_file(out):
    import polars as pl

    frame = pl.read_parquet(sorted(Path(out).glob("*.parquet")))
    return frame["path"], frame["features"], frame["error"]


def with_arrow_dataset(out):
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(out).to_table()
    return (table[name].to_pylist() for name in ("path", "features", "error"))


def with_arrow_table(out):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(out)
    return (table[name].to_pylist() for name in ("path", "features", "error"))


def with_duckdb(out):
    duckdb = pytest.importorskip("duckdb")

    rows = duckdb.sql(
        f"SELECT path, features, error FROM read_parquet('{out}/*.parquet') ORDER BY row"
    )
    return zip(*rows.fetchall())


READERS = [
    *(with_pandas, with_polars, with_polars_file_by_file),
    *(with_arrow_dataset, with_arrow_table, with_duckdb),
]


@pytest.mark.parametrize("bad", [[3], [0], [2], [5], [0, 1, 2, 3, 4, 5], []], ids=str)
def test_readers_of_parquet(photographs, tmp_path, bad):
    """A photograph that cannot be read in the middle, first and last in its block, all, none."""
    pytest.importorskip("pyarrow")
    paths = list(photographs)
    for row in bad:
        paths[row] = str(tmp_path / f"{row}.jpg")
        Path(paths[row]).write_bytes(b"no photograph")
    out = str(tmp_path / "x.parquet")
    for n_computed in (6, 0):
        result = extract(paths, out, transformer=CHEAP, block_size=3, verbose=False)
        assert (result.n_computed, result.n_failed) == (n_computed, len(bad))
    expected = CHEAP.transform(photographs)
    for read in READERS:
        names, features, errors = read(out)
        assert list(names) == paths
        for row, (values, error) in enumerate(zip(features, errors)):
            failed = row in bad
            assert isinstance(error, str) == failed, read
            if failed:  # pandas has NaN for null in columns of text, and None among lists
                assert values is None, read
            else:
                assert_array_equal(np.asarray(values, np.float32), expected[row])


@pytest.mark.parametrize("format", ["npy", "parquet"])
@pytest.mark.parametrize("bad", [[], [0], [4], [1, 2], [0, 1, 2, 3, 4]], ids=str)
def test_features_and_names_come_back(tmp_path, format, bad, monkeypatch):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    features = np.random.default_rng(0).standard_normal((5, 7), np.float32)
    features[bad] = np.nan
    names = ["a.jpg", "ü.jpg", "b\udcff.jpg", "line\nbreak.jpg", "c.jpg"]
    reasons = {100 + row: "broken\udcff" for row in bad}
    [file, *_] = write_block(format, tmp_path, 3, 100, names, features, reasons, {"x": 1})
    assert file == f"part-000003.{format}"
    assert_array_equal(read_features(tmp_path / file, 7), features)
    assert read_names(tmp_path / file) == list(map(as_text, names))
    assert as_text("b\udcff.jpg") == "b\\xff.jpg"
    assert not has_fixed_lists(tmp_path / file)


def test_lists_that_fill_more_than_one_array(monkeypatch):
    """Offsets have 32 bits, which very large blocks of maps exceed."""
    pytest.importorskip("pyarrow")
    features = np.random.default_rng(0).standard_normal((10, 7), np.float32)
    failed = np.isin(np.arange(10), [0, 3, 4, 9])
    expected = [None if bad else row.tolist() for row, bad in zip(features, failed)]
    for max_values in (1, 7, 20, 21, 70, 2**31 - 1):
        column = formats._list_column(features, failed, max_values)
        assert column.to_pylist() == expected
        assert max(len(chunk.flatten()) for chunk in column.chunks) <= max(max_values, 7)


def test_what_is_written_is_what_is_there(tmp_path, photographs):
    """Names of folders are bytes to the system, and so they may be to PyArrow."""
    pytest.importorskip("pyarrow")
    out = tmp_path / "b\udcff.parquet"
    try:
        out.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    for n_computed in (2, 0):
        result = extract(photographs[:2], out, transformer=CHEAP, verbose=False)
        assert result.n_computed == n_computed
    features = read_features(Path(result.files[0]), N_FEATURES)
    assert_array_equal(features, CHEAP.transform(photographs[:2]))
    shutil.rmtree(out)
