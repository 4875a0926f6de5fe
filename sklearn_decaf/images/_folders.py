"""Folders of photographs: which of the files below a folder are images, and what is left out.

Everything that lists folders goes through here, so that all agree on what is in one: hidden files,
what systems and file managers put beside photographs, links, loops, folders that cannot be read.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from ._reading import IMAGE_EXTENSIONS


class Kind(Enum):
    """What an entry of a folder is; the values complete the words "left out: 3 ..."."""

    IMAGE = "images"
    FOLDER = "folders"
    HIDDEN = "hidden"
    SYSTEM = "of the system"
    OTHER_SUFFIX = "other files"
    REPEATED = "folders that were listed already (links)"
    BROKEN_LINK = "broken links"
    SPECIAL = "no regular files"
    UNLISTED = "folders that cannot be listed"


class Entry(NamedTuple):
    """An entry of a folder: its name, relative to where the walk began, and what it is."""

    name: str
    kind: Kind
    error: OSError | None = None  # why a folder cannot be listed


# Names that systems, file managers and storage devices give to what is never a photograph of the
# user's own: thumbnails, deleted files, snapshots. Compared without case, files and folders alike.
_SYSTEM_NAMES = frozenset(
    (
        # Windows
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("$recycle.bin", "system volume information"),
        # macOS
        *("__macosx", "icon\r", "network trash folder", "temporary items"),
        *("thevolumesettingsfolder", "desktop db", "desktop df"),
        # Linux, Android
        *("lost+found", "lost.dir"),
        # network drives: Synology, QNAP, NetApp
        *("@eadir", "@tmp", "@sharesnap", "#recycle", "#snapshot"),
        *("@recycle", "@recently-snapshot", "@__thumb", "@transcode", "~snapshot"),
    )
)
# Folders in this case only: one called "recycled" may well be a class.
_SYSTEM_PATTERN = re.compile(r"RECYCLE[RD]|FOUND\.\d{3}|found\.\d{3}")


def is_never_a_photograph(name: str) -> bool:
    """Tell whether a file or folder is hidden, or has a name that only systems give."""
    is_known = name.lower() in _SYSTEM_NAMES or _SYSTEM_PATTERN.fullmatch(name) is not None
    return name.startswith(".") or is_known


def find_images(
    folder: str, left_out: LeftOut | None = None, extensions: Sequence[str] = IMAGE_EXTENSIONS
) -> Iterator[str]:
    """Names of the images below a folder, relative to it; the rest is counted in `left_out`.

    See `walk_folder`.
    """
    for entry in walk_folder(folder, extensions):
        if entry.kind is Kind.IMAGE:
            yield entry.name
        elif left_out is not None:
            left_out.add(entry)


def check_folder(folder: str) -> None:
    """Make sure that a folder is there.

    Raises
    ------
    OSError
        If it is not, or it is a file (FileNotFoundError, NotADirectoryError), or one may not look.
    """
    try:
        mode = os.stat(folder).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no folder {folder!r} (the current directory is {os.getcwd()!r})"
        ) from None
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"{folder!r} is a file: pass the folder that the images are in")


def walk_folder(folder: str, extensions: Sequence[str] = IMAGE_EXTENSIONS) -> Iterator[Entry]:
    """Walk through a folder and yield every entry, except for the folders that it walks through.

    The names come in an order that does not vary, folder by folder: in memory are the names in
    one folder and in those that it lies in. Only names are read.

    Links are followed. Within each folder of the first level, a folder that is reached again,
    through a link or a loop of links, is not listed again.

    Parameters
    ----------
    folder : str
    extensions : sequence of str
        Suffixes of images, with the dot and in lower case; those of files may be in either case.

    Yields
    ------
    entry : Entry

    Raises
    ------
    OSError
        If the folder itself is not there, or cannot be listed.
    """
    check_folder(folder)
    above = folders_above(folder)
    for name, kind in list_folder(folder, extensions):
        if kind is Kind.FOLDER:
            yield from walk_below(folder, name, extensions, above)
        else:
            yield Entry(name, kind)


def walk_below(
    folder: str, name: str, extensions: Sequence[str], above: frozenset[int | str]
) -> Iterator[Entry]:
    """All that is below one sub-folder, as `walk_folder` yields it.

    Parameters
    ----------
    folder : str
        Where names start from.
    name : str
        The sub-folder.
    extensions : sequence of str
        See `walk_folder`.
    above : frozenset
        What `folders_above` returns for `folder`: a link that leads up to one of them is a loop.
    """
    listed = set(above)
    # one level of depth each: what names start with, and the entries that are left
    stack: list[tuple[str, Iterator[tuple[str, Kind]]]] = [("", iter([(name, Kind.FOLDER)]))]
    while stack:
        prefix, entries = stack[-1]
        for name, kind in entries:
            name = prefix + name
            if kind is not Kind.FOLDER:
                yield Entry(name, kind)
                continue
            path = os.path.join(folder, name)
            try:
                identity = _identity(path)
                if identity in listed:
                    yield Entry(name, Kind.REPEATED)
                    continue
                below = list_folder(path, extensions)
            except OSError as error:
                yield Entry(name, Kind.UNLISTED, error)
                continue
            listed.add(identity)
            stack.append((name + os.sep, below))
            break
        else:
            stack.pop()


def list_folder(path: str, extensions: Sequence[str]) -> Iterator[tuple[str, Kind]]:
    """Names and kinds of what is in one folder, in the order of their bytes.

    Raises
    ------
    OSError
        If the folder cannot be listed to its end.
    """
    suffixes = tuple(extensions)
    images: list[str] = []
    others: dict[str, Kind] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            kind = _kind(entry, suffixes)
            if kind is Kind.IMAGE:
                images.append(entry.name)
            else:
                others[entry.name] = kind
    names = [*images, *others]
    names.sort(key=None if all(map(str.isascii, names)) else os.fsencode)
    return ((name, others.get(name, Kind.IMAGE)) for name in names)


def _kind(entry: os.DirEntry, suffixes: tuple[str, ...]) -> Kind:
    name = entry.name
    lower = name.lower()
    if name[0] == ".":
        return Kind.HIDDEN
    if lower in _SYSTEM_NAMES:
        return Kind.SYSTEM
    try:
        if entry.is_file():
            return Kind.IMAGE if lower.endswith(suffixes) else Kind.OTHER_SUFFIX
        if entry.is_dir():
            return Kind.SYSTEM if _SYSTEM_PATTERN.fullmatch(name) else Kind.FOLDER
        entry.stat()
    except OSError:  # a link to nothing, to itself, or to where one may not look
        return Kind.BROKEN_LINK if entry.is_symlink() else Kind.SPECIAL
    return Kind.SPECIAL


def folders_above(folder: str) -> frozenset[int | str]:
    """Identities of a folder and of all folders that it lies in."""
    path = os.path.realpath(folder)
    identities = {_identity(path)}
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        identities.add(_identity(path))
    return frozenset(identities)


def _identity(path: str) -> int | str:
    status = os.stat(path)
    if status.st_ino == 0:  # a file system without such numbers
        return os.path.realpath(path)
    return status.st_dev << 64 | status.st_ino  # one number takes less memory than a pair


class LeftOut:
    """Account of what was left out of a folder, in words.

    Hidden entries and those of the system are not counted: everybody has them.

    Attributes
    ----------
    unlisted : list of Entry
        Folders that could not be listed.

    Examples
    --------
    >>> from sklearn_decaf.images._folders import Entry, Kind, LeftOut
    >>> left_out = LeftOut()
    >>> left_out.add(Entry("cat/list.txt", Kind.OTHER_SUFFIX))
    >>> left_out.add(Entry("cat/IMG_1.HEIC", Kind.OTHER_SUFFIX))
    >>> str(left_out)
    "2 entries (.txt: 1, .heic: 1), the first 'cat/list.txt'"
    """

    def __init__(self) -> None:
        self.unlisted: list[Entry] = []
        self._counts: Counter[str] = Counter()
        self._first = ""

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        if entry.kind in (Kind.HIDDEN, Kind.SYSTEM):
            return
        if entry.kind is Kind.UNLISTED:
            self.unlisted.append(entry)
        label = entry.kind.value
        if entry.kind in (Kind.OTHER_SUFFIX, Kind.IMAGE):
            label = os.path.splitext(entry.name)[1].lower()[:20] or "no suffix"
        self._first = self._first or entry.name
        self._counts[label] += 1

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __str__(self) -> str:
        listed = [f"{label}: {count}" for label, count in self._counts.most_common(5)]
        others = len(self) - sum(count for _, count in self._counts.most_common(5))
        listed += [f"other kinds: {others}"] if others else []
        return f"{len(self)} entries ({', '.join(listed)}), the first {self._first!r}"

    @property
    def advice(self) -> str:
        """What to do about kinds that many people have; empty if there are none."""
        if not self._counts.keys() & {".heic", ".heif", ".hif"}:
            return ""
        return "Save HEIC files as JPEG first, or open them with pillow-heif."


def describe_unlisted(entry: Entry, folder: str) -> str:
    """Say that a folder cannot be listed, and why."""
    why = entry.error.strerror or entry.error if entry.error is not None else ""
    return f"the folder {os.path.join(folder, entry.name)!r} cannot be listed: {why}"
