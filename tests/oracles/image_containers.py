"""Containers in which people have their photographs: columns of data frames, structs, addresses.

Some belong to libraries that are not needed for anything else; making them raises an ImportError
where those are not installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa


def content(path) -> bytes:
    return Path(path).read_bytes()


def struct_of_bytes(path) -> dict:
    return {"bytes": content(path), "path": None}


def struct_of_path(path) -> dict:
    return {"bytes": None, "path": path}


def struct_of_both(path) -> dict:
    return {"bytes": content(path), "path": "elsewhere.png"}


ARROW_STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def daft():
    import daft

    return daft


def hugging_face():
    from datasets.arrow_dataset import Dataset

    return Dataset


def chunked(values):
    return pa.chunked_array([pa.array(values[:1]), pa.array(values[1:])])


CONTAINERS = {
    "Arrow array": pa.array,
    "Arrow array of large strings": lambda paths: pa.array(paths, pa.large_string()),
    "Arrow array of string views": lambda paths: pa.array(paths, pa.string_view()),
    "Arrow dictionary": lambda paths: pa.array(paths).dictionary_encode(),
    "Arrow array of bytes": lambda paths: pa.array([*map(content, paths)]),
    "Arrow array of large binaries": lambda paths: pa.array(
        [*map(content, paths)], pa.large_binary()
    ),
    "Arrow chunked array": chunked,
    "Arrow chunks of bytes": lambda paths: chunked([*map(content, paths)]),
    "Arrow array of structs": lambda paths: pa.array([*map(struct_of_bytes, paths)], ARROW_STRUCT),
    "Arrow array of structs of paths": lambda paths: pa.array(
        [*map(struct_of_path, paths)], ARROW_STRUCT
    ),
    "Arrow table": lambda paths: pa.table({"path": paths}),
    "Arrow table of structs": lambda paths: pa.table(
        {"image": pa.array([*map(struct_of_both, paths)], ARROW_STRUCT)}
    ),
    "Arrow record batch": lambda paths: pa.record_batch({"path": paths}),
    "list of Arrow scalars": lambda paths: list(pa.array(paths)),
    "slice of an Arrow array": lambda paths: pa.array(["missing", *paths])[1:],
    "pandas strings of Arrow": lambda paths: pd.Series(paths, dtype="string[pyarrow]"),
    "pandas column of Arrow": lambda paths: pd.Series(paths, dtype=pd.ArrowDtype(pa.string())),
    "pandas bytes of Arrow": lambda paths: pd.Series(
        [*map(content, paths)], dtype=pd.ArrowDtype(pa.binary())
    ),
    "pandas structs of Arrow": lambda paths: pd.Series(
        [*map(struct_of_path, paths)], dtype=pd.ArrowDtype(ARROW_STRUCT)
    ),
    "pandas frame of Arrow": lambda paths: pd.DataFrame({"path": paths}).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "polars Series": pl.Series,
    "polars Series of bytes": lambda paths: pl.Series([*map(content, paths)]),
    "polars Series of structs": lambda paths: pl.Series([*map(struct_of_both, paths)]),
    "polars categories": lambda paths: pl.Series(paths, dtype=pl.Categorical),
    "polars frame": lambda paths: pl.DataFrame({"path": paths}),
    "polars frame of structs": lambda paths: pl.DataFrame({"image": [*map(struct_of_both, paths)]}),
    "dicts": lambda paths: [*map(struct_of_both, paths)],
    "dicts of one": lambda paths: [{"path": paths[0]}, *({"bytes": content(p)} for p in paths[1:])],
    "dicts with NaN": lambda paths: [{"bytes": float("nan"), "path": path} for path in paths],
    "object array of dicts": lambda paths: np.array([*map(struct_of_path, paths)], object),
    "addresses": lambda paths: [Path(path).as_uri() for path in paths],
    "addresses of localhost": lambda paths: [
        Path(path).as_uri().replace("file://", "file://localhost") for path in paths
    ],
    "addresses as Java writes them": lambda paths: [
        Path(path).as_uri().replace("file://", "file:") for path in paths
    ],
    "addresses as Spark writes them": lambda paths: ["file:" + path for path in paths],
    "strings of variable length": lambda paths: np.array(paths, np.dtypes.StringDType()),
    "strings that may be missing": lambda paths: np.array(
        paths, np.dtypes.StringDType(na_object=None)
    ),
    "Daft Series": lambda paths: daft().Series.from_pylist(paths),
    "Daft Series of bytes": lambda paths: daft().Series.from_pylist([*map(content, paths)]),
    "Daft Series of structs": lambda paths: daft().Series.from_pylist(
        [*map(struct_of_path, paths)]
    ),
    "Hugging Face column": lambda paths: hugging_face().from_dict({"image": paths})["image"],
    "Hugging Face data set": lambda paths: hugging_face().from_dict({"image": paths}),
}

# The same without any images in them.
EMPTY = {
    "list": list,
    "tuple": tuple,
    "array of an empty list": lambda: np.array([]),
    "object array": lambda: np.empty(0, object),
    "object column": lambda: np.empty((0, 1), object),
    "string array": lambda: np.array([], "U9"),
    "variable-length strings": lambda: np.array([], np.dtypes.StringDType()),
    "stack": lambda: np.empty((0, 8, 8, 3), np.uint8),
    "pandas Series": lambda: pd.Series([], dtype=object),
    "pandas Series of floats": lambda: pd.Series([], dtype=float),
    "pandas frame": lambda: pd.DataFrame({"path": []}),
    "polars Series": lambda: pl.Series([]),
    "polars frame": lambda: pl.DataFrame({"path": []}),
    "Arrow array": lambda: pa.array([], pa.string()),
    "Arrow array of nothing": lambda: pa.array([]),
    "Arrow table": lambda: pa.table({"path": pa.array([], pa.string())}),
    "Daft Series": lambda: daft().Series.from_pylist([]),
}
