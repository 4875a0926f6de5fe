"""Small image classification problem made of fourteen photographs."""

from __future__ import annotations

from importlib import resources
from typing import Literal, NamedTuple, overload

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image
from sklearn.utils import Bunch

from .._utils.validation import check_option


class _Photograph(NamedTuple):
    file: str
    credit: str


# class name -> photograph. The class says what is to be seen; china.jpg and flower.jpg come from
# scikit-learn, every other file from the folder photos/ beside this module (see its README.txt).
_PHOTOGRAPHS = {
    "astronaut": _Photograph("astronaut.jpg", "Eileen Collins; NASA; public domain"),
    "brick": _Photograph("brick.jpg", "CC0Textures (Bricks25); CC0"),
    "cameraman": _Photograph("camera.jpg", "Lav Varshney; CC0"),
    "cat": _Photograph("chelsea.jpg", "Stefan van der Walt; CC0"),
    "coffee": _Photograph("coffee.jpg", "Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0"),
    "coins": _Photograph(
        "coins.jpg", "Greek coins from Pompeii; Brooklyn Museum; no known copyright restrictions"
    ),
    "flower": _Photograph(
        "flower.jpg",
        "read from scikit-learn: https://www.flickr.com/photos/vultilion/6056698931/; CC BY 2.0",
    ),
    "galaxies": _Photograph(
        "hubble_deep_field.jpg", "Hubble eXtreme Deep Field; NASA; public domain"
    ),
    "grass": _Photograph("grass.jpg", "linolafett, Grass 01; CC0"),
    "gravel": _Photograph("gravel.jpg", "CC0Textures (Gravel04); CC0"),
    "pagoda": _Photograph(
        "china.jpg",
        "read from scikit-learn: https://www.flickr.com/photos/danielbuechele/6061409035/; "
        "CC BY 2.0",
    ),
    "retina": _Photograph("retina.jpg", "Mikael Haeggstroem; CC0"),
    "rocket": _Photograph("rocket.jpg", "launch of DSCOVR; SpaceX; public domain"),
    "tissue": _Photograph(
        "immunohistochemistry.jpg",
        "stained colonic glands; Center for Microscopy and Molecular Imaging; "
        "no known copyright restrictions",
    ),
}

_FROM_SCIKIT_LEARN = ("china.jpg", "flower.jpg")

# Training and test half are kept apart by more than a JPEG block of 16 pixels and the support of
# the filter that reduced the photographs, so that no test pixel depends on a training pixel.
_GAP = 32

# (side as a fraction of the half's shorter side, rows, columns): crops on an even grid.
_GRIDS = {
    "train": ((0.5, 3, 2), (0.65, 2, 2), (0.85, 2, 1)),  # 12 crops
    "test": ((0.5, 2, 2), (0.65, 2, 1), (0.85, 2, 1)),  # 8 crops
}

_DESCRIPTION = """\
Sample photographs
------------------
Square crops of {n_classes} real photographs; every photograph is a class.

:Images: 12 for training and 8 for testing of each class; RGB, uint8, 88 to 258 pixels wide and high
:Classes: {names}

The training images of a class are cut from the left half of its photograph and the test images
from the right half, at three sizes each; {gap} pixels between the halves are used by neither. Crops
of the same half overlap, so do not mix the halves: fit on `split == "train"`, score on
`split == "test"`. How hard a class is depends on how much its two halves have in common: gravel is
gravel everywhere, but the astronaut's right half shows a helmet and a space shuttle.

Photographs, all reduced copies of those that scikit-image distributes, unless read from the
installed scikit-learn:
{credits}
"""


def _read_photograph(file):
    """Read one photograph as an RGB array of shape (height, width, 3)."""
    if file in _FROM_SCIKIT_LEARN:
        return load_sample_image(file)
    photograph = resources.files(__package__).joinpath("photos", file)
    with photograph.open("rb") as stream, Image.open(stream) as image:
        return np.asarray(image.convert("RGB"))


def _boxes(split, width, height):
    """Lay square boxes (left, upper, right, lower) on even grids over half of a photograph."""
    half = (width - _GAP) // 2
    start = 0 if split == "train" else width - half
    boxes = []
    for fraction, n_rows, n_columns in _GRIDS[split]:
        side = int(fraction * min(half, height))
        for upper in _spread(0, height - side, n_rows):
            for left in _spread(start, start + half - side, n_columns):
                boxes.append((left, upper, left + side, upper + side))
    return boxes


def _spread(first, last, n):
    """Spread `n` integers evenly from `first` to `last`; a single one is in the middle."""
    if n == 1:
        return [(first + last) // 2]
    return [first + i * (last - first) // (n - 1) for i in range(n)]


@overload
def load_sample_photos(
    *, subset: Literal["all", "train", "test"] = ..., return_X_y: Literal[False] = ...
) -> Bunch: ...


@overload
def load_sample_photos(
    *, subset: Literal["all", "train", "test"] = ..., return_X_y: Literal[True]
) -> tuple[np.ndarray, np.ndarray]: ...


def load_sample_photos(
    *, subset: Literal["all", "train", "test"] = "all", return_X_y: bool = False
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load a small image classification data set made of photographs.

    Every class is one photograph, such as a cat, a cup of coffee or gravel. Training images are
    square crops of its left half, test images are crops of its right half. The photographs come
    with this package and with scikit-learn, so no download is needed. Nothing is drawn at random:
    the data set is always the same.

    It is made for examples and tests. Accuracies on it say little about real tasks.

    =================   ==============
    Classes                         14
    Training images     168 (12/class)
    Test images          112 (8/class)
    Width = height       88..258, RGB
    =================   ==============

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        Images to load; "all" gives the training images followed by the test images.

    return_X_y : bool, default=False
        If True, return ``(images, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        images : ndarray of shape (n_images,), dtype=object
            The images, each an array of shape (height, width, 3) and dtype uint8. As in any
            collection of photographs, sizes differ.
        target : ndarray of shape (n_images,), dtype=intp
            The class of each image, an index into `target_names`.
        target_names : ndarray of shape (14,)
            The names of the classes, sorted.
        split : ndarray of shape (n_images,)
            ``"train"`` or ``"test"`` for each image.
        boxes : ndarray of shape (n_images, 4), dtype=intp
            Place of each image in its photograph: left, upper, right and lower edge in pixels.
        DESCR : str
            The description of the data set, with the source and licence of every photograph.

    (images, target) : tuple if ``return_X_y`` is True
        The two arrays described above.

    Raises
    ------
    ValueError
        If `subset` is none of the three.

    See Also
    --------
    load_image_folder : Load your own photographs, one folder per class.

    Examples
    --------
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> photos = load_sample_photos(subset="train")
    >>> len(photos.images), photos.images[0].shape
    (168, (120, 120, 3))
    >>> print(*photos.target_names[:5])
    astronaut brick cameraman cat coffee

    The images go straight into a pipeline; here a classifier of their mean colours, which
    learns something and is a low bar for image features to clear:

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> def mean_colours(images):
    ...     return [image.mean(axis=(0, 1)) for image in images]
    >>> classifier = make_pipeline(FunctionTransformer(mean_colours), KNeighborsClassifier(1))
    >>> classifier = classifier.fit(photos.images, photos.target)
    >>> test = load_sample_photos(subset="test")
    >>> 0.3 < classifier.score(test.images, test.target) < 0.8
    True
    """
    check_option("subset", subset, ("all", *_GRIDS))
    wanted = tuple(_GRIDS) if subset == "all" else (subset,)

    rows: dict[str, list] = {split: [] for split in wanted}  # split -> [(image, class, box), ...]
    for target, photograph in enumerate(_PHOTOGRAPHS.values()):
        pixels = _read_photograph(photograph.file)  # (h, w, 3)
        height, width = pixels.shape[:2]
        for split in wanted:
            for box in _boxes(split, width, height):
                left, upper, right, lower = box
                # a copy, because a view would keep (and pickle) the whole photograph
                crop = pixels[upper:lower, left:right].copy()
                rows[split].append((crop, target, box))

    crops, targets, boxes = zip(*(row for split in wanted for row in rows[split]))
    images = np.fromiter(crops, dtype=object, count=len(crops))
    target = np.array(targets, dtype=np.intp)
    if return_X_y:
        return images, target
    return Bunch(
        images=images,
        target=target,
        target_names=np.array(list(_PHOTOGRAPHS)),
        split=np.repeat(wanted, [len(rows[split]) for split in wanted]),
        boxes=np.array(boxes, dtype=np.intp),
        DESCR=_describe(),
    )


def _describe():
    credits = (f"- {name}: {photo.credit}" for name, photo in _PHOTOGRAPHS.items())
    return _DESCRIPTION.format(
        n_classes=len(_PHOTOGRAPHS),
        names=", ".join(_PHOTOGRAPHS),
        gap=_GAP,
        credits="\n".join(credits),
    )
