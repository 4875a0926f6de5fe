"""Names of very many files, in little memory."""

from __future__ import annotations

import hashlib
import os
import zlib
from array import array
from collections.abc import Iterable, Sequence

from ..images._files import is_address


class FileList(Sequence):
    """A sequence of paths that takes their characters and eight bytes each, no more.

    A list of ten million `str` takes more than a gigabyte. A slice is a FileList with the same
    root.

    Parameters
    ----------
    names : iterable of str or path-like
    root : str, default=""
        Folder that relative names start from: items are joined to it, `name` gives the bare name.
        ``file:`` addresses are never relative.

    Examples
    --------
    >>> from sklearn_decaf._extraction.file_list import FileList
    >>> files = FileList(["a.jpg", "b/c.jpg"], root="photos")
    >>> len(files), files[1], files.name(1)
    (2, 'photos/b/c.jpg', 'b/c.jpg')
    >>> list(files[1:])
    ['photos/b/c.jpg']
    """

    def __init__(self, names: Iterable[str | os.PathLike], root: str = ""):
        self.root = root
        self._characters = bytearray()
        self._ends = array("Q")
        for row, name in enumerate(names):
            if not isinstance(name, str | os.PathLike):
                raise TypeError(
                    f"row {row} is a {type(name).__name__}, not a path: images in memory go "
                    "through DeCAFTransformer."
                )
            self._characters += os.fsencode(name)
            self._ends.append(len(self._characters))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row):
        if isinstance(row, slice):
            return FileList(map(self.name, range(*row.indices(len(self)))), self.root)
        name = self.name(row)
        return name if is_address(name) else os.path.join(self.root, name)

    def name(self, row: int) -> str:
        """The name of a file as it was given."""
        return os.fsdecode(self.name_bytes(row))

    def name_bytes(self, row: int) -> bytes:
        """The name of a file as the system has it."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        start = self._ends[row - 1] if row else 0
        return bytes(self._characters[start : self._ends[row]])

    def sha256(self) -> str:
        """Checksum of all names in their order."""
        digest = hashlib.sha256(self._characters)
        digest.update(self._ends.tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """All names, compressed; the root is not part of it."""
        compressor = zlib.compressobj(1)
        return b"".join(
            (
                compressor.compress(len(self).to_bytes(8, "little")),
                compressor.compress(self._ends.tobytes()),
                compressor.compress(self._characters),
                compressor.flush(),
            )
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> FileList:
        """The names that `to_bytes` compressed.

        Raises
        ------
        ValueError
            If `content` is damaged.
        """
        try:
            content = zlib.decompress(content)
        except zlib.error as error:
            raise ValueError(f"damaged names: {error}") from error
        files = cls([])
        size = 8 * int.from_bytes(content[:8], "little")
        files._ends.frombytes(content[8 : 8 + size])
        files._characters += content[8 + size :]
        return files
