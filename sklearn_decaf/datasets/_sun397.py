"""SUN-397: scenes, with the official partitions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from ._collection import Archive, Collection
from ._fetch_docs import fetcher
from ._layout import image_paths, is_junk, keep_below, read_lines, require_all

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._utils.types import FilePath, ImageFetchOptions

_N_PARTITIONS = 10

_DESCR = """\
SUN-397
-------

Photographs of 397 categories of scenes, from abbey to zoo exterior: 108,754 images, 100 or more a
class, of very different sizes.

`splits` has the ten official partitions: 50 training and 50 test images of each class, the same
numbers for all, so that accuracy and mean accuracy per class are one. The DeCAF paper averages over
five.

Licence: none is stated; the images were found on the web, belong to their owners and are offered
for research (https://vision.princeton.edu/projects/2010/SUN/). Cite

- J. Xiao, J. Hays, K. Ehinger, A. Oliva and A. Torralba. SUN Database: Large-scale Scene
  Recognition from Abbey to Zoo. CVPR 2010.
- J. Xiao, K. Ehinger, J. Hays, A. Torralba and A. Oliva. SUN Database: Exploring a Large Collection
  of Scene Categories. International Journal of Computer Vision, 2014.
"""


@dataclass(frozen=True)
class _Sun397(Collection):
    n_classes: int = 397
    n_per_class: int = 50  # training and test images of a partition, each

    def find(self, folder: Path) -> Path | None:
        roots = (folder, folder / "sun397", *([folder.parent] if folder.name == "SUN397" else []))
        for root in roots:
            if (root / "SUN397").is_dir() and _partitions(root) is not None:
                return root
        return None

    def check(self, root: Path) -> None:
        folder = _partitions(root)
        if folder is None:
            raise ValueError("there are no partitions")
        names = _class_names(root)
        if len(names) != self.n_classes:
            raise ValueError(f"it lists {len(names)} classes, published are {self.n_classes}")
        listed, expected = set(), self.n_classes * self.n_per_class
        for kind in ("Training", "Testing"):
            for number in range(1, _N_PARTITIONS + 1):
                paths = _read_partition(folder, kind, number)
                if len(paths) != expected:
                    raise ValueError(
                        f"{kind}_{number:02}.txt lists {len(paths)} images, expected {expected}"
                    )
                listed.update(paths)
        require_all((root / "SUN397" / path for path in sorted(listed)), "images of the partitions")


def _partitions(root: Path) -> Path | None:
    for folder in (root / "Partitions", root / "SUN397" / "Partitions", root / "SUN397", root):
        if (folder / "Training_01.txt").is_file():
            return folder
    return None


def _class_names(root: Path) -> list[str]:
    """Read the classes in their official order: folders such as "a/abbey", "b/bakery/shop"."""
    for folder in (_partitions(root), root / "SUN397"):
        if folder is not None and (folder / "ClassName.txt").is_file():
            return [row[0].strip("/") for row in read_lines(folder / "ClassName.txt", 1)]
    raise ValueError(f"there is no ClassName.txt in {root}")


def _read_partition(folder: Path, kind: str, number: int) -> list[str]:
    return [row[0].strip("/") for row in read_lines(folder / f"{kind}_{number:02}.txt", 1)]


def _place_partition(path: PurePosixPath) -> PurePosixPath | None:
    if is_junk(path) or path.suffix != ".txt":
        return None
    return PurePosixPath("Partitions", path.name)


_HOME = "https://vision.princeton.edu/projects/2010/SUN/"

COLLECTION = _Sun397(
    name="sun397",
    title="SUN-397",
    layout="SUN397/a/abbey/sun_....jpg ... and Partitions/Training_01.txt, Testing_01.txt ...",
    archives=(
        # the small one first: what is wrong shows before 39 GB are on their way
        Archive(
            name="Partitions.zip",
            urls=(f"{_HOME}download/Partitions.zip",),
            sha256="e3311ea5f812d4cc6faef194688343d1111f6cd6f70f2c62f393c2b8d6ba1ec9",
            max_size=100_000_000,
            max_files=200,
            max_bytes=200_000_000,
            place=_place_partition,
        ),
        Archive(
            name="SUN397.tar.gz",
            urls=(f"{_HOME}SUN397.tar.gz",),
            sha256="f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec",
            size=39_077_296_924,
            max_size=40_000_000_000,
            max_files=150_000,
            max_bytes=60_000_000_000,
            place=keep_below("SUN397"),
        ),
    ),
)


@overload
def fetch_sun397(
    *, return_X_y: Literal[False] = ..., **options: Unpack[ImageFetchOptions]
) -> Bunch: ...


@overload
def fetch_sun397(
    *, return_X_y: Literal[True], **options: Unpack[ImageFetchOptions]
) -> tuple[np.ndarray, np.ndarray]: ...


@fetcher
def fetch_sun397(
    *,
    data_home: FilePath | None = None,
    local: FilePath | None = None,
    allow_incomplete: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load SUN-397, photographs of scenes, with the official partitions; fetch it if need be.

    If there is no copy in `data_home`, the published archives of 39 GB are downloaded, compared
    with their checksums and extracted there. That needs room for 78 GB.

    ==========================   =======
    Classes                          397
    Images                       108,754
    Partitions                        10
    Training images per class         50
    Test images per class             50
    ==========================   =======

    Parameters
    ----------
    %(data_home)s

    local : str or path-like, default=None
        Copy of your own, which stays where it is: a folder that holds ``SUN397/`` and
        ``Partitions/``. Or a folder with the published archives, which are extracted to
        `data_home`.

    %(allow_incomplete)s

    %(downloads)s

    return_X_y : bool, default=False
        If True, return ``(filenames, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        filenames : ndarray of shape (n_images,), dtype=object
            The paths of the images (str), by class, sorted.
        target : ndarray of shape (n_images,), dtype=intp
            The class of each image, an index into `target_names`.
        target_names : ndarray of shape (397,)
            The names of the classes, such as "abbey" or "bakery/shop", in the official order.
        splits : list of (train, test)
            Rows of the training and of the test images of each of the ten partitions, in the form
            that scikit-learn takes as `cv`.
        DESCR : str
            The description, with licence and references.

    (filenames, target) : tuple if ``return_X_y`` is True
        The two arrays described above.

    Raises
    ------
    %(errors)s

    Examples
    --------
    >>> from sklearn_decaf.datasets import fetch_sun397
    >>> data = fetch_sun397(local="/data/SUN")  # doctest: +SKIP
    >>> train, test = data.splits[0]  # doctest: +SKIP
    >>> len(train), len(test)  # doctest: +SKIP
    (19850, 19850)
    """
    root = COLLECTION.locate(
        data_home=data_home,
        local=local,
        allow_incomplete=allow_incomplete,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )
    folders: list[str] = []
    paths: list[str] = []
    labels: list[int] = []
    rows: dict[str, int] = {}
    for folder in _class_names(root):
        path = root / "SUN397" / folder
        if not path.is_dir() and allow_incomplete:
            continue
        for image in image_paths(path):
            rows[f"{folder}/{os.path.basename(image)}"] = len(paths)
            paths.append(image)
            labels.append(len(folders))
        folders.append(folder)
    filenames, target = np.array(paths, dtype=object), np.array(labels, dtype=np.intp)
    if return_X_y:
        return filenames, target
    partitions = _partitions(root)
    assert partitions is not None  # or there would be no class names
    splits = [
        tuple(
            np.array(
                [rows[p] for p in _read_partition(partitions, kind, number) if p in rows], np.int_
            )
            for kind in ("Training", "Testing")
        )
        for number in range(1, _N_PARTITIONS + 1)
        if (partitions / f"Testing_{number:02}.txt").is_file()
    ]
    return Bunch(
        filenames=filenames,
        target=target,
        target_names=np.array([folder.partition("/")[2] for folder in folders]),
        splits=splits,
        DESCR=_DESCR,
    )
