"""Weights of a network: found by name or path, checked, converted, one copy a process."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.data_home import expand_user
from ..._utils.file_state import current_file_state, file_state
from ..._utils.locks import Lock
from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture, Preprocessing
from ..architectures import ARCHITECTURES, get_architecture
from ..formats.mean_image import read_mean_image
from .fetching import fetch_weights, find_weights
from .known_files import OpenedFile, open_weight_file
from .own_names import difference
from .registry import REGISTRY, get_entry, similar_names
from .variants import with_changes, with_mean
from .weights import Weights

_lock = Lock(reentrant=True)
_loaded: weakref.WeakValueDictionary[tuple, Weights] = weakref.WeakValueDictionary()
# files that weights were read from besides, and their states
_others: weakref.WeakKeyDictionary[Weights, tuple] = weakref.WeakKeyDictionary()
# the last few stay in memory even if nobody uses them just now
_recent: deque[Weights] = deque(maxlen=4)
# Of networks that the user registered: weights, or their files, by name.
registered_weights: dict[str, Weights | Path] = {}


def load_weights(
    weights: Weights | str | os.PathLike[str],
    architecture: Architecture | str | None = None,
    *,
    mean: str | os.PathLike[str] | Sequence[float] | None = None,
    preprocessing: Preprocessing | None = None,
    download_if_missing: bool = False,
) -> Weights:
    """Load the weights of a network by name or from a file.

    Parameters
    ----------
    weights : str, path-like or Weights
        A registered name (see :func:`list_weights` and :func:`register`), or the path of a weight
        file: npz, safetensors, a checkpoint of torch, a caffemodel, an ONNX model, the DeCAF pickle
        of 2013 or another pickle or ``.npy`` file of NumPy arrays, recognised by content. The
        network is recognised by the names and shapes of the arrays. Layers may be missing, its head
        may be another one, and names may have a common prefix. Nothing in a file is ever executed.
        :class:`Weights` are checked and returned.
    architecture : Architecture, str or None
        Which network a file belongs to, where names and shapes fit more than one; or a network of
        your own. Its file has their names there, such as ``"conv1.kernel"``, or is a state dict of
        torch with modules that are called as the layers are. A file by :func:`save_weights` says
        it itself.
    mean : str, path-like, sequence of three numbers, or None
        A file with the mean image that is to be subtracted instead of the mean pixel: Caffe's
        ``.binaryproto``, a ``.npy`` with the channels first, or the ``.meta`` file of the DeCAF
        network, which is used without asking if it lies beside the pickle. Three numbers, or a
        file of three, are another mean pixel, in the network's order of channels (BGR for those of
        Caffe). :func:`save_weights` keeps them.
    preprocessing : Preprocessing or None
        What the network wants to see instead of what is known or assumed: the size of its input,
        the order of channels, mean and deviation.
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
        If there are no such weights, if the file is damaged, is not what its name says, fits no
        network, or not the `architecture`. The message names the file, what was found and what to
        do; of parameters that do not fit, the first one.

    Examples
    --------
    >>> from sklearn_decaf.networks import load_weights
    >>> weights = load_weights("squeezenet1_1")
    >>> weights.parameters["conv1.kernel"].shape
    (3, 3, 3, 64)
    >>> weights
    Weights(squeezenet1_1, 1,235,496 parameters, from 'squeezenet1_1')
    """
    architecture = _find_architecture(architecture)
    if isinstance(weights, str) and weights in registered_weights:
        architecture = get_architecture(weights) if architecture is None else architecture
        weights = registered_weights[weights]
    if isinstance(weights, Weights):
        if mean is not None or preprocessing is not None:
            raise ValueError(
                "mean= and preprocessing= are for files; of weights in memory they are a part of "
                "the architecture: Preprocessing(mean=...)"
            )
        return _checked(weights, architecture)
    path, source, checksum, own_mean = _locate(weights, download_if_missing)
    if source in REGISTRY:
        own = REGISTRY[source].architecture
        if architecture not in (None, own, get_architecture(own)):
            raise WeightsError(f"weights {source!r} are for {own}, not for {architecture}")
        architecture = own
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no weights are called {str(weights)!r} ({similar_names(weights)}), "
            f"and there is no file {str(path)!r}: {getattr(error, 'strerror', None) or error}"
        ) from error
    # what is known of the pictures counts where the caller does not say what they are
    pixel, mean_path = None, own_mean if preprocessing is None else None
    if isinstance(mean, str | os.PathLike):
        mean_path = Path(expand_user(mean)).absolute()
    elif mean is not None:
        pixel, mean_path = _mean_pixel(mean), None
    # a file that may lie beside a pickle of DeCAF
    beside = (mean_path or path.with_suffix(".meta")) if path.name and pixel is None else None
    beside_state = None if beside is None else current_file_state(beside)
    key: tuple = (str(path), source, file_state(status), str(beside), beside_state)
    key += (pixel, architecture, preprocessing)
    with _lock:
        found = _loaded.get(key)
        if found is None or not _same_others(found):
            file = open_weight_file(
                path,
                status,
                checksum=checksum,
                architecture=architecture,
                preprocessing=preprocessing,
            )
            found = _loaded[key] = _load(file, source, mean_path, pixel, preprocessing)
            _others[found] = file.others
        if found in _recent:
            _recent.remove(found)
        _recent.append(found)
    return found


def load(
    path: str | os.PathLike[str], architecture: Architecture | str | None = None, **options: Any
) -> Weights:
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


def _find_architecture(architecture: Architecture | str | None) -> Architecture | str | None:
    """A network of the user's own; the name of one of the package's, or of nobody's."""
    if isinstance(architecture, str):
        try:
            architecture = get_architecture(architecture)
        except ValueError:  # a file may describe a network of that name
            return architecture
    elif not isinstance(architecture, Architecture | None):
        raise TypeError(f"architecture={architecture!r} is no Architecture and no name of one")
    name = None if architecture is None else architecture.name
    if name in ARCHITECTURES and architecture == get_architecture(name):
        return name
    return architecture


def _checked(weights: Weights, architecture: Architecture | str | None) -> Weights:
    """Weights in memory, if they are what they say, and what the caller says."""
    weights.check()
    if isinstance(architecture, str):
        if architecture == weights.architecture.name not in ARCHITECTURES:
            return weights
        architecture = get_architecture(architecture)
    if architecture is not None and architecture != weights.architecture:
        raise WeightsError(
            f"{weights} are not for architecture={architecture}: "
            f"{difference(weights.architecture, architecture)}. Leave one of the two out, or make "
            "Weights(architecture, weights.parameters)"
        )
    return weights


def _same_others(weights: Weights) -> bool:
    """Tell whether the files that weights were read from besides are as they were."""
    return all(current_file_state(path) == state for path, state in _others.get(weights, ()))


def _mean_pixel(mean: Sequence[float]) -> tuple[float, float, float]:
    try:
        pixel = np.asarray(mean, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"mean={mean!r} is no path and not three numbers") from error
    if pixel.size != 3:
        raise ValueError(f"mean has {pixel.size} numbers; it is a file, or three, the mean pixel")
    return tuple(pixel.ravel().tolist())


def _locate(
    weights: str | os.PathLike[str], download_if_missing: bool
) -> tuple[Path, str, str | None, Path | None]:
    """Path of the file, the name it goes by, the checksum it must have, and its mean image."""
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(
            f"weights={weights!r} is not the name of registered weights nor a path; "
            f"{similar_names(weights)}"
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


def _load(
    file: OpenedFile,
    source: str,
    mean_path: Path | None,
    pixel: tuple[float, ...] | None,
    preprocessing: Preprocessing | None,
) -> Weights:
    sha256, net, mean = file.sha256, file.architecture, None
    try:
        if preprocessing is not None:
            net = with_preprocessing(net, preprocessing)
        elif source in REGISTRY and REGISTRY[source].resize is not None:
            net = with_changes(net, {INPUT: {"resize": REGISTRY[source].resize}})
        told = (mean_path, pixel, preprocessing) != (None, None, None)
        if not told and file.format == "decaf":
            beside = Path(file.path).with_suffix(".meta")
            mean_path = beside if beside.is_file() else None
        if mean_path is not None:
            checksum = _mean_checksum(source, mean_path)
            mean, mean_sha256 = read_mean_image(mean_path, checksum=checksum)
            sha256 = hashlib.sha256(f"{sha256} {mean_sha256}".encode()).hexdigest()
        elif pixel is not None:
            mean = np.array(pixel)
            sha256 = hashlib.sha256(f"{sha256} {list(pixel)}".encode()).hexdigest()
        net = with_mean(net, mean)
    except WeightsError as error:
        raise WeightsError(f"{file.path}: {error}") from error
    chosen = file.certainty == "told" and source in REGISTRY
    return Weights(
        net,
        file.parameters,
        source,
        sha256,
        file.format,
        "certain" if chosen else file.certainty,
        f"registered as {source}; {file.evidence}" if source in REGISTRY else file.evidence,
        file.missing,
        file.own_classes,
    )


def with_preprocessing(net: Architecture, preprocessing: Preprocessing) -> Architecture:
    """A network that sees its pictures otherwise.

    Raises
    ------
    WeightsError
        If its layers cannot work on pictures of that size.
    """
    try:
        changed = replace(net, preprocessing=preprocessing)
        if changed.parameter_shapes() == net.parameter_shapes():
            return changed
    except ValueError as error:
        raise WeightsError(f"preprocessing.crop={preprocessing.crop}: {error}") from error
    raise WeightsError(
        f"preprocessing.crop={preprocessing.crop}, but a fully connected layer of {net.name} is "
        f"for {net.preprocessing.crop}"
    )


def _mean_checksum(source: str, path: Path) -> str | None:
    """The one that a registered mean image must have."""
    entry = REGISTRY.get(source)
    if entry is None or entry.mean is None or entry.mean.name != path.name:
        return None
    return entry.mean.checksum


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
    >>> listed = {weights["name"]: weights for weights in list_weights()}
    >>> listed["resnet50"]["accuracy"]
    '76.1 / 92.9 on ILSVRC-2012 validation, as published'
    >>> [name for name in listed if name.startswith("mobilenet")]
    ['mobilenet_v2', 'mobilenet_v2_imagenet1k_v2', 'mobilenet_v3_large',
     'mobilenet_v3_large_imagenet1k_v2', 'mobilenet_v3_small']
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
