"""Published weights: on this machine or, if somebody asks for that, downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from ..._utils.data_home import find_data_home
from ..._utils.download import download
from ...exceptions import DownloadError, WeightsError
from .registry import WeightsEntry, get_entry

FOLDER = "weights"  # inside the data home
MAX_SIZE = 2**30


def fetch_weights(
    name: str,
    data_home: str | os.PathLike[str] | None = None,
    *,
    download_if_missing: bool = True,
    progress: bool = True,
    timeout: float = 30.0,
    n_retries: int = 5,
) -> Path:
    """Make sure that registered weights are on this machine; download them if they are not.

    ``DeCAFTransformer.fit`` and :func:`~sklearn_decaf.extract` do this by themselves; ``transform``
    does not, nor anything in a worker process. Call it once a machine before work is spread over
    processes, or before the network is gone.

    Parameters
    ----------
    name : str
        Registered name, see :func:`list_weights`.
    data_home : str or path-like, default=None
        The files are in its folder ``weights``. None: ``$SKLEARN_DECAF_DATA``, else
        ``~/sklearn_decaf_data``, which is also the only place where weights are found by name.
    download_if_missing : bool, default=True
        False raises an error that says what to do by hand.
    progress : bool, default=True
        Show a progress bar.
    timeout : float, default=30
        Seconds to wait for a connection, and for each piece of an answer.
    n_retries : int, default=5
        How often to try again, at growing intervals. What was loaded before is not loaded again.

    Returns
    -------
    pathlib.Path
        The weight file. A mean image that belongs to it lies beside it.

    Raises
    ------
    WeightsError
        If there are no such weights, or they cannot be had: with the URLs, the folder and the
        checksum of what is missing.

    Examples
    --------
    >>> from sklearn_decaf.networks import fetch_weights, load_weights
    >>> fetch_weights("squeezenet1_1").name  # came with the installation
    'squeezenet_weights.pkl'
    >>> path = fetch_weights("caffenet")  # doctest: +SKIP
    >>> load_weights("caffenet")  # doctest: +SKIP
    Weights(caffenet, 60,965,224 parameters, from 'caffenet')
    """
    entry = get_entry(name)
    folder = _folder(data_home)
    found = entry.paths(folder)
    if found is not None:
        return found[0]
    if entry.distribution or folder is None:
        raise WeightsError(_missing(entry, folder))
    if not download_if_missing:
        advice = (
            f"call sklearn_decaf.networks.fetch_weights({name!r}), which downloads them "
            "(transform and worker processes download nothing), or "
        )
        raise WeightsError(_missing(entry, folder, advice))
    try:
        for file in entry.files:
            download(
                file.urls,
                folder / file.name,
                checksum=file.checksum,
                size=file.size,
                max_size=MAX_SIZE,
                timeout=timeout,
                n_retries=n_retries,
                progress=progress,
            )
    except DownloadError as error:
        raise WeightsError(f"{_missing(entry, folder)}. {error}") from error
    return folder / entry.file.name


def find_weights(name: str) -> tuple[Path, Path | None] | None:
    """Paths of registered weights and of their mean image, or None if one of them is missing."""
    return get_entry(name).paths(_folder())


def _folder(data_home: str | os.PathLike | None = None) -> Path | None:
    home = find_data_home(data_home)
    return None if home is None else home / FOLDER


def _missing(entry: WeightsEntry, folder: Path | None, advice: str = "") -> str:
    return f"the weights {entry.name!r} are not on this machine: {advice}{entry.how_to_get(folder)}"
