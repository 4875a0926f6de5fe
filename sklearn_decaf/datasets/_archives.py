"""Extraction of tar and zip archives that are not trusted.

Only plain files and folders are extracted, only below the given folder, and no more of them than
the caller allows. Everything else, such as a link, a device, a path that leads out, an encrypted
member or a decompression bomb, stops the extraction with an `ArchiveError`.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from .._utils.limited_reads import LimitedReads
from ..exceptions import ArchiveError

_CHUNK = 2**20
# A tar header may announce a record of extended attributes of any length, which the standard
# library reads into memory at once. Real ones have a few hundred bytes.
_MAX_READ = 2**22
_ZIP_OVERHEAD = 1024  # bytes a member in the list of all members
_TAR_OVERHEAD = 16 * 1024  # bytes a member that are not its content: headers, names, padding

# What the standard library raises for archives that are damaged, or of a kind it cannot read
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
)

#: Where a member goes: a path below the folder, or None to leave it out.
Placement = Callable[[PurePosixPath], PurePosixPath | None]


def extract_archive(
    archive: str | os.PathLike | IO[bytes],
    directory: str | os.PathLike,
    *,
    max_files: int,
    max_bytes: int,
    place: Placement | None = None,
) -> dict[str, int]:
    """Unpack a tar archive (plain, gzip, bzip2, xz) or a zip archive, known by its content.

    Parameters
    ----------
    archive : path or binary file
        The archive; a file must be seekable.
    directory : path
        An existing folder, to which nobody else writes meanwhile.
    max_files : int
        The largest number of members, folders included.
    max_bytes : int
        The largest sum of the sizes of the files.
    place : callable, default=None
        Gets the path of each file in the archive and returns where it goes, or None to leave it
        out. By default every file keeps its path.

    Returns
    -------
    sizes : dict of str to int
        The extracted files, as paths with forward slashes below `directory`, and their sizes.

    Raises
    ------
    ArchiveError
        If the archive is damaged or hostile. What was extracted so far is left in `directory`.
    OSError
        If the files cannot be written: the disk is full, for one.
    """
    if isinstance(archive, str | os.PathLike):
        with open(archive, "rb") as stream:
            return extract_archive(
                stream, directory, max_files=max_files, max_bytes=max_bytes, place=place
            )
    label = os.path.basename(str(getattr(archive, "name", None) or "archive"))
    is_zip = archive.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    archive.seek(0)
    writer = _Writer(Path(directory), label, max_files, max_bytes, place)
    members = _zip_members if is_zip else _tar_members
    # what comes from the archive fails as an ArchiveError, what comes from the disk as it is
    for name, size, chunks in members(archive, label, max_files, max_bytes):
        writer.write(name, size, chunks)
    return writer.sizes


class _Writer:
    """Writer of members below a folder, which counts them."""

    def __init__(self, directory, label, max_files, max_bytes, place):
        self.sizes: dict[str, int] = {}
        self._directory = directory
        self._label = label
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._place = place
        self._members = 0
        self._bytes = 0

    def write(self, name: str, size: int | None, chunks: Iterator[bytes]) -> None:
        """Write one member; `size` is None for a folder."""
        path = _safe_path(name, self._label)
        self._members += 1
        if self._members > self._max_files:
            raise ArchiveError(
                f"{self._label} has more than {self._max_files} members, the most there should be"
            )
        if size is None:
            return
        self._count(size)
        target = path if self._place is None else self._place(path)
        if target is None:
            return
        key = target.as_posix()
        file = self._directory / target
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # "x" refuses what is there already: a second member of this name
            with open(file, "xb") as stream:
                written = 0
                for chunk in chunks:
                    written += len(chunk)
                    if written > size:
                        break
                    stream.write(chunk)
        except (FileExistsError, NotADirectoryError) as error:
            raise ArchiveError(f"{self._label} holds {name[:200]!r} more than once") from error
        if written != size:
            raise ArchiveError(
                f"{self._label}: {name[:200]!r} should have {size} bytes and has "
                f"{'more' if written > size else written}"
            )
        self.sizes[key] = size

    def _count(self, size: int) -> None:
        self._bytes += size
        if size < 0 or self._bytes > self._max_bytes:
            raise ArchiveError(
                f"{self._label} unpacks to more than {self._max_bytes:,} bytes, the most there "
                "should be: it may be a decompression bomb"
            )


def _safe_path(name: str, label: str) -> PurePosixPath:
    """Check that the path of a member stays below the folder, and return it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    bad = (
        name.startswith("/")
        or ".." in parts
        or "\\" in name  # a separator on Windows
        or any(character < " " for character in name)
        or (os.name == "nt" and ":" in name)
    )
    if bad:
        raise ArchiveError(f"{label} holds {name[:200]!r}, a path that leads out of the folder")
    if len(name) > 1000 or any(len(os.fsencode(part)) > 255 for part in parts):
        raise ArchiveError(f"{label} holds a path of {len(name)} characters: {name[:60]!r}...")
    return PurePosixPath(*parts)


def _zip_members(stream, label, max_files, max_bytes):
    try:
        # the list of members is read at once
        stream = LimitedReads(stream, max(_MAX_READ, max_files * _ZIP_OVERHEAD))
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    yield member.filename, None, iter(())
                    continue
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG):
                    raise ArchiveError(f"{label} holds {member.filename[:200]!r}, no plain file")
                if member.flag_bits & 0x1:
                    raise ArchiveError(f"{label}: {member.filename[:200]!r} is encrypted")
                with archive.open(member) as content:
                    yield member.filename, member.file_size, _chunks(content, label)
    except (*_DAMAGE, OSError) as error:
        raise _damaged(label, error) from error


def _tar_members(stream, label, max_files, max_bytes):
    if not hasattr(tarfile, "data_filter"):
        raise RuntimeError(
            "this Python cannot extract tar archives safely (PEP 706): update it to 3.10.12, "
            "3.11.4 or later."
        )
    start = stream.read(6)
    stream.seek(0)
    openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((openers[magic] for magic in openers if start.startswith(magic)), None)
    limit = max_bytes + max_files * _TAR_OVERHEAD
    try:
        plain = stream if opener is None else opener(stream, "rb")
        bounded = _Bounded(plain, label, limit)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # a list that would grow with a hundred thousand files
                if member.isdir():
                    yield member.name, None, iter(())
                    continue
                if not member.isreg() or member.issparse():
                    raise ArchiveError(f"{label} holds {member.name[:200]!r}, no plain file")
                _safe_path(member.name, label)
                # the standard library's own opinion, on top of the rules here
                member = tarfile.data_filter(member, os.curdir)
                with archive.extractfile(member) as content:
                    yield member.name, member.size, _chunks(content, label)
        # at a damaged header the standard library stops as if that were the end
        if bounded.last != bytes(tarfile.BLOCKSIZE):
            raise ArchiveError(f"{label} is damaged: it has no end mark")
        while bounded.read(_CHUNK):  # the checksum of a compressed stream is at its very end
            pass
    except (*_DAMAGE, OSError) as error:
        raise _damaged(label, error) from error


def _chunks(content, label) -> Iterator[bytes]:
    try:
        while chunk := content.read(_CHUNK):
            yield chunk
    except (*_DAMAGE, OSError) as error:
        raise _damaged(label, error) from error


def _damaged(label, error) -> Exception:
    if isinstance(error, ArchiveError):
        return error
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return error  # of the disk; gzip's and bz2's have no number
    return ArchiveError(
        f"{label} is damaged, or no tar or zip archive ({type(error).__name__}: {str(error)[:200]})"
    )


class _Bounded(io.RawIOBase):
    """Decompressed stream that can be read up to a limit, a piece at a time."""

    def __init__(self, stream, label, limit):
        self._stream = stream
        self._label = label
        self._limit = limit
        self.last = b""  # what was read last

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._stream.tell()

    def seek(self, offset, whence=io.SEEK_SET):
        if whence == io.SEEK_SET:
            self._check(offset)
        return self._stream.seek(offset, whence)

    def read(self, size=-1):
        if size is None or size < 0 or size > _MAX_READ:
            raise ArchiveError(f"{self._label} has a header of {size} bytes: it is damaged")
        self._check(self._stream.tell() + size)
        self.last = self._stream.read(size)
        return self.last

    def readinto(self, buffer):
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _check(self, position):
        if position > self._limit + _MAX_READ:
            raise ArchiveError(
                f"{self._label} unpacks to more than {self._limit:,} bytes, the most there should "
                "be: it may be a decompression bomb"
            )
