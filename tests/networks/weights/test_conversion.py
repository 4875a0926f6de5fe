"""Recognising the network that arrays belong to, and bringing them into the package's order."""

import numpy as np
import pytest
from scipy.signal import correlate

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import get_architecture, reference
from sklearn_decaf.networks.formats import Contents
from sklearn_decaf.networks.weights import conversion
from sklearn_decaf.networks.weights.conversion import (
    _flatten_channels_last,
    fold_batch_norm,
)


def convert(tensors, metadata=None, architecture=None, **options):
    return conversion.convert(Contents({"": tensors}, metadata or {}), architecture, **options)


def parameters(name, *layers, kernel="{}.kernel", bias="{}.bias", dtype=np.float32):
    """Random parameters of some layers of an architecture, under chosen names."""
    rng = np.random.default_rng(0)
    shapes = get_architecture(name).parameter_shapes()
    tensors = {}
    for layer in layers:
        for kind, label in (("kernel", kernel), ("bias", bias)):
            shape = shapes[f"{layer}.{kind}"]
            tensors[label.format(layer)] = rng.standard_normal(shape).astype(dtype)
    return tensors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "efficientnet_lite0"])
@pytest.mark.parametrize("kernel, bias", [("{}.kernel", "{}.bias"), ("{}_kernel_hwio", "{}_bias")])
def test_own_names(name, kernel, bias):
    layer = get_architecture(name).layers[0].name
    tensors = parameters(name, layer, kernel=kernel, bias=bias)
    match, converted = convert(tensors)
    assert match.architecture.name == name
    np.testing.assert_array_equal(converted[f"{layer}.kernel"], tensors[kernel.format(layer)])
    np.testing.assert_array_equal(converted[f"{layer}.bias"], tensors[bias.format(layer)])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floating_types_become_float32(dtype):
    tensors = parameters("alexnet", "conv1", dtype=dtype)
    _, converted = convert(tensors)
    for name, values in converted.items():
        assert values.dtype == np.dtype("float32") and values.dtype.isnative
        assert values.flags.c_contiguous and values.flags.aligned and not values.flags.writeable
        np.testing.assert_array_equal(values, tensors[name].astype(np.float32))


def test_parameters_come_in_the_order_of_the_layers():
    tensors = parameters("alexnet", "conv3", "conv1")
    assert list(convert(tensors)[1]) == ["conv1.kernel", "conv1.bias", "conv3.kernel", "conv3.bias"]


@pytest.mark.slow
def test_files_arrays_are_copied_unless_views_will_do():
    tensors = parameters("alexnet", "conv1")
    views = {name: values[...] for name, values in tensors.items()}
    copied, kept = convert(views)[1], convert(views, keep_views=True)[1]
    assert not np.shares_memory(copied["conv1.kernel"], tensors["conv1.kernel"])
    assert np.shares_memory(kept["conv1.kernel"], tensors["conv1.kernel"])


def channels_first(kernel):
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))


@pytest.mark.slow
def test_torchvision_alexnet():
    tensors = {
        "features.0": ("conv1", (64, 3, 11, 11)),
        "features.3": ("conv2", (192, 64, 5, 5)),
        "features.6": ("conv3", (384, 192, 3, 3)),
        "features.8": ("conv4", (256, 384, 3, 3)),
        "features.10": ("conv5", (256, 256, 3, 3)),
        "classifier.6": ("fc8", (1000, 4096)),
    }
    rng = np.random.default_rng(0)
    state = {}
    for name, (_, shape) in tensors.items():
        state[f"{name}.weight"] = rng.standard_normal(shape, dtype=np.float32)
        state[f"{name}.bias"] = rng.standard_normal(shape[:1], dtype=np.float32)
    match, converted = convert(state)
    assert match.architecture.name == "alexnet"
    for name, (layer, shape) in tensors.items():
        kernel = converted[f"{layer}.kernel"]
        np.testing.assert_array_equal(converted[f"{layer}.bias"], state[f"{name}.bias"])
        if len(shape) == 4:
            assert kernel[1, 2, 0, 3] == state[f"{name}.weight"][3, 0, 1, 2]
            np.testing.assert_array_equal(channels_first(kernel), state[f"{name}.weight"])
        else:
            np.testing.assert_array_equal(kernel, state[f"{name}.weight"].T)


def test_torchvision_squeezenet_wants_other_pictures():
    net = get_architecture("squeezenet1_1")
    rng = np.random.default_rng(0)
    state, fires = {}, dict(zip((3, 4, 6, 7, 9, 10, 11, 12), range(2, 10)))
    names = {"features.0": "conv1", "classifier.1": "conv10"} | {
        f"features.{place}.{part}": f"fire{fire}.{part}"
        for place, fire in fires.items()
        for part in ("squeeze", "expand1x1", "expand3x3")
    }
    for theirs, ours in names.items():
        kernel = rng.standard_normal(net.parameter_shapes()[f"{ours}.kernel"], dtype=np.float32)
        state[f"{theirs}.weight"] = channels_first(kernel)
        state[f"{theirs}.bias"] = rng.standard_normal(kernel.shape[-1:], dtype=np.float32)
    match, converted = convert(state)
    assert match.architecture.name == "squeezenet1_1"
    assert set(converted) == set(net.parameter_shapes())
    for theirs, ours in names.items():
        np.testing.assert_array_equal(
            channels_first(converted[f"{ours}.kernel"]), state[f"{theirs}.weight"]
        )
    patch = rng.integers(0, 256, (1, 2, 2, 3), np.uint8)  # RGB
    theirs = (patch / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = reference.preprocess(patch, match.architecture.preprocessing, np.float64)
    np.testing.assert_allclose(found, theirs, rtol=1e-12)
    assert match.architecture.preprocessing.crop == net.preprocessing.crop


def timm_state(net):
    """Random weights of our EfficientNet under timm's names."""
    rng = np.random.default_rng(0)
    stages = {0: [1], 1: [2, 3], 2: [4, 5], 3: [6, 7, 8], 4: [9, 10, 11], 5: [12, 13, 14, 15]}
    stages[6] = [16]
    names = {"stem.conv": ("conv_stem", "bn1"), "head.conv": ("conv_head", "bn2")}
    for stage, blocks in stages.items():
        for i, block in enumerate(blocks):
            parts = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
            if block == 1:
                parts = {"depthwise": "conv_dw", "project": "conv_pw"}
            for j, (ours, theirs) in enumerate(parts.items()):
                place = f"blocks.{stage}.{i}"
                names[f"block{block}.{ours}.conv"] = f"{place}.{theirs}", f"{place}.bn{j + 1}"
    state = {}
    for ours, (conv, norm) in names.items():
        kernel = rng.standard_normal(net.parameter_shapes()[f"{ours}.kernel"], dtype=np.float32)
        state[f"{conv}.weight"] = channels_first(kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = rng.uniform(1, 2, kernel.shape[-1:]).astype(np.float32)
        state[f"{norm}.num_batches_tracked"] = np.array(0)
    state["classifier.weight"] = rng.standard_normal((1000, 1280), dtype=np.float32)
    state["classifier.bias"] = rng.standard_normal(1000, dtype=np.float32)
    return state


@pytest.mark.slow
def test_timms_efficientnet_needs_a_word():
    """Two networks of timm share all names and shapes; one pads its pictures differently."""
    net = get_architecture("efficientnet_lite0")
    state = timm_state(net)
    with pytest.raises(WeightsError, match=r"tf_efficientnet_lite0.*architecture='efficientnet"):
        convert(state)
    match, converted = convert(state, architecture="efficientnet_lite0")
    assert list(converted) == list(net.parameter_shapes())
    assert match.certainty == "told" and "tf_efficientnet_lite0" in match.evidence
    scale = state["blocks.3.2.bn3.weight"] / np.sqrt(state["blocks.3.2.bn3.running_var"] + 1e-3)
    np.testing.assert_allclose(
        converted["block8.project.conv.kernel"][0, 0],
        (state["blocks.3.2.conv_pwl.weight"][:, :, 0, 0] * scale[:, None]).T,
        rtol=1e-6,
    )


@pytest.mark.slow
def test_caffes_two_alexnets_are_told_apart_by_the_order_of_their_layers():
    tensors = {
        "conv1.weight": np.ones((96, 3, 11, 11), np.float32),
        "conv1.bias": np.ones(96, np.float32),
    }

    def recognised(**metadata):
        return convert(tensors, metadata)[0].architecture.name

    assert recognised(layers="data conv1 relu1 pool1 norm1 conv2") == "caffenet"
    assert recognised(layers="data conv1 relu1 norm1 pool1 conv2", network="x") == "bvlc_alexnet"
    assert recognised(layers="conv1", network="CaffeNet") == "caffenet"
    assert recognised(layers="conv1", network="AlexNet") == "bvlc_alexnet"
    with pytest.raises(WeightsError, match="fit caffenet and bvlc_alexnet, which differ"):
        recognised(layers="conv1", network="mine")


def test_dense_layers_after_a_map_read_it_channels_last():
    rng = np.random.default_rng(0)
    feature_map = rng.standard_normal((256, 6, 6))  # (c, h, w)
    kernel = rng.standard_normal((9216, 3))
    expected = feature_map.ravel() @ kernel
    for name in ("alexnet", "caffenet"):
        reordered = _flatten_channels_last(kernel, get_architecture(name), "fc6")
        found = feature_map.transpose(1, 2, 0).ravel() @ reordered
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    later = _flatten_channels_last(kernel, get_architecture("alexnet"), "fc7")
    assert later is kernel


@pytest.mark.parametrize("zero_variance", [False, True])
def test_batch_norm_folds_into_the_convolution(zero_variance):
    rng = np.random.default_rng(0)
    image, kernel = rng.standard_normal((7, 7, 5)), rng.standard_normal((3, 3, 5, 4))
    weight, bias, mean = rng.standard_normal((3, 4))
    var = rng.random(4)
    if zero_variance:
        var[1] = 0
    convolved = np.stack([correlate(image, kernel[..., f], "valid")[..., 0] for f in range(4)], -1)
    expected = (convolved - mean) / np.sqrt(var + 1e-3) * weight + bias
    folded, shift = fold_batch_norm(kernel, weight, bias, mean, var, 1e-3)
    found = np.stack([correlate(image, folded[..., f], "valid")[..., 0] for f in range(4)], -1)
    np.testing.assert_allclose(found + shift, expected, rtol=1e-12, atol=1e-12)


def test_folding_is_done_in_float64():
    one = np.ones(1, np.float32)
    kernel, bias = fold_batch_norm(np.ones((1, 1, 1, 1), np.float32), one, one, one, 0 * one, 1e-3)
    assert kernel.dtype == bias.dtype == np.float64
    np.testing.assert_allclose(kernel, 1 / np.sqrt(1e-3), rtol=1e-15)


@pytest.mark.slow
def test_networks_of_one_shape_need_a_name():
    tensors = parameters("caffenet", "conv1")
    with pytest.raises(WeightsError, match=r"fit caffenet and bvlc_alexnet and decaf.*arch"):
        convert(tensors)
    for name in ("caffenet", "bvlc_alexnet", "decaf"):
        assert convert(tensors, architecture=name)[0].architecture.name == name
        assert convert(tensors, {"architecture": name})[0].architecture.name == name


def test_the_name_must_agree_with_the_file():
    tensors = parameters("caffenet", "conv1")
    with pytest.raises(WeightsError, match="'decaf', but the file says that its network is 'caffe"):
        convert(tensors, {"architecture": "caffenet"}, "decaf")
    with pytest.raises(WeightsError, match=r"its architecture is 'vgg'; there are: "):
        convert(tensors, {"architecture": "vgg"})
    with pytest.raises(ValueError, match="no architecture is called 'vgg'"):
        convert(tensors, architecture="vgg")
    with pytest.raises(WeightsError, match=r"do not fit alexnet.*\(11, 11, 3, 64\) is expected"):
        convert(tensors, architecture="alexnet")


def changed(**changes):
    tensors = parameters("alexnet", "conv1", "conv2")
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    return tensors


def filled(value, dtype=np.float32):
    kernel = np.ones((11, 11, 3, 64), dtype)
    kernel[3, 4, 1, 5] = value
    return kernel


BAD = {
    "an unknown name": (changed(extra=np.ones(3)), "'extra' is unknown"),
    "a wrong shape": (
        changed(conv1__kernel=np.ones((3, 11, 11, 64), np.float32)),
        r"Closest is alexnet .* 3 arrays fit, but 'conv1.kernel' has shape \(3, 11, 11, 64\), "
        r"\(11, 11, 3, 64\) is expected",
    ),
    "a kernel without bias": (
        changed(conv2__bias=None),
        "'conv2.kernel' is there without 'conv2.b",
    ),
    "a bias without kernel": (
        changed(conv2__kernel=None),
        "'conv2.bias' is there without 'conv2.k",
    ),
    "integers": (
        changed(conv1__kernel=np.ones((11, 11, 3, 64), int)),
        "'conv1.kernel' is of type int",
    ),
    "NaN": (changed(conv1__kernel=filled(np.nan)), "'conv1.kernel' holds NaN or infinity"),
    "infinity": (changed(conv1__kernel=filled(-np.inf)), "'conv1.kernel' holds NaN or infinity"),
    "too large for float32": (changed(conv1__kernel=filled(1e39, float)), "too large for float32"),
    "no name known": ({"weight": np.ones(3)}, r"Found 'weight' \(3,\).*expected are names such as"),
    "nothing but ignored names": (
        {"_bn0.num_batches_tracked": np.array(1)},
        "expected are names such as",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_arrays_that_fit_nothing(case):
    tensors, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        convert(tensors)


@pytest.mark.slow
def test_many_problems_are_cut_short():
    tensors = changed(**{"extra" * 1000 + str(i): np.ones(3) for i in range(1000)})
    with pytest.raises(WeightsError, match="and 995 more") as caught:
        convert(tensors)
    assert len(str(caught.value)) < 1500


@pytest.mark.slow
def test_negative_variance():
    shape = (32,)
    tensors = {"_conv_stem.weight": np.ones((32, 3, 3, 3), np.float32)}
    tensors |= {f"_bn0.{p}": np.ones(shape) for p in ("weight", "bias", "running_mean")}
    with pytest.raises(WeightsError, match=r"without '_bn0.running_var'"):
        convert(tensors)
    with pytest.raises(WeightsError, match="negative variance"):
        convert(tensors | {"_bn0.running_var": -np.ones(shape)})
