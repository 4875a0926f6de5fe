"""From the layers of a DeCAF pickle of 2013 to a network."""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT
from ..formats import Contents
from ..formats._contents import NETWORK_INPUT, FileLayer
from ..formats._messages import describe
from ..layers import LRN, AveragePool, GlobalAveragePool, MaxPool, ReLU, Softmax
from .names import clean
from .network import Network, choose_sides, one_or_two, padding

DEFAULT_SIDE = 227


class CudaConvnetTranslator:
    """Goes through the layers of a pickle in order, and makes layers of them.

    Parameters
    ----------
    contents : Contents
    sides : (int, int) or None
        Height and width of the input, where the file does not say.

    Attributes
    ----------
    network : Network
    output : str
        The last layer.
    notes : list of str
    """

    def __init__(self, contents: Contents, sides: tuple[int, int] | None = None):
        self.notes: list[str] = []
        stated = contents.metadata.get("side")
        own = (int(stated), int(stated)) if stated else None
        self.network = Network(choose_sides(own, sides, DEFAULT_SIDE, self.notes))
        self._tensors = contents.tensors
        self._of = {NETWORK_INPUT: INPUT}
        for i, layer in enumerate(contents.layers):
            try:
                self._of[i] = self._translate(layer)
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise WeightsError(f"layer {describe(layer.name)}: {error}") from error
        self.output = self._of[len(contents.layers) - 1]

    def _translate(self, layer: FileLayer) -> str:
        source, *others = (self._of[i] for i in layer.inputs or (NETWORK_INPUT,))
        name, constants, net = clean(layer.name) or layer.kind, layer.constants, self.network
        if others:
            raise WeightsError("it reads several layers")
        if layer.kind in ("conv", "dense"):
            kernel = self._tensors[layer.kernel]
            bias = self._tensors[layer.kernel.removesuffix("weights") + "biases"]
            return getattr(self, f"_{layer.kind}")(name, source, kernel, bias, constants)
        if layer.kind in ("max_pool", "average_pool"):
            return self._pool(layer, name, source)
        if layer.kind == "lrn":
            options = {"size": 5, "alpha": 1e-4, "beta": 0.75, **constants}
            return net.add(LRN, name, source, **options)
        if layer.kind == "relu":
            return net.add(ReLU, name, source, **constants)
        if layer.kind == "softmax":
            return net.add(Softmax, name, source)
        raise WeightsError(f"there is no layer of kind {describe(layer.kind)}")

    def _conv(self, name, source, kernel, bias, constants) -> str:
        return self.network.conv(
            name,
            source,
            kernel.transpose(1, 2, 0, 3),  # from (c / groups, kh, kw, filters)
            bias,
            stride=one_or_two(constants.get("stride", (1, 1))),
            padding=padding(constants.get("pads", (0,) * 4)),
            groups=constants.get("groups", 1),
        )

    def _dense(self, name, source, kernel, bias, constants) -> str:
        h, w, c = self.network.shape(source)
        if kernel.ndim != 2 or len(kernel) != h * w * c:
            raise WeightsError(f"weights of shape {kernel.shape} for maps of {h} x {w} x {c}")
        # inputs from (c, h, w) to (h, w, c)
        kernel = kernel.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(h * w * c, -1)
        return self.network.dense(name, source, kernel, bias)

    def _pool(self, layer: FileLayer, name: str, source: str) -> str:
        constants, net = layer.constants, self.network
        kind = MaxPool if layer.kind == "max_pool" else AveragePool
        size = constants.get("size", (3, 3))
        if kind is AveragePool and size == net.shape(source)[:2]:
            return net.add(GlobalAveragePool, name, source)
        options = {
            "size": one_or_two(size),
            "stride": one_or_two(constants.get("stride", (1, 1))),
            "padding": padding(constants.get("pads", (0,) * 4)),
        }
        # the file says how many windows there are, and so whether the last one may stick out
        output = constants.get("output")
        for ceil_mode in (True, False):
            pool = kind(name, (), ceil_mode=ceil_mode, **options)
            if output is None or pool.output_shape(net.shape(source))[:2] == tuple(output):
                return net.add(kind, name, source, ceil_mode=ceil_mode, **options)
        raise WeightsError(f"{np.array(output).tolist()} windows, which its lengths do not give")
