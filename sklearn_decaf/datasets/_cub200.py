"""Caltech-UCSD Birds (CUB-200): 200 species, with bounding boxes and the official split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from scipy.io import loadmat
from sklearn.utils import Bunch

from .._utils.validation import check_option
from ._collection import Archive, Collection, google_drive_urls
from ._fetch_docs import fetcher
from ._layout import first_with, keep_below, read_lines, require_all

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._utils.types import FilePath, ImageFetchOptions


_DESCR_2011 = """\
Caltech-UCSD Birds-200-2011
---------------------------

11,788 photographs of 200 species of birds, about 60 a species, with a bounding box and 15 key
points each; the official split has 5994 training and 5794 test images.

Licence: for non-commercial research and education; the photographs belong to their photographers
(https://data.caltech.edu/records/65de6-vp158). Cite

- C. Wah, S. Branson, P. Welinder, P. Perona and S. Belongie. The Caltech-UCSD Birds-200-2011
  Dataset. Technical report CNS-TR-2011-001, California Institute of Technology, 2011.
"""

_DESCR_2010 = """\
Caltech-UCSD Birds 200 (2010)
-----------------------------

6033 photographs of 200 species of birds, about 30 a species, with a bounding box each; the official
split has 3000 training images, 15 a species, and 3033 test images.

Licence: for non-commercial research and education; the photographs belong to their photographers.
Cite

- P. Welinder, S. Branson, T. Mita, C. Wah, F. Schroff, S. Belongie and P. Perona. Caltech-UCSD
  Birds 200. Technical report CNS-TR-2010-001, California Institute of Technology, 2010.
"""


# 2011 ----------------------------------------------------------------------------------------


def read_2011(root: Path) -> dict:
    """Read the list files of 2011; rows in the order of images.txt."""
    ids, paths = zip(*read_lines(root / "images.txt", 2))
    by_id = {}
    for file, columns in (
        ("image_class_labels.txt", 2),
        ("train_test_split.txt", 2),
        ("bounding_boxes.txt", 5),
    ):
        table = {row[0]: row[1:] for row in read_lines(root / file, columns)}
        if table.keys() != set(ids):
            raise ValueError(f"{root / file} and images.txt do not list the same images")
        by_id[file] = [table[i] for i in ids]
    numbers, names = zip(*read_lines(root / "classes.txt", 2))
    left, upper, width, height = np.array(by_id["bounding_boxes.txt"], dtype=float).T
    part_names, parts = _read_parts(root / "parts", ids)
    return {
        "paths": [root / "images" / path for path in paths],
        "target": np.array([numbers.index(row[0]) for row in by_id["image_class_labels.txt"]]),
        "classes": names,
        "train": np.array([row[0] == "1" for row in by_id["train_test_split.txt"]]),
        "boxes": np.column_stack([left, upper, left + width, upper + height]),
        "parts": parts,
        "part_names": part_names,
    }


def _read_parts(folder: Path, ids):
    """Read key points (n, 15, 3) as x, y, visible; None where their files are missing."""
    if not (folder / "part_locs.txt").is_file():
        return None, None
    lines = (folder / "parts.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split(maxsplit=1)[1] for line in lines if line.strip()]
    rows = {image: i for i, image in enumerate(ids)}
    parts = np.full((len(ids), len(names), 3), np.nan)
    for image, part, *location in read_lines(folder / "part_locs.txt", 5):
        if image in rows:
            parts[rows[image], int(part) - 1] = [float(value) for value in location]
    return np.array(names), parts


# 2010 ----------------------------------------------------------------------------------------


def read_2010(root: Path, allow_incomplete: bool = False) -> dict:
    """Read the list files and annotations of 2010; rows in the order of their paths."""
    train, test = (
        [row[0] for row in read_lines(root / "lists" / f"{part}.txt", 1)]
        for part in ("train", "test")
    )
    if set(train) & set(test):
        raise ValueError(f"{root / 'lists'}: an image is listed for training and for testing")
    paths = sorted(train + test)
    classes = sorted({path.partition("/")[0] for path in paths})
    boxes = [
        _read_box(root / "annotations-mat" / Path(path).with_suffix(".mat"), allow_incomplete)
        for path in paths
    ]
    train = set(train)
    return {
        "paths": [root / "images" / path for path in paths],
        "target": np.array([classes.index(path.partition("/")[0]) for path in paths]),
        "classes": classes,
        "train": np.array([path in train for path in paths]),
        "boxes": np.array(boxes, dtype=float),
        "parts": None,
        "part_names": None,
    }


def _read_box(path: Path, allow_incomplete: bool):
    """Read the left, upper, right and lower edge from the annotations of an image."""
    if allow_incomplete and not path.is_file():
        return [np.nan] * 4
    try:
        box = loadmat(path, variable_names=["bbox"], squeeze_me=True)["bbox"]
        return [float(box[edge]) for edge in ("left", "top", "right", "bottom")]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # a damaged file makes the reader fail in any way
        raise ValueError(f"{path} holds no bounding box ({type(error).__name__})") from error


# Both ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Birds(Collection, ABC):
    description: str
    n_images: int
    n_classes: int = 200

    @abstractmethod
    def read(self, root: Path, allow_incomplete: bool = False) -> dict:
        """Read everything that the list files say."""

    def check(self, root: Path) -> None:
        data = self.read(root)
        if len(data["paths"]) != self.n_images or len(data["classes"]) != self.n_classes:
            raise ValueError(
                f"it lists {len(data['paths'])} images of {len(data['classes'])} classes, "
                f"published are {self.n_images} of {self.n_classes}"
            )
        require_all(data["paths"], "images")


class _Birds2011(_Birds):
    def find(self, folder: Path) -> Path | None:
        return first_with("images.txt", folder, "CUB_200_2011", "cub200_2011/CUB_200_2011")

    def read(self, root: Path, allow_incomplete: bool = False) -> dict:
        return read_2011(root)


class _Birds2010(_Birds):
    def find(self, folder: Path) -> Path | None:
        return first_with("lists/train.txt", folder, "cub200_2010", "CUB_200_2010", "CUB_200")

    def read(self, root: Path, allow_incomplete: bool = False) -> dict:
        return read_2010(root, allow_incomplete)


def _archive_2010(published, identifier, sha256, folder, max_size):
    return Archive(
        name=f"CUB_200_2010_{published}",
        published=published,
        urls=google_drive_urls(identifier),
        sha256=sha256,
        max_size=max_size,
        max_files=20_000,
        max_bytes=2 * max_size,
        place=keep_below(folder),
    )


COLLECTIONS = {
    "2011": _Birds2011(
        name="cub200_2011",
        title="CUB-200-2011",
        layout="CUB_200_2011/images.txt, bounding_boxes.txt, images/001.Black_footed_Albatross/...",
        archives=(
            Archive(
                name="CUB_200_2011.tgz",
                urls=(
                    "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
                ),
                sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
                size=1_150_585_339,
                max_files=30_000,
                max_bytes=3_000_000_000,
                place=keep_below("CUB_200_2011"),
            ),
        ),
        description=_DESCR_2011,
        n_images=11_788,
    ),
    "2010": _Birds2010(
        name="cub200_2010",
        title="CUB-200 (2010)",
        layout="lists/train.txt, lists/test.txt, annotations-mat/ and images/",
        archives=(
            _archive_2010(
                "lists.tgz",
                "1vZuZPqha0JjmwkdaS_XtYryE3Jf5Q1AC",
                "aeacbd5e3539ae84ea726e8a266a9a119c18f055cd80f3836d5eb4500b005428",
                "lists",
                50_000_000,
            ),
            _archive_2010(
                "annotations.tgz",
                "16NsbTpMs5L6hT4hUJAmpW2u7wH326WTR",
                "c17b7841c21a66aa44ba8fe92369cc95dfc998946081828b1d7b8a4b716805c1",
                "annotations-mat",
                200_000_000,
            ),
            _archive_2010(
                "images.tgz",
                "1GDr1OkoXdhaXWGA8S3MAq3a522Tak-nx",
                "2a6d2246bbb9778ca03aa94e2e683ccb4f8821a36b7f235c0822e659d60a803e",
                "images",
                1_500_000_000,
            ),
        ),
        description=_DESCR_2010,
        n_images=6033,
    ),
}


@overload
def fetch_cub200(
    *,
    version: Literal["2011", "2010"] = ...,
    subset: Literal["all", "train", "test"] = ...,
    return_X_y: Literal[False] = ...,
    **options: Unpack[ImageFetchOptions],
) -> Bunch: ...


@overload
def fetch_cub200(
    *,
    version: Literal["2011", "2010"] = ...,
    subset: Literal["all", "train", "test"] = ...,
    return_X_y: Literal[True],
    **options: Unpack[ImageFetchOptions],
) -> tuple[np.ndarray, np.ndarray]: ...


@fetcher
def fetch_cub200(
    *,
    version: Literal["2011", "2010"] = "2011",
    subset: Literal["all", "train", "test"] = "all",
    data_home: FilePath | None = None,
    local: FilePath | None = None,
    allow_incomplete: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load CUB-200, photographs of 200 species of birds, with boxes; fetch it if need be.

    If there is no copy of Caltech-UCSD Birds in `data_home`, the published archives are downloaded
    (1.2 GB for 2011, 0.7 GB for 2010), compared with their checksums and extracted there.

    ================   ======   ======
    Version              2010     2011
    ================   ======   ======
    Images               6033   11,788
    Training images      3000     5994
    Test images          3033     5794
    Key points              -       15
    ================   ======   ======

    Parameters
    ----------
    version : {"2011", "2010"}, default="2011"
        Edition. 2011 has twice the images of 2010, and most of those among them.

    subset : {"all", "train", "test"}, default="all"
        Part of the official split.

    %(data_home)s

    local : str or path-like, default=None
        Copy of your own, which stays where it is: the folder with ``images.txt`` (2011) or
        ``lists/`` (2010), or one that holds it. Or the published archives, in a folder or, for
        2011, the one archive, which are extracted to `data_home`.

    %(allow_incomplete)s

    %(downloads)s

    return_X_y : bool, default=False
        If True, return ``(filenames, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        filenames : ndarray of shape (n_images,), dtype=object
            The paths of the images (str).
        target : ndarray of shape (n_images,), dtype=intp
            The species of each image, an index into `target_names`.
        target_names : ndarray of shape (200,)
            The names of the species, such as "001.Black_footed_Albatross".
        boxes : ndarray of shape (n_images, 4)
            Left, upper, right and lower edge of the bird's bounding box, in pixels; what
            :class:`~sklearn_decaf.BoundingBoxCropper` takes.
        parts : ndarray of shape (n_images, 15, 3), or None
            The key points: x and y in pixels, and 1 if visible, else 0. None for 2010.
        part_names : ndarray of shape (15,), or None
            Their names.
        split : ndarray of shape (n_images,)
            "train" or "test" for each image.
        splits : list of (train, test)
            Rows of the official split, in the form that scikit-learn takes as `cv`. Empty unless
            `subset` is "all".
        DESCR : str
            The description, with licence and reference.

    (filenames, target) : tuple if ``return_X_y`` is True
        The two arrays described above.

    Raises
    ------
    %(errors)s

    See Also
    --------
    sklearn_decaf.BoundingBoxCropper : Cut the birds out.

    Examples
    --------
    >>> from sklearn_decaf.datasets import fetch_cub200
    >>> data = fetch_cub200(version="2011")  # doctest: +SKIP
    >>> data.boxes.shape, data.parts.shape  # doctest: +SKIP
    ((11788, 4), (11788, 15, 3))
    """
    version = str(version)
    check_option("version", version, ("2010", "2011"))
    check_option("subset", subset, ("all", "train", "test"))
    collection = COLLECTIONS[version]
    root = collection.locate(
        data_home=data_home,
        local=local,
        allow_incomplete=allow_incomplete,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )
    data = collection.read(root, allow_incomplete)
    rows = np.ones(len(data["paths"]), dtype=bool)
    if allow_incomplete:
        rows &= [path.is_file() for path in data["paths"]]
        if not rows.any():
            raise FileNotFoundError(f"none of the images is there, such as {data['paths'][0]}.")
    if subset != "all":
        rows &= data["train"] == (subset == "train")
    filenames = np.array([str(path) for path in data["paths"]], dtype=object)[rows]
    target, train = data["target"][rows], data["train"][rows]
    if return_X_y:
        return filenames, target
    splits = [(np.flatnonzero(train), np.flatnonzero(~train))] if subset == "all" else []
    return Bunch(
        filenames=filenames,
        target=target,
        target_names=np.array(data["classes"]),
        boxes=data["boxes"][rows],
        parts=None if data["parts"] is None else data["parts"][rows],
        part_names=data["part_names"],
        split=np.where(train, "train", "test"),
        splits=splits,
        DESCR=collection.description,
    )
