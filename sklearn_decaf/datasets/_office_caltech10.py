"""Office-Caltech10: ten classes of objects in four domains."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from scipy.io import loadmat
from sklearn.utils import Bunch

from .._utils.data_home import get_data_home
from .._utils.validation import check_option
from ..exceptions import DownloadError
from ..model_selection import PredefinedDomainSplit
from ._domains import choose_domains, domain_names
from ._fetch_docs import file_fetcher
from ._office_caltech10_files import SOURCES, Files

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._utils.types import FetchOptions, FilePath

_DESCR = """\
Office-Caltech10
----------------

The ten classes that Office (Saenko et al. 2010) and Caltech-256 (Griffin et al. 2007) have in
common, in four domains:

==========  ======  =====================================
domain      images  where the images come from
==========  ======  =====================================
amazon         958  pictures of goods of a web shop
caltech10     1123  Caltech-256
dslr           157  an office, with a digital SLR camera
webcam         295  the same office, with a web camera
==========  ======  =====================================

Features:

- ``"images"``: the photographs, as paths.
- ``"surf"``: histograms of 800 visual words of SURF descriptors, as counts (Gong et al. 2012).
  Usually the rows are divided by their sum, then standardised in each domain.
- ``"decaf6"``: the 4096 activations of the sixth layer of DeCAF, for the same images.

Row i of a domain is the same image whatever the features. `splits` has the 20 random splits per
pair of domains of Hoffman et al. (2013): 20 source images per class from amazon, 8 from the other
domains, 3 labelled target images per class, tested on the rest of the target.

Licence: none is stated for the features, the splits or the collection. The images belong to
their photographers; use them for research. Cite

- K. Saenko, B. Kulis, M. Fritz and T. Darrell. Adapting Visual Category Models to New Domains.
  ECCV 2010.
- G. Griffin, A. Holub and P. Perona. Caltech-256 Object Category Dataset. California Institute of
  Technology, 2007.
- B. Gong, Y. Shi, F. Sha and K. Grauman. Geodesic Flow Kernel for Unsupervised Domain Adaptation.
  CVPR 2012 (ten classes, SURF features).
- J. Hoffman, E. Rodner, J. Donahue, K. Saenko and T. Darrell. Efficient Learning of
  Domain-invariant Image Representations. ICLR 2013 (splits).
- J. Donahue et al. DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition.
  ICML 2014 (DeCAF features).
"""

#: Domains, in the order of their labels 1, 2, 3, 4.
DOMAINS = ("amazon", "caltech10", "dslr", "webcam")
_ALIASES = {"caltech": "caltech10"}

_TARGET_NAMES = (
    *("back_pack", "bike", "calculator", "headphones", "keyboard"),
    *("laptop_computer", "monitor", "mouse", "mug", "projector"),
)

# for each domain, how the files of the features spell its name, and the array in them
_MATRICES = {
    "surf": ("{}_SURF_L10.mat", {"caltech10": "Caltech10"}, "fts"),
    "decaf6": ("{}_decaf.mat", {"caltech10": "caltech"}, "feas"),
}
# class folders of the images that have other names than the classes of the features
_CLASS_FOLDERS = {"back_pack": "backpack", "laptop_computer": "laptop"}


@overload
def fetch_office_caltech10(
    *,
    features: Literal["images", "surf", "decaf6"] = ...,
    domains: str | Sequence[str] | None = ...,
    target: str | Sequence[str] | None = ...,
    return_X_y: Literal[False] = ...,
    **options: Unpack[FetchOptions],
) -> Bunch: ...


@overload
def fetch_office_caltech10(
    *,
    features: Literal["images", "surf", "decaf6"] = ...,
    domains: str | Sequence[str] | None = ...,
    target: str | Sequence[str] | None = ...,
    return_X_y: Literal[True],
    **options: Unpack[FetchOptions],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


@file_fetcher
def fetch_office_caltech10(
    *,
    features: Literal["images", "surf", "decaf6"] = "images",
    domains: str | Sequence[str] | None = None,
    target: str | Sequence[str] | None = None,
    data_home: FilePath | None = None,
    local: FilePath | None = None,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Load Office-Caltech10, ten classes of objects in four domains; fetch it if need be.

    Files that are not in `data_home` are downloaded from the repositories of people who worked
    with them, and compared with checksums of complete copies. The images take 60 MB on the disk.
    The folder holds

    .. code-block:: text

        office_caltech10_images/images/<domain>/<class>/*.jpg
        office_caltech10_surf/amazon_SURF_L10.mat, Caltech10_SURF_L10.mat, ...
        office_caltech10_decaf6/amazon_decaf.mat, caltech_decaf.mat, ...
        office_caltech10_mmdt_splits/SameCategory_amazon-webcam_20RandomTrials_10Categories.mat, ...

    Only the folder of the wanted features is needed. The names of the images, in the order of the
    features, are read from the SURF folder, or from a table
    ``office_caltech10_images/surf_row_to_image.csv`` if there is one, with the columns domain,
    surf_row_1based, label and path.

    Parameters
    ----------
    features : {"images", "surf", "decaf6"}, default="images"
        "images" gives the paths of the photographs, "surf" histograms of 800 visual words,
        "decaf6" the 4096 activations of the DeCAF6 layer.

    domains : str or sequence of str, default=None
        Domains to load, in this order: "amazon", "caltech10" (or "caltech"), "dslr", "webcam".
        None: all four.

    target : str or sequence of str, default=None
        Target domains among `domains`. None: the last one, if there are two or more.

    data_home : str or path-like, default=None
        Folder that holds the folders above, and to which they are downloaded. None: see
        :func:`~sklearn_decaf.datasets.get_data_home`.

    local : str or path-like, default=None
        Folder like `data_home` with a copy of your own, to which nothing is downloaded.

    %(downloads)s

    return_X_y : bool, default=False
        If True, return ``(X, y, sample_domain)`` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        X : ndarray of shape (n_samples, n_features), or (n_samples,) of paths
            The features; float64 for SURF, float32 for DeCAF6. Also as `data`.
        y : ndarray of shape (n_samples,), dtype=intp
            The classes 0 to 9, indices into `target_names`. Also as `target`.
        sample_domain : ndarray of shape (n_samples,)
            1 amazon, 2 caltech10, 3 dslr, 4 webcam; negative for target domains.
        target_names : ndarray of shape (10,)
            The names of the classes.
        domain_names : dict
            The name of each label in `sample_domain`.
        filenames : ndarray of shape (n_samples,), dtype=object
            The paths of the photographs; None if the list of them is not there. They need not be
            there unless `features` is "images".
        splits : dict of (source, target) to PredefinedDomainSplit
            The published splits for each pair of a source and a target domain, as far as the
            files are there.
        DESCR : str
            The description, with licence and references.

    (X, y, sample_domain) : tuple if ``return_X_y`` is True
        The arrays described above.

    Raises
    ------
    FileNotFoundError
        If a file of the wanted features is not there and may not be downloaded.
    DownloadError
        If the download fails.
    ValueError
        If `features`, a domain or a target is unknown, or a file is not what it should be.

    Examples
    --------
    >>> from sklearn_decaf.datasets import fetch_office_caltech10
    >>> data = fetch_office_caltech10(
    ...     features="surf", domains=["amazon", "webcam"])  # doctest: +SKIP
    >>> data.X.shape, sorted(data.domain_names)  # doctest: +SKIP
    ((1253, 800), [-4, 1])
    >>> splitter = data.splits["amazon", "webcam"]  # doctest: +SKIP
    >>> splitter.get_n_splits()  # doctest: +SKIP
    20
    """
    check_option("features", features, ("images", *_MATRICES))
    labels = choose_domains(domains, target, DOMAINS, _ALIASES)
    home = get_data_home(data_home if local is None else local)
    files = Files(home, download_if_missing and local is None, n_retries, delay)
    if not home.is_dir() and not (download_if_missing and local is None):
        parameter = "data_home" if local is None else "local"
        raise FileNotFoundError(
            f"{parameter}={str(home)!r}: it must be a folder that holds office_caltech10_*, and "
            "there is none of that name."
        )

    image_folder = files.image_folder() if features == "images" else home / SOURCES["images"].folder
    listing = _read_listing(files, image_folder, list(labels), required=features == "images")
    X, y, sample_domain, filenames = [], [], [], []
    for name, label in labels.items():
        paths, classes = (listing or {}).get(name, (None, None))
        if features == "images":
            rows = paths
            _require_files(paths)
        else:
            rows, classes = _read_matrix(files, features, name)
        X.append(rows)
        y.append(classes)
        filenames.append(paths)
        sample_domain.append(np.full(len(classes), label))
    X, y, sample_domain = (np.concatenate(part) for part in (X, y, sample_domain))
    if return_X_y:
        return X, y, sample_domain
    sources = [name for name, label in labels.items() if label > 0]
    targets = [name for name, label in labels.items() if label < 0]
    splits = {
        (source, goal): splitter
        for source in sources
        for goal in targets
        if (splitter := _read_splits(files, source, goal)) is not None
    }
    return Bunch(
        X=X,
        y=y,
        data=X,
        target=y,
        sample_domain=sample_domain,
        target_names=np.array(_TARGET_NAMES),
        domain_names={label: name for name, label in labels.items()},
        filenames=np.concatenate(filenames) if listing else None,
        splits=splits,
        DESCR=_DESCR,
    )


def _missing(path, kind, hint=""):
    return FileNotFoundError(
        f"{path} is missing. It was published at {SOURCES[kind].published}: put it there, or pass "
        f"the folder that holds office_caltech10_* as data_home.{hint}"
    )


def _read_listing(files, folder, names, required):
    """Read the paths and labels of each domain's images, in the order of the feature rows."""
    table = folder / "surf_row_to_image.csv"
    if table.is_file():
        return _read_table(table)
    listing = {}
    for name in names:
        file = f"{_MATRICES['surf'][1].get(name, name)}_SURF_L10_imgs.mat"
        try:
            path = files.path("surf", file)
        except DownloadError:
            if required:
                raise
            return None
        if not path.is_file():
            if not required:
                return None
            hint = f" The list of the images may also be in {table}."
            raise _missing(path, "surf", hint)
        listing[name] = _read_names(path, name, folder)
    return listing


def _read_names(path, domain, folder):
    """Derive paths and labels from names of images, such as "amazon_back_pack_frame_0001"."""
    names = _load_mat(path, ("imgNames",))["imgNames"].ravel()
    paths, labels = [], []
    for name in names:
        name = str(np.ravel(name)[0])
        rest = name.partition("_")[2]
        label = next((i for i, c in enumerate(_TARGET_NAMES) if rest.startswith(c + "_")), None)
        if label is None:
            raise ValueError(f"{path} names an image {name!r}, which has no known class.")
        class_name = _TARGET_NAMES[label]
        image = f"{rest.removeprefix(class_name + '_')}.jpg"
        class_folder = folder / "images" / domain / _CLASS_FOLDERS.get(class_name, class_name)
        paths.append(str(class_folder / image))
        labels.append(label)
    return np.array(paths, dtype=object), np.array(labels, dtype=np.intp)


def _read_table(path):
    rows = {name: [] for name in DOMAINS}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                (name,) = domain_names("domain", row["domain"], DOMAINS, _ALIASES)
                image = str(path.parent / row["path"])
                rows[name].append((int(row["surf_row_1based"]), int(row["label"]) - 1, image))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path} has an unusable row {dict(row)}: {error}") from error
    listing = {}
    for name, entries in rows.items():
        entries.sort()
        if [entry[0] for entry in entries] != list(range(1, len(entries) + 1)):
            raise ValueError(f"{path} does not list each row of {name} once.")
        paths = np.array([entry[2] for entry in entries], dtype=object)
        listing[name] = paths, np.array([entry[1] for entry in entries], dtype=np.intp)
    return listing


def _require_files(paths):
    absent = [path for path in paths if not Path(path).is_file()]
    if absent:
        raise _missing(absent[0], "images", f" {len(absent)} of {len(paths)} images are missing.")


def _read_matrix(files, features, name):
    """Read the features and labels of a domain."""
    pattern, spelling, key = _MATRICES[features]
    path = files.path(features, pattern.format(spelling.get(name, name)))
    if not path.is_file():
        there = [n for n in DOMAINS if (path.parent / pattern.format(spelling.get(n, n))).is_file()]
        hint = f" Here are the domains {', '.join(there)}: pass them as domains." if there else ""
        raise _missing(path, features, hint)
    content = _load_mat(path, (key, "labels"))
    X, y = content[key], content["labels"].ravel()
    width = {"surf": 800, "decaf6": 4096}[features]
    if X.ndim != 2 or X.shape != (len(y), width) or not set(np.unique(y)) <= set(range(1, 11)):
        raise ValueError(
            f"{path} should hold {width} features and a label from 1 to 10 per row; got "
            f"{key} of shape {X.shape} and {len(y)} labels."
        )
    # the counts are stored as uint8, in which sums would overflow
    dtype = np.float64 if features == "surf" else np.float32
    return X.astype(dtype), y.astype(np.intp) - 1


def _load_mat(path, keys):
    """Read arrays of a Matlab file, of version 7.3 (HDF5) too if h5py is installed."""
    try:
        content = loadmat(path, variable_names=keys)
    except NotImplementedError:
        try:
            import h5py
        except ImportError as error:
            raise ImportError(
                f"{path} is a Matlab 7.3 file: install h5py to read it (pip install h5py)."
            ) from error
        with h5py.File(path) as file:
            content = {key: np.asarray(file[key]).T for key in keys if key in file}
    except Exception as error:  # a damaged file makes the reader fail in any way
        raise ValueError(f"{path} cannot be read as a Matlab file: {error}.") from error
    absent = [key for key in keys if key not in content]
    if absent:
        raise ValueError(f"{path} has no variable {absent[0]!r}.")
    return content


def _read_splits(files, source, target):
    """Read the published splits of a pair; None if they are not there."""
    short = {"caltech10": "caltech"}
    pair = f"{short.get(source, source)}-{short.get(target, target)}"
    try:
        path = files.path("splits", f"SameCategory_{pair}_20RandomTrials_10Categories.mat")
    except DownloadError as error:
        warnings.warn(f"without the published splits of {pair}: {error}", stacklevel=3)
        return None
    if not path.is_file():
        return None
    return PredefinedDomainSplit.from_mat(
        path, source=DOMAINS.index(source) + 1, target=-DOMAINS.index(target) - 1
    )
