"""Members of a zip archive, with limits that a weight file never reaches and a zip bomb does."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from ..._utils.limited_reads import LimitedReads
from ...exceptions import WeightsError
from ._messages import describe

MAX_MEMBERS = 10_000
MAX_DIRECTORY = 2**22  # bytes of the list of members: 400 for each of them
MAX_TOTAL = 2**30
MAX_RATIO = 100  # of what the members unpack to, to the size of the archive

# signature, version, flags, compression, time, date, crc, two sizes, lengths of name and extra
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")

# What the standard library raises for archives that are damaged, encrypted or exotic
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
)


class Archive:
    """A zip archive that was checked as a whole; its members are read one at a time."""

    def __init__(self, data: memoryview):
        self._data = data
        file = LimitedReads(_ViewFile(data), MAX_DIRECTORY)
        try:
            self._zip = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise WeightsError(f"a damaged zip archive ({_short(error)})") from error
        file.longest = len(data)
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            raise WeightsError(f"a zip archive of {len(members)} members")
        self._members = {member.filename: member for member in members}
        if len(self._members) != len(members):
            raise WeightsError("a zip archive with two members of one name")
        self._check_sizes()

    def _check_sizes(self) -> None:
        total, end, last = 0, 0, ""
        for member in sorted(self._members.values(), key=lambda member: member.header_offset):
            total += member.file_size
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise WeightsError(f"zip member {describe(member.filename)}: unknown compression")
            if member.flag_bits & 0x1:
                raise WeightsError(f"zip member {describe(member.filename)} is encrypted")
            if member.header_offset < end:
                raise WeightsError(
                    f"zip members {describe(last)} and {describe(member.filename)} overlap"
                )
            end, last = member.header_offset + member.compress_size, member.filename
        if total > min(MAX_TOTAL, MAX_RATIO * len(self._data)):
            raise WeightsError(
                f"a zip archive of {len(self._data)} bytes that unpacks to {total}: a zip bomb"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> memoryview:
        """The whole member; its length and checksum are what the archive declares.

        A member that is not compressed is a slice of the archive, not a copy.
        """
        member = self._members[name]
        if member.compress_type == zipfile.ZIP_STORED:
            return self._slice(member)
        try:
            with self._zip.open(member) as stream:
                content = stream.read(member.file_size)
                stream.read(1)  # past the end: that is where the checksum is compared
        except _DAMAGE as error:
            raise WeightsError(
                f"zip member {describe(name)} is damaged ({_short(error)})"
            ) from error
        if len(content) != member.file_size:
            raise WeightsError(
                f"zip member {describe(name)} has {len(content)} bytes where the archive "
                f"declares {member.file_size}"
            )
        return memoryview(content)

    def _slice(self, member: zipfile.ZipInfo) -> memoryview:
        name = describe(member.filename)
        header = bytes(self._data[member.header_offset :][: _LOCAL_HEADER.size])
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise WeightsError(f"zip member {name} is damaged (no header)")
        name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
        start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        content = self._data[start : start + member.file_size]
        if len(content) != member.file_size or member.compress_size != member.file_size:
            raise WeightsError(f"zip member {name} is damaged (it is cut off)")
        if zlib.crc32(content) != member.CRC:
            raise WeightsError(f"zip member {name} is damaged (its checksum is wrong)")
        return content


def _short(error: Exception) -> str:
    # the standard library quotes names from the file, however long they are
    return str(error)[:100]


class _ViewFile(io.RawIOBase):
    """A memoryview as a file, without copying it."""

    def __init__(self, data: memoryview):
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise OSError("a position before the start of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer) -> int:
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
