"""Shapes that layers infer, against ONNX's shape inference and against counting windows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.onnx_graph import inferred_shape, operator, same_pads

from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    ReLU,
    Softmax,
)

sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


# Convolution --------------------------------------------------------------------------------


@untimed
@given(sides, sides, kernel_sizes, strides, st.integers(0, 5), st.integers(1, 4), st.integers(1, 3))
def test_conv_shape_is_that_of_onnx(h, w, kernel_size, stride, padding, groups, each):
    channels, filters = groups * 2, groups * each
    layer = Conv("c", (), filters, kernel_size, stride, padding, groups)
    if min(h, w) + 2 * padding < kernel_size:
        with pytest.raises(ValueError, match="smaller than its kernel"):
            layer.output_shape((h, w, channels))
        return
    expected = inferred_shape(
        "Conv",
        (1, channels, h, w),
        (filters, channels // groups, kernel_size, kernel_size),
        kernel_shape=[kernel_size] * 2,
        strides=[stride] * 2,
        pads=[padding] * 4,
        group=groups,
    )
    oh, ow, m = layer.output_shape((h, w, channels))
    assert (1, m, oh, ow) == expected
    assert layer.parameter_shapes((h, w, channels)) == {
        "kernel": (kernel_size, kernel_size, 2, filters),
        "bias": (filters,),
    }


@untimed
@given(sides, sides, kernel_sizes, strides)
def test_same_padding_is_tensorflows(h, w, kernel_size, stride):
    layer = Conv("c", (), 2, kernel_size, stride, "same")
    expected = inferred_shape(
        "Conv",
        (1, 3, h, w),
        (2, 3, kernel_size, kernel_size),
        kernel_shape=[kernel_size] * 2,
        strides=[stride] * 2,
        auto_pad="SAME_UPPER",
    )
    oh, ow, m = layer.output_shape((h, w, 3))
    assert (1, m, oh, ow) == expected
    assert layer.pads((h, w, 3)) == (
        same_pads(h, kernel_size, stride),
        same_pads(w, kernel_size, stride),
    )


@pytest.mark.parametrize(
    ("n", "kernel_size", "stride", "pads"),
    [
        (224, 3, 2, (0, 1)),
        (112, 5, 2, (1, 2)),
        (112, 3, 1, (1, 1)),
        (113, 3, 2, (1, 1)),
        (5, 1, 3, (0, 0)),
        (2, 5, 1, (2, 2)),
        (1, 4, 1, (1, 2)),
        (7, 2, 5, (0, 0)),
    ],
)
def test_same_padding_puts_the_odd_zero_last(n, kernel_size, stride, pads):
    layer = Conv("c", (), 1, kernel_size, stride, "same")
    assert layer.pads((n, n + 1, 1))[0] == pads
    assert layer.pads((n + 1, n, 1))[1] == pads


@pytest.mark.parametrize(("channels", "filters"), [(6, 8), (8, 6), (7, 7)])
def test_groups_have_to_divide_channels_and_filters(channels, filters):
    layer = Conv("conv2", (), filters, 3, groups=4)
    with pytest.raises(ValueError, match=rf"'conv2': 4 groups .* {channels} .* {filters} filters"):
        layer.output_shape((9, 9, channels))


@pytest.mark.parametrize(
    ("groups", "channels", "filters", "expected"),
    [(6, 6, 6, True), (1, 1, 1, False), (6, 6, 12, False), (3, 6, 6, False), (1, 6, 6, False)],
)
def test_depthwise_means_one_channel_a_filter(groups, channels, filters, expected):
    assert Conv("c", (), filters, 3, groups=groups).is_depthwise(channels) is expected


# Pooling ------------------------------------------------------------------------------------


def windows_by_counting(n, size, stride, ceil_mode):
    """How many windows there are, one after the other."""
    count, start = 1, 0
    while start + size < n:  # something is left after this window
        start += stride
        if start >= n or (start + size > n and not ceil_mode):
            break
        count += 1
    return count


@untimed
@given(sides, sides, st.integers(1, 6), strides, st.booleans())
def test_pool_shape_counts_the_windows_that_begin_inside(h, w, size, stride, ceil_mode):
    layer = MaxPool("p", (), size, stride, ceil_mode)
    if min(h, w) < size:
        with pytest.raises(ValueError, match=r"'p': a side of .* smaller than its window"):
            layer.output_shape((h, w, 3))
        return
    assert layer.output_shape((h, w, 3)) == (
        windows_by_counting(h, size, stride, ceil_mode),
        windows_by_counting(w, size, stride, ceil_mode),
        3,
    )


@untimed
@given(st.data())
def test_pool_shape_is_that_of_onnx(data):
    size = data.draw(st.integers(1, 4))
    h, w = (data.draw(st.integers(size, 12)) for _ in range(2))
    stride, ceil_mode = data.draw(strides), data.draw(st.booleans())
    options = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "ceil_mode": int(ceil_mode)}
    computed = operator("MaxPool", np.zeros((1, 1, h, w)), **options)
    oh, ow, _ = MaxPool("p", (), size, stride, ceil_mode).output_shape((h, w, 1))
    assert computed.shape == (1, 1, oh, ow)


@pytest.mark.parametrize(
    ("n", "size", "stride", "ceil_mode", "expected"),
    [
        (55, 3, 2, True, 27),
        (13, 3, 2, True, 6),
        (14, 3, 2, True, 7),  # one window sticks out
        (14, 3, 2, False, 6),
        (113, 3, 2, True, 56),
        (7, 2, 3, True, 3),  # the last window holds one pixel
        (4, 2, 3, True, 2),
        (6, 1, 4, True, 2),
        (5, 1, 4, True, 2),
        (4, 1, 4, True, 1),  # a second window would begin outside
        (3, 2, 3, True, 1),
        (5, 2, 5, True, 1),
    ],
)
def test_pool_lengths(n, size, stride, ceil_mode, expected):
    layer = MaxPool("p", (), size, stride, ceil_mode)
    assert layer.output_shape((n, 20, 1))[0] == expected
    assert layer.output_shape((20, n, 1))[1] == expected


@pytest.mark.parametrize("kind", [GlobalAveragePool, GlobalMaxPool])
def test_global_pools_leave_one_value_a_channel(kind):
    assert kind("g").output_shape((3, 5, 7)) == (7,)


# The rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LRN, ReLU, Softmax])
@pytest.mark.parametrize("shape", [(4, 5, 6), (6,)])
def test_layers_that_keep_the_shape(kind, shape):
    assert kind("k").output_shape(shape) == shape
    assert kind("k").parameter_shapes(shape) == {}


@pytest.mark.parametrize("shape", [(2, 3, 4), (24,)])
def test_dense_reads_maps_as_vectors(shape):
    layer = Dense("fc", (), 5)
    assert layer.output_shape(shape) == (5,)
    assert layer.parameter_shapes(shape) == {"kernel": (24, 5), "bias": (5,)}


def test_concat_adds_up_channels():
    assert Concat("c").output_shape((2, 3, 4), (2, 3, 1), (2, 3, 4)) == (2, 3, 9)
    assert Concat("c").output_shape((4,), (5,)) == (9,)


def test_add_keeps_the_shape():
    assert Add("a").output_shape((2, 3, 4), (2, 3, 4)) == (2, 3, 4)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Add("sum"), [(2, 3, 4)], r"'sum': cannot add inputs of shapes \(\(2, 3, 4\),\)"),
        (Add("sum"), [(2, 3, 4), (2, 3, 5)], r"'sum': cannot add .*\(2, 3, 4\), \(2, 3, 5\)"),
        (Add("sum"), [(4,)] * 3, "'sum': cannot add"),
        (Concat("both"), [(2, 3, 4), (3, 2, 4)], "'both': cannot join"),
        (Concat("both"), [(2, 3, 4), (4,)], "'both': cannot join"),
    ],
)
def test_inputs_that_do_not_fit_are_named(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.output_shape(*shapes)


def test_layers_are_values():
    assert Conv("c", filters=3) == Conv("c", filters=3) != Conv("c", filters=4)
    assert len({Layer("x"), Layer("x"), ReLU("x")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Conv("c").stride = 2
