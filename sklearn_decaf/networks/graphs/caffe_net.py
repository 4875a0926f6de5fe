"""From the layers of a caffemodel to a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT, Preprocessing
from ..formats._caffe_layers import (
    HANDED_ON,
    MEASURES,
    SOURCES,
    CaffeNet,
    LayerMessage,
    lengths,
    one,
)
from ..formats._messages import describe
from ..layers import (
    ELU,
    Add,
    AveragePool,
    BatchNorm,
    ChannelSlice,
    Concat,
    GlobalAveragePool,
    GlobalMaxPool,
    LeakyReLU,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    Sigmoid,
    Softmax,
    Tanh,
)
from .names import clean
from .network import Network, as_written, choose_sides, local_normalisation, one_or_two

DEFAULT_SIDE = 224
#: What Caffe's networks want to see.
CAFFE = Preprocessing(channel_order="bgr", mean=(104.007, 116.669, 122.679))
ASSUMED = (
    "the file does not say what its pictures are: BGR from 0 to 255, less ImageNet's mean, is "
    "assumed (preprocessing= says otherwise)"
)


class CaffeTranslator:
    """Goes through the layers of a file in order, and makes layers of them.

    Parameters
    ----------
    net : CaffeNet
    sides : (int, int) or None
        Height and width of the input, where the file does not say.

    Attributes
    ----------
    network : Network
    output : str
        The last layer.
    notes : list of str
    preprocessing : Preprocessing or None
        What the file says of it.
    """

    def __init__(self, net: CaffeNet, sides: tuple[int, int] | None = None):
        self.notes: list[str] = []
        self.preprocessing: Preprocessing | None = None
        self._net = net
        self.network = Network(self._find_sides(sides))
        self._of: dict[str, str] = {}  # layers by the blobs that they wrote last
        self.output = INPUT
        for message in net.layers:
            try:
                self._translate(message)
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise WeightsError(
                    f"layer {describe(message.name)} of type {describe(message.kind)}: {error}"
                ) from error
        if not self.network.parameters:
            raise WeightsError("the file describes no layers with parameters")

    def _find_sides(self, sides: tuple[int, int] | None) -> tuple[int, int]:
        shape, own = self._net.input_shape[-3:], None
        for message in self._net.layers:
            if message.kind in SOURCES:
                data = message.options.get("data", {})
                crop = one(message.options.get("transform", {}), 3, one(data, 5, 0))
                own = own or ((crop, crop) if crop else None)
        if len(shape) == 3:
            if shape[0] != 3:
                raise WeightsError(
                    f"its input has {shape[0]} channels; pictures of three are expected"
                )
            own = shape[1], shape[2]
        return choose_sides(own, sides, DEFAULT_SIDE, self.notes)

    def _translate(self, message: LayerMessage) -> None:
        tops = message.tops or [message.name]
        if message.kind in SOURCES:
            self._read_preprocessing(message)
            self._of[tops[0]] = INPUT
        elif message.kind in MEASURES:
            pass
        elif message.kind in HANDED_ON or message.kind == "Reshape":
            source = self._sources(message)[0]
            if message.kind == "Reshape" and message.options.get("reshape", {}).get(1) is None:
                source = self._of_vector(source)
            self._of.update(dict.fromkeys(tops, source))
        elif message.kind == "Slice":
            self._of.update(zip(tops, self._slices(message, len(tops))))
        else:
            translate = _KINDS.get(message.kind)
            if translate is None:
                raise WeightsError("there is no layer for this type")
            name = clean(message.name) or message.kind
            self.output = translate(self, message, name, self._sources(message))
            self._of[tops[0]] = self.output

    def _of_vector(self, source: str) -> str:
        if self.network.shape(source)[:2] != (1, 1):
            raise WeightsError("it reshapes maps")
        return source

    def _sources(self, message: LayerMessage) -> list[str]:
        """The layers that a layer reads; losses read labels too."""
        bottoms = message.bottoms[:1] if "Loss" in message.kind else message.bottoms
        if not bottoms:
            raise WeightsError("it reads nothing")
        if not self._of:  # nothing was said of the input
            self._of[bottoms[0]] = INPUT
        missing = [blob for blob in bottoms if blob not in self._of]
        if missing:
            raise WeightsError(f"it reads {describe(missing[0])}, which no layer before it writes")
        return [self._of[blob] for blob in bottoms]

    def _read_preprocessing(self, message: LayerMessage) -> None:
        transform = message.options.get("transform", {})
        scale = one(transform, 1, one(message.options.get("data", {}), 2, 1.0))
        mean = tuple(map(float, transform.get(5) or ()))
        if one(transform, 7, 0) or len(mean) not in (0, 1, 3):
            raise WeightsError("it wants pictures that are grey, or of other channels")
        if not (isinstance(scale, float) and 1e-6 < scale < 1e6 and all(map(math.isfinite, mean))):
            raise WeightsError(f"it scales pictures by {scale}")
        if mean:
            blue, green, red = mean * 3 if len(mean) == 1 else mean
            self.preprocessing = replace(CAFFE, mean=(blue, green, red), std=(1 / scale,) * 3)
        elif scale != 1:
            self.preprocessing = replace(CAFFE, std=(1 / scale,) * 3)

    def blobs(self, message: LayerMessage, *, least: int = 1) -> list[np.ndarray]:
        """The parameters of a layer."""
        found = self._net.blobs.get(message.name, [])
        if len(found) < least:
            raise WeightsError(f"it has {len(found)} blobs of numbers, where {least} are expected")
        return found

    def _slices(self, message: LayerMessage, n: int) -> list[str]:
        own = message.options.get("slice", {})
        (source,) = self._sources(message)
        channels = self.network.shape(source)[-1]
        if one(own, 3, one(own, 1, 1)) != 1:
            raise WeightsError("it slices another axis than that of the channels")
        points = own.get(2) or [channels * i // n for i in range(1, n)]
        edges = [0, *points, channels]
        return [
            self.network.add(ChannelSlice, f"{clean(message.name)}.{i}", source, start=a, stop=b)
            for i, (a, b) in enumerate(pairwise(edges))
        ]


Translate = Callable[[CaffeTranslator, LayerMessage, str, list[str]], str]


def _conv(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    own = message.options.get("convolution", {})
    kernel, *rest = t.blobs(message)
    if kernel.ndim < 4:  # files of 2014 leave out axes of one in front
        kernel = kernel.reshape((1,) * (4 - kernel.ndim) + kernel.shape)
    if kernel.ndim != 4 or one(own, 16, 1) != 1:
        raise WeightsError(f"a kernel of {kernel.ndim} axes: only convolutions of maps are known")
    pads, dilation = lengths(own, 3, 9, 10, 0), own.get(18) or [1]
    return t.network.conv(
        name,
        sources[0],
        kernel.transpose(2, 3, 1, 0),
        rest[0].reshape(-1) if rest else None,
        stride=one_or_two(lengths(own, 6, 13, 14, 1)),
        padding=one_or_two(pads),
        dilation=one_or_two((dilation[0], dilation[-1])),
        groups=one(own, 5, 1),
    )


def _dense(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    if one(message.options.get("inner_product", {}), 5, 1) != 1:
        raise WeightsError("it works along another axis")
    kernel, *rest = t.blobs(message)
    kernel = kernel.reshape(-1, kernel.shape[-1]) if kernel.ndim != 1 else kernel[np.newaxis]
    h, w, c = t.network.shape(sources[0])
    if kernel.shape[1] != h * w * c or not len(kernel):
        raise WeightsError(f"weights of shape {kernel.shape} for maps of {h} x {w} x {c}")
    # inputs from (c, h, w) to (h, w, c)
    kernel = kernel.reshape(-1, c, h, w).transpose(2, 3, 1, 0).reshape(h * w * c, -1)
    return t.network.dense(name, sources[0], kernel, rest[0].reshape(-1) if rest else None)


def _pool(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    own, (source,) = message.options.get("pooling", {}), sources[:1]
    method = one(own, 1, 0)
    if method not in (0, 1):
        raise WeightsError("pooling at random")
    size, pads = lengths(own, 2, 5, 6, 0), lengths(own, 4, 9, 10, 0)
    everything = one(own, 12, 0) or (size == t.network.shape(source)[:2] and not any(pads))
    if len(t.network.shapes[source]) == 1 and everything:
        return source
    if everything:
        return t.network.add(GlobalAveragePool if method else GlobalMaxPool, name, source)
    options = {
        "size": one_or_two(size),
        "stride": one_or_two(lengths(own, 3, 7, 8, 1)),
        "padding": one_or_two(pads),
        "ceil_mode": not one(own, 13, 0),
    }
    if method == 1:
        return t.network.add(AveragePool, name, source, count_padding=True, **options)
    return t.network.add(MaxPool, name, source, **options)


def _lrn(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    own = message.options.get("lrn", {})
    if one(own, 4, 0):
        raise WeightsError("it normalises within channels; across channels is known")
    k, alpha, beta = _number(own, 5, 1.0), _number(own, 2, 1.0), _number(own, 3, 0.75)
    size = one(own, 1, 5)
    return local_normalisation(t.network, name, sources[0], size=size, alpha=alpha, beta=beta, k=k)


def _number(own, field: int, default: float) -> float:
    """A float32 option, as it was written in decimals."""
    found = one(own, field, default)
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise WeightsError("an option that is no number")
    return as_written(found)


def _relu(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    slope = _number(message.options.get("relu", {}), 1, 0.0)
    if slope:
        return t.network.add(LeakyReLU, name, sources[0], slope=slope)
    return t.network.add(ReLU, name, sources[0])


def _prelu(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    channels = t.network.shape(sources[0])[-1]
    slope = t.blobs(message)[0].reshape(-1)
    slope = np.broadcast_to(slope, (channels,)) if len(slope) == 1 else slope
    return t.network.add(PReLU, name, sources[0], parameters={"slope": slope})


def _elu(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    alpha = _number(message.options.get("elu", {}), 1, 1.0)
    return t.network.add(ELU, name, sources[0], alpha=alpha)


def _batch_norm(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    mean, variance, *rest = (blob.reshape(-1) for blob in t.blobs(message, least=2))
    factor = float(rest[0][0]) if rest and len(rest[0]) else 1.0
    factor = 1 / factor if factor else 0.0  # both are sums over the pictures seen
    mean, variance = mean * np.float64(factor), variance * np.float64(factor)
    epsilon = _number(message.options.get("batch_norm", {}), 3, 1e-5)
    if not np.all(variance + epsilon > 0):
        raise WeightsError("its variances and epsilon are not positive")
    parameters = {"scale": np.ones(len(mean)), "shift": np.zeros(len(mean))}
    parameters |= {"mean": mean, "variance": variance}
    return t.network.add(BatchNorm, name, sources[0], parameters=parameters, epsilon=epsilon)


def _scale(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    if len(sources) == 2:  # factors that were computed
        return t.network.add(Multiply, name, *sources)
    if one(message.options.get("scale", {}), 1, 1) != 1:
        raise WeightsError("it scales another axis than that of the channels")
    scale, *shift = (blob.reshape(-1) for blob in t.blobs(message))
    parameters = {"scale": scale} | ({"shift": shift[0]} if shift else {})
    return t.network.add(Scale, name, sources[0], parameters=parameters, has_shift=bool(shift))


def _bias(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    shift = t.blobs(message)[0].reshape(-1)
    parameters = {"scale": np.ones(len(shift)), "shift": shift}
    return t.network.add(Scale, name, sources[0], parameters=parameters)


def _power(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    own = message.options.get("power", {})
    if _number(own, 1, 1.0) != 1:
        raise WeightsError("a power; scales and shifts are known")
    n = t.network.shape(sources[0])[-1]
    parameters = {"scale": np.full(n, _number(own, 2, 1.0))}
    parameters |= {"shift": np.full(n, _number(own, 3, 0.0))}
    return t.network.add(Scale, name, sources[0], parameters=parameters)


def _eltwise(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    own = message.options.get("eltwise", {})
    operation = one(own, 1, 1)
    if operation not in (0, 1) or any(number != 1 for number in own.get(2, [])):
        raise WeightsError("neither a plain sum nor a product")
    found, *rest = sources
    for source in rest:
        found = t.network.add(Add if operation else Multiply, name, found, source)
    return found


def _concat(t: CaffeTranslator, message: LayerMessage, name: str, sources: list[str]) -> str:
    own = message.options.get("concat", {})
    if one(own, 2, one(own, 1, 1)) != 1:
        raise WeightsError("it joins another axis than that of the channels")
    if len(sources) == 1:
        return sources[0]
    return t.network.add(Concat, name, *sources)


def _plain(kind) -> Translate:
    return lambda t, message, name, sources: t.network.add(kind, name, sources[0])


_KINDS: dict[str, Translate] = {
    "Convolution": _conv,
    "InnerProduct": _dense,
    "Pooling": _pool,
    "LRN": _lrn,
    "ReLU": _relu,
    "PReLU": _prelu,
    "ELU": _elu,
    "Sigmoid": _plain(Sigmoid),
    "TanH": _plain(Tanh),
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Bias": _bias,
    "Power": _power,
    "Eltwise": _eltwise,
    "Concat": _concat,
    "Softmax": _plain(Softmax),
    "SoftmaxWithLoss": _plain(Softmax),
}
