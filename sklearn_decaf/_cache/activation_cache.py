"""Cache of activations in a folder, for all estimators, processes and runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .._utils.data_home import expand_user
from .._utils.locks import Lock, at_fork
from .._utils.validation import check_integer
from ..exceptions import CacheWarning

if TYPE_CHECKING:
    from .._utils.types import FilePath
    from .store import Store


class ActivationCache:
    """Cache of the activations of images in a folder.

    :class:`DeCAFTransformer` with ``cache=folder`` or ``cache=ActivationCache(folder)`` computes
    each image once. The folds, candidates and processes of a search over layers, dropout and
    classifiers find the activations in the folder, and so do later runs. They are equal, bit by
    bit, to those that would be computed.

    Parameters
    ----------
    folder : str or path
        Folder of the cache, which is made when first used. Estimators, processes and users may
        share it. It should be on a disk of the machine, not on a network drive.
    max_bytes : int, default=10 * 2**30
        Largest size in bytes, apart from a log of a few megabytes. The activations that were not
        used for the longest time are removed first.

    Attributes
    ----------
    folder : str
        Absolute path of the folder.
    max_bytes : int
        Largest size in bytes.

    See Also
    --------
    DeCAFTransformer : Takes a cache as its parameter `cache`.

    Notes
    -----
    **An image is identified by its content**, never by its name. Files are read and hashed each
    time, which takes a fraction of a millisecond for a usual photograph; an edited file is noticed
    even if its size and time stay the same. The key also has everything else that the bits of an
    activation depend on: sha256 of the weights, preprocessing options, layer, pooling, compiled
    kernels and code of this package, versions of the libraries, and features of the CPU. After a
    change of any of them, activations are computed again.

    **All numbered layers (5 to 8) that one computation reaches are kept**, since one needs the
    other. Other layers are kept when they are asked for. An image takes about 13 kB on the disk for
    EfficientNet-Lite0, 26 kB for SqueezeNet 1.1 and 80 kB for the AlexNet family.

    **Damage is noticed.** Activations are stored as float32 with a checksum; one that fails it is
    computed again. A process can be killed at any time without harm. Processes and threads that
    need the same image at the same time compute it once. If the disk is full, or the folder cannot
    be written to, one warning says so, and activations are computed without being kept.

    The folder may be removed whenever no process uses it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_decaf import ActivationCache, DeCAFTransformer
    >>> images = np.zeros((3, 64, 64, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ActivationCache(folder, max_bytes=10**8)
    ...     features = DeCAFTransformer(layer=7, cache=cache).transform(images)
    ...     n_entries = len(cache)  # one image, three times: its layers 5, 6, 7 and 8
    ...     cache.close()
    >>> n_entries
    4
    """

    def __init__(self, folder: FilePath, *, max_bytes: int = 10 * 2**30) -> None:
        if not isinstance(folder, str | os.PathLike):
            raise TypeError(f"folder={folder!r}: it must be the path of a folder.")
        self.folder: str = os.path.abspath(expand_user(folder))
        self.max_bytes: int = check_integer("max_bytes", max_bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.folder!r}, max_bytes={self.max_bytes})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActivationCache) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.folder, self.max_bytes))

    def __len__(self) -> int:
        """Number of entries: of vectors of one layer for one image."""
        return self._info()[0]

    def __bool__(self) -> bool:
        return True  # an empty one is a cache too

    @property
    def n_bytes(self) -> int:
        """Bytes taken on the disk."""
        return self._info()[1]

    def clear(self) -> None:
        """Remove all activations.

        Raises
        ------
        OSError
            If the folder cannot be written to.
        """
        from .store import StoreError

        try:
            self._store().clear()
        except StoreError as error:
            raise OSError(f"the cache in {self.folder!r} cannot be cleared: {error}.") from error

    def close(self) -> None:
        """Close the file in this process; the next use opens it again."""
        self._store().close()

    # For the transformer -----------------------------------------------------------------------

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Get the values of those keys that are there; without a usable folder, of none.

        Parameters
        ----------
        keys : sequence of bytes
            Keys of activations.

        Returns
        -------
        values : dict of bytes to bytes
            Activations as they are stored.
        """
        from .store import StoreError

        try:
            return self._store().get(keys)
        except StoreError as error:
            self._warn(error)
            return {}

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values, if that is possible.

        Parameters
        ----------
        values : mapping of bytes to bytes
            Activations, by their keys.
        """
        from .store import StoreError

        try:
            self._store().put(values)
        except StoreError as error:
            self._warn(error)

    def locks_path(self) -> str:
        """File of the locks with which processes share the work."""
        return os.path.join(self.folder, "key_locks")

    def _info(self) -> tuple[int, int]:
        from .store import StoreError

        try:
            return self._store().info()
        except StoreError:
            return 0, 0

    def _store(self) -> Store:
        from .store import Store  # Python can be built without sqlite3

        with _lock:
            store = _stores.pop(self.folder, None) or Store(self.folder, self.max_bytes)
            _stores[self.folder] = store  # now the last
            while len(_stores) > _MAX_OPEN:
                _stores.pop(next(iter(_stores))).close()
        store.max_bytes = self.max_bytes
        return store

    def _warn(self, error: Exception) -> None:
        with _lock:
            if self.folder in _warned:
                return
            _warned.add(self.folder)
        warnings.warn(
            f"the activation cache in {self.folder!r} cannot be used ({error}): what is not in it "
            "is computed, and not kept. Results are the same.",
            CacheWarning,
            stacklevel=2,
        )


# One open file a folder and process, however many copies of an ActivationCache there are.
_MAX_OPEN = 4
_stores: dict[str, Store] = {}
_warned: set[str] = set()
_lock = Lock()


def _for_each_store(method: str) -> None:
    for store in list(_stores.values()):
        getattr(store, method)()


at_fork(
    before=partial(_for_each_store, "pause"),
    after_in_parent=partial(_for_each_store, "resume"),
    after_in_child=partial(_for_each_store, "resume_in_child"),
)
