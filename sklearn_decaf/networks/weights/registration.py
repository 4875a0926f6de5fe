"""Networks of the user's own, known by a name in this process."""

from __future__ import annotations

import os
from pathlib import Path

from ..._utils.data_home import expand_user
from ..._utils.locks import Lock
from ...exceptions import WeightsError
from ..architecture import Architecture
from ..architecture_data import check_architecture, from_text, to_text
from ..architectures import get_architecture, register_architecture
from .loading import load_weights, registered_weights
from .registry import REGISTRY
from .weights import Weights

_lock = Lock()


def register(
    architecture: Architecture, weights: Weights | str | os.PathLike[str] | None = None
) -> None:
    """Make a network known by its name, as those of the package are.

    :func:`get_architecture` then finds it, and so do ``load_weights(path, architecture=name)`` and
    ``DeCAFTransformer(weights=path, architecture=name)``. With `weights` they are found by the name
    as well: ``DeCAFTransformer(weights=name)``.

    Parameters
    ----------
    architecture : Architecture
        Registering an equal one again does nothing.
    weights : Weights, str, path-like or None
        Its weights, or their file, which is loaded once to check that it belongs to the network.

    Raises
    ------
    ValueError
        If another network, or other weights, go by that name.
    TypeError
        If a layer is of a kind that is not the package's own.
    WeightsError
        If the network cannot be run, or the weights are not its own.

    See Also
    --------
    save_weights : Writes a file that needs no registration where it is loaded.

    Notes
    -----
    A registration holds for this process. A transformer takes along what it needs of it in its
    pickle, so that worker processes need no registration; names that a search in workers puts into
    a transformer are not known there: pass the `Architecture` or the `Weights` themselves.
    ``ARCHITECTURES`` lists the networks of the package alone.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from sklearn_decaf.networks import get_architecture, register
    >>> net = get_architecture("squeezenet1_1")
    >>> small = replace(net, name="squeezenet_160", preprocessing=replace(
    ...     net.preprocessing, resize=183, crop=160))
    >>> register(small)
    >>> get_architecture("squeezenet_160").shapes()["pool1"]
    (39, 39, 64)
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r} is not an Architecture")
    check_architecture(architecture)
    # as it will be after a journey
    from_text(to_text(architecture), architecture.preprocessing.mean_image)
    name = architecture.name
    with _lock:
        refuse_another(architecture)
        if weights is not None:
            if name in REGISTRY:
                raise ValueError(f"weights {name!r} come with the package: take another name")
            if not isinstance(weights, Weights):
                weights = Path(expand_user(weights)).absolute()
            known = registered_weights.get(name)
            if known is not None and known != weights:
                raise ValueError(f"other weights are registered as {name!r}: {known}")
            load_weights(weights, architecture)  # raises if they do not belong together
        register_architecture(architecture)
        if weights is not None:
            registered_weights[name] = weights


def refuse_another(architecture: Architecture) -> None:
    """Raise a WeightsError if another network is known by the same name in this process."""
    try:
        known = get_architecture(architecture.name)
    except ValueError:
        return
    if known != architecture:
        raise WeightsError(
            f"another network is called {architecture.name!r}: take another name, such as "
            f"{architecture.name + '_2'!r}"
        )
