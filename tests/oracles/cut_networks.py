"""Networks large enough for strips, tiles and stages, and limits that cut them anywhere."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from hypothesis import strategies as st
from oracles.random_networks import Oblong

from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.engine import Limits
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    ReLU,
    Softmax,
)

# What decides how the work is cut, and values that cut networks of any size; the last ones cut
# nothing.
CUTS = {
    "strip_bytes": (1, 3_000, 20_000, 10**7),
    "small_map": (0, 0, 3_000, 10**7),
    "window_share": (0.5, 0.75, 1.0, 0.0),
    "tile_bytes": (1, 40_000, 10**7),
    "product_rows": (1, 7, 30, 10_000),
    "weight_cost": (1, 30, 1000),
    "many_weights": (0, 30_000, 10**8),
    "group_size": (1, 2, 16),
}
FEW_CHANNELS = Limits(winograd_min_channels=1)  # small networks have few
UNCUT = replace(FEW_CHANNELS, **{name: values[-1] for name, values in CUTS.items()})
SMALL = replace(UNCUT, strip_bytes=4_000, small_map=0)
cuts = st.builds(
    partial(replace, FEW_CHANNELS),
    **{name: st.sampled_from(values) for name, values in CUTS.items()},
)


@st.composite
def winograd_networks(draw):
    """Networks with all kinds of steps, large enough for Winograd's tiles, in chains."""
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    crop = draw(st.integers(20, 40))
    first = pick(
        {"kernel_size": 11, "stride": 4},
        {"kernel_size": 7, "stride": 2, "padding": 3},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 5, "padding": "same"},
        {"kernel_size": 3, "padding": 1},
    )
    layers = [Conv("first", (INPUT,), filters=8, **first), ReLU("first_relu", ("first",))]
    x, channels, count = "first_relu", 8, 0

    def add(kind, *inputs, **options):
        nonlocal count
        count += 1
        layers.append(kind(f"{kind.__name__.lower()}{count}", inputs, **options))
        return layers[-1].name

    def conv(source, depth, filters):
        size = pick(1, 3, 3, 5)
        groups = pick(1, 1, 2) if depth % 16 == filters % 16 == 0 else 1
        double = pick(False, False, True)
        return add(
            Conv, source, filters=filters, kernel_size=size, padding=size // 2, groups=groups,
            double_precision=double,
        )  # fmt: skip

    pools = 0
    for _ in range(draw(st.integers(1, 5))):
        kind = pick("conv", "conv", "depthwise", "pool", "lrn", "residual", "concat")
        if kind == "conv":
            filters = pick(8, 16, 12)
            x, channels = conv(x, channels, filters), filters
        elif kind == "depthwise":
            x = add(
                Conv, x, filters=channels, kernel_size=pick(3, 5), padding="same", groups=channels
            )
        elif kind == "pool" and pools < 2 and crop > 30:
            x, pools = add(MaxPool, x, size=3, stride=pick(1, 2)), pools + 1
        elif kind == "lrn":
            x = add(LRN, x, alpha=0.02)
        elif kind == "residual":
            x = add(Add, conv(conv(x, channels, channels), channels, channels), x)
        elif kind == "concat":
            members = conv(x, channels, 8), add(ReLU, conv(x, channels, 16))
            x, channels = add(Concat, *members), 24
        if draw(st.booleans()):
            x = add(ReLU, x)
    ending = pick("map", "average", "both", "flat")
    if ending in ("average", "both"):
        pooled = add(GlobalAveragePool, x)
        x = add(Concat, pooled, add(GlobalMaxPool, x)) if ending == "both" else pooled
    if ending != "map":
        x = add(Softmax, add(Dense, x, units=10))
    preprocessing = Preprocessing(crop=crop, mean=(100.0, 120.0, 140.0))
    return pick(Architecture, Oblong)("random", tuple(layers), preprocessing, decaf_layers={})


def images_of(architecture, n, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *architecture.input_shape)).astype(dtype)


def chain_of(layers, crop=40):
    return Architecture("chain", tuple(layers), Preprocessing(crop=crop), {})
