"""The parameters of a network, with what is known about where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..._utils.locks import cached_attribute
from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture
from ..imagenet import imagenet_classes
from .digests import weights_digest
from .variants import head


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
        return weights_digest(self.architecture, self.parameters)

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
        """What is not there of these layers: names of parameters, or of a layer as a whole."""
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
