"""Published collections of files: a copy is found and checked, or fetched.

A copy that was fetched has a manifest. One that was made elsewhere has none; its layout and the
published numbers of images tell whether it is complete.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .._utils.data_home import expand_user, get_data_home
from ._installation import MANIFEST, install, verify_installed


@dataclass(frozen=True)
class Archive:
    """One file to download, and the files that come out of it.

    Parameters
    ----------
    name : str
        Of the file, in the data home.
    urls : tuple of str
        Mirrors of it.
    max_files, max_bytes : int
        Limits of what comes out, well above what the real archive has.
    place : callable
        ``place(path)`` returns where a file of the archive goes, or None to leave it out.
    sha256 : str or None
        Of the archive, in hexadecimal.
    checksum : str or None
        Another one, such as ``"md5:..."``.
    size : int or None
        In bytes.
    max_size : int
        A longer file is refused.
    inner : str or None
        Name of an archive in the archive that is the one meant.
    inner_sha256 : str or None
        Its checksum, for those who have only that one.
    published : str or None
        Name under which the archive is offered, where `name` is longer to say more.
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


def google_drive_urls(identifier: str) -> tuple[str, ...]:
    """Make the addresses of a large file on Google Drive, past the page that asks to confirm."""
    return (
        f"https://drive.usercontent.google.com/download?id={identifier}&export=download&confirm=t",
        f"https://drive.google.com/uc?export=download&confirm=t&id={identifier}",
    )


@dataclass(frozen=True)
class Collection(ABC):
    """Published files, and how a copy of them is recognised; each data set has a subclass.

    Parameters
    ----------
    name : str
        Name of its folder in the data home.
    title : str
        Name in messages.
    layout : str
        What a copy holds, for messages.
    archives : tuple of Archive
    """

    name: str
    title: str
    layout: str
    archives: tuple[Archive, ...]

    @abstractmethod
    def find(self, folder: Path) -> Path | None:
        """Return the folder with the published layout at or below a folder, None if none is."""

    @abstractmethod
    def check(self, root: Path) -> None:
        """Raise a ValueError if a folder with the published layout does not hold everything."""

    def locate(
        self,
        *,
        data_home: str | os.PathLike | None = None,
        local: str | os.PathLike | None = None,
        allow_incomplete: bool = False,
        download_if_missing: bool = True,
        n_retries: int = 3,
        delay: float = 1.0,
    ) -> Path:
        """Return the folder of a complete copy, which is fetched if need be.

        The parameters and errors are those of the fetchers.
        """
        if local is not None:
            return self._locate_local(data_home, Path(expand_user(local)), allow_incomplete)
        home = get_data_home(data_home)
        installed = home / self.name
        if (installed / MANIFEST).is_file():
            return verify_installed(self, installed)
        for folder in (installed, home):
            root = self.find(folder) if folder.is_dir() else None
            if root is not None:
                self._check_copy(root, allow_incomplete)
                return root
        present = self._present_archives(home)
        if len(present) < len(self.archives) and not download_if_missing:
            raise FileNotFoundError(
                f"{self.title} is not in {str(home)!r}, and download_if_missing is False. Pass "
                f"a copy as local=..., which should hold {self.layout}."
            )
        return install(self, home, present, n_retries=n_retries, delay=delay)

    def _locate_local(
        self, data_home: str | os.PathLike | None, local: Path, allow_incomplete: bool
    ) -> Path:
        if not local.exists():
            raise FileNotFoundError(
                f"local={str(local)!r}: it must be the path of a copy of {self.title}, and there "
                "is nothing of that name."
            )
        if local.is_dir():
            if (local / MANIFEST).is_file():
                return verify_installed(self, local)
            root = self._find_below(local)
            if root is not None:
                self._check_copy(root, allow_incomplete)
                return root
            present = self._present_archives(local, published=True)
        else:
            present = self._present_archives(local.parent, published=True, only=local.name)
        if len(present) < len(self.archives):
            names = " and ".join(a.published or a.name for a in self.archives)
            raise FileNotFoundError(
                f"local={str(local)!r} holds no copy of {self.title}: that is a folder with "
                f"{self.layout}, or the published {names}."
            )
        home = get_data_home(data_home)  # only now: a copy needs none
        installed = home / self.name
        if (installed / MANIFEST).is_file():
            return verify_installed(self, installed)
        return install(self, home, present)

    def _find_below(self, local: Path) -> Path | None:
        """Find the copy in a folder of the user's, or in one of the folders in it."""
        if (root := self.find(local)) is not None:
            return root
        folders = sorted(Path(entry.path) for entry in os.scandir(local) if entry.is_dir())
        found = {root.resolve(): root for folder in folders if (root := self.find(folder))}
        if len(found) > 1:
            names = " and ".join(repr(str(root)) for root in list(found.values())[:2])
            raise ValueError(
                f"local={str(local)!r} holds {len(found)} copies of {self.title}, {names}: name "
                "one of them."
            )
        return next(iter(found.values()), None)

    def _check_copy(self, root: Path, allow_incomplete: bool) -> None:
        if allow_incomplete:
            return
        try:
            self.check(root)
        except ValueError as error:
            raise ValueError(
                f"the copy of {self.title} in {str(root)!r} is not complete: {error}. Complete "
                "it, or pass allow_incomplete=True to use what is there."
            ) from error

    def _present_archives(
        self, folder: Path, published: bool = False, only: str | None = None
    ) -> dict[Archive, Path]:
        """Find the archives that lie in a folder, by their names."""
        present = {}
        for archive in self.archives:
            for name in (archive.name, archive.inner, archive.published if published else None):
                if name and archive not in present and only in (None, name):
                    path = folder / name
                    if path.is_file():
                        present[archive] = path
        return present
