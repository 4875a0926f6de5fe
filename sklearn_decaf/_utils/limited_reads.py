"""A limit on the bytes that one call reads from a file, for archives that are not trusted."""

from __future__ import annotations

from typing import Any


class LimitedReads:
    """A file of which at most `longest` bytes are read at a time.

    The standard library reads the list of a zip archive's members in one piece and makes an object
    of each, which takes six times the memory of the list. A hostile archive may be little else.

    Parameters
    ----------
    stream : binary file
    longest : int
        It may be changed at any time.
    """

    def __init__(self, stream: Any, longest: int):
        self._stream = stream
        self.longest = longest

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or all that are left; a ValueError if they are too many."""
        wanted = size if 0 <= size <= self.longest else self.longest + 1
        data = self._stream.read(wanted)
        if len(data) > self.longest:
            raise ValueError(f"more than {self.longest:,} bytes would be read at once")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # seek, tell and the like
