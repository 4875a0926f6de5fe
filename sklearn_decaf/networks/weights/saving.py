"""Weights to a file of the package's own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..._utils.atomic_file import atomic_write
from ..._utils.data_home import expand_user
from ..architectures import ARCHITECTURES, get_architecture
from ..formats import safetensors
from .known_files import MEAN_IMAGE
from .variants import changes_between, to_text
from .weights import Weights


def save_weights(weights: Weights, path: str | os.PathLike[str]) -> str:
    """Save weights as a safetensors file, the format that loads fastest.

    The file names its architecture, with what is different in these weights, holds the parameters
    as :class:`Weights` describes them, and is used where it lies: loading maps it into memory, and
    processes that load it share the memory. Replace such a file, but never write into it while a
    process uses it.

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
    net = weights.architecture
    metadata = {"architecture": net.name, "source": Path(weights.source).name}
    if net.name in ARCHITECTURES:
        changes = changes_between(get_architecture(net.name), net)
        metadata |= {"changes": to_text(changes)} if changes else {}
    if weights.own_classes:
        metadata["classes"] = "own"
    tensors = dict(weights.parameters)
    if net.preprocessing.mean_image is not None:
        tensors[MEAN_IMAGE] = net.preprocessing.mean_image.pixels
    digest = hashlib.sha256()
    with atomic_write(path) as stream:
        for chunk in safetensors.chunks(tensors, metadata):
            stream.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()
