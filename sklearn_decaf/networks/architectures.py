"""The networks this package knows, written as data.

To add one: write its layers and preprocessing as a function like those below, list it in
`_BUILDERS`, and teach :mod:`sklearn_decaf.networks.weights` where its weights come from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from .architecture import Architecture, Preprocessing
from .layers import LRN, Add, Concat, Conv, Dense, GlobalAveragePool, Layer, MaxPool, ReLU, Softmax

# Mean of the ILSVRC-2012 training images, a channel: what Caffe calls the mean pixel.
_MEAN_BLUE, _MEAN_GREEN, _MEAN_RED = 104.00698793, 116.66876762, 122.67891434
_CAFFE = Preprocessing(crop=227, channel_order="bgr", mean=(_MEAN_BLUE, _MEAN_GREEN, _MEAN_RED))
_DECAF = Preprocessing(
    crop=227,
    channel_order="rgb",
    mean=(_MEAN_RED, _MEAN_GREEN, _MEAN_BLUE),
    flip_vertical=True,
)
_ALEXNET_NUMBERS = {5: "pool5", 6: "relu6", 7: "relu7", 8: "fc8"}
_ALEXNET_DROPOUT = frozenset({"fc6", "relu6", "fc7", "relu7"})


def _fully_connected() -> tuple[Layer, ...]:
    """Layers 6 to 8, the same in the whole AlexNet family."""
    return (
        Dense("fc6", units=4096),
        ReLU("relu6"),
        Dense("fc7", units=4096),
        ReLU("relu7"),
        Dense("fc8", units=1000),
        Softmax("prob"),
    )


def _krizhevsky(name: str, preprocessing: Preprocessing, *, lrn_first: bool, aliases=None):
    """Krizhevsky et al. 2012: two towers (groups), local response normalisation."""

    def pool_and_normalise(i: int) -> tuple[Layer, ...]:
        pair = MaxPool(f"pool{i}"), LRN(f"norm{i}")
        return pair[::-1] if lrn_first else pair

    layers = (
        Conv("conv1", filters=96, kernel_size=11, stride=4),
        ReLU("relu1"),
        *pool_and_normalise(1),
        Conv("conv2", filters=256, kernel_size=5, padding=2, groups=2),
        ReLU("relu2"),
        *pool_and_normalise(2),
        Conv("conv3", filters=384, kernel_size=3, padding=1),
        ReLU("relu3"),
        Conv("conv4", filters=384, kernel_size=3, padding=1, groups=2),
        ReLU("relu4"),
        Conv("conv5", filters=256, kernel_size=3, padding=1, groups=2),
        ReLU("relu5"),
        MaxPool("pool5"),
        *_fully_connected(),
    )
    return Architecture(
        name,
        layers,
        preprocessing,
        _ALEXNET_NUMBERS,
        pooling=None,  # pool5 is flattened, as in the paper
        dropout_layers=_ALEXNET_DROPOUT,
        aliases=aliases or {},
    )


def caffenet() -> Architecture:
    """Caffe's reference network: Krizhevsky's with pooling before normalisation."""
    return _krizhevsky("caffenet", _CAFFE, lrn_first=False)


def bvlc_alexnet() -> Architecture:
    """Caffe's replication of Krizhevsky's network, normalisation before pooling."""
    return _krizhevsky("bvlc_alexnet", _CAFFE, lrn_first=True)


def decaf() -> Architecture:
    """The DeCAF paper's own network: CaffeNet's layers, another input, and names of its own."""
    aliases = {"probs_cudanet_out": "prob", "fc8_cudanet_out": "fc8"}
    for i in range(1, 6):
        aliases[f"conv{i}_cudanet_out"] = f"conv{i}"
        aliases[f"conv{i}_neuron_cudanet_out"] = f"relu{i}"
    for i in (1, 2, 5):
        aliases[f"pool{i}_cudanet_out"] = f"pool{i}"
    for i in (1, 2):
        aliases[f"rnorm{i}_cudanet_out"] = f"norm{i}"
    for i in (6, 7):
        aliases[f"fc{i}_cudanet_out"] = f"fc{i}"
        aliases[f"fc{i}_neuron_cudanet_out"] = f"relu{i}"
        aliases[f"fc{i}dropout_cudanet_out"] = f"relu{i}"  # dropout does nothing at test time
    return _krizhevsky("decaf", _DECAF, lrn_first=False, aliases=aliases)


def alexnet() -> Architecture:
    """torchvision's AlexNet: the single tower of Krizhevsky 2014, without normalisation."""
    layers = (
        Conv("conv1", filters=64, kernel_size=11, stride=4, padding=2),
        ReLU("relu1"),
        MaxPool("pool1", ceil_mode=False),
        Conv("conv2", filters=192, kernel_size=5, padding=2),
        ReLU("relu2"),
        MaxPool("pool2", ceil_mode=False),
        Conv("conv3", filters=384, kernel_size=3, padding=1),
        ReLU("relu3"),
        Conv("conv4", filters=256, kernel_size=3, padding=1),
        ReLU("relu4"),
        Conv("conv5", filters=256, kernel_size=3, padding=1),
        ReLU("relu5"),
        MaxPool("pool5", ceil_mode=False),
        *_fully_connected(),
    )
    return Architecture(
        "alexnet",
        layers,
        Preprocessing(
            crop=224,
            mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
            std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
        ),
        _ALEXNET_NUMBERS,
        pooling=None,
        dropout_layers=_ALEXNET_DROPOUT,
    )


def squeezenet1_1() -> Architecture:
    """SqueezeNet 1.1 (Iandola et al. 2016): "fire" modules of 1x1 and 3x3 convolutions."""

    def fire(i: int, squeeze: int, expand: int) -> tuple[Layer, ...]:
        name = f"fire{i}"
        return (
            Conv(f"{name}.squeeze", filters=squeeze),
            ReLU(f"{name}.squeeze_relu"),
            Conv(f"{name}.expand1x1", filters=expand),
            ReLU(f"{name}.expand1x1_relu"),
            Conv(
                f"{name}.expand3x3",
                (f"{name}.squeeze_relu",),
                filters=expand,
                kernel_size=3,
                padding=1,
            ),
            ReLU(f"{name}.expand3x3_relu"),
            Concat(name, (f"{name}.expand1x1_relu", f"{name}.expand3x3_relu")),
        )

    layers = (
        Conv("conv1", filters=64, kernel_size=3, stride=2),
        ReLU("relu1"),
        MaxPool("pool1"),
        *fire(2, 16, 64),
        *fire(3, 16, 64),
        MaxPool("pool3"),
        *fire(4, 32, 128),
        *fire(5, 32, 128),
        MaxPool("pool5"),
        *fire(6, 48, 192),
        *fire(7, 48, 192),
        *fire(8, 64, 256),
        *fire(9, 64, 256),
        Conv("conv10", filters=1000),
        ReLU("relu10"),
        GlobalAveragePool("pool10"),
        Softmax("prob"),
    )
    return Architecture(
        "squeezenet1_1",
        layers,
        Preprocessing(crop=227, channel_order="bgr", mean=(104.006, 116.669, 122.679)),
        {5: "fire8", 6: "fire9", 7: "relu10", 8: "pool10"},
        pooling="avg+max",
        # the largest score of a class anywhere says less than its mean: with 1, 5 and 30 images
        # for each of 20 classes the mean is better by 8, 6 and 3 points
        layer_pooling={"conv10": "avg", "relu10": "avg"},
    )


# EfficientNet-Lite0's blocks: kernel size, stride, expansion, input channels, output channels.
_LITE0_BLOCKS = (
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
)


def efficientnet_lite0() -> Architecture:
    """EfficientNet-Lite0: inverted residual blocks (Tan & Le 2019), no squeeze-and-excitation.

    A module's own name is its output: ``stem``, ``block1`` to ``block16``, ``head``.

    The trained weights of the first layers, batch normalisation folded in, cancel to a high
    degree: those of one of the stem's filters add up to 658 in absolute value. In float32
    throughout, an activation of block 2 may be off by 2.4e-5 of the layer's maximum (measured on
    100 photographs). With the stem and block 1, 5 % of the arithmetic, summed in float64, no
    layer is off by more than 1.1e-5, and none of the DeCAF layers by more than 5e-6.
    """

    def block(i: int, kernel_size, stride, expansion, channels, filters) -> tuple[Layer, ...]:
        name = f"block{i}"
        before = "stem" if i == 1 else f"block{i - 1}"
        before = aliases.get(before, before)
        hidden = channels * expansion
        residual = stride == 1 and channels == filters
        double_precision = i == 1
        layers: list[Layer] = []
        if expansion != 1:
            layers += [
                Conv(f"{name}.expand.conv", filters=hidden),
                ReLU(f"{name}.expand", max_value=6.0),
            ]
        layers += [
            Conv(
                f"{name}.depthwise.conv",
                filters=hidden,
                kernel_size=kernel_size,
                stride=stride,
                padding="same",
                groups=hidden,
                double_precision=double_precision,
            ),
            ReLU(f"{name}.depthwise", max_value=6.0),
            Conv(f"{name}.project.conv", filters=filters, double_precision=double_precision),
        ]
        if residual:
            layers.append(Add(name, (f"{name}.project.conv", before)))
        return tuple(layers)

    # a block without a residual ends in its projection: the block's name leads there
    aliases = {
        f"block{i}": f"block{i}.project.conv"
        for i, (_, stride, _, channels, filters) in enumerate(_LITE0_BLOCKS, start=1)
        if stride != 1 or channels != filters
    }
    layers: list[Layer] = [
        Conv(
            "stem.conv",
            filters=32,
            kernel_size=3,
            stride=2,
            padding="same",
            double_precision=True,
        ),
        ReLU("stem", max_value=6.0),
    ]
    for i, parameters in enumerate(_LITE0_BLOCKS, start=1):
        layers += block(i, *parameters)
    layers += [
        Conv("head.conv", filters=1280),
        ReLU("head", max_value=6.0),
        GlobalAveragePool("pool"),
        Dense("fc", units=1000),
        Softmax("prob"),
    ]
    return Architecture(
        "efficientnet_lite0",
        tuple(layers),
        Preprocessing(crop=224, mean=(127.0,) * 3, std=(128.0,) * 3),
        {5: "block15", 6: "block16.project.conv", 7: "head", 8: "fc"},
        pooling="avg",
        aliases=aliases,
    )


_BUILDERS: dict[str, Callable[[], Architecture]] = {
    builder.__name__: builder
    for builder in (efficientnet_lite0, squeezenet1_1, alexnet, caffenet, bvlc_alexnet, decaf)
}

ARCHITECTURES = tuple(_BUILDERS)


@cache
def get_architecture(name: str) -> Architecture:
    """Look up an architecture by its name.

    Parameters
    ----------
    name : str
        One of ``ARCHITECTURES``.

    Returns
    -------
    Architecture

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> net = get_architecture("caffenet")
    >>> net.shapes()["pool5"]
    (6, 6, 256)
    >>> net.resolve(6)
    'relu6'
    """
    if name not in _BUILDERS:
        raise ValueError(
            f"no architecture is called {name!r}; there are: {', '.join(ARCHITECTURES)}"
        )
    return _BUILDERS[name]()
