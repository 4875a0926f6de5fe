"""Weights of a network: found by name or path, checked, converted, one copy a process."""

from __future__ import annotations

import hashlib
import math
import os
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.data_home import expand_user
from ..._utils.locks import Lock
from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture
from ..architectures import get_architecture
from ..formats import safetensors
from ..formats.mean_image import read_mean_image
from ..mean_image import MeanImage
from .fetching import fetch_weights, find_weights
from .known_files import MEAN_IMAGE, OpenedFile, open_weight_file
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
        folded in. Those of a large file may be read from it only when they are asked for.
    source : str
        The registered name, or the absolute path of the file.
    sha256 : str
        Of the file, in hexadecimal; where a mean image came from a second file, of both checksums.
    format : str
        Of the file, such as ``"caffemodel"``.
    certainty : {"certain", "likely", "told"}
        How sure it is that this is the network: "certain" if the file says so itself or all
        parameters of this network, and of no other, are there; "likely" if some are; "told" if
        more than one network fits and the caller chose.
    evidence : str
        What speaks for it, in words.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    source: str
    sha256: str
    format: str = ""
    certainty: str = ""
    evidence: str = ""

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
        shapes = self.architecture.parameter_shapes()
        count = sum(math.prod(shapes[name]) for name in self.parameters)
        return f"Weights({self.architecture.name}, {count:,} parameters, from {self.source!r})"


_lock = Lock(reentrant=True)
_loaded: weakref.WeakValueDictionary[tuple, Weights] = weakref.WeakValueDictionary()
# the last few stay in memory even if nobody uses them just now
_recent: deque[Weights] = deque(maxlen=4)


def load_weights(
    weights: str | os.PathLike[str],
    architecture: str | None = None,
    *,
    mean: str | os.PathLike[str] | None = None,
    download_if_missing: bool = False,
) -> Weights:
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
    mean : str or path-like or None
        A file with the mean image that is to be subtracted instead of the mean pixel: Caffe's
        ``.binaryproto``, a ``.npy`` with the channels first, or the ``.meta`` file of the DeCAF
        network, which is used without asking if it lies beside the pickle.
        :func:`save_weights` keeps the mean image.
    download_if_missing : bool
        Whether to call :func:`fetch_weights` for registered weights that are not there.

    Returns
    -------
    Weights
        One copy a process: loading the same unchanged file again returns the same object. Its
        `certainty` and `evidence` say how the network was recognised.

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
    path, source, checksum, own_mean = _locate(weights, download_if_missing)
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
    mean_path = own_mean if mean is None else Path(expand_user(mean)).absolute()
    # a file that may lie beside a pickle of DeCAF
    beside = (mean_path or path.with_suffix(".meta")) if path.name else None
    key = (str(path), source, _state(status), str(beside), _state_of(beside), architecture)
    with _lock:
        found = _loaded.get(key)
        if found is None:
            file = open_weight_file(path, status, checksum=checksum, architecture=architecture)
            found = _loaded[key] = _load(file, source, mean_path)
        if found in _recent:
            _recent.remove(found)
        _recent.append(found)
    return found


def load(path: str | os.PathLike[str], architecture: str | None = None, **options: Any) -> Weights:
    """Recognise a weight file and load it: :func:`load_weights` by a shorter name.

    ``certainty`` and ``evidence`` of the result say how sure it is which network this is.

    Examples
    --------
    >>> from sklearn_decaf import networks
    >>> weights = networks.load(networks.fetch_weights("squeezenet1_1"))
    >>> weights.format, weights.architecture.name, weights.certainty
    ('pickle', 'squeezenet1_1', 'certain')
    >>> weights.evidence
    "all 52 arrays have names and shapes of squeezenet1_1 (SqueezeNet by Caffe's layer names)"
    """
    return load_weights(path, architecture, **options)


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _state_of(path: Path | None) -> tuple[int, ...] | None:
    try:
        return None if path is None else _state(os.stat(path))
    except OSError:
        return None


def _locate(
    weights: str | os.PathLike[str], download_if_missing: bool
) -> tuple[Path, str, str | None, Path | None]:
    """Path of the file, the name it goes by, the checksum it must have, and its mean image."""
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(
            f"weights={weights!r} is not the name of registered weights nor a path; "
            f"there are: {', '.join(REGISTRY)}"
        )
    text = os.fspath(weights)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text not in REGISTRY:
        path = Path(expand_user(text)).absolute()
        return path, str(path), None, None
    found = find_weights(text)
    if found is None:
        fetch_weights(text, download_if_missing=download_if_missing)
        found = find_weights(text)
    assert found is not None  # or fetching would have raised
    path, mean = found
    return path, text, get_entry(text).file.checksum, mean


def _load(file: OpenedFile, source: str, mean_path: Path | None) -> Weights:
    sha256, mean = file.sha256, file.mean
    try:
        if mean_path is None and file.format == "decaf":
            beside = Path(file.path).with_suffix(".meta")
            mean_path = beside if beside.is_file() else None
        if mean_path is not None:
            checksum = _mean_checksum(source, mean_path)
            mean, mean_sha256 = read_mean_image(mean_path, checksum=checksum)
            sha256 = hashlib.sha256(f"{sha256} {mean_sha256}".encode()).hexdigest()
        net = get_architecture(file.architecture)
        if mean is not None:
            image = MeanImage(mean)
            image.crop(net.preprocessing.crop)  # raises if it is too small
            net = replace(net, preprocessing=replace(net.preprocessing, mean_image=image))
    except WeightsError as error:
        raise WeightsError(f"{file.path}: {error}") from error
    told = file.certainty == "told" and source in REGISTRY
    return Weights(
        net,
        file.parameters,
        source,
        sha256,
        file.format,
        "certain" if told else file.certainty,
        f"registered as {source}; {file.evidence}" if source in REGISTRY else file.evidence,
    )


def _mean_checksum(source: str, path: Path) -> str | None:
    """The one that a registered mean image must have."""
    entry = REGISTRY.get(source)
    if entry is None or entry.mean is None or entry.mean.name != path.name:
        return None
    return entry.mean.checksum


def save_weights(weights: Weights, path: str | os.PathLike[str]) -> str:
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
    path = Path(expand_user(path))
    metadata = {"architecture": weights.architecture.name, "source": Path(weights.source).name}
    tensors = dict(weights.parameters)
    if weights.architecture.preprocessing.mean_image is not None:
        tensors[MEAN_IMAGE] = weights.architecture.preprocessing.mean_image.pixels
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    digest = hashlib.sha256()
    try:
        with open(unfinished, "xb") as stream:
            for chunk in safetensors.chunks(tensors, metadata):
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
        With ``name``, ``architecture``, ``source`` (how to get them), ``urls``, ``checksum``,
        ``size`` (in bytes), ``licence``, ``accuracy`` (ImageNet, per cent), ``citation``,
        ``path`` (of the file if it is on this machine, else None) and ``mean_path`` (of the mean
        image that they want, likewise). What nobody published is None.

    Examples
    --------
    >>> from sklearn_decaf.networks import list_weights
    >>> [weights["name"] for weights in list_weights()]
    ['efficientnet_lite0', 'squeezenet1_1', 'alexnet', 'caffenet', 'bvlc_alexnet', 'decaf']
    """
    listed: list[dict[str, object]] = []
    for entry in REGISTRY.values():
        path, mean_path = find_weights(entry.name) or (None, None)
        listed.append(
            {
                "name": entry.name,
                "architecture": entry.architecture,
                "source": entry.source,
                "urls": entry.file.urls,
                "checksum": entry.file.checksum,
                "size": entry.file.size,
                "licence": entry.licence,
                "accuracy": entry.accuracy,
                "citation": entry.citation,
                "path": str(path) if path is not None else None,
                "mean_path": str(mean_path) if mean_path is not None else None,
            }
        )
    return listed
