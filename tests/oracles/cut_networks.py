"""Networks large enough for strips, tiles and stages, and limits that cut them anywhere."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from hypothesis import strategies as st
from oracles.random_networks import NetworkBuilder

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
    "strip_bytes": (1, 1, 3_000, 20_000, 10**7),
    "small_map": (0, 0, 0, 3_000, 10**7),
    "chain_weights": (0, 2_000, 10**8, 10**8),
    "window_share": (0.75, 1.0, 1.0, 0.0),
    "tile_bytes": (1, 40_000, 10**7),
    "product_rows": (1, 7, 30, 10_000),
    "weight_cost": (1, 30, 1000),
    "many_weights": (0, 30_000, 10**8, 10**8),
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
def winograd_networks(draw, max_crop: int = 40) -> Architecture:
    """Networks with all kinds of steps, large enough for Winograd's tiles, in chains."""
    crop = draw(st.integers(20, max_crop))
    wider = draw(st.sampled_from([0, 0, 3, -5, 13]))
    sides = (crop, crop + wider)
    preprocessing = Preprocessing(crop=sides, mean=(100.0, 120.0, 140.0), std=(60.0,) * 3)
    empty = Architecture("random", (), preprocessing, decaf_layers={})
    builder = NetworkBuilder(draw, empty.input_shape)
    pick, add, shapes = builder.pick, builder.add, builder.shapes
    first = pick(
        {"kernel_size": 11, "stride": 4},
        {"kernel_size": 7, "stride": 2, "padding": 3},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 5, "padding": "same"},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3},
    )
    x = add(ReLU, add(Conv, INPUT, filters=8, **first))

    def conv(source, filters):
        size = pick(1, 3, 3, 5)
        groups = pick(1, 1, 2) if shapes[source][-1] % 16 == filters % 16 == 0 else 1
        double = pick(False, False, True)
        return add(
            Conv, source, filters=filters, kernel_size=size, padding=size // 2, groups=groups,
            double_precision=double,
        )  # fmt: skip

    kinds = ["conv", "depthwise", "pool", "lrn", "residual", "rejoin", "concat"]
    kinds += ["conv", "strided", "strided"]  # these more often
    others = {
        "odd conv": builder.odd_conv,
        "padded pool": builder.padded_pool,
        "pointwise": builder.pointwise,
        "channels": builder.channels,
        "multiply": builder.multiply,
    }
    for _ in range(draw(st.integers(1, 6))):
        x = builder.any_map(x)
        h, w, channels = shapes[x]
        kind = pick(*kinds, *others)
        if kind == "conv":
            x = conv(x, pick(8, 16, 12))
        elif kind == "depthwise":
            x = add(
                Conv, x, filters=channels, kernel_size=pick(3, 5), padding="same", groups=channels
            )
        elif kind == "pool" and min(h, w) > 7:
            x = add(MaxPool, x, size=pick(2, 3), stride=pick(1, 2))
        elif kind == "lrn":
            x = add(LRN, x, alpha=0.02)
        elif kind == "residual":
            x = add(Add, conv(conv(x, channels), channels), x)
        elif kind == "strided" and min(h, w) > 7:
            x = builder.strided_residual(
                x, filters=pick(8, 16), double=pick(False, False, False, None)
            )
        elif kind == "rejoin":
            x = builder.rejoin(x)
        elif kind == "concat":
            x = add(Concat, conv(x, 8), add(ReLU, conv(x, 16)))
        elif kind in others:
            x = others[kind](x)
        x = builder.maybe_relu(x)
    ending = pick("map", "average", "both", "flat")
    if ending in ("average", "both"):
        pooled = add(GlobalAveragePool, x)
        x = add(Concat, pooled, add(GlobalMaxPool, x)) if ending == "both" else pooled
    if ending != "map":
        x = add(Softmax, add(Dense, x, units=10))
    return replace(empty, layers=tuple(builder.layers))


def images_of(architecture, n, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *architecture.input_shape)).astype(dtype)


def chain_of(layers, crop=40):
    return Architecture("chain", tuple(layers), Preprocessing(crop=crop), {})


def residual_network(
    *, projection: int, stride: int, projected_last: bool, crop: int, filters: int
) -> Architecture:
    """A stem as ResNet's, a basic block, and one with a stride and a projection.

    Parameters
    ----------
    projection : int
        Kernel size of the projection.
    stride : int
    projected_last : bool
        Whether the projection is computed after the branch that it is added to.
    crop, filters : int
    """
    wide = {"kernel_size": 3, "padding": 1}
    branch = (
        Conv("c3", ("block1",), filters=2 * filters, stride=stride, **wide),
        ReLU("r3"),
        Conv("c4", filters=2 * filters, **wide),
    )
    shortcut = Conv(
        "projection",
        ("block1",),
        filters=2 * filters,
        kernel_size=projection,
        stride=stride,
        padding=projection // 2,
    )
    return chain_of(
        [
            Conv("stem", filters=filters, kernel_size=7, stride=2, padding=3),
            ReLU("stem_relu"),
            MaxPool("pool"),
            Conv("c1", filters=filters, **wide),
            ReLU("r1"),
            Conv("c2", filters=filters, **wide),
            Add("sum1", ("c2", "pool")),
            ReLU("block1"),
            *((*branch, shortcut) if projected_last else (shortcut, *branch)),
            Add("sum2", ("c4", "projection")),
            ReLU("block2"),
            GlobalAveragePool("average"),
        ],
        crop,
    )
