"""The parameters of a weight file, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from ..._utils.locks import Lock


class FileParameters(Mapping[str, np.ndarray]):
    """Arrays by name, which the file that they are in can give again at any time.

    Parameters
    ----------
    names : iterable of str
    read : callable
        Reads the file: all arrays by name.
    arrays : dict of str to ndarray, optional
        Those that were read already.
    identity : str, optional
        Digest of the content of the file and of how it was understood. With it, what is made from
        the arrays can be kept for other processes.
    """

    def __init__(
        self,
        names: Iterable[str],
        read: Callable[[], dict[str, np.ndarray]],
        arrays: Mapping[str, np.ndarray] | None = None,
        identity: str | None = None,
    ):
        self.identity = identity
        self._names = dict.fromkeys(names)
        self._read = read
        self._arrays = dict(arrays or {})
        self._lock = Lock()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        with self._lock:
            if name not in self._arrays:
                self._arrays = {**self._read(), **self._arrays}
            return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def let_go(self, names: Iterable[str]) -> None:
        """Free the memory of arrays that will hardly be asked for again."""
        with self._lock:
            for name in names:
                self._arrays.pop(name, None)
