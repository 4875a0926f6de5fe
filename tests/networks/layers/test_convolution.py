"""Convolutions against ONNX, SciPy and counting."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.layer_examples import assert_same, drawn
from oracles.onnx_graph import evaluate_layer, inferred_shape, same_pads
from scipy import signal

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.layers import (
    Conv,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


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


@st.composite
def convolutions(draw):
    """A convolution and the shape of a map that it fits."""
    groups = draw(st.integers(1, 4))
    channels = groups * draw(st.integers(1, 3))
    depthwise = draw(st.booleans())
    if depthwise:
        groups = filters = channels
    else:
        filters = groups * draw(st.integers(1, 3))
    kernel_size = draw(st.integers(1, 6))
    padding = draw(st.one_of(st.just("same"), st.integers(0, 3)))
    smallest = 1 if padding == "same" else max(1, kernel_size - 2 * padding)
    h, w = (draw(st.integers(smallest, smallest + 11)) for _ in range(2))
    layer = Conv("c", (), filters, kernel_size, draw(st.integers(1, 4)), padding, groups)
    return layer, (h, w, channels)


def conv_arrays(layer, shape, seed, n=2):
    shapes = layer.parameter_shapes(shape)
    x = drawn(seed, n, *shape)
    return x, drawn(seed + 1, *shapes["kernel"]), drawn(seed + 2, *shapes["bias"])


@untimed
@given(convolutions(), seeds)
def test_conv_is_that_of_onnx(convolution, seed):
    layer, shape = convolution
    x, kernel, bias = conv_arrays(layer, shape, seed)
    expected = evaluate_layer(layer, [x], [kernel, bias])
    assert_same(reference.compute(layer, [kernel, bias], x), expected)
    assert expected.shape[1:] == layer.output_shape(shape)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv("plain", (), 3, 3), (7, 8, 2)),
        (Conv("padded", (), 3, 5, padding=2), (6, 4, 2)),
        (Conv("strided", (), 2, 3, stride=2, padding=1), (9, 8, 3)),
        (Conv("even", (), 2, 4, stride=3), (11, 10, 3)),
        (Conv("groups", (), 6, 3, padding=1, groups=2), (5, 5, 4)),
        (Conv("depthwise", (), 4, 3, stride=2, padding=1, groups=4), (8, 9, 4)),
        (Conv("multiplier", (), 8, 3, groups=4), (6, 6, 4)),
        (Conv("one", (), 5, 1), (3, 3, 4)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_conv_is_correlation_in_scipy(layer, shape):
    x, kernel, bias = conv_arrays(layer, shape, seed=0)
    p, s = layer.padding, layer.stride
    per_group = layer.filters // layer.groups
    expected = np.empty((len(x), *layer.output_shape(shape)))
    for i, filter_ in itertools.product(range(len(x)), range(layer.filters)):
        first = filter_ // per_group * kernel.shape[2]  # the first channel that this filter sees
        total = 0.0
        for c in range(kernel.shape[2]):
            padded = np.pad(x[i, :, :, first + c], p)
            total = total + signal.correlate2d(padded, kernel[:, :, c, filter_], mode="valid")
        expected[i, :, :, filter_] = total[::s, ::s] + bias[filter_]
    assert_same(reference.compute(layer, [kernel, bias], x), expected)


def test_conv_can_tell_its_axes_apart():
    """Each entry of the kernel moves its own channel from its own place to its own filter."""
    x = drawn(0, 1, 4, 5, 2)
    for i, j, c, m in itertools.product(range(2), range(2), range(2), range(3)):
        kernel = np.zeros((2, 2, 2, 3))
        kernel[i, j, c, m] = 1
        out = reference.compute(Conv("c", (), 3, 2), [kernel, np.zeros(3)], x)
        expected = np.zeros((1, 3, 4, 3))
        expected[..., m] = x[:, i : i + 3, j : j + 4, c]
        np.testing.assert_array_equal(out, expected)
