"""Weights to a file of the package's own."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from ..._utils.atomic_file import atomic_write
from ..._utils.data_home import expand_user
from ..architecture_data import from_text, to_text
from ..formats import safetensors
from .known_files import MEAN_IMAGE, NETWORK
from .weights import Weights


def save_weights(weights: Weights, path: str | os.PathLike[str]) -> str:
    """Save weights as a safetensors file, the format that loads fastest.

    The file holds the architecture, as text, and the parameters as :class:`Weights` describes
    them: it loads anywhere, whatever networks are known there. It is used where it lies: loading
    maps it into memory, and processes that load it share the memory. Replace such a file, but never
    write into it while a process uses it.

    Parameters
    ----------
    weights : Weights
    path : str or path-like
        An existing file is replaced, in one step at the end: there is never half a file.

    Returns
    -------
    str
        sha256 of the file.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError
        If a layer is of a kind that is not the package's own.
    WeightsError
        If parameters are not those of the architecture, or it is too large for a file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_decaf.networks import load_weights
    >>> from sklearn_decaf.networks.weights import save_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "squeezenet.safetensors")
    ...     sha256 = save_weights(load_weights("squeezenet1_1"), path)
    ...     load_weights(path).architecture.name
    'squeezenet1_1'
    """
    path = Path(expand_user(path))
    weights.check()
    net = weights.architecture
    mean_image = net.preprocessing.mean_image
    # the pixels are an array of the file
    text = to_text(replace(net, preprocessing=replace(net.preprocessing, mean_image=None)))
    from_text(text)  # raises if nobody could read it
    metadata = {
        "architecture": net.name,
        NETWORK: text,
        "source": Path(weights.source).name,
        **({"classes": "own"} if weights.own_classes else {}),
    }
    tensors = dict(weights.parameters)
    if mean_image is not None:
        tensors[MEAN_IMAGE] = mean_image.pixels
    digest = hashlib.sha256()
    with atomic_write(path) as stream:
        for chunk in safetensors.chunks(tensors, metadata):
            stream.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()
