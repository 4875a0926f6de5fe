"""Names of very many files, in little memory."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Sequence


class FileList(Sequence):
    """A sequence of paths that takes their characters and eight bytes each, no more.

    A list of ten million `str` takes more than a gigabyte.

    Parameters
    ----------
    names : iterable of str or path-like
    root : str, default=""
        Folder that relative names start from: items are joined to it, `name` gives the bare name.

    Examples
    --------
    >>> from sklearn_decaf._extraction.file_list import FileList
    >>> files = FileList(["a.jpg", "b/c.jpg"], root="photos")
    >>> len(files), files[1], files.name(1)
    (2, 'photos/b/c.jpg', 'b/c.jpg')
    """

    def __init__(self, names: Iterable[str | os.PathLike], root: str = ""):
        self.root = root
        self._characters = bytearray()
        self._ends = array("Q")
        for row, name in enumerate(names):
            if not isinstance(name, str | os.PathLike):
                raise TypeError(
                    f"row {row} is a {type(name).__name__}, not a path: images in memory go "
                    "through DeCAFTransformer"
                )
            self._characters += os.fsencode(name)
            self._ends.append(len(self._characters))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row) -> str:
        return os.path.join(self.root, self.name(row))

    def name(self, row: int) -> str:
        """The name of a file as it was given."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        start = self._ends[row - 1] if row else 0
        return os.fsdecode(bytes(self._characters[start : self._ends[row]]))

    def sha256(self) -> str:
        """Checksum of all names in their order."""
        digest = hashlib.sha256(self._characters)
        digest.update(self._ends.tobytes())
        return digest.hexdigest()
