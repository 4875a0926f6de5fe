"""Composing an architecture layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..architecture import INPUT, Architecture, Preprocessing
from ..layers import BatchNorm, Conv, Dense, GlobalAveragePool, Layer, ReLU, Softmax
from ..layers._windows import pair

#: Input of most networks of torchvision: [0, 1], less the mean of ImageNet, over its deviation.
IMAGENET = Preprocessing(
    crop=224,
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)
#: Input in [-1, 1], as Inception wants it.
SYMMETRIC = Preprocessing(crop=224, mean=(127.5,) * 3, std=(127.5,) * 3)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round a number of channels to a multiple, but never down by more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def number_layers(blocks: Sequence[str], scores: str) -> dict[int, str]:
    """Layers 5, 6 and 7 are the outputs of the last three blocks, and 8 the class scores.

    A hidden fully connected layer, with its activation, is a block too. A network of fewer blocks
    lacks the lower numbers.
    """
    last = blocks[-3:]
    return {**dict(zip(range(8 - len(last), 8), last)), 8: scores}


class Builder:
    """Collects layers, each of which reads the one before unless told otherwise.

    Names of layers are those of torchvision's modules wherever a module is a layer, so that names
    in its weight files are found without a table.
    """

    def __init__(self):
        self.layers: list[Layer] = []
        self.aliases: dict[str, str] = {}
        self.blocks: list[str] = []  # outputs of blocks, for the layers 5, 6 and 7

    @property
    def last(self) -> str:
        """Name of the last layer."""
        return self.layers[-1].name if self.layers else INPUT

    def add(self, kind: Callable[..., Layer], name: str, *inputs: str, **options) -> str:
        """Append a layer and return its name."""
        self.layers.append(kind(name, inputs or (self.last,), **options))
        return name

    def conv(
        self,
        name: str,
        filters: int,
        kernel_size=1,
        stride=1,
        *,
        source: str = "",
        padding=None,
        norm: str = "",
        epsilon: float = 1e-5,
        activation: Callable[..., Layer] | None = ReLU,
        activation_name: str = "",
        **options,
    ) -> str:
        """Append a convolution, its batch normalisation and its activation; return the last name.

        The padding keeps the size where there is no stride; the activation is called
        ``<norm>.act`` unless it has a name.
        """
        if padding is None:
            padding = tuple((k - 1) // 2 for k in pair(kernel_size))
        shape = {"filters": filters, "kernel_size": kernel_size, "stride": stride}
        self.add(Conv, name, source or self.last, **shape, padding=padding, **options)
        if norm:
            self.add(BatchNorm, norm, epsilon=epsilon)
        if activation is not None:
            self.add(activation, activation_name or f"{norm or name}.act")
        return self.last

    def block(self, name: str = "") -> str:
        """Mark the last layer as the output of a block, under a name of the block's own."""
        if name and name != self.last:
            self.aliases[name] = self.last
        self.blocks.append(self.last)
        return self.last

    def classifier(self, name: str = "fc", classes: int = 1000, pool: str = "avgpool") -> None:
        """Append global average pooling, the class scores and their probabilities."""
        self.add(GlobalAveragePool, pool)
        self.add(Dense, name, units=classes)
        self.add(Softmax, "prob")

    def architecture(
        self,
        name: str,
        preprocessing: Preprocessing = IMAGENET,
        *,
        scores: str = "fc",
        pooling: str | None = "avg",
        hidden: Sequence[str] = (),
        aliases: Mapping[str, str] | None = None,
        **options,
    ) -> Architecture:
        """Return the network; layers 5, 6 and 7 are the last three of the blocks and `hidden`."""
        return Architecture(
            name,
            tuple(self.layers),
            preprocessing,
            number_layers((*self.blocks, *hidden), scores),
            pooling=pooling,
            aliases={**self.aliases, **(aliases or {})},
            **options,
        )
