"""The parameters of a network, with what is known about where they come from."""

from __future__ import annotations

import hashlib
import json
import math
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..._utils.locks import Lock, cached_attribute
from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture
from ..architecture_data import to_text
from ..imagenet import imagenet_classes
from .conversion import check_numbers
from .digests import content_digest, weights_digest
from .own_names import check_parameters
from .parameters import FileParameters
from .variants import head

_lock = Lock()
# Those of which this process wrote or read a pickle: the next one need not make them again.
_pickled: weakref.WeakValueDictionary[str, Weights] = weakref.WeakValueDictionary()
_recent: deque[Weights] = deque(maxlen=4)


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
        The registered name, or the absolute path of the file; ``"memory"`` if they come from none.
    sha256 : str
        Of the file, in hexadecimal; of the checksums of all files if there are several, such as one
        with a mean image. Empty if there is no file; see `digest`.
    format : str
        Of the file, such as ``"caffemodel"``.
    certainty : {"certain", "likely", "told"}
        How sure it is that this is the network: "certain" if the file says so itself or all
        parameters of this network, and of no other, are there; "likely" if some are; "told" if
        more than one network fits and the caller chose.
    evidence : str
        What speaks for it, in words, and what was passed over or made to fit.
    missing : mapping of str to str
        Layers that cannot be computed although the file holds something in their place, with the
        reasons.
    own_classes : bool
        Whether the network was trained for other classes than the 1000 of ImageNet.

    Notes
    -----
    A network with another head, or with other constants than the published one, has an
    `architecture` with these. What a state dict of torch does not say is taken to be as published:
    the epsilon of batch normalisations, the padding, and the mean and the scale of the input.

    Weights never change, so that copies of them are themselves. A pickle holds all of them, with
    their digest, wherever they came from: ``DeCAFTransformer(weights=path)`` travels lighter. In a
    process that has the same weights already, they are what comes out of it.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    source: str = "memory"
    sha256: str = ""
    format: str = ""
    certainty: str = ""
    evidence: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    own_classes: bool = False

    @cached_attribute
    def digest(self) -> str:
        """Digest of all that decides an activation: the parameters and the architecture.

        In hexadecimal. Weights that are the same have the same digest, whether they come from a
        file or were made in memory, unless the file is so large that it is known by its checksum.
        Computed when it is first asked for: do not change parameters in place after that.
        """
        return weights_digest(self.architecture, self.content)

    @cached_attribute
    def content(self) -> str:
        """Digest of the parameters alone, or of the large file that they are in."""
        identity = getattr(self.parameters, "identity", None)
        return identity or content_digest(self.parameters)

    def check(self) -> None:
        """Make sure that these are parameters of the architecture, whoever made them.

        Raises
        ------
        WeightsError
            If one of them has another shape than the architecture says, another type than
            float32, or holds NaN or infinity. The first one is named.
        """
        assert self._is_checked

    @cached_attribute
    def _is_checked(self) -> bool:
        if not isinstance(self.parameters, FileParameters):  # or they were checked when read
            try:
                _check_arrays(self.parameters, self.architecture)
            except ValueError as error:
                raise WeightsError(f"weights from {self.source!r}: {error}") from error
        return True

    @cached_attribute
    def _array_digest(self) -> str:
        """Digest of the numbers, also where those of a file are known by its checksum."""
        if getattr(self.parameters, "identity", None) is None:
            return self.content
        return content_digest(self.parameters)

    def with_architecture(
        self, architecture: Architecture, missing: Mapping[str, str] | None = None
    ) -> Weights:
        """The same parameters in another network, in which some layers may be out of reach."""
        self.check()
        weights = replace(
            self, architecture=architecture, missing={**self.missing, **(missing or {})}
        )
        # cached attributes that are the same
        kept = {"content", "_array_digest", "_is_checked"} & vars(self).keys()
        vars(weights).update({name: vars(self)[name] for name in kept})
        return weights

    def __copy__(self) -> Weights:
        return self

    def __deepcopy__(self, memo: object) -> Weights:
        return self

    def __reduce__(self) -> tuple:
        state = {
            "architecture": self.architecture,
            "parameters": {name: np.asarray(self.parameters[name]) for name in self.parameters},
            "array_digest": self._array_digest,
            "identity": getattr(self.parameters, "identity", None),
            "rest": {name: getattr(self, name) for name in _IN_WORDS},
        }
        with _lock:
            _pickled[_pickle_key(state)] = self
        return _from_pickle, (state,)

    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the class scores.

        Those of ImageNet, see :func:`imagenet_classes`; numbers from ``"0"`` where the network was
        trained for other classes.
        """
        n = self.architecture.shapes()[head(self.architecture)][-1]
        names = imagenet_classes()
        return [str(i) for i in range(n)] if self.own_classes or n != len(names) else names

    def available_layers(self) -> tuple[str, ...]:
        """Names of the layers that can be computed, in order: nothing they need is missing."""
        net = self.architecture
        available = {INPUT}
        for name in net.layer_names:
            if available.issuperset(net.inputs(name)) and not self._lacking([name]):
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
        needed = [layer.name for layer in self.architecture.ancestors(layers)]
        lacking = self._lacking(needed)
        if not lacking:
            return
        wanted = " and ".join(map(repr, layers))
        shown = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if lacking[4:] else "")
        reasons = [self.missing[name] for name in needed if name in self.missing]
        because = f" ({reasons[0]})" if reasons else ""
        reachable = self.available_layers()
        reach = (
            f"they reach as far as layer {reachable[-1]!r} (of: {', '.join(reachable)})"
            if reachable
            else "they reach no layer at all"
        )
        raise WeightsError(
            f"layer {wanted} of {self.architecture.name} needs {shown}, which the weights from "
            f"{self.source!r} lack{because}; {reach}"
        )

    def _lacking(self, layers: Iterable[str]) -> list[str]:
        """Names of missing parameters of these layers, or of a layer that is missing as a whole."""
        lacking = []
        for layer in layers:
            if layer in self.missing:
                lacking.append(layer)
                continue
            keys = self.architecture.layer_parameter_shapes(layer)
            lacking += [key for key in keys if key not in self.parameters]
        return lacking

    def __repr__(self) -> str:
        shapes = self.architecture.parameter_shapes()
        count = sum(math.prod(shapes[name]) for name in self.parameters)
        return f"Weights({self.architecture.name}, {count:,} parameters, from {self.source!r})"


# Fields that are copied as they are.
_IN_WORDS = ("source", "sha256", "format", "certainty", "evidence", "missing", "own_classes")


def _pickle_key(state: Mapping[str, Any]) -> str:
    """What weights in a pickle are known by, without a look at their numbers."""
    net, rest = state["architecture"], {**state["rest"], "missing": dict(state["rest"]["missing"])}
    described = [to_text(net), state["array_digest"], state["identity"], rest]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _from_pickle(state: dict[str, Any]) -> Weights:
    """Weights from what `Weights.__reduce__` wrote, which is checked; or those that are there."""
    key = _pickle_key(state)
    with _lock:
        found = _pickled.get(key)
    if found is None:
        found = _checked_weights(state)
    with _lock:
        found = _pickled.setdefault(key, found)
        if found not in _recent:
            _recent.append(found)
    return found


def _checked_weights(state: dict[str, Any]) -> Weights:
    arrays = {name: np.asarray(values) for name, values in state["parameters"].items()}
    architecture, identity = state["architecture"], state["identity"]
    digest = content_digest(arrays)
    if digest != state["array_digest"]:
        raise WeightsError(
            f"the pickle of weights of {architecture.name} is damaged: the digest of its numbers "
            f"is {digest}, and was {state['array_digest']}"
        )
    _check_arrays(arrays, architecture)
    for values in arrays.values():
        values.flags.writeable = False
    parameters: Mapping[str, np.ndarray] = arrays
    if identity is not None:
        parameters = FileParameters(arrays, lambda: arrays, arrays, identity)
    weights = Weights(architecture, parameters, **state["rest"])
    vars(weights)["_array_digest"] = digest
    return weights


def _check_arrays(parameters: Mapping[str, np.ndarray], architecture: Architecture) -> None:
    arrays = {name: np.asarray(values) for name, values in parameters.items()}
    check_parameters(arrays, architecture)
    for name, values in arrays.items():
        check_numbers(name, values)
        if values.dtype != np.float32:
            raise WeightsError(f"{name!r} is of type {values.dtype}; float32 is expected")
