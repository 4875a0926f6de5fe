"""Caltech-101: 101 classes of objects, and one of background."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from ._collection import Archive, Collection
from ._fetch_docs import fetcher
from ._layout import class_images, first_with, keep_below

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._utils.types import FilePath, ImageFetchOptions

_FOLDER = "101_ObjectCategories"
BACKGROUND = "BACKGROUND_Google"

_DESCR = """\
Caltech-101
-----------

Photographs of objects of 101 categories, found on the web and mostly centred, and a class of
background; 9144 images, 31 to 800 a class, about 300 x 200 pixels.

There is no official split. The usual protocol draws 30 training images from every class, tests on
the others (some test on 50 at most) and reports the mean of the accuracies of the classes, averaged
over several draws: ``PerClassShuffleSplit(30)`` and scikit-learn's scorer "balanced_accuracy". The
DeCAF paper counts the background as a class.

Licence: Creative Commons Attribution 4.0 (https://data.caltech.edu/records/mzrjq-6wc02); the
photographs come from the web and belong to their photographers. Cite

- L. Fei-Fei, R. Fergus and P. Perona. Learning generative visual models from few training
  examples: an incremental Bayesian approach tested on 101 object categories. CVPR Workshop on
  Generative-Model Based Vision, 2004.
"""


@dataclass(frozen=True)
class _Caltech101(Collection):
    n_classes: int = 102
    n_images: int = 9144

    def find(self, folder: Path) -> Path | None:
        root = first_with(_FOLDER, folder, "caltech101", "caltech-101", "Caltech101")
        if root is not None:
            return root / _FOLDER
        # the folder of the classes itself
        return folder if (folder / BACKGROUND).is_dir() or folder.name == _FOLDER else None

    def check(self, root: Path) -> None:
        images = class_images(root)
        total = sum(map(len, images.values()))
        if len(images) != self.n_classes or total < self.n_images:
            raise ValueError(
                f"it has {total} images of {len(images)} classes, published are {self.n_images} "
                f"of {self.n_classes}"
            )


COLLECTION = _Caltech101(
    name="caltech101",
    title="Caltech-101",
    layout=f"{_FOLDER}/<class>/image_0001.jpg ...",
    archives=(
        Archive(
            name="caltech-101.zip",
            urls=("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip?download=1",),
            sha256="331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
            size=137_414_764,
            inner="101_ObjectCategories.tar.gz",
            inner_sha256="af6ece2f339791ca20f855943d8b55dd60892c0a25105fcd631ee3d6430f9926",
            max_files=20_000,
            max_bytes=400_000_000,
            place=keep_below(_FOLDER),
        ),
    ),
)


@overload
def fetch_caltech101(
    *,
    background: bool = ...,
    return_X_y: Literal[False] = ...,
    **options: Unpack[ImageFetchOptions],
) -> Bunch: ...


@overload
def fetch_caltech101(
    *, background: bool = ..., return_X_y: Literal[True], **options: Unpack[ImageFetchOptions]
) -> tuple[np.ndarray, np.ndarray]: ...


@fetcher
def fetch_caltech101(
    *,
    background: bool = True,
    data_home: FilePath | None = None,
    local: FilePath | None = None,
    allow_incomplete: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load Caltech-101, 101 classes of objects and one of background; fetch it if need be.

    If there is no copy in `data_home` (``caltech101/``, ``caltech-101/`` or
    ``101_ObjectCategories/``), the published archive of 137 MB is downloaded, compared with its
    checksum and extracted there.

    =================   ====================
    Classes                101 + background
    Images                              9144
    Images per class               31 to 800
    =================   ====================

    Parameters
    ----------
    background : bool, default=True
        Whether to load the class of background, ``BACKGROUND_Google``, as the DeCAF paper does.

    %(data_home)s

    local : str or path-like, default=None
        Copy of your own, which stays where it is: the folder of the class folders, or one that
        holds it. Or the published archive, which is extracted to `data_home`.

    %(allow_incomplete)s

    %(downloads)s

    return_X_y : bool, default=False
        If True, return ``(filenames, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        filenames : ndarray of shape (n_images,), dtype=object
            The paths of the images (str), sorted by class and name.
        target : ndarray of shape (n_images,), dtype=intp
            The class of each image, an index into `target_names`.
        target_names : ndarray of shape (n_classes,)
            The names of the classes, sorted.
        DESCR : str
            The description, with licence and reference.

    (filenames, target) : tuple if ``return_X_y`` is True
        The two arrays described above.

    Raises
    ------
    %(errors)s

    See Also
    --------
    sklearn_decaf.model_selection.PerClassShuffleSplit : The splits of the usual protocol.

    Examples
    --------
    >>> from sklearn_decaf.datasets import fetch_caltech101
    >>> data = fetch_caltech101()  # doctest: +SKIP
    >>> len(data.filenames), len(data.target_names)  # doctest: +SKIP
    (9144, 102)
    """
    root = COLLECTION.locate(
        data_home=data_home,
        local=local,
        allow_incomplete=allow_incomplete,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )
    # BACKGROUND_Google has a file "tmp" beside its images
    images = class_images(root)
    if not background:
        images.pop(BACKGROUND, None)
    filenames = np.array([path for paths in images.values() for path in paths], dtype=object)
    target = np.repeat(np.arange(len(images)), [len(paths) for paths in images.values()])
    if return_X_y:
        return filenames, target
    return Bunch(
        filenames=filenames, target=target, target_names=np.array(list(images)), DESCR=_DESCR
    )
