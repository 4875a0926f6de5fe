"""Weights of a network: found by name or path, checked, converted, one copy a process."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..exceptions import WeightsError
from .architecture import INPUT, Architecture
from .conversion import convert
from .formats import read_tensors, safetensors
from .registry import REGISTRY, get_entry


@dataclass(frozen=True, eq=False)
class Weights:
    """The parameters of a network, or of its first layers.

    Attributes
    ----------
    architecture : Architecture
    parameters : mapping of str to ndarray
        ``"<layer>.kernel"`` and ``"<layer>.bias"``: float32, C-contiguous, read-only. Kernels
        of convolutions are ``(height, width, channels / groups, filters)``, those of dense layers
        ``(inputs, outputs)`` with maps flattened in (h, w, c) order. Batch normalisations are
        folded in.
    source : str
        The registered name, or the absolute path of the file.
    sha256 : str
        Of the file, in hexadecimal.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    source: str
    sha256: str

    def available_layers(self) -> tuple[str, ...]:
        """Names of the layers that can be computed, in order: nothing they need is missing."""
        net = self.architecture
        available = {INPUT}
        for name in net.layer_names:
            if available.issuperset(net.inputs(name)) and not self._missing([name]):
                available.add(name)
        return tuple(name for name in net.layer_names if name in available)

    def require(self, layers: Iterable[str]) -> None:
        """Make sure that these layers can be computed.

        Parameters
        ----------
        layers : iterable of str
            Names of layers of the architecture.

        Raises
        ------
        WeightsError
            If parameters of these layers, or of layers before them, are missing. The message
            names them, and the layers within reach.
        """
        layers = list(layers)
        missing = self._missing(layer.name for layer in self.architecture.ancestors(layers))
        if not missing:
            return
        wanted = " and ".join(map(repr, layers))
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if missing[4:] else "")
        reachable = self.available_layers()
        reach = (
            f"they reach as far as layer {reachable[-1]!r} (of: {', '.join(reachable)})"
            if reachable
            else "they reach no layer at all"
        )
        raise WeightsError(
            f"layer {wanted} of {self.architecture.name} needs {shown}, which the weights from "
            f"{self.source!r} lack; {reach}"
        )

    def _missing(self, layers: Iterable[str]) -> list[str]:
        return [
            key
            for layer in layers
            for key in self.architecture.layer_parameter_shapes(layer)
            if key not in self.parameters
        ]

    def __repr__(self) -> str:
        count = sum(array.size for array in self.parameters.values())
        return f"Weights({self.architecture.name}, {count:,} parameters, from {self.source!r})"


_lock = threading.RLock()
_loaded: weakref.WeakValueDictionary[tuple, Weights] = weakref.WeakValueDictionary()
# the last few stay in memory even if nobody uses them just now
_recent: deque[Weights] = deque(maxlen=4)


def load_weights(weights: str | os.PathLike, architecture: str | None = None) -> Weights:
    """Load the weights of a network by name or from a file.

    Parameters
    ----------
    weights : str or path-like
        A registered name (see :func:`list_weights`), or the path of a weight file: npz,
        safetensors, a torch state dict, a caffemodel, an ONNX model, the DeCAF pickle of 2013 or
        another pickle of NumPy arrays, recognised by content. The network is recognised by the
        names and shapes of the arrays, and layers may be missing. Nothing in a file is ever
        executed.
    architecture : str or None
        Which network a file belongs to, where names and shapes fit more than one.

    Returns
    -------
    Weights
        One copy a process: loading the same unchanged file again returns the same object.

    Raises
    ------
    WeightsError
        If there are no such weights, if the file is damaged, is not what its name says, holds
        anything but arrays, or fits no network. The message names the file, what was found and
        what to do.

    Examples
    --------
    >>> from sklearn_decaf.networks import load_weights
    >>> weights = load_weights("squeezenet1_1")
    >>> weights.parameters["conv1.kernel"].shape
    (3, 3, 3, 64)
    >>> weights
    Weights(squeezenet1_1, 1,235,496 parameters, from 'squeezenet1_1')
    """
    path, source, checksum = _locate(weights)
    if source in REGISTRY:
        own = REGISTRY[source].architecture
        if architecture not in (None, own):
            raise WeightsError(f"weights {source!r} are for {own}, not for {architecture}")
        architecture = own
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no weights are called {str(weights)!r} ({', '.join(REGISTRY)} are registered), "
            f"and there is no file {str(path)!r}: {getattr(error, 'strerror', None) or error}"
        ) from error
    key = (str(path), source, status.st_mtime_ns, status.st_size, status.st_ino, architecture)
    with _lock:
        found = _loaded.get(key)
        if found is None:
            found = _loaded[key] = _load(path, source, checksum, architecture)
        if found in _recent:
            _recent.remove(found)
        _recent.append(found)
    return found


def _locate(weights: str | os.PathLike) -> tuple[Path, str, str | None]:
    """Path of the file, the name it goes by, and the checksum it must have."""
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(
            f"weights={weights!r} is not the name of registered weights nor a path; "
            f"there are: {', '.join(REGISTRY)}"
        )
    text = os.fspath(weights)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text not in REGISTRY:
        path = Path(os.path.expanduser(text)).absolute()
        return path, str(path), None
    entry = get_entry(text)
    path = entry.installed_path()
    if path is None:
        raise WeightsError(f"the weights {text!r} are not on this machine: {entry.how_to_get()}")
    return path, text, entry.checksum.removeprefix("sha256:")


def _load(path: Path, source: str, checksum: str | None, architecture: str | None) -> Weights:
    file = read_tensors(path, checksum=checksum)
    try:
        match, parameters = convert(
            file.tensors,
            file.metadata,
            architecture,
            keep_views=file.format == "safetensors",
        )
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return Weights(match.architecture, MappingProxyType(parameters), source, file.sha256)


def save_weights(weights: Weights, path: str | os.PathLike) -> str:
    """Save weights as a safetensors file, the format that loads fastest.

    The file names its architecture, holds the parameters as :class:`Weights` describes them, and
    is used where it lies: loading maps it into memory, and processes that load it share the
    memory. Replace such a file, but never write into it while a process uses it.

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
    path = Path(path).expanduser()
    metadata = {"architecture": weights.architecture.name, "source": Path(weights.source).name}
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    digest = hashlib.sha256()
    try:
        with open(unfinished, "xb") as stream:
            for chunk in safetensors.chunks(weights.parameters, metadata):
                stream.write(chunk)
                digest.update(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return digest.hexdigest()


def list_weights() -> list[dict[str, object]]:
    """Describe the registered weights.

    Returns
    -------
    list of dict
        With ``name``, ``architecture``, ``source`` (how to get them), ``checksum``, ``size`` (in
        bytes, None if unknown), ``licence``, ``accuracy`` (ImageNet, per cent), ``citation`` and
        ``path`` (of the file if it is installed, else None).

    Examples
    --------
    >>> from sklearn_decaf.networks import list_weights
    >>> [weights["name"] for weights in list_weights()]
    ['efficientnet_lite0', 'squeezenet1_1', 'alexnet', 'caffenet', 'bvlc_alexnet', 'decaf']
    """
    fields = ("name", "architecture", "source", "checksum", "size", "licence", "accuracy")
    listed = []
    for entry in REGISTRY.values():
        path = entry.installed_path()
        described = {field: getattr(entry, field) for field in (*fields, "citation")}
        listed.append({**described, "path": str(path) if path is not None else None})
    return listed
