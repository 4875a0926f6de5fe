"""The layers of Caffe's files: field numbers of both generations, and what their options say.

Only the options of layers that known networks have are looked at. Those that a file leaves out have
the defaults of ``caffe.proto``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ...exceptions import WeightsError
from ._contents import FileLayer, LayerList
from ._protobuf import BYTES, FIXED32, VARINT, FieldReader, varints

Options = dict[int, list]
Described = tuple[str, dict[str, object]]  # kind and constants of a layer

MAX_OPTIONS = 100
_MAX_PACKED = 64  # bytes of lengths that are packed into one field


@dataclass(frozen=True)
class Generation:
    """Field numbers of a layer message."""

    name: int
    kind: int
    bottom: int
    top: int
    blobs: int
    options: dict[int, str]


V1 = Generation(
    name=4,
    kind=5,
    bottom=2,
    top=3,
    blobs=6,
    options={
        9: "concat",
        10: "convolution",
        11: "data",
        17: "inner_product",
        18: "lrn",
        19: "pooling",
        21: "power",
        24: "eltwise",
        30: "relu",
        31: "slice",
        36: "transform",
    },
)
V2 = Generation(
    name=1,
    kind=2,
    bottom=3,
    top=4,
    blobs=7,
    options={
        100: "transform",
        104: "concat",
        106: "convolution",
        107: "data",
        110: "eltwise",
        117: "inner_product",
        118: "lrn",
        121: "pooling",
        122: "power",
        123: "relu",
        125: "softmax",
        126: "slice",
        131: "prelu",
        133: "reshape",
        139: "batch_norm",
        140: "elu",
        141: "bias",
        142: "scale",
    },
)
# The types of the first generation, which were numbers.
V1_KINDS = {
    1: "Accuracy",
    3: "Concat",
    4: "Convolution",
    5: "Data",
    6: "Dropout",
    8: "Flatten",
    9: "HDF5Data",
    10: "HDF5Output",
    12: "ImageData",
    14: "InnerProduct",
    15: "LRN",
    17: "Pooling",
    18: "ReLU",
    19: "Sigmoid",
    20: "Softmax",
    21: "SoftmaxWithLoss",
    22: "Split",
    23: "TanH",
    24: "WindowData",
    25: "Eltwise",
    26: "Power",
    27: "SigmoidCrossEntropyLoss",
    28: "HingeLoss",
    29: "MemoryData",
    30: "ArgMax",
    32: "DummyData",
    33: "Slice",
    35: "AbsVal",
    36: "Silence",
}
SOURCES = frozenset(
    ["Data", "ImageData", "MemoryData", "HDF5Data", "WindowData", "DummyData", "Input"]
)
HANDED_ON = frozenset(["Dropout", "Flatten", "Split"])
MEASURES = frozenset(["Accuracy", "Silence", "HDF5Output", "ArgMax"])  # nobody reads them


@dataclass
class LayerMessage:
    """One layer of a file: what it is called, what it reads and writes, and its options."""

    name: str = ""
    kind: str = ""
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    options: dict[str, Options] = field(default_factory=dict)
    kernel: str = ""  # name of its first blob


@dataclass
class CaffeNet:
    """All layers of a caffemodel, with their blobs.

    Attributes
    ----------
    layers : list of LayerMessage
    blobs : dict of str to list of ndarray
        By names of layers; dense kernels are (outputs, inputs).
    input_shape : list of int
        What the file says of the shape of its input, if it does.
    """

    layers: list[LayerMessage] = field(default_factory=list)
    blobs: dict[str, list[np.ndarray]] = field(default_factory=dict)
    input_shape: list[int] = field(default_factory=list)


def read_options(reader: FieldReader, message: memoryview) -> Options:
    """The numbers in an options message, by field."""
    options: Options = {}
    for number, kind, value in reader.fields(message):
        found: list = []
        if kind == VARINT:
            found = [value]
        elif kind == FIXED32:
            found = [float(np.frombuffer(value, "<f4")[0])]
        elif kind == BYTES and len(value) <= _MAX_PACKED:
            try:
                found = varints(value, MAX_OPTIONS)
            except WeightsError:  # a message, or text
                continue
        if number < MAX_OPTIONS:
            known = options.setdefault(number, [])
            known += found[: MAX_OPTIONS - len(known)]
    return options


def describe_layers(messages: list[LayerMessage]) -> tuple[FileLayer, ...]:
    """Describe what the layers compute, as far as the file says.

    A convolution cannot be without options: where one is, the file was made by something else than
    Caffe. Nothing follows from options that are missing then, nor from the order of the layers.
    """
    complete = has_options(messages)
    described = LayerList()
    for message in messages:
        if message.kind in SOURCES:
            _add_input(described, message)
            described.skip([], message.tops)
        elif message.kind in HANDED_ON:
            described.skip(message.bottoms, message.tops)
        elif message.kind not in MEASURES:
            kind, constants = _describe(message, complete)
            described.add(
                message.name,
                kind,
                # a loss reads labels too
                message.bottoms[:1] if kind == "softmax" else message.bottoms,
                message.tops or [message.name],
                constants,
                message.kernel,
            )
    complete = complete and any(message.bottoms for message in messages)
    return tuple(layer if complete else replace(layer, inputs=None) for layer in described.layers)


def has_options(messages: list[LayerMessage]) -> bool:
    """Tell whether a file has the options of its layers: all convolutions do."""
    convolutions = [message for message in messages if message.kind == "Convolution"]
    return all("convolution" in message.options for message in convolutions or [messages[0]])


def _describe(message: LayerMessage, complete: bool) -> Described:
    if message.kind not in _KINDS:
        return message.kind, {}
    option, read, kind = _KINDS[message.kind]
    if option in message.options or complete:
        return read(message.options.get(option, {}))
    return kind, {}


def _add_input(described: LayerList, message: LayerMessage) -> None:
    """Note what a data layer does to the pictures, if it says so."""
    transform = message.options.get("transform", {})
    data = message.options.get("data", {})  # where it stood until 2014
    constants: dict[str, object] = {}
    scale = one(transform, 1, one(data, 2, 1.0))
    if scale != 1.0:
        constants["scale"] = scale
    crop = one(transform, 3, one(data, 5, 0))
    if crop:
        constants["crop"] = crop
    if transform.get(5):
        constants["mean"] = tuple(transform[5])
    if one(transform, 7, 0):
        constants["grey"] = True
    if constants:
        described.layers.append(FileLayer(message.name, "input", None, constants))


def one(options: Options, number: int, default):
    found = options.get(number) or [default]
    return found[-1]


def lengths(options: Options, both: int, height: int, width: int, default: int) -> tuple[int, int]:
    """A length for both axes, given once, twice, or an axis at a time."""
    if options.get(height) or options.get(width):
        return one(options, height, default), one(options, width, default)
    given = options.get(both) or [default]
    return (given[0], given[-1])


def _conv(own: Options) -> Described:
    vertical, horizontal = lengths(own, 3, 9, 10, 0)
    dilation = own.get(18) or [1]
    return "conv", {
        "stride": lengths(own, 6, 13, 14, 1),
        "pads": (vertical, horizontal) * 2,
        "dilation": (dilation[0], dilation[-1]),
        "groups": one(own, 5, 1),
    }


def _pool(own: Options) -> Described:
    method = one(own, 1, 0)
    kind = {0: "max_pool", 1: "average_pool"}.get(method, "stochastic pooling")
    vertical, horizontal = lengths(own, 4, 9, 10, 0)
    constants: dict[str, object] = {"pads": (vertical, horizontal) * 2}
    if not one(own, 12, 0):  # global pooling has no window
        constants["size"] = lengths(own, 2, 5, 6, 0)
        constants["stride"] = lengths(own, 3, 7, 8, 1)
        constants["ceil_mode"] = not one(own, 13, 0)  # round_mode
    elif kind == "max_pool":
        kind = "global max pooling"
    return kind, constants


def _lrn(own: Options) -> Described:
    if one(own, 4, 0):
        return "normalisation within channels", {}
    return "lrn", {
        "size": one(own, 1, 5),
        "alpha": one(own, 2, 1.0),
        "beta": one(own, 3, 0.75),
        "k": one(own, 5, 1.0),
    }


def _relu(own: Options) -> Described:
    if one(own, 1, 0.0):
        return "leaky relu", {}
    return "relu", {"max_value": math.inf}


def _eltwise(own: Options) -> Described:
    plain = one(own, 1, 1) == 1 and all(number == 1 for number in own.get(2, []))
    return ("add" if plain else "Eltwise"), {}


def _concat(own: Options) -> Described:
    axis = one(own, 2, one(own, 1, 1))
    return ("concat" if axis == 1 else "Concat of another axis"), {}


def _nothing_stated(kind: str) -> Callable[[Options], Described]:
    return lambda own: (kind, {})


# By type: the name of the options, what they say, and the kind of layer without any.
_KINDS: dict[str, tuple[str, Callable[[Options], Described], str]] = {
    "Convolution": ("convolution", _conv, "conv"),
    "InnerProduct": ("inner_product", _nothing_stated("dense"), "dense"),
    "Pooling": ("pooling", _pool, "pool"),
    "LRN": ("lrn", _lrn, "lrn"),
    "ReLU": ("relu", _relu, "relu"),
    "Eltwise": ("eltwise", _eltwise, "add"),
    "Concat": ("concat", _concat, "concat"),
    "Softmax": ("softmax", _nothing_stated("softmax"), "softmax"),
    "SoftmaxWithLoss": ("softmax", _nothing_stated("softmax"), "softmax"),
}
