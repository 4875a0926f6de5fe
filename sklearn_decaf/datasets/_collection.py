"""A published collection of files: find the copy that is there, or fetch it, whole or not at all.

A collection is extracted into a folder of another name, which takes its own name when everything
is in it. That folder holds a manifest, the sizes of all files, and with it whatever is missing or
cut off later is found. A copy that was made elsewhere has no manifest; its layout and the published
numbers of images tell whether it is complete.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .._utils.data_home import get_data_home
from .._utils.download import download
from .._utils.file_lock import file_lock
from .._utils.progress import Progress
from ..exceptions import ArchiveError
from ._archives import extract_archive

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Archive:
    """One file to download, and what comes out of it.

    `place` says where each file in it goes (None leaves it out); the limits are well above what
    the real archive has. `inner` is the name of an archive in the archive that is the one meant;
    `inner_sha256` is its checksum, for those who have only that. `published` is the name under
    which it is offered where that says too little.
    """

    name: str
    urls: tuple[str, ...]
    max_files: int
    max_bytes: int
    place: Callable[[PurePosixPath], PurePosixPath | None]
    sha256: str | None = None
    checksum: str | None = None
    size: int | None = None
    max_size: int = 2**32
    inner: str | None = None
    inner_sha256: str | None = None
    published: str | None = None


@dataclass(frozen=True)
class Collection:
    """What is published, and how to recognise a copy of it.

    `find` returns the folder with the published layout at or below a folder, or None. `check`
    raises a ValueError if that folder does not hold everything.
    """

    name: str
    title: str
    layout: str
    archives: tuple[Archive, ...]
    find: Callable[[Path], Path | None]
    check: Callable[[Path], None]


def locate(
    collection: Collection,
    *,
    data_home=None,
    local=None,
    allow_incomplete=False,
    download_if_missing=True,
    n_retries=3,
    delay=1.0,
) -> Path:
    """The folder of a complete copy, which is fetched if need be; see the fetchers."""
    home = get_data_home(data_home)
    if local is not None:
        return _locate_local(collection, home, Path(local).expanduser(), allow_incomplete)
    installed = home / collection.name
    if (installed / MANIFEST).is_file():
        return _verify_installed(collection, installed)
    for folder in (installed, home):
        root = collection.find(folder) if folder.is_dir() else None
        if root is not None:
            _check_copy(collection, root, allow_incomplete)
            return root
    present = _present_archives(collection, home)
    missing = [archive for archive in collection.archives if archive not in present]
    if missing and not download_if_missing:
        raise FileNotFoundError(
            f"{collection.title} is not in {str(home)!r}, and download_if_missing is False. Pass "
            f"a copy as local=..., which should hold {collection.layout}."
        )
    return _install(collection, home, present, n_retries, delay)


def _locate_local(collection, home, local, allow_incomplete):
    if not local.exists():
        raise FileNotFoundError(f"local={str(local)!r} does not exist.")
    if local.is_dir():
        if (local / MANIFEST).is_file():
            return _verify_installed(collection, local)
        root = _find_below(collection, local)
        if root is not None:
            _check_copy(collection, root, allow_incomplete)
            return root
        present = _present_archives(collection, local, published=True)
    else:
        present = _present_archives(collection, local.parent, published=True, only=local.name)
    if len(present) < len(collection.archives):
        names = " and ".join(a.published or a.name for a in collection.archives)
        raise FileNotFoundError(
            f"local={str(local)!r} holds no copy of {collection.title}: that is a folder with "
            f"{collection.layout}, or the published {names}."
        )
    installed = home / collection.name
    if (installed / MANIFEST).is_file():
        return _verify_installed(collection, installed)
    return _install(collection, home, present)


def _find_below(collection, local: Path) -> Path | None:
    """The copy in a folder of the user's, or in one of the folders in it."""
    if (root := collection.find(local)) is not None:
        return root
    folders = sorted(Path(entry.path) for entry in os.scandir(local) if entry.is_dir())
    found = {root.resolve(): root for folder in folders if (root := collection.find(folder))}
    if len(found) > 1:
        names = " and ".join(repr(str(root)) for root in list(found.values())[:2])
        raise ValueError(
            f"local={str(local)!r} holds {len(found)} copies of {collection.title}, {names}: name "
            "one of them."
        )
    return next(iter(found.values()), None)


def _check_copy(collection, root, allow_incomplete):
    if allow_incomplete:
        return
    try:
        collection.check(root)
    except ValueError as error:
        raise ValueError(
            f"the copy of {collection.title} in {str(root)!r} is not complete: {error}. Complete "
            "it, or pass allow_incomplete=True to use what is there."
        ) from error


def _present_archives(collection, folder, published=False, only=None):
    """Archives that lie in a folder, by their names."""
    present = {}
    for archive in collection.archives:
        for name in (archive.name, archive.inner, archive.published if published else None):
            if name and archive not in present and only in (None, name):
                path = folder / name
                if path.is_file():
                    present[archive] = path
    return present


def _verify_installed(collection, folder: Path) -> Path:
    """Compare an installed collection with its manifest."""
    advice = f"remove the folder {str(folder)!r} to have it fetched again."
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        name, files = manifest["collection"], manifest["files"]
        sizes = {str(path): int(size) for path, size in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / MANIFEST} is damaged: {advice}") from error
    if name != collection.name:
        raise ValueError(f"{str(folder)!r} holds {name!r}, not {collection.name!r}.")
    wrong = [path for path, size in sizes.items() if _size(folder / path) != size]
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(sizes)} files of {collection.title} are missing or have "
            f"another size, the first {str(folder / wrong[0])!r}: {advice}"
        )
    root = collection.find(folder)
    if root is None:
        raise ValueError(f"{str(folder)!r} does not hold {collection.layout}: {advice}")
    return root


def _size(path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _install(collection, home: Path, present, n_retries=3, delay=1.0) -> Path:
    """Download what is not present, extract everything, and give it its name at the very end."""
    target = home / collection.name
    home.mkdir(parents=True, exist_ok=True)
    with file_lock(target, verbose=True) as locked:
        if (target / MANIFEST).is_file():  # another process was faster
            return _verify_installed(collection, target)
        if target.exists():
            raise FileExistsError(
                f"{str(target)!r} is in the way: it holds neither a complete copy of "
                f"{collection.title} nor one that can be recognised. Move it away."
            )
        if locked:  # what processes that were killed left behind
            for stale in home.glob(f".{collection.name}.*.partial"):
                shutil.rmtree(stale, ignore_errors=True)
        sources, downloaded = {}, []
        for archive in collection.archives:
            if archive in present:
                _verify_archive(archive, present[archive])
                sources[archive] = present[archive]
                continue
            sources[archive] = download(
                archive.urls,
                home / archive.name,
                sha256=archive.sha256,
                checksum=archive.checksum,
                size=archive.size,
                max_size=archive.max_size,
                n_retries=n_retries,
                delay=delay,
            )
            downloaded.append(sources[archive])
        partial = Path(tempfile.mkdtemp(prefix=f".{collection.name}.", suffix=".partial", dir=home))
        try:
            _extract_all(collection, sources, partial)
            os.chmod(partial, 0o755)
            os.rename(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for path in downloaded:
            path.unlink(missing_ok=True)
    return _verify_installed(collection, target)


def _extract_all(collection, sources, folder: Path) -> None:
    """Extract archives, check that everything came out, and write the manifest."""
    files: dict[str, int] = {}
    for archive, path in sources.items():
        needed, free = _size(path), shutil.disk_usage(folder).free
        if needed > free:  # photographs hardly shrink in an archive
            raise OSError(
                errno.ENOSPC, f"no room to extract {path}: {needed:,} bytes, {free:,} are free"
            )
        try:
            files |= _extract_one(archive, path, folder)
        except ArchiveError as error:
            raise ArchiveError(f"{error}. Remove {str(path)!r} and fetch it again.") from error
    root = collection.find(folder)
    try:
        if root is None:
            raise ValueError(f"there is no {collection.layout}")
        collection.check(root)
    except ValueError as error:
        raise ArchiveError(
            f"{', '.join(map(str, sources.values()))}: not {collection.title}: {error}."
        ) from error
    manifest = {
        "collection": collection.name,
        "archives": {archive.name: archive.sha256 for archive in sources},
        "files": files,
    }
    with open(folder / MANIFEST, "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)
        stream.flush()
        os.fsync(stream.fileno())


def _extract_one(archive: Archive, path: Path, folder: Path) -> dict[str, int]:
    limits = {"max_files": archive.max_files, "max_bytes": archive.max_bytes}
    with open(path, "rb") as file:
        bar = Progress(_size(path) // 1000 + 1, f"extract {path.name}", unit="kB")

        def place(member: PurePosixPath) -> PurePosixPath | None:
            position = file.tell() // 1000
            if bar.done < position < bar.total:
                bar.update(position - bar.done)
            return archive.place(member)

        if archive.inner is not None and path.name != archive.inner:
            try:
                with zipfile.ZipFile(file) as outer, outer.open(_inner_name(outer, archive)) as tar:
                    sizes = extract_archive(tar, folder, place=place, **limits)
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
                raise ArchiveError(f"{path} is damaged ({error})") from error
        else:
            sizes = extract_archive(file, folder, place=place, **limits)
        bar.update(bar.total - bar.done)
    return sizes


def _inner_name(outer: zipfile.ZipFile, archive: Archive) -> str:
    names = [
        name
        for name in outer.namelist()
        if PurePosixPath(name).name == archive.inner and not is_junk(PurePosixPath(name))
    ]
    if len(names) != 1:
        raise ArchiveError(f"{archive.name} holds {len(names)} files {archive.inner}, expected one")
    return names[0]


def _verify_archive(archive: Archive, path: Path) -> None:
    """Compare an archive of the user's with the published checksum."""
    is_inner = path.name == archive.inner
    checksum = archive.inner_sha256 if is_inner else archive.sha256
    algorithm, _, expected = (
        ("sha256", "", checksum) if checksum else (archive.checksum or "").partition(":")
    )
    if not expected:
        return  # none is published
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(2**20), b""):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise ArchiveError(
            f"{path} is not the published file: its {algorithm} is {digest.hexdigest()}, not "
            f"{expected}. Remove it, or move it away, to have the right one fetched."
        )


def is_junk(path: PurePosixPath) -> bool:
    """What operating systems leave in archives and folders."""
    return any(part.startswith("._") or part == "__MACOSX" for part in path.parts) or (
        path.name in (".DS_Store", "Thumbs.db", "desktop.ini")
    )


def keep_below(*folders: str) -> Callable[[PurePosixPath], PurePosixPath | None]:
    """A `place` for archives: files in or below one of the folders, wherever that lies."""

    def place(path: PurePosixPath) -> PurePosixPath | None:
        for depth, part in enumerate(path.parts):
            if part in folders and depth < len(path.parts) - 1:
                return None if is_junk(path) else PurePosixPath(*path.parts[depth:])
        return None

    return place


def first_with(marker: str, *names: str) -> Callable[[Path], Path | None]:
    """A `find` for collections: a folder, or one of these in it, that holds `marker`."""

    def find(folder: Path) -> Path | None:
        for candidate in (folder, *(folder / name for name in names)):
            if (candidate / marker).exists():
                return candidate
        return None

    return find


def class_images(folder: Path, suffixes: Sequence[str] = (".jpg",)) -> dict[str, list[str]]:
    """Paths of the images in each class folder, classes and images sorted."""
    classes = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    return {
        name: sorted(
            entry.path
            for entry in os.scandir(folder / name)
            if entry.name.lower().endswith(tuple(suffixes)) and entry.name[0] != "."
        )
        for name in classes
    }


def read_lines(path: Path, columns: int | None = None) -> list[list[str]]:
    """The fields of each line of a list file; blank lines are left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileNotFoundError(f"{path} cannot be read: {error.strerror}.") from error
    rows = [line.split() for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if columns is not None and len(row) != columns:
            raise ValueError(f"{path}, line {number}: {len(row)} fields, expected {columns}")
    return rows


def require_all(paths: Iterable[str | os.PathLike], what: str) -> None:
    """Raise a ValueError that names the first file that is not there."""
    paths = list(paths)
    absent = [path for path in paths if not os.path.isfile(path)]
    if absent:
        raise ValueError(
            f"{len(absent)} of {len(paths)} {what} are missing, the first {str(absent[0])!r}"
        )
