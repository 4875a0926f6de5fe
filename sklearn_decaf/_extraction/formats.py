"""How a block of features becomes files: Parquet, or NumPy arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_block(
    format: str,
    folder: Path,
    number: int,
    start: int,
    names: Sequence[str],
    features: np.ndarray,
    reasons: dict[int, str],
    settings: dict,
) -> list[str]:
    """Write the files of one block into a folder; return their names.

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
    reasons : dict of int to str
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
            "Parquet files need PyArrow, which is not installed: pip install pyarrow (or "
            "'sklearn-decaf[parquet]'), or choose format='npy', which needs nothing more"
        ) from error
    return pyarrow


def _write_parquet(path, start, names, features, reasons, settings) -> None:
    pa = import_pyarrow()
    rows = range(start, start + len(names))
    failed = np.array([row in reasons for row in rows])
    width = features.shape[1]
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "path": pa.array([_as_text(name) for name in names], pa.string()),
            "features": pa.FixedSizeListArray.from_arrays(
                pa.array(features.reshape(-1)), width, mask=pa.array(failed)
            ),
            "error": pa.array(
                [_as_text(reasons[row]) if row in reasons else None for row in rows], pa.string()
            ),
        }
    )
    note = json.dumps(settings, sort_keys=True)
    table = table.replace_schema_metadata({"sklearn_decaf": note})
    pa.parquet.write_table(
        table, path, compression="zstd", use_dictionary=False, write_statistics=["row", "path"]
    )


def _as_text(name: str) -> str:
    """A name in Unicode: bytes of file names that are no UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
