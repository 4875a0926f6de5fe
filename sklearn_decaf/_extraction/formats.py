"""Files of a block of features, written and read back: Parquet, or NumPy arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FORMATS = ("parquet", "npy")
_MAX_VALUES = 2**31 - 1  # of the lists in one piece of an Arrow column, whose offsets have 32 bits


def write_block(
    format: str,
    folder: Path,
    number: int,
    start: int,
    names: Sequence[str],
    features: np.ndarray,
    reasons: Mapping[int, str],
    settings: dict,
) -> list[str]:
    """Write the files of one block into a folder; return their names, that with features first.

    Parameters
    ----------
    format : {"parquet", "npy"}
    folder : Path
    number : int
        Of the block.
    start : int
        Row of its first image.
    names : sequence of str
        Names of the images.
    features : ndarray of shape (n, n_features), float32
        With rows of NaN for images that failed.
    reasons : mapping of int to str
        Why images failed, by row.
    settings : dict
        Noted in each Parquet file.
    """
    stem = f"part-{number:06}"
    if format == "parquet":
        _write_parquet(folder / f"{stem}.parquet", start, names, features, reasons, settings)
        return [f"{stem}.parquet"]
    with open(folder / f"{stem}.npy", "wb") as stream:
        # np.save would hide why a write failed
        header = np.lib.format.header_data_from_array_1_0(features)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(features.data)
    with open(folder / f"{stem}.paths.json", "w", encoding="ascii") as stream:
        json.dump(list(names), stream, indent=0)
    return [f"{stem}.npy", f"{stem}.paths.json"]


def read_features(path: Path, n_features: int) -> np.ndarray:
    """Features of a block: (n, n_features), float32, NaN for images that failed.

    Raises
    ------
    ValueError
        If they cannot be read, as those that PyArrow 25 wrote of blocks whose last image failed.
    """
    if path.suffix == ".npy":
        return np.load(path)
    pa = import_pyarrow()
    try:
        column = _read_column(path, "features")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error}.") from error
    failed = column.is_null().to_numpy()
    values = [chunk.flatten().to_numpy() for chunk in column.chunks]  # of what did not fail
    features = np.full((len(failed), n_features), np.nan, np.float32)
    features[~failed] = np.concatenate([features[:0].ravel(), *values]).reshape(-1, n_features)
    return features


def read_names(path: Path) -> list[str]:
    """Names of the images of a block, as text: see `as_text`."""
    if path.suffix == ".npy":
        return [as_text(name) for name in json.loads(path.with_suffix(".paths.json").read_bytes())]
    return _read_column(path, "path").to_pylist()


def has_fixed_lists(path: Path) -> bool:
    """Whether a file is of an older version: its lists of fixed size cannot hold a null."""
    if path.suffix != ".parquet":
        return False
    pa = import_pyarrow()
    with open(path, "rb") as stream:
        schema = pa.parquet.read_schema(stream)
    return pa.types.is_fixed_size_list(schema.field("features").type)


def _read_column(path: Path, name: str):
    with open(path, "rb") as stream:
        return import_pyarrow().parquet.read_table(stream, columns=[name])[name]


def as_text(name: str) -> str:
    """A name in Unicode: bytes of file names that are no UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def import_pyarrow():
    """PyArrow, which only Parquet output needs.

    Raises
    ------
    ImportError
        If it is not installed; the message says what to do.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet files need PyArrow, which is not installed: run pip install pyarrow (or "
            "'sklearn-decaf[parquet]'), or choose format='npy', which needs nothing more."
        ) from error
    return pyarrow


def _write_parquet(path, start, names, features, reasons, settings) -> None:
    pa = import_pyarrow()
    rows = range(start, start + len(names))
    failed = np.array([row in reasons for row in rows])
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "path": pa.array(map(as_text, names), pa.string()),
            "features": _list_column(features, failed),
            "error": pa.array(
                [as_text(reasons[row]) if row in reasons else None for row in rows], pa.string()
            ),
        }
    )
    note = json.dumps(settings, sort_keys=True)
    table = table.replace_schema_metadata({"sklearn_decaf": note})
    with open(path, "wb") as stream:  # PyArrow itself opens no names that are not UTF-8
        pa.parquet.write_table(
            table,
            stream,
            compression="zstd",
            use_dictionary=False,
            write_statistics=["row", "path"],
        )


def _list_column(features: np.ndarray, failed: np.ndarray, max_values: int = _MAX_VALUES):
    """A column of lists, null for what failed.

    Lists of fixed size would say more, but PyArrow before 26 writes nulls among them wrongly or
    not at all.
    """
    pa = import_pyarrow()
    width = features.shape[1]
    n_rows = max(1, max_values // width)
    pieces = []
    for first in range(0, len(features), n_rows):
        bad = failed[first : first + n_rows]
        good_features = features[first : first + n_rows][~bad]
        ends = width * np.cumsum(~bad)
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        # a list is null where its first offset is; the last one ends the last list
        nulls = np.append(bad, False)
        pieces.append(
            pa.ListArray.from_arrays(
                pa.array(offsets, mask=nulls), pa.array(good_features.reshape(-1), pa.float32())
            )
        )
    return pa.chunked_array(pieces, pa.list_(pa.float32()))
