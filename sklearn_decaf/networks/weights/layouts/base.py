"""How a family of weight files is described: an entry a layer, and a layout for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from ...._utils.locks import cached_attribute
from ...architecture import INPUT, Architecture, Preprocessing
from ...architectures import get_architecture
from ...layers import BatchNorm, Conv, Shape
from ..variants import Changes, backbone, head, with_changes

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Entry:
    """Where a file keeps the parameters of one layer.

    Attributes
    ----------
    layer : str
    parameters : mapping of str to str
        The name in the file of each parameter of the layer, the most telling one first.
    optional : frozenset of str
        Names in the file of vectors that are zero where they are missing.
    batch_norm : str or None
        Name of a batch normalisation that follows the layer; it is folded into the kernel, and the
        layer has no bias of its own then.
    divisor : str or None
        Name of a number by which mean and variance have to be divided.
    """

    layer: str
    parameters: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    batch_norm: str | None = None
    divisor: str | None = None

    @property
    def norm_names(self) -> tuple[str, ...]:
        """Names of the vectors of a normalisation that is folded in."""
        if self.batch_norm is None:
            return ()
        return tuple(f"{self.batch_norm}.{part}" for part in BATCH_NORM)

    @cached_attribute
    def names(self) -> tuple[str, ...]:
        """Names of all its arrays, the most telling one first."""
        names = tuple(self.parameters.values())
        if self.divisor is not None:
            names += (self.divisor,)
        return names + self.norm_names

    @cached_attribute
    def needed(self) -> tuple[str, ...]:
        """Names of the arrays without which the layer cannot be computed."""
        if not self.optional:
            return self.names
        return tuple(name for name in self.names if name not in self.optional)

    @property
    def kernel(self) -> str:
        """Name of its first array: the kernel of a layer that has one."""
        return self.names[0]

    @property
    def bias(self) -> str | None:
        """Name of its bias, if it has one."""
        return self.parameters.get("bias")


@dataclass(frozen=True, eq=False)
class Layout:
    """One family of weight files.

    Attributes
    ----------
    name : str
        For messages.
    architectures : tuple of str
        The networks it is used for.
    entries : callable
        The entries of an architecture's layers.
    axes : {"hwio", "oihw", "ihwo"}
        Order of a convolution kernel's height, width, channels (i) and filters (o). Dense kernels
        are (outputs, inputs) where the filters come first, and either kind may have axes of length
        1 then that the other has not; maps are flattened in (h, w, c) order with the first, in
        (c, h, w) order with the others.
    ignored : str
        Regular expression of names that are no parameters of the network.
    preprocessing : Preprocessing or None
        Whose channel order, mean and deviation these weights expect, where it is not the
        architecture's own.
    batch_norm_epsilon : float or None
        Of all batch normalisations, where it is not the architecture's.
    doubt : str
        Why names and shapes are not enough, where the caller has to name the architecture.
    suffix : str
        What the names of all kernels end in.
    """

    name: str
    architectures: tuple[str, ...]
    entries: Callable[[Architecture], list[Entry]]
    axes: str = "hwio"
    ignored: str = "(?!)"
    preprocessing: Preprocessing | None = None
    batch_norm_epsilon: float | None = None
    doubt: str = ""
    suffix: str = ".weight"

    def changes(self, architecture: Architecture) -> Changes:
        """What is different in networks whose files are like this."""
        found: Changes = {}
        if self.preprocessing is not None:
            names = ("channel_order", "mean", "std")
            found[INPUT] = {name: getattr(self.preprocessing, name) for name in names}
        if self.batch_norm_epsilon is not None:
            for layer in architecture.layers:
                if isinstance(layer, BatchNorm):
                    found[layer.name] = {"epsilon": self.batch_norm_epsilon}
        return found

    def shapes(self, architecture: Architecture) -> dict[str, Shape]:
        """Names and shapes of all arrays that a complete file has."""
        shapes: dict[str, Shape] = {}
        for entry in self.entries(architecture):
            own = architecture.parameters_by_layer[entry.layer]
            for parameter, name in entry.parameters.items():
                shapes[name] = self._in_file(own[parameter])
            if entry.batch_norm is not None:
                shapes |= dict.fromkeys(entry.norm_names, own["bias"])
            if entry.divisor is not None:
                shapes[entry.divisor] = (1,)
        return shapes

    def _in_file(self, shape: Shape) -> Shape:
        if len(shape) == 4:
            return tuple(shape["hwio".index(axis)] for axis in self.axes)
        return shape[::-1] if self.axes.startswith("o") else shape


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layout of an architecture, with all that a file is compared with.

    Attributes
    ----------
    layout : Layout
    architecture : Architecture
        As the files of this layout have it.
    """

    layout: Layout
    architecture: Architecture

    @cached_attribute
    def entries(self) -> tuple[Entry, ...]:
        """The entries of the architecture's layers."""
        return tuple(self.layout.entries(self.architecture))

    @cached_attribute
    def shapes(self) -> dict[str, Shape]:
        """Names and shapes of all arrays that a complete file has."""
        return self.layout.shapes(self.architecture)

    @cached_attribute
    def body(self) -> frozenset[str]:
        """Layers that every network of this kind has, whatever its head is."""
        return backbone(self.architecture)

    @cached_attribute
    def body_names(self) -> frozenset[str]:
        """Names of the arrays that these layers need."""
        entries = (entry for entry in self.entries if entry.layer in self.body)
        return frozenset(name for entry in entries for name in entry.needed)

    @cached_attribute
    def inside(self) -> frozenset[str]:
        """Modules of the body: what is unknown in one of them makes it another network."""
        body: set[str] = set()
        others: set[str] = set()
        for entry in self.entries:
            kept = body if entry.layer in self.body else others
            for name in entry.names:
                module = name.rpartition(".")[0]
                kept.update([module, module.rpartition(".")[0]])
        return frozenset(body - others - {""})

    @cached_attribute
    def maps(self) -> dict[str, Shape]:
        """By dense kernels that read a map: their shape with (c, h, w) apart."""
        net = self.architecture
        found: dict[str, Shape] = {}
        for entry in self.entries:
            shape = self.shapes[entry.kernel]
            source = net.inputs(entry.layer)[0]
            read = net.input_shape if source == INPUT else net.shapes()[source]
            if len(shape) == 2 and len(read) == 3:
                h, w, c = read
                found[entry.kernel] = (c, h, w)
        return found

    @cached_attribute
    def head(self) -> str:
        """Name of the layer whose outputs are the classes."""
        return head(self.architecture)

    def reshape(self, name: str, array):
        """The array with as many axes as its shape has here, if that only takes axes of length 1.

        A 1x1 convolution is a dense layer for each pixel, and is written as one by some; a dense
        layer on a map can be written as a convolution over all of it.
        """
        n_axes, shape = len(self.shapes[name]), array.shape
        if array.ndim == n_axes or not array.size or not self.layout.axes.startswith("o"):
            return array
        if array.ndim < n_axes:
            return array.reshape(shape + (1,) * (n_axes - array.ndim)) if array.ndim > 1 else array
        if set(shape[n_axes:]) == {1}:
            return array.reshape(shape[:n_axes])
        if n_axes == 2 and shape[1:] == self.maps.get(name):
            return array.reshape(shape[0], -1)
        return array


@cache
def get_candidate(layout: Layout, name: str) -> Candidate:
    """A layout of one of its architectures."""
    net = get_architecture(name)
    return Candidate(layout, with_changes(net, layout.changes(net)))


# -- entries --

_TORCH_SUFFIXES = {
    "kernel": ".weight",
    "bias": ".bias",
    "scale": ".weight",
    "shift": ".bias",
    "mean": ".running_mean",
    "variance": ".running_var",
    "slope": ".weight",
}
NUMBER_OF_BATCHES = r".*\.num_batches_tracked"


def torch_entries(net: Architecture, modules: Callable[[str], str] = str) -> list[Entry]:
    """Entries with the suffixes of torch's modules, given the module of each layer.

    Convolutions of a network with batch normalisation may lack a bias. What multiplies channels
    alone is a parameter and no module of torch's.
    """
    normalised = any(isinstance(layer, BatchNorm) for layer in net.layers)
    entries = []
    for layer, keys in net.parameters_by_layer.items():
        module = modules(layer)
        if len(keys) == 1 and "scale" in keys:
            entries.append(Entry(layer, {"scale": module}))
            continue
        parameters = {key: module + _TORCH_SUFFIXES[key] for key in keys}
        optional = normalised and isinstance(net[layer], Conv)
        names = frozenset([parameters["bias"]] if optional else [])
        entries.append(Entry(layer, parameters, names))
    return entries


def renamed(names: Mapping[str, str], kernel: str, bias: str):
    """Entries for layers that the file calls by other names, with suffixes."""
    return lambda net: [
        Entry(layer, {"kernel": theirs + kernel, "bias": theirs + bias})
        for layer, theirs in names.items()
    ]
