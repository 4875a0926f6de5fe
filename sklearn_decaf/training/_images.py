"""Images for a training: held as pixels, or read again each time they are learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .._cache.keys import identify
from .._utils.parallel import run_in_threads
from ..images._batches import BatchReader
from ..images._inputs import ImageInputs
from ..networks.architecture import Preprocessing
from ._augmentation import Augmentation, centre

#: Pixels of all images together that are held in memory, in bytes.
HELD = 2**30
#: What says how bright and how colourful the pixels of all images are.
_SAMPLED_IMAGES = 1000
_SAMPLED_PIXELS = 2**20


class ImageData:
    """Images as a training takes them.

    Parameters
    ----------
    source : ndarray of shape (n, h, w, 3), or BatchReader
        Pixels; or what reads them each time.
    size : (int, int)
        Height and width of the network's input.
    changes : sequence of Augmentation
        Of images that are learned from.
    n_threads : int, default=1
    """

    def __init__(
        self,
        source: np.ndarray | BatchReader,
        size: tuple[int, int],
        changes: Sequence[Augmentation] = (),
        n_threads: int = 1,
    ):
        self.source = source
        self.size = size
        self.changes = tuple(changes)
        self.n_threads = n_threads

    @property
    def is_8_bit(self) -> bool:
        """Whether there are pixels from 0 to 255, and not numbers of any range."""
        return not isinstance(self.source, np.ndarray) or self.source.dtype == np.uint8

    @property
    def is_slow(self) -> bool:
        """Whether making a batch is work that is worth a thread."""
        is_read = not isinstance(self.source, np.ndarray)
        return is_read or (bool(self.changes) and min(self.size) > 64)

    def __len__(self) -> int:
        return len(self.source)

    def take(
        self, rows: np.ndarray, epoch: int | None = None, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return the pixels of some images, changed if they are learned from."""
        source = self.source
        changes = () if rng is None else self.changes
        if isinstance(source, np.ndarray) and not changes:
            return np.ascontiguousarray(centre(source[rows], self.size))
        numbers = [] if rng is None else [change.draw(rng, len(rows)) for change in changes]
        dtype = np.uint8 if self.is_8_bit else np.float32
        batch = np.empty((len(rows), *self.size, 3), dtype)

        def make(i: int) -> None:
            image = self.pixels(int(rows[i]))
            if not any(change.cuts for change in changes):
                image = centre(image, self.size)
            for change, own in zip(changes, numbers):
                image = change.apply(image, own[i], self.size)
            batch[i] = image

        run_in_threads(make, len(rows), self.n_threads)
        return batch

    def pixels(self, row: int) -> np.ndarray:
        """Return one image as it is before any change, (h, w, 3)."""
        if isinstance(self.source, np.ndarray):
            return self.source[row]
        image = self.source.new_batch(1)
        self.source.failures([self.source.fill(image, 0, row)])
        return image[0]

    def sample(self) -> np.ndarray:
        """Return some pixels (m, 3) of some images, evenly spaced: all of them if they are few."""
        n = min(_SAMPLED_IMAGES, len(self))
        step = -(-n * self.size[0] * self.size[1] // _SAMPLED_PIXELS)
        rows = (i * len(self) // n for i in range(n))
        return np.concatenate([self.pixels(row).reshape(-1, 3)[::step] for row in rows])

    def digest(self) -> str:
        """Digest of the content of all images."""
        digest = hashlib.sha256()
        if isinstance(self.source, np.ndarray):
            digest.update(digest_of(self.source).encode())
        else:
            for image in self.source.images:
                content, _ = identify(image, exif_transpose=True)
                digest.update(content or repr(image).encode())
        return digest.hexdigest()


def open_images(
    images: ImageInputs,
    preprocessing: Preprocessing,
    *,
    resize: str | None,
    changes: Sequence[Augmentation] = (),
    n_threads: int = 1,
    held: int = HELD,
) -> ImageData:
    """Make the data of a training from images in any form; read them if they can be held.

    Parameters
    ----------
    images : ImageInputs
    preprocessing : Preprocessing
        Sizes of the resized photographs, and of the network's input.
    resize : {"warp", "crop", None}
    changes : sequence of Augmentation
    n_threads : int, default=1
    held : int
        Bytes of pixels that may be held in memory.

    Raises
    ------
    ImageError
        If an image cannot be read.
    """
    size = preprocessing.crop_sides
    if preprocessing.resize == max(size) and common_size(images) == size:
        resize = None  # they are what the network sees, whatever their shape
    # what cuts at random wants more than the centre
    wide = any(change.cuts for change in changes) and resize is not None
    reader = BatchReader(
        images,
        size=preprocessing.resize,
        crop=preprocessing.resize if wide else size,
        resize=resize,
    )
    whole = images.array
    if resize is None and whole is not None and whole.dtype == np.uint8 and whole.shape[3] == 3:
        return ImageData(whole, size, changes, n_threads)  # nothing is to be done
    return read_images(reader, size, changes, n_threads, held=held)


def read_images(
    reader: BatchReader,
    size: tuple[int, int],
    changes: Sequence[Augmentation] = (),
    n_threads: int = 1,
    *,
    held: int = HELD,
) -> ImageData:
    """Make the data of a training from what reads images; read them now if they can be held.

    Parameters
    ----------
    reader : BatchReader
    size : (int, int)
        Height and width of the network's input.
    changes : sequence of Augmentation
    n_threads : int, default=1
    held : int
        Bytes of pixels that may be held in memory.

    Raises
    ------
    ImageError
        If an image cannot be read.
    """
    shape = reader.new_batch(0).shape[1:]
    source: Any = reader
    n = len(reader)
    if n * int(np.prod(shape)) <= held:
        source = np.empty((n, *shape), np.uint8)
        for start, batch, _ in reader.batches(32, n_threads):
            source[start : start + len(batch)] = batch
    return ImageData(source, size, changes, n_threads)


def common_size(images: ImageInputs) -> tuple[int, int] | None:
    """Height and width of images, where all are known to have the same; None otherwise."""
    if images.array is not None:
        h, w = images.array.shape[1:3]
        return h, w
    if not images.is_cheap or not len(images):
        return None
    sizes = {_size(image) for image in images}
    return sizes.pop() if len(sizes) == 1 else None


def _size(image: object) -> tuple[int, int] | None:
    if isinstance(image, np.ndarray) and image.ndim >= 2:
        return image.shape[:2]
    if isinstance(image, Image.Image):
        return image.height, image.width
    return None


def digest_of(array: np.ndarray | None) -> str:
    """Digest of an array, or of None."""
    if array is None:
        return "none"
    digest = hashlib.sha256(f"{array.dtype} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
