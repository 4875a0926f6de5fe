"""The network that an estimator trains: what the user names, with a head of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._features.input_sizes import check_sides
from ..networks.architecture import INPUT, Architecture, Preprocessing
from ..networks.architectures import get_architecture
from ..networks.layers import Conv, Dense, Layer, MaxPool, ReLU, Softmax
from ..networks.layers.activations import Activation
from ..networks.weights.variants import head, number_of_classes, with_changes

HEAD = "scores"
#: Maps are halved until a side is smaller than this.
_SMALL = 8
_WIDTHS = (64, 128, 128)


@dataclass(frozen=True)
class NetworkForTask:
    """A network for the classes or numbers at hand.

    Attributes
    ----------
    architecture : Architecture
    output : str
        The layer whose outputs are scores or numbers, (n, n_outputs).
    """

    architecture: Architecture
    output: str


def small_layers(size: tuple[int, int]) -> list[Layer]:
    """Make a network for small images: convolutions of 3 x 3, and one fully connected layer.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images, which decide how often maps are halved: once for 8 x 8
        pixels, three times for 32 x 32.
    """
    layers: list[Layer] = [
        Conv("conv1", filters=32, kernel_size=3, padding=1),
        ReLU("relu1"),
    ]
    h, w = size
    n = 1
    while n == 1 or min(h, w) >= _SMALL:
        n += 1
        layers += [
            Conv(f"conv{n}", filters=_WIDTHS[min(n - 2, 2)], kernel_size=3, padding=1),
            ReLU(f"relu{n}"),
        ]
        if min(h, w) < _SMALL:
            break
        layers.append(MaxPool(f"pool{n}", size=2, stride=2))
        h, w = (h + 1) // 2, (w + 1) // 2
    return [*layers, Dense("fc", units=128), ReLU("relu_fc")]


def build_network(
    network: str | Architecture | Sequence[Layer] | None,
    n_outputs: int,
    *,
    image_size: int | tuple[int, int] | None,
    found_size: tuple[int, int] | None,
) -> NetworkForTask:
    """Make the network of a parameter `network`, for so many classes or numbers.

    Parameters
    ----------
    network : str, Architecture, sequence of Layer or None
        Name of a known network, or an Architecture, whose head gets so many outputs; layers, to
        which a head is added; None for :func:`small_layers`.
    n_outputs : int
    image_size : int, (int, int) or None
        Height and width that the network sees; None takes its own, or those of the images.
    found_size : (int, int) or None
        Height and width of the images, where all have the same.

    Raises
    ------
    ValueError
        If there is no such network, or nobody knows for which size, or it cannot have this size.
    """
    size = check_sides("image_size", image_size)
    if isinstance(network, str):
        network = get_architecture(network)
    if isinstance(network, Architecture):
        net = _at_size(network, size)
        output = _scores(net)
        if net.shapes()[output] != (n_outputs,):
            net = with_changes(net, number_of_classes(net, n_outputs))
        if net.shapes()[output] != (n_outputs,):
            raise ValueError(
                f"network={net.name!r}: its layer {output!r} has the shape "
                f"{net.shapes()[output]}, where {n_outputs} scores are needed: end it with "
                f"Dense(units={n_outputs})"
            )
    else:
        size = size or found_size
        if size is None:
            raise ValueError(
                "image_size=None, and the images have no common size: pass image_size=(height, "
                "width), to which they are resized"
            )
        layers = small_layers(size) if network is None else list(network)
        net, output = _with_head(layers, n_outputs, size), HEAD
    return NetworkForTask(net, output)


def _at_size(net: Architecture, size: tuple[int, int] | None) -> Architecture:
    """A network for images of another size, resized before in proportion."""
    own = net.preprocessing
    if size is None or size == own.crop_sides:
        return net
    if own.mean_image is not None:
        raise ValueError(
            f"image_size={size}: {net.name} subtracts a mean image, which has a size of its own"
        )
    resize = max(*size, round(own.resize * max(size) / max(own.crop_sides)))
    return replace(net, preprocessing=replace(own, crop=size, resize=resize))


def _scores(net: Architecture) -> str:
    """The layer with the scores of classes: layer 8, or the last one before a softmax."""
    if 8 in net.decaf_layers:
        return net.decaf_layers[8]
    last = net.layers[-1]
    return net.inputs(last.name)[0] if isinstance(last, Softmax) else last.name


def _with_head(layers: Sequence[Layer], n_outputs: int, size: tuple[int, int]) -> Architecture:
    """An architecture of layers and a head, for images of a size that are not resized further."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"network={layers!r}: {layer!r} is no layer of sklearn_decaf.networks.layers"
            )
        if layer.name == HEAD:
            raise ValueError(f"network: the name {HEAD!r} is for the head, which is added")
    # layers 7, 6 and 5 are those that the last layers with parameters read
    kernels = [i for i, layer in enumerate(layers) if isinstance(layer, Conv | Dense) and i]
    numbers = {8: HEAD}
    for number, i in zip((7, 6, 5), (len(layers), *reversed(kernels))):
        if i:
            numbers[number] = layers[i - 1].name
    side = size[0] if size[0] == size[1] else size
    return Architecture(
        "convnet",
        (*layers, Dense(HEAD, units=n_outputs)),
        Preprocessing(resize=max(size), crop=side),
        numbers,
        pooling="avg",
    )


def dropout_by_layer(
    network: NetworkForTask, dropout: float | Mapping[str, float]
) -> dict[str, float]:
    """Return the layers that are dropped, with the probability.

    Parameters
    ----------
    network : NetworkForTask
    dropout : float or dict of str to float
        Of hidden fully connected layers, or by names of layers.

    Raises
    ------
    ValueError
        If there is no such layer, or no such probability.
    """
    net = network.architecture
    if isinstance(dropout, Mapping):
        for name, p in dropout.items():
            if name not in net.layer_names:
                raise ValueError(
                    f"dropout names {name!r}, which is no layer of {net.name!r}; the layers are "
                    f"{', '.join(net.layer_names)}"
                )
            _check_share(p, f"dropout[{name!r}]")
        return {name: float(p) for name, p in dropout.items() if p}
    _check_share(dropout, "dropout")
    return dict.fromkeys(_hidden_layers(net), float(dropout)) if dropout else {}


def _check_share(p: float, name: str) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"{name}={p!r} must be in [0, 1)")


def _hidden_layers(net: Architecture) -> list[str]:
    """The outputs of the fully connected layers on the way to the head, after their activations."""
    found, name = [], net.inputs(head(net))[0]
    while name != INPUT:
        last = name  # of a fully connected layer and its activations
        while name != INPUT and isinstance(net[name], Activation):
            name = net.inputs(name)[0]
        if name == INPUT or not isinstance(net[name], Dense):
            break
        found.append(last)
        name = net.inputs(name)[0]
    return found[::-1]
