"""Installation of a collection: its archives become a folder, which is there whole or not at all.

A collection is extracted into a folder of another name, which takes its own name when everything
is in it. The manifest lists the sizes of all files, and with it whatever is missing or cut off
later is found.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .._utils.atomic_file import atomic_write
from .._utils.download import download
from .._utils.file_digest import file_digest
from .._utils.file_lock import file_lock
from .._utils.progress import Progress
from ..exceptions import ArchiveError
from ._archives import extract_archive
from ._layout import is_junk

if TYPE_CHECKING:
    from ._collection import Archive, Collection

MANIFEST = "manifest.json"


def verify_installed(collection: Collection, folder: Path) -> Path:
    """Compare an installed collection with its manifest, and find its layout.

    Raises
    ------
    ValueError
        If files are missing or have another size, or the folder is not this collection.
    """
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


def install(
    collection: Collection,
    home: Path,
    present: dict[Archive, Path],
    *,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Path:
    """Download what is not present, extract everything, and give it its name at the very end.

    Parameters
    ----------
    collection : Collection
    home : Path
        Folder in which the collection gets a folder by its name.
    present : dict of Archive to Path
        Archives that are there already. They are compared with their checksums, and kept.
    n_retries, delay
        How downloads are tried again; see the fetchers.

    Returns
    -------
    Path
        The folder with the published layout.

    Raises
    ------
    DownloadError
        If the download fails.
    ArchiveError
        If an archive is not the published one, is damaged, or does not hold everything.
    FileExistsError
        If something else has the name of the folder.
    OSError
        If there is no room.
    """
    target = home / collection.name
    home.mkdir(parents=True, exist_ok=True)
    with file_lock(target, verbose=True) as locked:
        if (target / MANIFEST).is_file():  # another process was faster
            return verify_installed(collection, target)
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
    return verify_installed(collection, target)


def _extract_all(collection, sources, folder: Path) -> None:
    """Extract archives, check that everything came out, and write the manifest."""
    files: dict[str, int] = {}
    for archive, path in sources.items():
        needed, free = _size(path), shutil.disk_usage(folder).free
        if needed > free:  # photographs hardly shrink in an archive
            raise OSError(
                errno.ENOSPC, f"no room to extract {path}: {needed:,} bytes, {free:,} are free."
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
    with atomic_write(folder / MANIFEST) as stream:
        stream.write(json.dumps(manifest).encode("utf-8"))


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
                raise ArchiveError(f"{path} is damaged ({error}).") from error
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
        raise ArchiveError(
            f"{archive.name} holds {len(names)} files {archive.inner}: it must hold one."
        )
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
    found = file_digest(path, algorithm)
    if found != expected:
        raise ArchiveError(
            f"{path} is not the published file: its {algorithm} is {found}, not "
            f"{expected}. Remove it, or move it away, to have the right one fetched."
        )
