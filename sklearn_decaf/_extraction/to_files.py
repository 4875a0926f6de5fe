"""Features of very many photographs, to files."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sklearn.utils import Bunch

from .. import __version__, _kernels
from .._features.input_sizes import check_crop
from .._utils.data_home import expand_user
from .._utils.validation import check_integer, check_option
from ..networks.weights.digests import architecture_digest
from ..transformers import DeCAFTransformer
from .blocks import for_files
from .file_list import FileList
from .formats import FORMATS, import_pyarrow
from .output_folder import NOT_OPENED, OutputFolder
from .resumable_run import ResumableRun

if TYPE_CHECKING:
    from .._utils.types import FilePath


def extract(
    paths: Sequence[FilePath],
    out: FilePath,
    *,
    transformer: DeCAFTransformer | None = None,
    root: FilePath = "",
    format: Literal["parquet", "npy"] | None = None,
    block_size: int = 4096,
    retry_failed: bool = False,
    allow_missing: bool = False,
    verbose: bool = True,
) -> Bunch:
    """Compute features of any number of photographs and write them to files.

    Images stream through in blocks, and the next ones are computed while a block is written:
    memory does not grow with their number. A block that is finished stays finished. After a crash,
    a full disk or Ctrl-C, the same call goes on where the last one stopped, and the files come out
    the same to the byte. Files that could not be opened (missing, on a network drive that was
    away) are tried again by each call.

    Parameters
    ----------
    paths : sequence of str or path-like
        The photographs. Their number and order are part of the output: row i belongs to path i.
    out : str or path-like
        Folder to write, such as ``"features.parquet"``. It is made, or taken up again.
    transformer : DeCAFTransformer, default=None
        Computes the features, with its layer, weights, preprocessing, `n_jobs`, `batch_size` and
        `cache`; None stands for ``DeCAFTransformer()``. Images that cannot be read are listed,
        whatever its `on_error`. No dropout is applied: :class:`ActivationDropout` does it later,
        on training rows.
    root : str or path-like, default=""
        Folder that relative `paths` start from. The output holds the paths as they are given.
    format : {"parquet", "npy"}, default=None
        None takes "npy" unless the name of `out` ends in ``.parquet``. Parquet needs PyArrow
        (``pip install "sklearn-decaf[parquet]"``).
    block_size : int, default=4096
        Images a block: what is computed again after a crash, at most, and what is in memory.
    retry_failed : bool, default=False
        Try again all images that failed in earlier calls, such as files that were damaged and have
        been replaced. Those whose files could not be opened are tried again in any case.
    allow_missing : bool, default=False
        Go on where not one file of a block can be opened. Otherwise that ends the call, since a
        disk that is gone is likelier than so many missing files.
    verbose : bool, default=True
        Show progress with rate and time left on standard error.

    Returns
    -------
    result : Bunch
        - ``folder`` : str
        - ``n_images``, ``n_features`` : int
        - ``n_computed`` : int, the images of this call; the others were finished before
        - ``n_failed`` : int, images that cannot be read; ``_failed.csv`` lists them
        - ``n_not_opened`` : int, those of them whose files could not be opened
        - ``files`` : list of str, the files with features, in the order of the rows

    Raises
    ------
    ValueError
        If `out` was begun with other settings or other paths, or a parameter is wrong.
    ImageAccessError
        If a block has several images and not one of their files can be opened. Finished blocks are
        kept.
    BlockingIOError
        If another process is writing to `out`.
    FileExistsError
        If there is something else at `out`.
    OSError
        If `out` cannot be written to, as when the disk is full. Finished blocks are kept.
    WeightsError
        If the weights cannot be found or lack the layer.
    ImportError
        If PyArrow is needed and not installed.

    See Also
    --------
    DeCAFTransformer : The same features, in memory.

    Notes
    -----
    The folder holds

    - ``part-000000.parquet``, ... with columns ``row``, ``path``, ``features`` (a list of
      `n_features` float32, null for an image that failed) and ``error`` (why it failed, or null).
      ``pandas.read_parquet(out)``, ``pyarrow.dataset.dataset(out)`` and Spark read all parts as
      one table; polars and DuckDB want a pattern, ``polars.read_parquet(f"{out}/*.parquet")``;
    - or ``part-000000.npy``, ... of shape (rows, n_features), float32, with rows of NaN for images
      that failed, and ``part-000000.paths.json`` with their paths;
    - ``_failed.csv``, in UTF-8, with row, path and reason of each image that failed, and of which
      kind that is: "cannot be opened" or "cannot be decoded";
    - ``_manifest.json``, which is there once all is finished: settings (with the checksum of the
      weights), files, their rows and checksums.

    A finished block is checked against its checksum before it is taken for finished, so a call
    on a finished folder verifies it, and repairs what was damaged. That a photograph changes
    between two calls is not noticed.

    Names of files that are not UTF-8 stand in Parquet and CSV files with escapes, ``\\xff``.

    The command line does the same:
    ``python -m sklearn_decaf extract FOLDER --out features.parquet``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sklearn_decaf import extract
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder, name) for name in ("a.png", "b.png", "missing.png")]
    ...     for path, pixels in zip(paths[:2], load_sample_photos().images):
    ...         Image.fromarray(pixels).save(path)
    ...     result = extract(paths, Path(folder, "features"), verbose=False)
    ...     features = np.load(result.files[0])
    >>> features.shape, result.n_failed
    ((3, 320), 1)
    """
    transformer = for_files(DeCAFTransformer() if transformer is None else transformer)
    out = Path(os.path.abspath(expand_user(out)))
    if format is None:
        format = "parquet" if out.suffix == ".parquet" else "npy"
    check_option("format", format, (*FORMATS, None))
    block_size = check_integer("block_size", block_size)
    if isinstance(paths, str | os.PathLike):
        raise ValueError(
            f"paths={paths!r}: it must be a list of paths of photographs. On the command line, "
            "`python -m sklearn_decaf extract FOLDER` lists those of a folder."
        )
    if format == "parquet":
        import_pyarrow()  # rather now than after the first block
    files = paths if isinstance(paths, FileList) else FileList(paths, os.fspath(root))
    if len(files) == 0:
        raise ValueError("paths is empty: pass at least one photograph.")

    settings = _settings(transformer, files, format, block_size)
    with OutputFolder(out, settings, files, assumed=_assumed(settings)) as output:
        run = ResumableRun(output, transformer)
        run.retry(all_failed=retry_failed, verbose=verbose)
        run.compute_unfinished(allow_missing=allow_missing, verbose=verbose)
        run.complete()
    failed = [failure for part in run.parts.values() for failure in part.failed]
    return Bunch(
        folder=str(out),
        n_images=len(files),
        n_features=settings["n_features"],
        n_computed=run.n_computed,
        n_failed=len(failed),
        n_not_opened=sum(failure.kind == NOT_OPENED for failure in failed),
        files=[str(out / run.parts[number].features_file) for number in range(output.n_blocks)],
    )


def _assumed(settings: dict) -> dict:
    """What outputs of earlier versions do not name was like this, as far as one can tell."""
    return {
        "machine": platform.machine(),
        "resize_to": None,
        "crop": None,
        "architecture_sha256": settings["architecture_sha256"],
    }


def _settings(transformer, files: FileList, format: str, block_size: int) -> dict:
    recipe = transformer._recipe(may_download=True)
    recipe.weights.require([recipe.weights.architecture.resolve(layer) for layer in recipe.layers])
    weights, crop = transformer._weights(), check_crop(transformer.crop)
    return {
        "format": format,
        "layer": [layer if isinstance(layer, str) else int(layer) for layer in recipe.layers],
        "pooling": recipe.pooling,
        "resize": recipe.resize,
        "ten_crop": bool(recipe.ten_crop),
        "exif_transpose": bool(recipe.exif_transpose),
        "exact": recipe.exact,
        "draft": bool(recipe.draft),
        "resize_to": None if transformer.resize_to is None else int(transformer.resize_to),
        "crop": crop if crop is None or isinstance(crop, int) else list(crop),
        "architecture": weights.architecture.name,
        "architecture_sha256": architecture_digest(weights.architecture),
        "weights_sha256": transformer._checksum(weights),
        "n_features": recipe.n_features,
        "n_images": len(files),
        "paths_sha256": files.sha256(),
        "block_size": block_size,
        # rows of one output are comparable to the last bit
        "sklearn_decaf": __version__,
        "kernels": _kernels.KERNEL_SET,
        "machine": platform.machine(),  # the set "base" is compiled for each
    }
