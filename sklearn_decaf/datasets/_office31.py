"""Office-31: 31 classes of objects in three domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from ._collection import Archive, Collection, google_drive_urls
from ._domains import choose_domains
from ._fetch_docs import fetcher
from ._layout import class_images, keep_below

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._utils.types import FilePath, ImageFetchOptions

#: Domains, in the order of their labels 1, 2, 3.
DOMAINS = ("amazon", "dslr", "webcam")

_DESCR = """\
Office-31
---------

Photographs of 31 classes of things that stand in an office, in three domains:

========  ======  =====================================
domain    images  where the images come from
========  ======  =====================================
amazon      2817  pictures of goods of a web shop
dslr         498  an office, with a digital SLR camera
webcam       795  the same office, with a web camera
========  ======  =====================================

The usual protocol draws 20 labelled source images of each class (8 if the source is dslr or
webcam) and 3 labelled target images, and tests on the other target images, over several draws:
``DomainShuffleSplit({1: 20, 2: 8, 3: 8}, 3)``. The DeCAF paper takes the shifts from amazon to
webcam and from dslr to webcam, and five draws.

Licence: none is stated. The images belong to their photographers and vendors; use them for
research. Cite

- K. Saenko, B. Kulis, M. Fritz and T. Darrell. Adapting Visual Category Models to New Domains.
  ECCV 2010.
"""


@dataclass(frozen=True)
class _Office31(Collection):
    n_classes: int = 31
    n_images: tuple[int, ...] = (2817, 498, 795)  # by domain

    def find(self, folder: Path) -> Path | None:
        names = ("office31", "domain_adaptation_images", "Original_images")
        for root in (folder, *(folder / name for name in names)):
            if any(_domain_folder(root, name).is_dir() for name in DOMAINS):
                return root
        return None

    def check(self, root: Path) -> None:
        for name, expected in zip(DOMAINS, self.n_images):
            folder = _domain_folder(root, name)
            images = class_images(folder) if folder.is_dir() else {}
            total = sum(map(len, images.values()))
            if total < expected or len(images) != self.n_classes:
                raise ValueError(
                    f"{name} has {total} images of {len(images)} classes, published are {expected} "
                    f"of {self.n_classes}"
                )


def _domain_folder(root: Path, name: str) -> Path:
    """Return the folder of a domain's class folders; some copies have them right in the domain."""
    published = root / name / "images"
    bare = root / name
    return bare if not published.is_dir() and (bare / "back_pack").is_dir() else published


COLLECTION = _Office31(
    name="office31",
    title="Office-31",
    layout="amazon/images/<class>/frame_0001.jpg ..., dslr/images/..., webcam/images/...",
    archives=(
        Archive(
            # nobody publishes a checksum: the numbers of images have to do
            name="domain_adaptation_images.tar.gz",
            urls=google_drive_urls("0B4IapRTv9pJ1WGZVd1VDMmhwdlE"),
            max_size=400_000_000,
            max_files=20_000,
            max_bytes=800_000_000,
            place=keep_below(*DOMAINS),
        ),
    ),
)


@overload
def fetch_office31(
    *,
    domains: str | Sequence[str] | None = ...,
    target: str | Sequence[str] | None = ...,
    return_X_y: Literal[False] = ...,
    **options: Unpack[ImageFetchOptions],
) -> Bunch: ...


@overload
def fetch_office31(
    *,
    domains: str | Sequence[str] | None = ...,
    target: str | Sequence[str] | None = ...,
    return_X_y: Literal[True],
    **options: Unpack[ImageFetchOptions],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


@fetcher
def fetch_office31(
    *,
    domains: str | Sequence[str] | None = None,
    target: str | Sequence[str] | None = None,
    data_home: FilePath | None = None,
    local: FilePath | None = None,
    allow_incomplete: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Load Office-31, 31 classes of objects in three domains; fetch it if need be.

    If there is no copy in `data_home`, the published archive is downloaded and extracted there. No
    checksum of it is published; the numbers of images and classes are compared instead.

    Parameters
    ----------
    domains : str or sequence of str, default=None
        Domains to load, in this order: "amazon", "dslr", "webcam". None: all three.

    target : str or sequence of str, default=None
        Target domains among `domains`. None: the last one, if there are two or more.

    %(data_home)s

    local : str or path-like, default=None
        Copy of your own, which stays where it is: a folder that holds ``amazon/images/``,
        ``dslr/images/`` and ``webcam/images/``, or the same without ``images/``. Or the published
        archive, which is extracted to `data_home`.

    %(allow_incomplete)s

    %(downloads)s

    return_X_y : bool, default=False
        If True, return ``(filenames, target, sample_domain)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        filenames : ndarray of shape (n_images,), dtype=object
            The paths of the images (str), by domain, then class, then name.
        target : ndarray of shape (n_images,), dtype=intp
            The class of each image, an index into `target_names`.
        sample_domain : ndarray of shape (n_images,)
            1 amazon, 2 dslr, 3 webcam; negative for target domains.
        target_names : ndarray of shape (31,)
            The names of the classes, sorted.
        domain_names : dict
            The name of each label in `sample_domain`.
        DESCR : str
            The description, with licence and reference.

    (filenames, target, sample_domain) : tuple if ``return_X_y`` is True
        The arrays described above.

    Raises
    ------
    %(errors)s

    See Also
    --------
    fetch_office_caltech10 : Ten of these classes, with Caltech-256 as fourth domain.
    sklearn_decaf.model_selection.DomainShuffleSplit : The splits of the usual protocol.

    Examples
    --------
    >>> from sklearn_decaf.datasets import fetch_office31
    >>> data = fetch_office31(domains=["amazon", "webcam"])  # doctest: +SKIP
    >>> len(data.filenames), data.domain_names  # doctest: +SKIP
    (3612, {1: 'amazon', -3: 'webcam'})
    """
    labels = choose_domains(domains, target, DOMAINS)
    root = COLLECTION.locate(
        data_home=data_home,
        local=local,
        allow_incomplete=allow_incomplete,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )
    images = {}
    for name in labels:
        folder = _domain_folder(root, name)
        if not folder.is_dir():
            raise FileNotFoundError(f"{str(folder)!r} is missing: leave {name!r} out of domains.")
        images[name] = class_images(folder)
    classes = sorted(set().union(*images.values()))
    filenames, y, sample_domain = [], [], []
    for name, label in labels.items():
        for class_name, paths in images[name].items():
            filenames += paths
            y += [classes.index(class_name)] * len(paths)
            sample_domain += [label] * len(paths)
    filenames = np.array(filenames, dtype=object)
    y, sample_domain = np.array(y, dtype=np.intp), np.array(sample_domain)
    if return_X_y:
        return filenames, y, sample_domain
    return Bunch(
        filenames=filenames,
        target=y,
        sample_domain=sample_domain,
        target_names=np.array(classes),
        domain_names={label: name for name, label in labels.items()},
        DESCR=_DESCR,
    )
