"""Batches of 8-bit RGB pixels, read by threads in bounded memory.

Pillow decodes and resizes outside Python's lock, so that threads really work side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._utils.parallel import effective_n_threads, submit
from .._utils.validation import check_integer
from ..exceptions import ImageError
from ._containers import check_images
from ._inputs import FailureReason, describe
from ._pixels import TRANSPARENCY_IGNORED
from ._reading import decode
from ._resizing import resize_and_crop
from ._warnings import warn_of_ignored_transparency

if TYPE_CHECKING:
    from .._utils.types import Images

# With `draft`, the decoder leaves each side at least so many multiples of `size`.
DRAFT_MARGIN = 2


def iter_batches(
    images: Images,
    *,
    size: int = 256,
    crop: int | tuple[int, int] = 227,
    resize: Literal["warp", "crop"] | None = "warp",
    ten_crop: bool = False,
    upside_down: bool = False,
    exif_transpose: bool = True,
    batch_size: int = 32,
    n_jobs: int = 1,
    on_error: Literal["raise", "nan"] = "raise",
    draft: bool = False,
    max_pixels: int | None = None,
) -> Iterator[tuple[int, np.ndarray, list[tuple[int, str]]]]:
    """Read, resize and crop images, and yield them batch by batch in their order.

    With ``n_jobs > 1`` that many threads read the next batch while the caller works on the last
    one, so at most two batches are in memory, plus one decoded image a thread. What an image
    becomes depends on the image and on the parameters of the resizing alone, never on
    `batch_size`, `n_jobs` or other images.

    Parameters
    ----------
    images : ImageInputs or sequence of images
        What `check_images` returns or takes.
    size, crop, resize, ten_crop, upside_down
        See `resize_and_crop`.
    exif_transpose : bool, default=True
        See `read_image`.
    batch_size : int, default=32
        Images a batch; the last batch may have fewer.
    n_jobs : int, default=1
        Number of reading threads; 1 reads in the caller's own, with nothing read ahead. A
        sequence of the user's own that makes its items on demand is indexed in these threads.
    on_error : {"raise", "nan"}, default="raise"
        Whether an image that cannot be read raises, or is reported in `failed`.
    draft : bool, default=False
        Let the decoder reduce large JPEG files before they are resized: faster, less exact.
    max_pixels : int, default=None
        See `read_image`. With `draft`, the pixels that the decoder would make count.

    Yields
    ------
    start : int
        Row of the first image of the batch.
    batch : ndarray of shape (m, crop, crop, 3) or (m, 10, crop, crop, 3), uint8
        RGB pixels in [0, 255]; zeros for an image that failed. The array is the caller's.
    failed : list of (row, message)
        The images of this batch that could not be read (``on_error="nan"``). The row counts from
        the start of `images`; the message names it again, with its path.

    Raises
    ------
    ImageError
        For the first image, in row order, that cannot be read (``on_error="raise"``).

    Warns
    -----
    ImageWarning
        Once, after the last batch, of all images that are transparent everywhere: they are read as
        if they were opaque.

    Notes
    -----
    With ``draft=True`` a JPEG file is reduced by 8, 4 or 2 if that divides both sides and leaves
    at least ``2 * size`` pixels of each (not with ``resize=None``). A photograph of 12 megapixels
    takes a third of the time, its resized pixels move by a fifth of a grey level on average, and
    features by 2 %. Pictures that are passed as PIL images or arrays are not reduced.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.images import iter_batches
    >>> images = [np.zeros((60, 80), dtype=np.uint8), "missing.jpg", np.ones((90, 60, 3))]
    >>> for start, batch, failed in iter_batches(images, batch_size=2, on_error="nan"):
    ...     print(start, batch.shape, [row for row, message in failed])
    0 (2, 227, 227, 3) [1]
    2 (1, 227, 227, 3) []
    """
    for name, value in (("batch_size", batch_size), ("n_jobs", n_jobs)):
        check_integer(name, value)
    reader = BatchReader(
        images,
        size=size,
        crop=crop,
        resize=resize,
        ten_crop=ten_crop,
        upside_down=upside_down,
        exif_transpose=exif_transpose,
        on_error=on_error,
        draft=draft,
        max_pixels=max_pixels,
    )
    # Not a generator itself, so that wrong arguments raise here and not at the first batch.
    return _batches_and_warning(reader, batch_size, n_jobs)


def _batches_and_warning(reader, batch_size, n_jobs):
    yield from reader.batches(batch_size, n_jobs)
    warn_of_ignored_transparency(reader.opaque, len(reader))


class BatchReader:
    """Reads any rows of some images, in the thread that asks; the parameters as `iter_batches`.

    Attributes
    ----------
    opaque : list of (row, name)
        Images read so far that are transparent everywhere, and were read as opaque.
    """

    def __init__(
        self,
        images,
        *,
        size,
        crop,
        resize,
        ten_crop=False,
        upside_down=False,
        exif_transpose=True,
        on_error="raise",
        draft=False,
        max_pixels=None,
    ):
        if resize not in ("warp", "crop", None):
            raise ValueError(f"resize={resize!r}: it must be 'warp', 'crop' or None.")
        check_integer("size", size)
        sides = tuple(crop) if isinstance(crop, tuple | list) else (crop, crop)
        if len(sides) != 2:
            raise ValueError(f"crop={crop!r}: it must be an integer, or a pair (height, width).")
        for side in sides:
            check_integer("crop", side)
        if max_pixels is not None:
            check_integer("max_pixels", max_pixels)
        if resize is not None and max(sides) > size:
            raise ValueError(
                f"crop={crop} does not fit into size={size}: it must be at most `size`."
            )
        self.images = check_images(images, on_error=on_error)
        self.opaque: list[tuple[int, str]] = []
        self._on_error = on_error
        self._shape = (10, *sides, 3) if ten_crop else (*sides, 3)
        self._decoding = {
            "exif_transpose": exif_transpose,
            "at_least": DRAFT_MARGIN * size if draft and resize is not None else None,
            "max_pixels": max_pixels,
        }
        self._cutting = {
            "size": size,
            "crop": crop,
            "resize": resize,
            "ten_crop": ten_crop,
            "upside_down": upside_down,
        }

    def __len__(self):
        return len(self.images)

    def batches(self, batch_size: int, n_jobs: int):
        """All images in batches: what `iter_batches` yields."""
        starts = range(0, len(self), batch_size)
        if not starts:
            return
        if n_jobs == 1:
            for start in starts:
                batch, failed = self.read(start, min(start + batch_size, len(self)))
                yield start, batch, failed
            return

        executor = ThreadPoolExecutor(n_jobs, thread_name_prefix="sklearn_decaf-images")
        process = os.getpid()

        def begin(start):
            batch = self.new_batch(min(batch_size, len(self) - start))
            return batch, [
                submit(executor, self.fill, batch, offset, start + offset)
                for offset in range(len(batch))
            ]

        try:
            ahead = begin(starts[0])
            for start, following in zip_longest(starts, starts[1:]):
                batch, results = ahead
                failed = self.failures(wait_for() for wait_for in results)
                if following is not None:
                    ahead = begin(following)
                yield start, batch, failed
        finally:  # the last batch, an error, Ctrl-C, or a caller who stopped early
            if os.getpid() == process:  # and not a copy in a forked child, without such threads
                executor.shutdown(cancel_futures=True)

    def read(
        self, start: int, stop: int, check: Callable[[], None] = lambda: None
    ) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """A batch of the rows from `start` to below `stop`, and what failed of them.

        Before each image `check` is called, which may raise to end the work.
        """
        batch = self.new_batch(stop - start)

        def results():
            for offset in range(stop - start):
                check()
                yield self.fill(batch, offset, start + offset)

        return batch, self.failures(results())

    def new_batch(self, n: int) -> np.ndarray:
        """Make an array for n images, of zeros."""
        return np.zeros((n, *self._shape), dtype=np.uint8)

    def fill(self, batch: np.ndarray, offset: int, row: int) -> tuple[int, FailureReason] | None:
        """Write one image into its place in a batch; return (row, message) if that fails."""
        images = self.images
        try:
            source = images[row]
        except OSError as error:  # of a sequence that reads its items on demand
            found = f"{type(error).__name__}: {error}"
            message = f"{images.name_row(row)}: the image cannot be fetched ({found})."
            return row, FailureReason.of(error, message)
        try:
            image = decode(source, **self._decoding)
            batch[offset] = resize_and_crop(image, **self._cutting)
        except ImageError as error:
            message = f"{images.name_row(row)}, {describe(source)}: {error}."
            return row, FailureReason.of(error, message)
        if TRANSPARENCY_IGNORED in image.info:
            self.opaque.append((row, f"{images.name_row(row)}, {describe(source)}"))
        return None

    def failures(self, results) -> list[tuple[int, str]]:
        """Select the failures among results of `fill`; the first raises with on_error="raise"."""
        failed = []
        for failure in results:  # in row order, so the first bad row raises, not the fastest
            if failure is not None:
                if self._on_error == "raise":
                    raise failure[1].error_class(
                        f"{failure[1]} sklearn_decaf.images.find_unreadable lists images that "
                        "cannot be read; on_error='nan' makes rows of NaN of all that fail."
                    )
                failed.append(failure)
        return failed


def find_unreadable(
    images: Images, *, n_jobs: int | None = None, max_pixels: int | None = None
) -> list[tuple[int, str]]:
    """List the images that cannot be read, and say why.

    Every image is decoded to its end, as a transformer does before its network runs, because a
    file that was cut off looks whole from its beginning. That is a small part of the time that
    features take.

    Parameters
    ----------
    images : images
        Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.
    n_jobs : int, default=None
        Threads, as in :class:`~sklearn_decaf.DeCAFTransformer`.
    max_pixels : int, default=None
        See `read_image`.

    Returns
    -------
    failed : list of (row, message)
        The rows of images that cannot be read, in order; the message names the row, the path and
        the reason. Its attribute `is_access` is True where the file could not be opened or read,
        which says nothing of the image in it. Empty if all is well.

    See Also
    --------
    sklearn_decaf.datasets.load_image_folder : Lists images without reading them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.images import find_unreadable
    >>> images = [np.zeros((60, 80, 3)), "missing.jpg"]
    >>> for row, message in find_unreadable(images):
    ...     print(message)
    row 1, 'missing.jpg': no such file (the working directory is ...).

    To go on with the others:

    >>> bad = [row for row, message in find_unreadable(images)]
    >>> good = np.delete(np.arange(len(images)), bad)
    >>> good
    array([0])
    """
    batches = iter_batches(
        images,
        size=8,
        crop=8,
        on_error="nan",
        n_jobs=effective_n_threads(n_jobs),
        max_pixels=max_pixels,
    )
    return [failure for _, _, failed in batches for failure in failed]
