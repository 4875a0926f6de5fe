"""What files say about their layers: constants that are used, and differences that are refused."""

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import caffe_network, decaf_network, decaf_writer
from oracles.odd_weights import caffe_squeezenet
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import architecture_data, get_architecture, load_weights, save_weights
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.formats._contents import KINDS, FileLayer
from sklearn_decaf.networks.layers import LRN, Conv, Dense, MaxPool, ReLU
from sklearn_decaf.networks.reference import forward
from sklearn_decaf.networks.weights.file_layers import compare_layers
from sklearn_decaf.networks.weights.variants import with_changes

DECAF = get_architecture("decaf")
CAFFENET = get_architecture("caffenet")


def beginning(net, *layers):
    """Random parameters of a few layers."""
    parameters = he_parameters(net)
    return {name: v for name, v in parameters.items() if name.rpartition(".")[0] in layers}


# -- the network of 2013 --

FIRST_TWO = beginning(DECAF, "conv1", "conv2")


def decaf(changes, parameters=FIRST_TWO):
    return decaf_writer.network(parameters, changes)


DECAF_CONSTANTS = {
    "as published": ({}, {}),
    "400 times the scale": ({"rnorm1": {"scale": 8e-3}}, {"norm1": {"alpha": 0.04}}),
    "another power": (
        {"rnorm1": {"pow": 0.5}, "rnorm2": {"pow": 1.0}},
        {"norm1": {"beta": 0.5}, "norm2": {"beta": 1.0}},
    ),
    "fewer channels": (
        {"rnorm1": {"size": 3, "scale": 1e-3}},
        {"norm1": {"size": 3, "alpha": 3e-3}},
    ),
    "a bound": (
        {"conv1_neuron": {"neuron": {"type": "brelu", "params": {"a": 200.0}}}},
        {"relu1": {"max_value": 200.0}},
    ),
    "smaller windows": (
        {"pool1": {"sizeX": 2, "outputsX": 28}},
        {"pool1": {"size": 2}},
    ),
    "a larger border": ({"conv2": {"padding": [-3]}}, {"conv2": {"padding": 3}}),
    "no border": ({"conv2": {"padding": [0]}}, {"conv2": {"padding": 0}}),
    "a longer stride": (
        {"conv1": {"stride": [5]}, "pool1": {"outputsX": 22}, "pool2": {"outputsX": 11}},
        {"conv1": {"stride": 5}},
    ),
    "numbers as lists of one": ({"rnorm1": {"scale": [8e-3]}}, {"norm1": {"alpha": 0.04}}),
}


@pytest.mark.parametrize("case", DECAF_CONSTANTS)
def test_constants_of_the_pickle_are_used(case, tmp_path):
    changes, expected_changes = DECAF_CONSTANTS[case]
    layers = decaf(changes)
    if "conv2" in changes or "pool1" in changes:  # the sides of what comes after
        for layer in layers:
            layer.pop("outputsX", None) if "outputsX" not in changes.get(layer["name"], {}) else 0
    path = tmp_path / "x.epoch90"
    path.write_bytes(decaf_writer.dumps(layers))
    weights = load_weights(path)
    net = weights.architecture
    assert net.name == "decaf"
    assert net == with_changes(DECAF, expected_changes)
    for layer, fields in expected_changes.items():
        assert all(f"{layer} with" in weights.evidence for _ in fields)
    assert ("as the file says" in weights.evidence) == bool(expected_changes)

    for layer in layers:  # which the oracle needs
        if layer["type"] == "pool" and "outputsX" not in layer:
            name = layer["name"]
            layer["outputsX"] = net.shapes()[name][0]
    images = random_images(net, 1)
    blobs = decaf_network.forward(layers, images[0], np.array(net.preprocessing.mean))
    blobs = {net.resolve(name): values for name, values in blobs.items() if "probs" not in name}
    found = forward(net, weights.parameters, images, blobs, np.float64)
    for name, values in blobs.items():
        error = np.abs(found[name][0] - values).max()
        assert error <= 1e-10 * np.abs(values).max(), name
    wanted = ["norm1", "norm2"]
    for name, values in zip(wanted, Plan(net, weights.parameters, wanted).run(images)):
        assert np.abs(values[0] - blobs[name]).max() <= 1e-5 * np.abs(blobs[name]).max()
    # and what was learnt of the file stays with the weights
    save_weights(weights, tmp_path / "saved.safetensors")
    saved = load_weights(tmp_path / "saved.safetensors")
    assert saved.architecture == net and saved.digest == weights.digest


DECAF_REFUSED = {
    "normalised within maps": ({"rnorm1": {"type": "rnorm"}}, "norm1: .* the file has: rnorm"),
    "contrast": ({"rnorm2": {"type": "cnorm"}}, "conv3|norm2: .*cnorm"),
    "another activation": (
        {"conv1_neuron": {"neuron": {"type": "tanh", "params": {"a": 1, "b": 1}}}},
        "relu1: in its place the file has: tanh neuron",
    ),
    "two groups": (
        {"conv1": {"groups": [2], "channels": [6]}},
        "conv1: it has 2 groups in the file, not 1",
    ),
    "an even number of channels": ({"rnorm1": {"size": 4}}, "norm1: it is over 4 channels"),
    "another order": (
        {"pool1": {"inputs": [2]}, "conv2": {"inputs": [2]}},
        "conv2: it reads a layer of kind 'conv'",
    ),
    "another output": ({"pool1": {"outputsX": 26}}, "pool1: its output is 26 x 26 in the file"),
    "no numbers": ({"rnorm1": {"scale": "much"}}, "its scale is bytes"),
    "a negative scale": ({"rnorm1": {"scale": -1.0}}, "its scale is -1.0"),
    "not a number": ({"rnorm1": {"pow": math.nan}}, "its pow is nan"),
    "an input that comes later": ({"conv2": {"inputs": [9]}}, "reads layer 9, which is not before"),
    "inputs that are text": ({"conv2": {"inputs": "all"}}, "its inputs are bytes"),
    "no neuron": ({"conv1_neuron": {"neuron": 3}}, "its neuron is 3"),
}


@pytest.mark.parametrize("case", DECAF_REFUSED)
def test_pickles_of_other_networks_are_refused(case, weight_file):
    changes, message = DECAF_REFUSED[case]
    path = weight_file(decaf_writer.dumps(decaf(changes)))
    with pytest.raises(WeightsError, match=message):
        load_weights(path)


def test_pickles_without_inputs_are_in_order(weight_file):
    layers = decaf({"rnorm1": {"scale": 8e-3}})
    for layer in layers:
        del layer["inputs"]
    weights = load_weights(weight_file(decaf_writer.dumps(layers)))
    assert weights.architecture["norm1"].alpha == pytest.approx(0.04)


# -- Caffe's files --

BODY = ("conv1", "conv2", "conv3", "conv4", "conv5")
PARAMETERS = beginning(CAFFENET, *BODY)


def caffe(net=CAFFENET, parameters=PARAMETERS, name="CaffeNet", **options):
    return caffe_network.caffemodel(net, parameters, name, **options)


CAFFE_CONSTANTS = {
    "as published": ({}, {}),
    "another alpha": ({"norm1": {"lrn": {2: 0.02}}}, {"norm1": {"alpha": 0.02}}),
    "another window": ({"norm2": {"lrn": {1: 3, 5: 2.0}}}, {"norm2": {"size": 3, "k": 2.0}}),
    "another power": ({"norm1": {"lrn": {3: 0.5}}}, {"norm1": {"beta": 0.5}}),
    "a window of 2": ({"pool1": {"pooling": {2: 2}}}, {"pool1": {"size": 2}}),
    "rounded down": (
        {"pool1": {"pooling": {2: 2, 13: 1}}},
        {"pool1": {"size": 2, "ceil_mode": False}},
    ),
    "rounded down where that is the same": ({"pool1": {"pooling": {13: 1}}}, {}),
    "a stride": ({"conv1": {"convolution": {6: 3}}}, {"conv1": {"stride": 3}}),
    "a stride for each axis": ({"conv1": {"convolution": {6: [3, 3]}}}, {"conv1": {"stride": 3}}),
    "a stride by axes": (
        {"conv1": {"convolution": {13: 3, 14: 3}}},
        {"conv1": {"stride": 3}},
    ),
    "no border": ({"conv3": {"convolution": {3: 0}}}, {"conv3": {"padding": 0}}),
    "a border by axes": (
        {"conv3": {"convolution": {3: [], 9: 2, 10: 2}}},
        {"conv3": {"padding": 2}},
    ),
    "no slope": ({"relu1": {"relu": {1: 0.0}}}, {}),
    "no dilation": ({"conv3": {"convolution": {18: 1}}}, {}),
    "dilation": ({"conv3": {"convolution": {18: 2}}}, {"conv3": {"dilation": 2}}),
    "padded pooling": ({"pool1": {"pooling": {4: 1}}}, {"pool1": {"padding": 1}}),
    "oblong windows": ({"pool1": {"pooling": {5: 3, 6: 2}}}, {"pool1": {"size": (3, 2)}}),
    "an oblong border": (
        {"conv3": {"convolution": {3: [], 9: 1, 10: 0}}},
        {"conv3": {"padding": ((1, 1), (0, 0))}},
    ),
    "strides that differ": (
        {"conv1": {"convolution": {13: 4, 14: 2}}},
        {"conv1": {"stride": (4, 2)}},
    ),
}  # fmt: skip


def changes_from_caffenet(net):
    """Fields that are others than the published ones, by layer."""
    pairs = [("data", CAFFENET.preprocessing, net.preprocessing)]
    pairs += [(layer.name, layer, net[layer.name]) for layer in CAFFENET.layers]
    changed = {
        name: {
            field.name: getattr(new, field.name)
            for field in dataclasses.fields(old)
            if getattr(new, field.name) != getattr(old, field.name)
        }
        for name, old, new in pairs
    }
    return {name: values for name, values in changed.items() if values}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("case", CAFFE_CONSTANTS)
def test_constants_of_a_caffemodel_are_used(case, v1, training, weight_file):
    options, expected = CAFFE_CONSTANTS[case]
    weights = load_weights(weight_file(caffe(options=options, v1=v1, training=training)))
    changes = changes_from_caffenet(weights.architecture)
    assert changes.keys() == expected.keys()
    for layer, fields in expected.items():
        assert changes[layer].keys() == fields.keys()
        for field, value in fields.items():
            if isinstance(value, float):
                value = pytest.approx(value)
            assert changes[layer][field] == value
    assert (weights.architecture is CAFFENET) == (not expected)


CAFFE_REFUSED = {
    "a slope": ({"options": {"relu1": {"relu": {1: 0.1}}}}, "relu1: .* leaky relu"),
    "a parametric slope": ({"kinds": {"relu1": "PReLU"}}, "relu1: .* PReLU"),
    "averages": ({"options": {"pool1": {"pooling": {1: 1}}}}, "pool1: .* average_pool"),
    "at random": ({"options": {"pool1": {"pooling": {1: 2}}}}, "pool1: .* stochastic pooling"),
    "over the whole map": (
        {"options": {"pool1": {"pooling": {12: 1}}}},
        "pool1: .* global max pooling",
    ),
    "within channels": (
        {"options": {"norm1": {"lrn": {4: 1}}}},
        "norm1: .* normalisation within channels",
    ),
    "four channels": ({"options": {"norm1": {"lrn": {1: 4}}}}, "norm1: it is over 4 channels"),
    "one group": ({"options": {"conv2": {"convolution": {5: 1}}}}, "conv2: it has 1 groups"),
    "an unknown layer": ({"kinds": {"norm1": "Scale"}}, "norm1: .* Scale"),
    "grey pictures": ({"data": {7: 1}}, "conv1: the file wants its pictures grey"),
    "another crop": ({"data": {3: 224}}, "conv1: the file crops its pictures to 224 pixels"),
    "a negative scale": ({"data": {1: -1.0}}, "scales its pictures in an unknown way"),
    "four means": ({"data": {5: [1.0] * 4}}, "scales its pictures in an unknown way"),
    "a huge stride": (
        {"options": {"conv1": {"convolution": {6: 2**40}}}},
        "conv1: its stride is 1099511627776 in the file",
    ),
    "maps that vanish": (
        {"options": {"conv1": {"convolution": {6: 200}}}},
        "conv1: a network that cannot be: layer 'pool1'",
    ),
}


@pytest.mark.parametrize("case", CAFFE_REFUSED)
def test_caffemodels_of_other_networks_are_refused(case, weight_file):
    options, message = CAFFE_REFUSED[case]
    with pytest.raises(WeightsError, match=message):
        load_weights(weight_file(caffe(**options)))


def test_pictures_that_are_scaled(weight_file):
    """(x - mean) * scale, as Caffe's data layer computes it."""
    weights = load_weights(weight_file(caffe(data={1: 0.017, 3: 227, 5: [103.94, 116.78, 123.68]})))
    preprocessing = weights.architecture.preprocessing
    assert preprocessing.mean == pytest.approx((103.94, 116.78, 123.68))
    assert preprocessing.std == pytest.approx((1 / 0.017,) * 3)
    assert "the input with mean (103.94, 116.78, 123.68)" in weights.evidence
    images = random_images(CAFFENET, 1)
    kernel, bias = (PARAMETERS[f"conv1.{kind}"].astype(float) for kind in ("kernel", "bias"))
    patch = (images[0, :11, :11, ::-1] - np.float32([103.94, 116.78, 123.68])) * np.float32(0.017)
    expected = np.einsum("hwc,hwcf->f", patch, kernel) + bias
    (found,) = Plan(weights.architecture, weights.parameters, ["conv1"]).run(images)
    np.testing.assert_allclose(found[0, 0, 0], expected, rtol=0, atol=1e-5)
    grey = load_weights(weight_file(caffe(data={5: [120.0]}), "y"))
    assert grey.architecture.preprocessing.mean == (120.0,) * 3


def test_layers_without_a_bias(weight_file):
    options = {"conv3": {"convolution": {2: 0}}}
    weights = load_weights(weight_file(caffe(options=options)))
    np.testing.assert_array_equal(weights.parameters["conv3.bias"], np.zeros(384))
    np.testing.assert_array_equal(weights.parameters["conv3.kernel"], PARAMETERS["conv3.kernel"])


def test_options_of_one_layer_alone(weight_file):
    """A file that was stripped of its options, but for those of one layer."""
    net = replace(CAFFENET, layers=CAFFENET.layers[:4], decaf_layers={}, dropout_layers=frozenset())
    stripped = caffe_network.protobuf_writer
    blobs = [stripped.blob(one) for one in caffe_network._blobs(net, net.layers[0], PARAMETERS)]
    content = stripped.field(1, "CaffeNet")
    content += stripped.layer("conv1", "Convolution", ["data"], ["conv1"], blobs)
    content += stripped.layer("norm1", "LRN", ["x"], ["norm1"], options={"lrn": {2: 0.5}})
    weights = load_weights(weight_file(content))
    assert weights.architecture["norm1"].alpha == 0.5 and weights.architecture["norm1"].k == 1
    content = content.replace(b"LRN", b"MVN")
    with pytest.raises(WeightsError, match="norm1: it is a MVN in the file"):
        load_weights(weight_file(content, "y"))


SQUEEZENET = get_architecture("squeezenet1_1")


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_fine_tuned_caffemodel(training, v1, weight_file):
    renamed = {"conv10": "conv10_flickr"}
    net, parameters, content = caffe_squeezenet(renamed=renamed, training=training, v1=v1)
    weights = load_weights(weight_file(content))
    assert weights.architecture == net and weights.own_classes
    assert "its head has 20 classes and is 'conv10_flickr.weight'" in weights.evidence
    weights.require(["prob"])
    for name, values in parameters.items():
        np.testing.assert_array_equal(weights.parameters[name], values)
    assert weights.class_names() == [str(i) for i in range(20)]


def test_the_head_of_imagenet(weight_file):
    content = caffe_squeezenet(1000)[2]
    weights = load_weights(weight_file(content))
    assert weights.architecture is SQUEEZENET and not weights.own_classes
    assert weights.class_names()[0] == "tench, Tinca tinca"


def test_a_head_that_is_something_else(weight_file):
    _, _, content = caffe_squeezenet(kinds={"prob": "Sigmoid"})
    weights = load_weights(weight_file(content))
    assert weights.available_layers()[-1] == "pool10"
    with pytest.raises(WeightsError, match=r"prob, which .* lack .*prob: .* the file has: Sigmoid"):
        weights.require(["prob"])
    # an activation that is not a ReLU, and all that needs it
    weights = load_weights(weight_file(caffe_squeezenet(kinds={"relu10": "TanH"})[2], "y"))
    assert weights.available_layers()[-1] == "conv10"
    with pytest.raises(WeightsError, match="relu10: in its place the file has: TanH"):
        weights.require(["pool10"])
    largest = caffe_squeezenet(options={"pool10": {"pooling": {1: 0}}})[2]
    with pytest.raises(WeightsError, match=r"pool10: .* global max pooling"):
        load_weights(weight_file(largest, "z")).require(["pool10"])
    part = caffe_squeezenet(options={"pool10": {"pooling": {2: 13, 12: 0}}})[2]
    with pytest.raises(WeightsError, match="pool10: it is an average over 13 x 13"):
        load_weights(weight_file(part, "p")).require(["pool10"])


def test_branches_that_are_joined_otherwise(weight_file):
    """The options and the wiring of a fire module."""
    axis = caffe_squeezenet(options={"fire3": {"concat": {2: 2}}})[2]
    with pytest.raises(WeightsError, match=r"fire3: in its place .* Concat of another axis"):
        load_weights(weight_file(axis))
    summed = caffe_squeezenet(kinds={"fire3": "Eltwise"})[2]
    with pytest.raises(WeightsError, match=r"fire3: in its place .* add"):
        load_weights(weight_file(summed, "y"))


def test_squares_that_are_transposed(weight_file):
    """fc7 has as many inputs as outputs: only the options say which is which."""
    parameters = beginning(CAFFENET, "fc7")
    content = caffe(parameters=parameters, options={"fc7": {"inner_product": {6: 1}}})
    weights = load_weights(weight_file(content))
    np.testing.assert_array_equal(weights.parameters["fc7.kernel"], parameters["fc7.kernel"])


# -- anything --

constants = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(
            st.integers(-2, 9),
            st.floats(),
            st.none(),
            st.tuples(st.integers(-2, 9), st.integers(-2, 9)),
            st.tuples(*[st.integers(-2, 9)] * 4),
        )
        for name in sorted({name for names in KINDS.values() for name in names})
    },
)
RIGHT_KINDS = {
    "stride": st.tuples(st.integers(0, 9), st.integers(0, 9)),
    "size": st.one_of(st.integers(0, 9), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    "pads": st.one_of(st.just("same"), st.text(max_size=3), st.tuples(*[st.integers(0, 9)] * 4)),
    "dilation": st.tuples(st.integers(0, 3), st.integers(0, 3)),
    "groups": st.integers(0, 4),
    "alpha": st.floats(),
    "beta": st.floats(),
    "k": st.floats(),
    "max_value": st.floats(),
    "ceil_mode": st.booleans(),
    "output": st.tuples(st.integers(0, 60), st.integers(0, 60)),
}


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_whatever_a_file_says(data):
    """Changes that a network can have, or a problem; and the changes survive being saved."""
    layers, kernels, before = [], {}, -1
    for layer in CAFFENET.layers[:10]:
        kind = {Conv: "conv", MaxPool: "max_pool", LRN: "lrn", ReLU: "relu", Dense: "dense"}[
            type(layer)
        ]
        names = [n for n in KINDS[kind] if n in RIGHT_KINDS and (n, kind) != ("size", "lrn")]
        stated = {
            name: data.draw(st.one_of(st.none(), RIGHT_KINDS[name]), label=name)
            for name in data.draw(
                st.sets(st.sampled_from(names), max_size=2) if names else st.just(())
            )
        }
        if "size" in stated and kind == "max_pool" and isinstance(stated["size"], int):
            stated["size"] = (stated["size"],) * 2
        layers.append(FileLayer(layer.name, kind, (before,), stated, f"{layer.name}.w"))
        kernels[layer.name] = f"{layer.name}.w"
        before = len(layers) - 1
    found = compare_layers(CAFFENET, tuple(layers), kernels)
    net = with_changes(CAFFENET, found.changes)
    assert architecture_data.from_text(architecture_data.to_text(net)) == net
    for name, values in found.changes.items():
        for field, value in values.items():
            assert getattr(net[name], field) == value
            assert value in ("same", math.inf) or np.all(np.isfinite(value))


def test_a_file_of_the_layers_with_parameters_alone(weight_file):
    """What lies between them is not in it: nothing follows."""
    writer, content = caffe_network.protobuf_writer, b""
    for name in BODY:
        layer = CAFFENET[name]
        blobs = [writer.blob(one) for one in caffe_network._blobs(CAFFENET, layer, PARAMETERS)]
        own, (bottom,) = caffe_network._fields(layer), CAFFENET.inputs(name)
        content += writer.layer(name, "Convolution", [bottom], [name], blobs, own)
    weights = load_weights(weight_file(content), "bvlc_alexnet")
    assert weights.architecture == get_architecture("bvlc_alexnet")
    assert weights.available_layers()[-1] == "pool5"


def test_strides_that_only_change_together():
    """Both ways to a sum: one of them alone would make maps that cannot be added."""
    net = get_architecture("resnet18")
    names = ["layer2.0.conv1", "layer2.0.downsample.0"]
    layers = tuple(FileLayer(n, "conv", None, {"stride": (1, 1)}, f"{n}.weight") for n in names)
    kernels = {name: f"{name}.weight" for name in names}
    both = compare_layers(net, layers, kernels)
    assert both.changes == {name: {"stride": 1} for name in names} and not both.problems
    assert with_changes(net, both.changes).shapes()["layer2.1"] == (56, 56, 128)
    one = compare_layers(net, layers[:1], kernels)
    assert not one.changes and "cannot add inputs" in one.problems["layer2.0.conv1"]


def test_dense_layers_that_a_file_has_as_convolutions():
    net = get_architecture("mobilenet_v3_small")
    name = "features.1.block.1.fc1"
    found = compare_layers(net, (FileLayer(name, "conv", None, {}, "w"),), {name: "w"})
    assert not found.problems and not found.changes
