"""Contents of a weight file: arrays by name, and what it says about itself and its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# Among the `inputs` of a `FileLayer`: what comes before the first layer, and what the file never
# says where it comes from.
NETWORK_INPUT, ELSEWHERE = -1, -2


@dataclass(frozen=True)
class FileLayer:
    """A layer that computes something, as a file describes it.

    Attributes
    ----------
    name : str
        For messages.
    kind : str
        One of `KINDS` where it is that, else what the file calls it.
    inputs : tuple of int or None
        Positions, in the file's list, of the layers that it reads, `NETWORK_INPUT` or `ELSEWHERE`.
        Dropout and the like, which compute nothing, are left out of the list. None if the file does
        not say.
    constants : mapping of str to object
        Those that the file states. Lengths are (height, width), pads (top, left, bottom, right).
    kernel : str
        Name of its kernel among the arrays of the file.
    """

    name: str
    kind: str
    inputs: tuple[int, ...] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    kernel: str = ""


# Kinds of layers and their constants.
KINDS = {
    "input": ("mean", "scale", "crop", "grey"),
    "conv": ("stride", "pads", "dilation", "groups"),
    "dense": (),
    "batch_norm": ("epsilon",),
    "max_pool": ("size", "stride", "pads", "dilation", "ceil_mode", "output"),
    "average_pool": ("size", "pads"),  # without a size: over the whole map
    "pool": (),  # one of the two
    "lrn": ("size", "alpha", "beta", "k"),
    "relu": ("max_value",),
    "add": (),
    "concat": (),
    "softmax": (),
}


class LayerList:
    """Collects the layers of a file whose layers read and write named blobs."""

    def __init__(self):
        self.layers: list[FileLayer] = []
        self._writer: dict[str, int] = {}  # position of the layer that wrote a blob last
        self._input = ""  # what is read without having been written, the first of its kind

    def add(
        self,
        name: str,
        kind: str,
        inputs: list[str],
        outputs: list[str],
        constants: Mapping[str, object] | None = None,
        kernel: str = "",
    ) -> None:
        """The next layer, which computes something."""
        sources = tuple(self.source(blob) for blob in inputs)
        self.layers.append(FileLayer(name, kind, sources, constants or {}, kernel))
        self._writer.update(dict.fromkeys(outputs, len(self.layers) - 1))

    def skip(self, inputs: list[str], outputs: list[str]) -> None:
        """A layer that hands on its first input."""
        source = self.source(inputs[0]) if inputs else NETWORK_INPUT
        self._writer.update(dict.fromkeys(outputs, source))

    def source(self, blob: str) -> int:
        """Position of the layer whose output a blob is just now."""
        if blob not in self._writer:
            self._input = self._input or blob
            self._writer[blob] = NETWORK_INPUT if blob == self._input else ELSEWHERE
        return self._writer[blob]


@dataclass(frozen=True)
class OtherFile:
    """A second file in which arrays of the first one are kept."""

    path: Path
    state: tuple[int, ...]  # `file_state`
    sha256: str


@dataclass(frozen=True)
class Contents:
    """Arrays of a weight file, with what it says about itself and its layers.

    Attributes
    ----------
    groups : mapping of str to mapping of str to ndarray
        Arrays by name, read-only; they may be views of the file. A checkpoint may have several
        groups, such as ``"state_dict"`` and ``"ema"``; other files have one, whose name is empty.
    metadata : mapping of str to str
        What the file says about itself.
    layers : tuple of FileLayer
        What it says about its layers, in an order in which each reads only earlier ones.
    others : tuple of OtherFile
        Files that were read besides.
    graph : OnnxGraph, CaffeNet, tuple of FileLayer, or None
        All that it says about its layers, from which a network can be made that nobody knows.
    problem : str
        Why nothing can be compared with known networks, if that is so.
    """

    groups: Mapping[str, Mapping[str, np.ndarray]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[FileLayer, ...] = ()
    others: tuple[OtherFile, ...] = ()
    graph: Any = None
    problem: str = ""

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """All arrays, with the names of groups in front of theirs."""
        return {
            f"{group}.{name}" if group else name: array
            for group, tensors in self.groups.items()
            for name, array in tensors.items()
        }
