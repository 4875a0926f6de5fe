"""Files that are being downloaded: the wanted file, and the part of it that is there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import DownloadError
from .atomic_file import move_into_place
from .file_digest import digest_stream

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Failure(Exception):
    """Failure of one attempt; a later one may succeed."""

    def __init__(self, message: str, *, wait: float = 0.0):
        super().__init__(message)
        self.wait = wait  # seconds the server asks for


class Broken(Failure):
    """Failure that another attempt at this URL cannot mend."""


class StartOver(Failure):
    """Failure because the part on the disk is of no use; the same URL may do from the beginning."""


@dataclass(frozen=True)
class WantedFile:
    """File that is wanted: its path, and its checksum and size as far as they are known."""

    path: Path
    checksum: str | None
    size: int | None
    max_size: int

    def new_hash(self):
        algorithm, _, digest = (self.checksum or "sha256:0").partition(":")
        if algorithm not in hashlib.algorithms_available or not digest:
            raise ValueError(f"checksum={self.checksum!r}: it must be like 'sha256:0123...'.")
        return hashlib.new(algorithm, usedforsecurity=False)

    def fits(self, digest: str) -> bool:
        """Tell whether the checksum is known, and this is it."""
        return self.checksum is not None and digest.startswith(
            self.checksum.partition(":")[2].lower()
        )

    def is_there(self) -> bool:
        """Tell whether the file is there; raise DownloadError if another file has its name."""
        try:
            with open(self.path, "rb") as stream:
                length, found = os.fstat(stream.fileno()).st_size, None
                wrong = self.size is not None and length != self.size
                if not wrong and self.checksum is not None:
                    found = digest_stream(stream, self.new_hash())
                    wrong = not self.fits(found)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DownloadError(f"{self.path} cannot be read: {error.strerror}.") from error
        if not wrong:
            return True
        found = f"{length} bytes" if found is None else f"{self.new_hash().name} {found}"
        raise DownloadError(
            f"{self.path} is another file than {self.describe()}: it has {found}. Move it away to "
            "download that file."
        )

    def describe(self) -> str:
        known = []
        if self.size is not None:
            known.append(f"{self.size} bytes")
        if self.checksum is not None:
            known.append(" ".join(self.checksum.split(":")))
        return f"the one expected ({', '.join(known)})" if known else "the one expected"


class PartialFile:
    """File that is not complete yet, and its checksum so far.

    Parameters
    ----------
    wanted : WantedFile
    shared : bool
        Whether this process knows that no other one is at the same file.
    """

    def __init__(self, wanted: WantedFile, *, shared: bool):
        # where nobody can tell whether another process is at it, each has a file of its own
        suffix = ".part" if shared else f".{os.getpid()}.part"
        self.path = wanted.path.with_name(wanted.path.name + suffix)
        self.wanted = wanted
        self.keep = shared and wanted.checksum is not None  # for a later process
        self.resumed = False  # whether it was put together from several answers
        self.origin: tuple[str, str] | None = None  # URL and validator of its beginning

    def __enter__(self) -> PartialFile:
        self._stream = open(self.path, "a+b", buffering=0)
        self._stream.seek(0)
        self.hash = self.wanted.new_hash()
        self.position = 0
        if self.keep:
            digest_stream(self._stream, self.hash)
            self.position = self._stream.tell()
            self.resumed = self.position > 0
        if not self.keep or self.position > self.wanted.max_size:
            self.restart()  # nothing would show that an old beginning is right
        return self

    def __exit__(self, kind, *_) -> None:
        self._stream.close()
        if kind is not None and (self.position == 0 or not self.keep):
            self.path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        if self.position + len(chunk) > self.wanted.max_size:
            raise StartOver(f"more than the {self.wanted.max_size} bytes it may have")
        view = memoryview(chunk)
        while view:
            view = view[self._stream.write(view) :]
        self.hash.update(chunk)
        self.position += len(chunk)

    def restart(self) -> None:
        self._stream.truncate(0)  # opened for appending: no seek
        self.hash = self.wanted.new_hash()
        self.position = 0
        self.resumed = False
        self.origin = None

    def fits(self) -> bool:
        return self.wanted.fits(self.hash.hexdigest())

    def publish(self) -> None:
        """Give the file its name, in one step."""
        self._stream.close()
        move_into_place(self.path, self.wanted.path)


def disk_is_full(wanted: WantedFile, needed: int | None = None) -> DownloadError:
    folder = wanted.path.parent
    more = f"{needed} more bytes" if needed else "more"
    return DownloadError(
        errno.ENOSPC,
        f"no room for {wanted.path.name}: it needs {more}, {folder} has "
        f"{shutil.disk_usage(folder).free} bytes free. Make room, or choose another folder.",
    )
