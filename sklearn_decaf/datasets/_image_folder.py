"""Photographs in folders, one folder per class: paths and labels, nothing decoded."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from sklearn.utils import Bunch, check_random_state

from .._utils.data_home import expand_user
from ..images._folders import (
    Entry,
    Kind,
    LeftOut,
    check_folder,
    describe_unlisted,
    folders_above,
    list_folder,
    walk_below,
)
from ..images._reading import IMAGE_EXTENSIONS

if TYPE_CHECKING:
    from .._utils.types import FilePath, RandomState

# A folder that holds only these holds the parts of a data set, not its classes.
_SPLIT_NAMES = {"train", "training", "trainval", "val", "valid", "validation", "test", "testing"}


@overload
def load_image_folder(
    directory: FilePath,
    *,
    classes: Sequence[str] | None = ...,
    extensions: str | Sequence[str] = ...,
    description: str | None = ...,
    shuffle: bool = ...,
    random_state: RandomState = ...,
    return_X_y: Literal[False] = ...,
) -> Bunch: ...


@overload
def load_image_folder(
    directory: FilePath,
    *,
    classes: Sequence[str] | None = ...,
    extensions: str | Sequence[str] = ...,
    description: str | None = ...,
    shuffle: bool = ...,
    random_state: RandomState = ...,
    return_X_y: Literal[True],
) -> tuple[np.ndarray, np.ndarray]: ...


def load_image_folder(
    directory: FilePath,
    *,
    classes: Sequence[str] | None = None,
    extensions: str | Sequence[str] = IMAGE_EXTENSIONS,
    description: str | None = None,
    shuffle: bool = False,
    random_state: RandomState = 0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """List the images in a folder that has one sub-folder per class.

    The folder is laid out like this, and the names of the sub-folders are the names of the
    classes:

    .. code-block:: text

        directory/
            cat/
                1.jpg
                2.jpg
                indoors/3.png
            dog/
                1.jpg

    Only file names are read, never the images, so a folder of millions is no problem. The paths
    are what an image transformer takes as input, and they index, split and travel through
    pipelines and cross-validation as any other `X`.

    Images in sub-folders of a class folder, at any depth, belong to that class. Links are
    followed; a folder that is reached a second time within a class, through a link or a loop of
    links, is read once. Hidden files and folders (whose names start with a dot), those that
    systems, file managers and network drives make for themselves (``@eaDir``, ``#recycle``,
    ``lost+found``, ``Thumbs.db``), files with other suffixes and images that lie beside the class
    folders are left out; everything left out is listed in `ignored`, and one warning says so
    unless all of it is hidden or the system's own. A folder that cannot be listed is named in a
    warning and left out too, unless `classes` names it. The command line
    ``python -m sklearn_decaf extract`` lists folders in the same way.

    Parameters
    ----------
    directory : str or path-like
        The folder that holds the class folders. A leading ``~`` is expanded.

    classes : sequence of str, default=None
        Names of the class folders to load, in the order of their labels 0, 1, ...; give it to
        leave out folders or to number the classes of two data sets in the same way. None loads
        every sub-folder, sorted by name.

    extensions : str or sequence of str, default=IMAGE_EXTENSIONS
        Suffixes of the files to list, with or without the dot, upper and lower case alike. The
        default has JPEG, PNG, BMP, GIF, TIFF, WebP, AVIF and PNM files.

    description : str, default=None
        A description of the data set for `DESCR`. None writes the number of images in each class.

    shuffle : bool, default=False
        Whether to shuffle the images. By default they are sorted by class, then by path, the
        same on every machine. Shuffle for models and splitters that depend on the order of the
        rows.

    random_state : int, RandomState instance or None, default=0
        Determines the order if `shuffle` is True. Pass None for a new order at each call.

    return_X_y : bool, default=False
        If True, return ``(filenames, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        filenames : ndarray of shape (n_images,), dtype=object
            The paths of the images (str), each starting with `directory` as it was given.
        target : ndarray of shape (n_images,), dtype=intp
            The class of each image, an index into `target_names`.
        target_names : ndarray of shape (n_classes,)
            The names of the classes.
        ignored : list of str
            The paths of files, folders and broken links that were left out.
        DESCR : str
            The description of the data set.

    (filenames, target) : tuple if ``return_X_y`` is True
        The two arrays described above.

    Raises
    ------
    FileNotFoundError
        If `directory` does not exist.
    NotADirectoryError
        If `directory` is a file.
    TypeError
        If `classes` is a single string.
    ValueError
        If there is no class folder, a class folder holds no image, the folders are the parts of a
        data set (``train``, ``test``) instead of classes, or `classes` is empty, repeats a name or
        names a folder that is not there.
    OSError
        If `directory`, or a folder that `classes` names, cannot be listed.

    See Also
    --------
    load_sample_photos : A small data set of photographs that comes with the package.
    sklearn.datasets.load_files : The same for text files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_decaf.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     for name in "cat/1.jpg", "cat/2.jpg", "dog/1.png":
    ...         path = Path(directory, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (8, 8)).save(path)
    ...     pets = load_image_folder(directory)
    >>> [Path(filename).name for filename in pets.filenames]
    ['1.jpg', '2.jpg', '1.png']
    >>> pets.target
    array([0, 0, 1])
    >>> print(*pets.target_names[pets.target])
    cat cat dog
    """
    directory = expand_user(directory)
    suffixes = _normalise_extensions(extensions)
    found, ignored = _class_folders(directory, suffixes, classes)

    above = folders_above(directory)
    names: list[str] = []
    counts: list[int] = []
    paths: list[str] = []
    for name in found:
        n_before = len(paths)
        for entry in walk_below(directory, name, suffixes, above):
            if entry.kind is Kind.IMAGE:
                paths.append(os.path.join(directory, entry.name))
                continue
            ignored.append(entry)
            if entry.kind is Kind.UNLISTED and entry.name == name:  # the class folder itself
                if classes is not None and entry.error is not None:
                    raise entry.error
                break
        else:
            names.append(name)
            counts.append(len(paths) - n_before)
    if classes is None:
        _refuse_wrong_level(directory, names, paths)
    _refuse_empty_classes(directory, names, counts, suffixes, ignored)
    _warn_of_ignored(directory, ignored, suffixes)

    filenames = np.array(paths, dtype=object)
    target = np.repeat(np.arange(len(names)), counts)
    if shuffle:
        order = check_random_state(random_state).permutation(len(filenames))
        filenames, target = filenames[order], target[order]
    if return_X_y:
        return filenames, target
    if description is None:
        description = _describe(directory, names, counts)
    return Bunch(
        filenames=filenames,
        target=target,
        target_names=np.array(names),
        ignored=[os.path.join(directory, entry.name) for entry in ignored],
        DESCR=description,
    )


def _normalise_extensions(extensions):
    if isinstance(extensions, str):
        extensions = (extensions,)
    suffixes = tuple("." + suffix.lower().removeprefix(".") for suffix in extensions)
    if not suffixes or "." in suffixes:
        raise ValueError(
            f"extensions must name at least one suffix such as '.jpg', and none may be empty; "
            f"got {extensions!r}"
        )
    return suffixes


def _class_folders(directory, suffixes, classes):
    """Names of the class folders, and the entries beside them that are no class folders."""
    check_folder(directory)
    folders, ignored = [], []
    for name, kind in list_folder(directory, suffixes):
        if kind is Kind.FOLDER:
            folders.append(name)
        else:
            ignored.append(Entry(name, kind))

    if not folders:
        images = sum(entry.kind is Kind.IMAGE for entry in ignored)
        found = f"{images} images, but no class folders" if images else "no class folders"
        raise ValueError(
            f"{directory!r} holds {found}: move the images of each class into a sub-folder named "
            f"after the class. Images without classes need no load_image_folder: pass a list of "
            f"their paths to the transformer."
        )
    if classes is None:
        return folders, ignored
    return _check_classes(directory, classes, folders), ignored


def _check_classes(directory, classes, folders):
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise TypeError(f"classes must be a sequence of folder names, got {classes!r}")
    names = [str(name) for name in classes]
    repeated = [name for name, n in Counter(names).items() if n > 1]
    known = set(folders)
    missing = [name for name in names if name not in known]
    if not names or repeated or missing:
        problem = (
            f"names folders that are not there: {_shortened(missing)}"
            if missing
            else f"names folders more than once: {_shortened(repeated)}"
            if repeated
            else "is empty"
        )
        raise ValueError(f"classes {problem}; {directory!r} holds {_shortened(folders)}")
    return names


def _refuse_wrong_level(directory, names, filenames):
    """Refuse a directory whose class folders lie one level further down than they should."""
    top = os.path.join(directory, "")
    # a single folder that holds images only in folders of its own, or train/, test/ ...
    nested = all(
        os.sep in filename.removeprefix(top).partition(os.sep)[2] for filename in filenames
    )
    only_splits = all(name.lower() in _SPLIT_NAMES for name in names)
    if filenames and (only_splits or (nested and len(names) == 1)):
        raise ValueError(
            f"the sub-folders of {directory!r} ({_shortened(names)}) do not look like classes, but "
            f"like folders of them. Load one at a time, for example "
            f"load_image_folder({os.path.join(directory, names[0])!r}), or say that they are "
            f"classes with classes={names!r}."
        )


def _refuse_empty_classes(directory, names, counts, suffixes, ignored):
    empty = [name for name, count in zip(names, counts) if count == 0]
    if not empty:
        return
    folder = os.path.join(directory, empty[0], "")
    others = LeftOut()
    for entry in ignored:
        if entry.name.split(os.sep)[0] == empty[0]:
            others.add(entry)
    holds = f"; it holds {others}" if len(others) else ""
    more = f" (nor do {len(empty) - 1} others)" if len(empty) > 1 else ""
    raise ValueError(
        f"class folder {folder!r} holds no image ({', '.join(suffixes)}){more}{holds}. Put images "
        f"into it, remove it, name the folders to load with classes=[...], or the suffixes of "
        f"its images with extensions=[...]."
    )


def _warn_of_ignored(directory, ignored, suffixes):
    left_out = LeftOut()
    for entry in ignored:
        left_out.add(entry)
    if not len(left_out):
        return
    sentences = [
        f"left out {left_out}, of {directory!r}: only files in a class folder that end in "
        f"{', '.join(suffixes)} are taken; `ignored` lists the others."
    ]
    beside = sum(entry.kind is Kind.IMAGE for entry in ignored)
    if beside:
        sentences.append(
            f"{beside} of them are images that lie beside the class folders and so have no "
            f"class: move them into one."
        )
    sentences += [describe_unlisted(entry, directory) + "." for entry in left_out.unlisted[:10]]
    warnings.warn(" ".join([*sentences, left_out.advice]).strip(), stacklevel=3)


def _shortened(names, longest=10):
    listed = ", ".join(repr(name) for name in names[:longest])
    return listed + (f" and {len(names) - longest} more" if len(names) > longest else "")


def _describe(directory, names, counts):
    lines = (f"- {name}: {count}" for name, count in zip(names, counts))
    return (
        f"Image folder {directory}\n\n{sum(counts)} images of {len(names)} classes:\n\n"
        + "\n".join(lines)
        + "\n"
    )
