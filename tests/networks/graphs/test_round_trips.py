"""Networks written as ONNX models come back as they were."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from oracles import onnx_writer
from oracles.random_networks import architectures, he_parameters, random_images

from sklearn_decaf.networks import ARCHITECTURES, get_architecture, reference
from sklearn_decaf.networks.engine.plan import Plan
from sklearn_decaf.networks.formats import onnx as onnx_format
from sklearn_decaf.networks.graphs import read_structure
from sklearn_decaf.networks.layers import Conv


def come_back(net, parameters, **options):
    content = onnx_writer.model(net, parameters, **options).SerializeToString()
    contents = onnx_format.read(memoryview(content))
    return read_structure(contents, net.name, net.preprocessing)


@settings(max_examples=40, deadline=None)
@given(net=architectures())
def test_random_networks(net):
    parameters, images = he_parameters(net), random_images(net, 2)
    names = list(net.layer_names)
    found = come_back(net, parameters, outputs=names)
    # some layers are several nodes, and the first one's name is theirs
    own = set(found.architecture.layer_names)
    here = {
        name: next(other for other in found_as if other in own)
        for name in names
        if own.intersection(found_as := [name + end for end in ("", "_map", "_scaled", "_2")])
    }
    expected = reference.forward(net, parameters, images, names, np.float64)
    for name in set(names) - set(here):  # what is left out does nothing
        before = expected[net.inputs(name)[0]]
        np.testing.assert_array_equal(expected[name].ravel(), before.ravel())
    got = reference.forward(
        found.architecture, found.parameters, images, list(here.values()), np.float64
    )
    for name, other in here.items():
        one, size = expected[name], 1e-6 * np.abs(expected[name]).max()
        # constants are float32 in the model
        np.testing.assert_allclose(got[other].reshape(one.shape), one, 1e-5, size, err_msg=name)


def in_single_precision(net):
    """The network with all sums in float32; graphs do not say where they are wider."""
    layers = [
        replace(layer, double_precision=False) if isinstance(layer, Conv) else layer
        for layer in net.layers
    ]
    return replace(net, layers=tuple(layers))


# larger members of families are made of the blocks of smaller ones
LARGER = ("vgg13", "vgg16", "vgg19", "resnet34", "resnet101", "resnet152", "densenet169")
LARGER += ("densenet201", "efficientnet_b2", "efficientnet_b3", "wide_resnet50_2")
LARGER += tuple(f"efficientnet_lite{i}" for i in (1, 2, 3))
KNOWN = [name for name in ARCHITECTURES if name.removesuffix("_bn") not in LARGER]


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_known_networks(name):
    """As if they were unknown: the same layers by number, with the same values."""
    net = get_architecture(name)
    parameters = he_parameters(net)
    found = come_back(net, parameters)
    # a global pooling is two nodes, and named by the first
    numbers = {n: name.removesuffix("_map") for n, name in found.architecture.decaf_layers.items()}
    assert numbers == {n: name.replace("/", ".") for n, name in net.decaf_layers.items()}
    assert sorted(found.architecture.parameter_shapes().values()) == sorted(
        net.parameter_shapes().values()
    )
    images = random_images(net, 1)
    outputs, others = (
        list(net.decaf_layers.values()),
        list(found.architecture.decaf_layers.values()),
    )
    expected = Plan(in_single_precision(net), parameters, outputs).run(images)
    got = Plan(found.architecture, found.parameters, others).run(images)
    for one, other in zip(expected, got):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-4 * np.abs(one).max())
