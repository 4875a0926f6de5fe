"""Names of parameters in the files of each family, against lists made by torchvision and timm."""

import numpy as np
import pytest
from oracles.torch_names import TIMM, TORCHVISION, summarise
from oracles.weight_files import torch_zip

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import (
    ARCHITECTURES,
    architecture_data,
    get_architecture,
    load_weights,
    save_weights,
)
from sklearn_decaf.networks.architecture import INPUT
from sklearn_decaf.networks.formats import Contents
from sklearn_decaf.networks.weights.conversion import convert
from sklearn_decaf.networks.weights.layouts import LAYOUTS, get_candidate
from sklearn_decaf.networks.weights.recognition import recognise
from sklearn_decaf.networks.weights.registry import REGISTRY
from sklearn_decaf.networks.weights.torchvision_files import FILES
from sklearn_decaf.networks.weights.variants import with_changes


def zeros(*shape):
    return np.broadcast_to(np.float32(0), shape)


def names_of(layout, name, *, optional=False):
    """Shapes of the arrays of a file, with or without those that may be missing."""
    candidate = get_candidate(layout, name)
    absent = set() if optional else {n for entry in candidate.entries for n in entry.optional}
    return {key: shape for key, shape in candidate.shapes.items() if key not in absent}


def layout_of(prefix, name):
    """The layout of that program for a network."""
    (layout,) = (
        layout
        for layout in LAYOUTS
        if layout.name.startswith(prefix)
        and name in layout.architectures
        and not layout.name.endswith("as published")
    )
    return layout


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_names(name):
    shapes = names_of(layout_of("torchvision's", name), name, optional=name.endswith("_bn"))
    assert summarise(shapes) == TORCHVISION[name]


@pytest.mark.parametrize("name", TIMM)
def test_timms_names(name):
    shapes = names_of(layout_of("timm's", name), name, optional=name.endswith("_bn"))
    assert summarise(shapes) == TIMM[name][1:]


def test_the_lists_are_complete():
    for program, listed in (("torchvision's", TORCHVISION), ("timm's", TIMM)):
        names = {n for one in LAYOUTS if one.name.startswith(program) for n in one.architectures}
        assert names == set(listed)
    others = {"caffenet", "bvlc_alexnet", "decaf", "bvlc_googlenet", "caffe_resnet50"}
    lite = {f"efficientnet_lite{number}" for number in range(5)}
    assert set(TORCHVISION) == set(ARCHITECTURES) - others - lite


def test_weights_of_torchvision_are_registered():
    """Its networks but SqueezeNet 1.1, which comes with the installation."""
    registered = {file.architecture for file in FILES}
    assert registered == set(TORCHVISION) - {"squeezenet1_1"}
    for file in FILES:
        entry = REGISTRY[file.weights]
        assert entry.architecture == file.architecture
        (url,) = entry.file.urls
        kind, digest = entry.file.checksum.split(":")
        assert url == f"https://download.pytorch.org/models/{file.name}"
        assert kind == "sha256" and len(digest) in (8, 10) and int(digest, 16) >= 0
        assert url.endswith(f"-{digest}.pth")
        assert 50 < file.top1 < file.top5 < 100
        assert (
            file.resize is None
            or file.resize > get_architecture(file.architecture).preprocessing.crop
        )


def random_state(shapes, seed=0):
    """Numbers for arrays of these shapes; all are positive, as variances have to be."""
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def small():
    """The network with the fewest parameters: names, and a state dict of torchvision's."""
    return random_state(
        names_of(layout_of("torchvision's", "shufflenet_v2_x1_0"), "shufflenet_v2_x1_0")
    )


def test_a_file_of_torch_is_converted(small, tmp_path):
    state = dict(small)
    state["conv1.1.num_batches_tracked"] = np.array(3)
    (tmp_path / "x.pth").write_bytes(torch_zip(state))
    weights = load_weights(tmp_path / "x.pth")
    net, parameters = weights.architecture, weights.parameters
    assert net is get_architecture("shufflenet_v2_x1_0") and weights.certainty == "certain"
    assert {name: array.shape for name, array in parameters.items()} == net.parameter_shapes()
    kernel = state["stage2.0.branch2.5.weight"]
    np.testing.assert_array_equal(
        parameters["stage2.0.branch2.5.kernel"], kernel.transpose(2, 3, 1, 0)
    )
    assert not parameters["stage2.0.branch2.5.bias"].any()
    parts = {"weight": "scale", "bias": "shift", "running_mean": "mean", "running_var": "variance"}
    for theirs, ours in parts.items():
        np.testing.assert_array_equal(parameters[f"conv5.1.{ours}"], state[f"conv5.1.{theirs}"])
    np.testing.assert_array_equal(parameters["fc.kernel"], state["fc.weight"].T)


def test_what_is_different_is_kept_in_a_file_of_the_packages_own(tmp_path):
    """Here an epsilon of timm's, and the input of torchvision's SqueezeNet."""
    for program, name in (("timm's", "mobilenet_v3_small"), ("torchvision's", "squeezenet1_0")):
        state = random_state(names_of(layout_of(program, name), name))
        (tmp_path / "x.pth").write_bytes(torch_zip(state))
        told = name if program == "timm's" else None
        weights = load_weights(tmp_path / "x.pth", told)
        assert weights.architecture != get_architecture(name)
        save_weights(weights, tmp_path / f"{name}.safetensors")
        again = load_weights(tmp_path / f"{name}.safetensors")
        assert again.architecture == weights.architecture and again.certainty == "certain"
        assert again.parameters.keys() == weights.parameters.keys()
        for key, values in weights.parameters.items():
            np.testing.assert_array_equal(again.parameters[key], values)


def test_pictures_for_registered_weights():
    """The second set of ResNet-50's weights wants another size."""
    entry = REGISTRY["resnet50_imagenet1k_v2"]
    net = get_architecture(entry.architecture)
    changed = with_changes(net, {INPUT: {"resize": entry.resize}})
    assert (changed.preprocessing.resize, changed.preprocessing.crop) == (232, 224)
    assert architecture_data.from_text(architecture_data.to_text(changed)) == changed


def converted(tensors, name=None):
    return convert(Contents({"": tensors}), name)


def test_biases_that_a_normalised_convolution_has_after_all(small):
    state = {**small, "conv1.0.bias": np.full(24, 3, np.float32)}
    match, parameters = converted(state)
    assert (parameters["conv1.0.bias"] == 3).all()
    assert match.evidence.startswith(f"all {len(state)} arrays")
    match, parameters = converted({**small, "fc.bias": np.ones(3, np.float32)})
    assert "'fc.bias' has shape (3,)" in match.missing["fc"] and "fc.bias" not in parameters


def test_a_negative_variance(small):
    bad = {**small, "conv5.1.running_var": -small["conv5.1.running_var"]}
    with pytest.raises(WeightsError, match=r"'conv5.1.running_var' is negative somewhere"):
        converted(bad)


@pytest.mark.parametrize(
    "name, array, shape",
    [
        ("convnext_tiny", "features.1.0.block.3.weight", (384, 96)),
        ("convnext_tiny", "features.1.0.layer_scale", (96, 1, 1)),
        ("mobilenet_v3_small", "features.1.block.1.fc1.weight", (8, 16, 1, 1)),
        ("mobilenet_v3_small", "classifier.3.weight", (1000, 1024, 1, 1)),
        ("vgg11", "classifier.0.weight", (4096, 512, 7, 7)),
        ("squeezenet1_0", "classifier.1.weight", (1000, 512)),
    ],
)
def test_axes_of_length_one(name, array, shape):
    """Dense layers are written as convolutions, and the other way round."""
    layout = layout_of("torchvision's", name)
    tensors = {key: zeros(*one) for key, one in get_candidate(layout, name).shapes.items()}
    assert tensors[array].shape != shape and tensors[array].size == np.prod(shape)
    match = recognise(Contents({"": tensors | {array: zeros(*shape)}}), None)
    assert match.architecture.name == name and not match.missing
    assert match.arrays[array].shape == tensors[array].shape


def test_a_dense_layer_on_a_map_is_not_read_in_another_order():
    layout = layout_of("torchvision's", "vgg11")
    tensors = {key: zeros(*one) for key, one in get_candidate(layout, "vgg11").shapes.items()}
    match = recognise(
        Contents({"": tensors | {"classifier.0.weight": zeros(4096, 7, 7, 512)}}), None
    )
    assert "'classifier.0.weight' has shape" in match.missing["fc6"]


def test_auxiliary_classifiers_are_passed_over():
    layout = layout_of("torchvision's", "googlenet")
    tensors = {key: zeros(*shape) for key, shape in names_of(layout, "googlenet").items()}
    auxiliary = {"aux1.fc1.weight": zeros(1024, 2048), "aux2.fc2.bias": zeros(1000)}
    match = recognise(Contents({"": {**tensors, **auxiliary}}), None)
    assert match.certainty == "certain" and "no part" not in match.evidence


@pytest.mark.parametrize(
    "name, extra",
    [
        ("resnet50", "layer1.0.se.fc1.weight"),
        ("resnet50", "layer1.0.conv1.weight_u"),
        ("vgg11", "features.40.weight"),
    ],
)
def test_what_stands_inside_the_body_makes_it_another_network(name, extra):
    layout = layout_of("torchvision's", name)
    tensors = {key: zeros(*shape) for key, shape in names_of(layout, name).items()}
    with pytest.raises(WeightsError, match=f"Closest is {name} .*'{extra}' is unknown"):
        recognise(Contents({"": {**tensors, extra: zeros(3, 3)}}), None)


def test_squeeze_and_excitation_is_not_passed_over():
    """EfficientNet-B0 is Lite0 and more, with the same names and shapes."""
    layout = layout_of("timm's", "efficientnet_b0")
    tensors = {key: zeros(*shape) for key, shape in names_of(layout, "efficientnet_b0").items()}
    with pytest.raises(WeightsError, match=r"'blocks.0.0.se.conv_reduce.weight' is unknown"):
        recognise(Contents({"": tensors}), "efficientnet_lite0")


def first_layers(name, *prefixes):
    layout = layout_of("torchvision's", name)
    return {
        key: zeros(*shape)
        for key, shape in names_of(layout, name).items()
        if key.startswith(prefixes)
    }


@pytest.mark.parametrize(
    "name, prefixes, found",
    [
        ("resnet152", ("conv1", "bn1"), "resnet18"),
        ("resnet152", ("conv1", "bn1", "layer1"), "resnet50"),
        ("resnet34", ("conv1", "bn1", "layer1"), "resnet34"),
        (
            "densenet201",
            ("features.conv0", "features.norm0", "features.denseblock1"),
            "densenet121",
        ),
        ("vgg19", ("features.0.", "features.2."), "vgg13"),
    ],
)
def test_first_layers_are_those_of_the_smallest_network(name, prefixes, found):
    match = recognise(Contents({"": first_layers(name, *prefixes)}), None)
    assert match.architecture.name == found and match.certainty == "likely"
    told = recognise(Contents({"": first_layers(name, *prefixes)}), name)
    assert told.architecture.name == name


def test_a_whole_network_is_no_part_of_a_larger_one():
    """VGG-11 by its own names has only layers that VGG-13 has too."""
    net = get_architecture("vgg11")
    tensors = {key: zeros(*shape) for key, shape in net.parameter_shapes().items()}
    match = recognise(Contents({"": tensors}), None)
    assert match.architecture is net and match.certainty == "certain"


def test_epsilons_of_timm():
    layout = layout_of("timm's", "mobilenet_v3_small")
    tensors = {key: zeros(*shape) for key, shape in names_of(layout, "mobilenet_v3_small").items()}
    with pytest.raises(WeightsError, match=r"tf_mobilenetv3_large_100.*architecture='mobilenet_v3"):
        recognise(Contents({"": tensors}), None)
    match = recognise(Contents({"": tensors}), "mobilenet_v3_small")
    assert match.architecture["features.0.1"].epsilon == 1e-5 and match.certainty == "told"


def test_vgg_of_caffe_wants_other_pictures():
    layout = next(layout for layout in LAYOUTS if layout.name == "Caffe's VGG")
    tensors = {key: zeros(*shape) for key, shape in names_of(layout, "vgg16").items()}
    match = recognise(Contents({"": tensors}), None)
    preprocessing = match.architecture.preprocessing
    assert match.architecture.name == "vgg16" and preprocessing.channel_order == "bgr"
    assert preprocessing.mean == (103.939, 116.779, 123.68) and preprocessing.std == (1, 1, 1)


def test_normalisations_of_caffe():
    """Sums over batches and their number in one layer, scale and shift in the next."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0.5, 1.5, (5, 64)).astype(np.float32)
    tensors = {"conv1.weight": rng.standard_normal((64, 3, 7, 7)).astype(np.float32)}
    names = (
        "conv1.bias",
        "scale_conv1.weight",
        "scale_conv1.bias",
        "bn_conv1.weight",
        "bn_conv1.bias",
    )
    tensors |= dict(zip(names, values))
    for batches, factor in ((250, 1 / 250), (1, 1), (0, 0)):
        match, parameters = converted({**tensors, "bn_conv1.2": np.full(1, batches, np.float32)})
        assert match.architecture.name == "caffe_resnet50"
        np.testing.assert_array_equal(parameters["bn_conv1.scale"], values[1])
        np.testing.assert_array_equal(parameters["bn_conv1.shift"], values[2])
        np.testing.assert_allclose(parameters["bn_conv1.mean"], values[3] * factor, rtol=1e-6)
        np.testing.assert_allclose(parameters["bn_conv1.variance"], values[4] * factor, rtol=1e-6)
    with pytest.raises(WeightsError, match=r"there without 'bn_conv1.2'"):
        converted(tensors)


def test_the_losses_of_googlenet_are_passed_over():
    layout = next(layout for layout in LAYOUTS if layout.name == "Caffe's GoogLeNet")
    tensors = {key: zeros(*shape) for key, shape in names_of(layout, "bvlc_googlenet").items()}
    tensors |= {"loss1/conv.weight": zeros(128, 512, 1, 1), "loss2/fc.bias": zeros(1024)}
    match = recognise(Contents({"": tensors}), None)
    assert match.architecture.name == "bvlc_googlenet" and match.certainty == "certain"
