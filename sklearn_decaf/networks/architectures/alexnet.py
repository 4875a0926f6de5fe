"""AlexNet (Krizhevsky et al. 2012) in four versions, the one of the DeCAF paper among them."""

from __future__ import annotations

from ..architecture import Architecture, Preprocessing
from ..layers import LRN, Conv, Dense, Layer, MaxPool, ReLU, Softmax
from ._builder import IMAGENET

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
        IMAGENET,
        _ALEXNET_NUMBERS,
        pooling=None,
        dropout_layers=_ALEXNET_DROPOUT,
    )


NAMES = ("alexnet", "caffenet", "bvlc_alexnet", "decaf")


def build(name: str) -> Architecture:
    """Build one of the four by name."""
    builders = {
        function.__name__: function for function in (alexnet, caffenet, bvlc_alexnet, decaf)
    }
    return builders[name]()
