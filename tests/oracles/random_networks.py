"""Networks nobody trained: random parameters for any architecture, and random architectures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.layers import (
    ELU,
    GELU,
    LRN,
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Identity,
    Layer,
    LeakyReLU,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    Shape,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)


def he_parameters(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal kernels scaled as He et al. 2015 do, so that values keep their size on the way."""
    rng = np.random.default_rng(seed)
    parameters = {}
    for name, shape in architecture.parameter_shapes().items():
        values = rng.standard_normal(shape, dtype=np.float32)
        if name.endswith(".kernel"):
            values *= np.float32(math.sqrt(2 / math.prod(shape[:-1])))
        if name.endswith(".variance"):
            values = np.abs(values) + np.float32(0.5)
        parameters[name] = values
    return parameters


def random_images(architecture: Architecture, n: int, seed: int = 0) -> np.ndarray:
    """Noise of the network's input size, uint8."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *architecture.input_shape), dtype=np.uint8)


def errors(
    architecture: Architecture,
    actual: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    *,
    random: bool = False,
) -> dict[str, float]:
    """The largest error of each layer, as a share of the layer's largest value.

    In a small random network a layer may pass on a tiny rest of what it reads: a sum that
    cancels, or the ReLU of values that are nearly all negative. With `random` the share is one
    of the largest value on the way from the image, which all layers have to be in `expected` for.
    """
    shares = {}
    for name, values in actual.items():
        assert values.shape == expected[name].shape, name
        steps = architecture.ancestors([name]) if random else [architecture[name]]
        scale = max(np.abs(expected[step.name]).max(initial=0) for step in steps)
        difference = np.abs(values - expected[name]).max(initial=0)
        shares[name] = float(difference / scale) if scale else float(difference)
    return shares


def assert_close(architecture, actual, expected, tolerance: float, *, random=False) -> None:
    """Fail with the names of the layers that are off, the first one first."""
    off = {
        name: share
        for name, share in errors(architecture, actual, expected, random=random).items()
        if not share <= tolerance  # not a number is off, too
    }
    assert not off, f"more than {tolerance} off, of the largest value: {off}"


class NetworkBuilder:
    """Draws layers one by one and keeps the shape of everything drawn so far."""

    def __init__(self, draw: Callable, input_shape: Shape):
        self.draw = draw
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {INPUT: input_shape}

    def add(self, kind: type[Layer], *inputs: str, **options) -> str:
        layer = kind(f"{kind.__name__.lower()}{len(self.layers)}", inputs, **options)
        self.shapes[layer.name] = layer.output_shape(*(self.shapes[name] for name in inputs))
        self.layers.append(layer)
        return layer.name

    def chance(self) -> bool:
        return self.draw(st.booleans())

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    # Each of these adds something that reads x, and returns the name of its output

    def conv(self, x: str, *, filters: int | None = None, keep_size: bool = False) -> str:
        h, w, c = self.shapes[x]
        side = min(h, w)
        if keep_size:
            kernel_size, stride = self.pick(1, 2, 3, 5), 1
            odd = [(kernel_size - 1) // 2] if kernel_size % 2 else []
            padding = self.pick("same", *odd)
        else:
            kernel_size, stride = self.pick(1, 2, 3, 4, 5), self.pick(1, 1, 2, 3)
            fitting = [p for p in (0, 1, 2) if side + 2 * p >= kernel_size]
            padding = self.pick("same", *fitting)
        choices = [g for g in range(1, c + 1) if c % g == 0 and (filters or g) % g == 0]
        groups = self.pick(1, *choices)
        if filters is None:
            filters = groups * self.pick(1, 1, 2, 3)
        return self.add(
            Conv,
            x,
            filters=filters,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            groups=groups,
            double_precision=self.chance(),
        )

    def depthwise(self, x: str) -> str:
        c = self.shapes[x][-1]
        return self.add(
            Conv,
            x,
            filters=c,
            kernel_size=self.pick(1, 2, 3, 5),
            stride=self.pick(1, 2),
            padding="same",
            groups=c,
            double_precision=self.chance(),
        )

    def relu(self, x: str) -> str:
        return self.add(ReLU, x, max_value=self.pick(math.inf, 6.0, 60.0))

    def maybe_relu(self, x: str) -> str:
        return self.relu(x) if self.chance() else x

    def pool(self, x: str) -> str:
        size = self.pick(*range(1, min(4, *self.shapes[x][:2]) + 1))
        return self.add(MaxPool, x, size=size, stride=self.pick(1, 2, 3), ceil_mode=self.chance())

    def odd_conv(self, x: str) -> str:
        """A convolution with sides that differ: of kernel, stride, dilation and border."""
        h, w, c = self.shapes[x]
        size = tuple(self.pick(*range(1, min(3, side) + 1)) for side in (h, w))
        dilation = tuple(
            self.pick(*(d for d in (1, 2, 3) if d * (k - 1) < side))
            for k, side in zip(size, (h, w))
        )
        border, filters = st.tuples(st.integers(0, 2), st.integers(0, 2)), self.pick(c, 3)
        return self.add(
            Conv,
            x,
            filters=filters,
            kernel_size=size,
            stride=(self.pick(1, 1, 2), self.pick(1, 1, 2)),
            padding=self.draw(st.one_of(st.just("same"), st.tuples(border, border))),
            groups=self.pick(1, c) if filters == c else 1,
            dilation=dilation,
        )

    def padded_pool(self, x: str) -> str:
        """A pooling with a border that is smaller than its windows."""
        size = self.pick(*range(1, min(3, *self.shapes[x][:2]) + 1))
        options = {
            "size": size,
            "stride": self.pick(1, 2, (2, 1)),
            "padding": self.pick(*range(size)),
            "ceil_mode": self.chance(),
        }
        if self.chance():
            return self.add(MaxPool, x, **options)
        return self.add(AveragePool, x, count_padding=self.chance(), **options)

    def pointwise(self, x: str) -> str:
        """An activation, a normalisation with fixed statistics, or nothing."""
        kind, options = self.pick(
            (LeakyReLU, {"slope": 0.25}),
            (PReLU, {}),
            (ELU, {}),
            (Sigmoid, {}),
            (Tanh, {}),
            (SiLU, {}),
            (HardSigmoid, {}),
            (HardSwish, {}),
            (GELU, {}),
            (GELU, {"approximate": True}),
            (BatchNorm, {}),
            (Scale, {}),
            (Scale, {"has_shift": False}),
            (Identity, {}),
        )
        return self.add(kind, x, **options)

    def channels(self, x: str) -> str:
        """Some of the channels, or all in another order."""
        c = self.shapes[x][-1]
        if c % 2 == 0 and self.chance():
            return self.add(ChannelShuffle, x, groups=2)
        start = self.pick(0, c // 2) if c > 1 else 0
        return self.add(ChannelSlice, x, start=start, stop=c, step=self.pick(1, 1, 2))

    def multiply(self, x: str) -> str:
        """Factors for all values, for each position or, as squeeze-and-excitation, each channel."""
        c = self.shapes[x][-1]
        kind = self.pick("values", "positions", "channels")
        if kind == "channels":
            factors = self.add(Dense, self.add(GlobalAveragePool, x), units=3)
            factors = self.add(Dense, self.add(SiLU, factors), units=c)
        else:
            factors = self.add(Conv, x, filters=c if kind == "values" else 1)
        return self.add(Multiply, x, self.add(Sigmoid, factors))

    def lrn(self, x: str) -> str:
        return self.add(
            LRN,
            x,
            size=self.pick(1, 3, 5, 7),
            alpha=self.pick(1e-4, 0.02),
            beta=self.pick(0.75, 0.5),
            k=self.pick(1.0, 2.0),
        )

    def earlier(self, fits: Callable[[Shape], bool]) -> list[str]:
        """What was drawn so far, the image aside, and has a fitting shape."""
        return [layer.name for layer in self.layers if fits(self.shapes[layer.name])]

    def any_map(self, x: str) -> str:
        """x, or now and then any earlier map: there the network branches."""
        maps = self.earlier(lambda shape: len(shape) == 3 and min(shape[:2]) > 1)
        return self.draw(st.sampled_from(maps)) if maps and self.pick(0, 0, 0, 1) else x

    def rejoin(self, x: str) -> str:
        """x and an earlier map of its shape added, or one of its size beside it."""
        shape = self.shapes[x]
        if self.chance():
            other = self.pick(*self.earlier(lambda found: found == shape))
            return self.maybe_relu(self.add(Add, *self.shuffled(x, other)))
        other = self.pick(*self.earlier(lambda found: found[:-1] == shape[:-1]))
        return self.add(Concat, *self.shuffled(x, other))

    def shuffled(self, *names: str) -> tuple[str, ...]:
        return names if self.chance() else names[::-1]

    def strided_residual(
        self, x: str, *, filters: int | None = None, double: bool | None = None
    ) -> str:
        """A branch of two convolutions, and one that makes x fit, computed first or last."""
        c = self.shapes[x][-1]
        stride, filters = self.pick(1, 2, 2, 3), filters or self.pick(1, c, 2 * c)
        odd = [k for k in (1, 3, 5) if k <= min(self.shapes[x][:2])]

        def conv(source: str, stride: int) -> str:
            k = self.pick(*odd)
            return self.add(
                Conv,
                source,
                filters=filters,
                kernel_size=k,
                stride=stride,
                padding=k // 2,
                double_precision=self.pick(0, 0, 1) == 1 if double is None else double,
            )

        def branch() -> str:
            first = self.maybe_relu(conv(x, stride))
            return conv(first, 1) if self.pick(0, 1, 1) else first

        def projection() -> str:
            if filters == c and self.pick(0, 0, 1):
                return self.add(MaxPool, x, size=1, stride=stride, ceil_mode=False)
            return conv(x, stride)

        if self.pick(0, 1, 1):
            pair = branch(), projection()
        else:
            pair = projection(), branch()
        return self.maybe_relu(self.add(Add, *self.shuffled(*pair)))

    def residual(self, x: str) -> str:
        """A branch, and x or another branch added to it, in either order."""
        c = self.shapes[x][-1]
        first = self.maybe_relu(self.conv(x, keep_size=True))
        branch = self.conv(first, filters=c, keep_size=True)
        other = self.pick(x, "branch", "relu", "itself")
        if other == "branch":
            other = self.conv(x, filters=c, keep_size=True)
        elif other == "relu":
            other = self.relu(x)
        elif other == "itself":
            other = branch
        pair = (branch, other) if self.chance() else (other, branch)
        return self.maybe_relu(self.add(Add, *pair))

    def concat(self, x: str, depth: int = 0) -> str:
        """Two to four maps of x's size side by side; one may be there twice, one may be x."""
        members = []
        for _ in range(self.pick(2, 3)):
            kind = self.pick("conv", "conv", "relu", "pool", "x", "twice", "concat")
            if kind == "concat" and depth < 2:
                members.append(self.concat(x, depth + 1))
            elif kind == "twice" and members:
                members.append(members[-1])
            elif kind == "x":
                members.append(x)
            elif kind == "pool":
                members.append(self.add(MaxPool, x, size=1, stride=1))
            elif kind == "relu":
                members.append(self.relu(self.conv(x, keep_size=True)))
            else:
                members.append(self.conv(x, keep_size=True))
        return self.add(Concat, *members)


def outputs_of(architecture: Architecture) -> st.SearchStrategy[list[str]]:
    """Layers to ask for: the last, all ends of branches, a few, or all."""
    names = architecture.layer_names
    read = {name for layer in architecture.layers for name in architecture.inputs(layer.name)}
    ends = [name for name in names if name not in read]
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    return st.one_of(st.just([names[-1]]), st.just(ends), some, st.just(list(names)))


@st.composite
def preprocessings(draw) -> Preprocessing:
    """Any shape, channel order, mean, deviation and orientation, for small inputs.

    Preprocessed values are small: a sigmoid of large ones would make much of their rounding.
    """
    h = draw(st.integers(5, 17))
    wider = draw(st.sampled_from([0, 0, 3, -3, 8]).filter(lambda n: h + n > 3))
    value, deviation = st.floats(1, 200, width=16), st.floats(40, 200, width=16)
    return Preprocessing(
        crop=(h, h + wider) if wider else h,
        channel_order=draw(st.sampled_from(["rgb", "bgr"])),
        mean=draw(st.tuples(value, value, value)),
        std=draw(st.tuples(deviation, deviation, deviation)),
        flip_vertical=draw(st.booleans()),
    )


@st.composite
def architectures(draw, max_blocks: int = 5) -> Architecture:
    """Small networks that begin with one convolution and go on with anything, in branches."""
    preprocessing = draw(preprocessings())
    empty = Architecture("random", (), preprocessing, {})
    builder = NetworkBuilder(draw, empty.input_shape)
    x = builder.pick(builder.conv, builder.depthwise)(INPUT)
    x = builder.maybe_relu(x)
    blocks = (
        builder.conv,
        builder.depthwise,
        builder.relu,
        builder.pool,
        builder.lrn,
        builder.residual,
        builder.strided_residual,
        builder.rejoin,
        builder.concat,
        builder.odd_conv,
        builder.padded_pool,
        builder.pointwise,
        builder.channels,
        builder.multiply,
    )
    for _ in range(draw(st.integers(0, max_blocks))):
        x = builder.maybe_relu(builder.pick(*blocks)(builder.any_map(x)))
    ending = builder.pick("map", "average", "maximum", "both", "flat")
    if ending == "average":
        x = builder.add(GlobalAveragePool, x)
    elif ending == "maximum":
        x = builder.add(GlobalMaxPool, x)
    elif ending == "both":
        pair = builder.add(GlobalAveragePool, x), builder.add(GlobalMaxPool, x)
        x = builder.add(Concat, *pair) if builder.chance() else builder.add(Add, *pair)
    if ending != "map":
        for _ in range(builder.pick(0, 1, 2)):
            x = builder.maybe_relu(builder.add(Dense, x, units=builder.pick(1, 3, 8)))
        if len(builder.shapes[x]) == 1 and builder.chance():
            x = builder.add(Softmax, x)
    return replace(empty, layers=tuple(builder.layers))
