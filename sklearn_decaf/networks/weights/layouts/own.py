"""Files of the package's own, and others that use its names of layers or their order."""

from __future__ import annotations

from ...architecture import Architecture
from ...architectures import ARCHITECTURES
from .base import Entry, Layout


def own_entries(kernel: str = ".kernel", bias: str = ".bias"):
    """Entries under the package's own layer names; suffixes of kernel and bias may be others."""
    suffixes = {"kernel": kernel, "bias": bias}

    def entries(net: Architecture) -> list[Entry]:
        return [
            Entry(layer, {key: layer + suffixes.get(key, f".{key}") for key in keys})
            for layer, keys in net.parameters_by_layer.items()
        ]

    return entries


def _in_order(net: Architecture) -> list[Entry]:
    """Entries by the position of a layer among those with parameters."""
    return [
        Entry(layer, {"kernel": f"node{i}.weight", "bias": f"node{i}.bias"})
        for i, layer in enumerate(net.parameters_by_layer)
    ]


LAYOUTS = (
    Layout("the package's own names", ARCHITECTURES, own_entries(), suffix=".kernel"),
    Layout(
        "names with underscores",
        ("alexnet", "squeezenet1_1", "caffenet", "bvlc_alexnet", "decaf", "efficientnet_lite0"),
        own_entries("_kernel_hwio", "_bias"),
        suffix="_kernel_hwio",
    ),
    Layout(
        "ONNX nodes in order",
        # not SqueezeNet: its exports want their input in different ways, which order does not say
        ("alexnet", "caffenet", "bvlc_alexnet", "efficientnet_lite0"),
        _in_order,
        axes="oihw",
    ),
)
