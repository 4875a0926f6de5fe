"""Images that differ a little each time they are learned from.

Each kind of change draws its numbers for a whole batch, in order, before any image is changed:
what an image becomes does not depend on threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from PIL import Image
from sklearn.utils import check_scalar

from .._utils.validation import check_integer


class Augmentation:
    """Base class of random changes of images."""

    #: Whether it cuts the network's input out of an image, which one of them may do.
    cuts = False
    #: How many random numbers in [0, 1) it wants for an image.
    n_numbers = 1

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw the numbers for n images."""
        return rng.random((n, self.n_numbers))

    def apply(self, image: np.ndarray, numbers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Change one image.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3)
            uint8, or float32 of any range.
        numbers : ndarray of shape (n_numbers,)
        size : (int, int)
            Height and width of the network's input.

        Returns
        -------
        ndarray of shape (h, w, 3)
            Of the same type. What does not cut has the size of `image`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Mirror(Augmentation):
    """Mirror images, left to right.

    Parameters
    ----------
    p : float, default=0.5
        Share of the images that are mirrored.

    Examples
    --------
    >>> from sklearn_decaf.training import ConvNetClassifier, Mirror
    >>> classifier = ConvNetClassifier(augmentation=Mirror(p=0.5))
    """

    p: float = 0.5

    def __post_init__(self):
        check_scalar(self.p, "p", Real, min_val=0, max_val=1)

    def apply(self, image, numbers, size):
        return image[:, ::-1] if numbers[0] < self.p else image


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Cut the network's input out of the resized photograph at random places.

    With networks that see 224 or 227 of 256 pixels, these are the random crops of Krizhevsky et
    al. (2012), which the DeCAF paper's network was trained with.

    Parameters
    ----------
    padding : int, default=None
        Pixels that are added around the photograph before, by repeating its borders. None adds
        none where the photograph is larger than the network's input, and an eighth of the input
        where it is not: 4 pixels for images of 32 x 32.

    Examples
    --------
    >>> from sklearn_decaf.training import ConvNetClassifier, RandomCrop
    >>> classifier = ConvNetClassifier(augmentation=RandomCrop(padding=2))
    """

    padding: int | None = None
    cuts = True
    n_numbers = 2

    def __post_init__(self):
        if self.padding is not None:
            check_integer("padding", self.padding, minimum=0)

    def apply(self, image, numbers, size):
        border = self.padding
        if border is None:
            border = 0 if image.shape[:2] != size else max(1, round(max(size) / 8))
        rows, columns = (
            _shifted(number, length, wanted, border if length > 1 else 0)
            for number, length, wanted in zip(numbers, image.shape, size)
        )
        return image[rows[:, np.newaxis], columns]


def _shifted(number: float, length: int, wanted: int, border: int) -> np.ndarray:
    """Places of a part, of which those in a border are the first or the last one of the whole.

    Each shift is as likely as any other.
    """
    first = int(number * (length + 2 * border - wanted + 1)) - border
    return np.arange(first, first + wanted).clip(0, length - 1)


@dataclass(frozen=True)
class RandomResizedCrop(Augmentation):
    """Cut out parts of random size and shape, and resize them to the network's input.

    They are cut out of the resized photograph, which networks for 224 pixels have at 256.

    Parameters
    ----------
    scale : (float, float), default=(0.35, 1.0)
        Smallest and largest share of the area.
    ratio : (float, float), default=(3 / 4, 4 / 3)
        Smallest and largest width by height.

    Examples
    --------
    >>> from sklearn_decaf.training import ConvNetClassifier, RandomResizedCrop
    >>> classifier = ConvNetClassifier(augmentation=(RandomResizedCrop(scale=(0.5, 1)), "mirror"))
    """

    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    cuts = True
    n_numbers = 4

    def __post_init__(self):
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"scale={self.scale!r} must be two shares, 0 < low <= high <= 1")
        low, high = self.ratio
        if not 0 < low <= high < math.inf:
            raise ValueError(f"ratio={self.ratio!r} must be two numbers, 0 < low <= high")

    def apply(self, image, numbers, size):
        height, width = image.shape[:2]
        area = height * width * _between(self.scale, numbers[0])
        low, high = self.ratio
        ratio = math.exp(_between((math.log(low), math.log(high)), numbers[1]))
        # one that does not fit is made as large as it can be
        w, h = min(width, math.sqrt(area * ratio)), min(height, math.sqrt(area / ratio))
        x, y = numbers[2] * (width - w), numbers[3] * (height - h)
        return _resize(image, (x, y, x + w, y + h), size)


@dataclass(frozen=True)
class ColourShift(Augmentation):
    """Shift colours along their principal components (Krizhevsky et al. 2012, section 4.1).

    The components are those of the pixels of the training images. Each image has normally
    distributed multiples of their standard deviations added to all its pixels.

    Parameters
    ----------
    deviation : float, default=0.1
        Standard deviation of the multiples.
    components : ndarray of shape (3, 3), optional
        A row for each component, as long as its standard deviation. ``fit`` computes it.

    Examples
    --------
    >>> from sklearn_decaf.training import ColourShift, ConvNetClassifier
    >>> classifier = ConvNetClassifier(augmentation=("crop", "mirror", ColourShift(0.05)))
    """

    deviation: float = 0.1
    components: tuple[tuple[float, ...], ...] | None = None
    n_numbers = 3

    def __post_init__(self):
        check_scalar(self.deviation, "deviation", Real, min_val=0)

    def draw(self, rng, n):
        return rng.normal(0, self.deviation, (n, self.n_numbers))

    def apply(self, image, numbers, size):
        if self.components is None:
            raise ValueError("the components of the colours are not known yet")
        shifted = image + (numbers @ np.asarray(self.components)).astype(np.float32)
        if image.dtype == np.uint8:
            return np.rint(shifted).clip(0, 255).astype(np.uint8)
        return shifted


def _between(bounds: tuple[float, float], number: float) -> float:
    return bounds[0] + number * (bounds[1] - bounds[0])


def _resize(image: np.ndarray, box: tuple, size: tuple[int, int]) -> np.ndarray:
    """Resize a part (left, upper, right, lower) of an image to a size (height, width)."""
    if image.dtype == np.uint8:
        return np.asarray(_resized(image, box, size))
    # of floats, Pillow knows one channel at a time
    channels = [image[..., c].astype(np.float32) for c in range(image.shape[-1])]
    return np.stack([np.asarray(_resized(channel, box, size)) for channel in channels], axis=-1)


def _resized(pixels: np.ndarray, box: tuple, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.resize(size[::-1], Image.Resampling.BILINEAR, box=box)


#: Kinds of changes by name, as they are without any options.
NAMES: dict[str, type[Augmentation]] = {
    "mirror": Mirror,
    "crop": RandomCrop,
    "resized_crop": RandomResizedCrop,
    "colour": ColourShift,
}


def check_augmentation(
    augmentation: str | Augmentation | Sequence[str | Augmentation] | None,
) -> tuple[Augmentation, ...]:
    """Return the changes that a parameter `augmentation` asks for, those that cut first.

    Raises
    ------
    ValueError
        If there is no such change, one is there twice, or two of them cut.
    """
    if augmentation is None:
        return ()
    items = (augmentation,) if isinstance(augmentation, str | Augmentation) else tuple(augmentation)
    changes = []
    for item in items:
        if isinstance(item, str) and item in NAMES:
            item = NAMES[item]()
        if not isinstance(item, Augmentation):
            raise ValueError(
                f"augmentation={augmentation!r}: {item!r} is none of "
                f"{', '.join(map(repr, NAMES))}, and no Augmentation"
            )
        changes.append(item)
    kinds = [type(change) for change in changes]
    if len(set(kinds)) < len(kinds) or sum(change.cuts for change in changes) > 1:
        raise ValueError(
            f"augmentation={augmentation!r}: there may be one of each kind, and one that cuts "
            "('crop' or 'resized_crop')"
        )
    return tuple(sorted(changes, key=lambda change: not change.cuts))


def principal_colours(pixels: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Compute the principal components of colours, as :class:`ColourShift` has them.

    Parameters
    ----------
    pixels : ndarray of shape (n, 3)

    Returns
    -------
    tuple of three tuples
        The components, each as long as its standard deviation.
    """
    values, vectors = np.linalg.eigh(np.cov(pixels.astype(np.float64), rowvar=False, bias=True))
    # eigh leaves the signs open
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), range(len(values))])
    rows = np.sqrt(values.clip(min=0))[:, np.newaxis] * vectors.T
    return tuple(tuple(row) for row in rows.tolist())


def centre(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut the centre out of an image or of images (..., h, w, 3), as networks see them in use."""
    h, w = image.shape[-3:-1]
    y, x = (h - size[0]) // 2, (w - size[1]) // 2
    return image[..., y : y + size[0], x : x + size[1], :]
