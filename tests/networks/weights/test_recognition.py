"""Which network a file holds, by names and shapes alone: prefixes, heads, what stands beside."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import ARCHITECTURES, get_architecture
from sklearn_decaf.networks.formats import Contents
from sklearn_decaf.networks.layers import Dense
from sklearn_decaf.networks.weights.layouts import LAYOUTS, get_candidate
from sklearn_decaf.networks.weights.prefixes import (
    WRAPPERS,
    find_prefixes,
    split_names,
    without_wrappers,
)
from sklearn_decaf.networks.weights.recognition import _TWINS, recognise
from sklearn_decaf.networks.weights.variants import backbone, head

CASES = [(layout, name) for layout in LAYOUTS for name in layout.architectures]
IDS = [f"{layout.name}: {name}" for layout, name in CASES]
# one of each layout, and of each family by torchvision's names
_FAMILIES = ["vgg11", "googlenet", "mobilenet_v3_small", "convnext_tiny", "efficientnet_b0"]
SOME = [
    (layout, name)
    for layout in LAYOUTS
    for name in (
        ["resnet18", *_FAMILIES]
        if layout.name == "torchvision's names"
        else layout.architectures[:1]
    )
]
SOME_IDS = [f"{layout.name}: {name}" for layout, name in SOME]
some_files = pytest.mark.parametrize("layout, name", SOME, ids=SOME_IDS)
PLAIN = settings(
    max_examples=3,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def zeros(*shape):
    """An array without memory of its own."""
    return np.broadcast_to(np.float32(0), shape)


def file_of(layout, name, classes=None):
    """All arrays that a complete file has, with a head of so many classes, and its entry."""
    candidate = get_candidate(layout, name)
    shapes = candidate.shapes
    last = next((entry for entry in candidate.entries if entry.layer == candidate.head), None)
    tensors = {key: zeros(*shape) for key, shape in shapes.items()}
    if last is not None and classes is not None:
        shape = list(shapes[last.kernel])
        shape[0 if layout.axes.startswith("o") else -1] = classes
        tensors[last.kernel], tensors[last.bias] = zeros(*shape), zeros(classes)
    return tensors, last


def found(tensors, name=None, metadata=None):
    return recognise(Contents({"": tensors}, metadata or {}), name)


names = st.text("abcxyz_0123", min_size=1, max_size=8)


@pytest.mark.parametrize("layout, name", CASES, ids=IDS)
def test_a_whole_file(layout, name):
    tensors, _ = file_of(layout, name)
    match = found(tensors, name)
    candidate = get_candidate(layout, name)
    assert match.candidate is candidate and match.architecture is candidate.architecture
    assert match.arrays.keys() == tensors.keys()
    assert not match.missing and not match.own_classes and match.place == ("", "")
    assert match.evidence.startswith(f"all {len(tensors)} arrays have names and shapes of {name} (")


def test_whole_files_fit_one_network_but_for_the_twins():
    """Of which recognition has a list, so that it need not compare with everything."""
    candidates = [get_candidate(layout, name) for layout, name in CASES]
    pairs = set()
    for one in candidates:
        for other in candidates:
            fits = one.shapes.items() <= other.shapes.items()
            if fits and other.body_names <= one.shapes.keys():
                pairs.add(frozenset([one.architecture.name, other.architecture.name]))
    assert {name for pair in pairs if len(pair) == 2 for name in pair} == _TWINS


@some_files
def test_any_prefix_and_wrappers_anywhere(layout, name):
    tensors, _ = file_of(layout, name)

    @PLAIN
    @given(st.data())
    def check(data):
        prefix = "".join(data.draw(st.lists(names.map(lambda n: f"{n}."), max_size=3)))
        wrapper = data.draw(st.sampled_from(sorted(WRAPPERS)))
        wrapped = {}
        for key, array in tensors.items():
            parts = f"{prefix}{key}".split(".")
            at = data.draw(st.integers(0, len(parts) - 1)) if len(wrapped) < 3 else 0
            wrapped[".".join([*parts[:at], wrapper, *parts[at:]])] = array
        match = found(wrapped, name)
        assert match.arrays.keys() == tensors.keys()
        assert match.place == ("", prefix)
        assert f"'{wrapper}.'" in match.evidence
        assert not prefix or repr(prefix) in match.evidence

    check()


@some_files
def test_any_number_of_classes(layout, name):
    net = get_candidate(layout, name).architecture

    @PLAIN
    @given(st.integers(1, 3000))
    def check(n):
        tensors, last = file_of(layout, name, n)
        if last is None:  # Flax's AlexNet ends with its convolutions
            return
        match = found(tensors, name)
        assert match.architecture.shapes()["prob"] == (n,)
        assert match.own_classes == (n != 1000)
        assert match.arrays.keys() == tensors.keys() and not match.missing
        assert (f"its head has {n} classes" in match.evidence) == (n != 1000)
        changed = {layer for layer in net.layers if match.architecture[layer.name] != layer}
        assert changed == ({net[head(net)]} if n != 1000 else set())

    check()


@some_files
@pytest.mark.parametrize("bias", [True, False])
def test_a_head_of_another_name(layout, name, bias):
    tensors, last = file_of(layout, name, 20)
    if last is None:
        return
    kernel, vector = tensors.pop(last.kernel), tensors.pop(last.bias)
    tensors["fc8_flickr.weight"] = kernel
    if bias:
        tensors["fc8_flickr.bias"] = vector
    match = found(tensors, name)
    assert match.arrays[last.kernel] is kernel and match.arrays[last.bias].shape == (20,)
    assert match.own_classes and match.certainty in ("likely", "told")
    assert "its head has 20 classes and is 'fc8_flickr.weight'" in match.evidence
    # with as many classes as ImageNet has it is still another head
    tensors, last = file_of(layout, name, 1000)
    tensors["places.weight"] = tensors.pop(last.kernel)
    tensors["places.bias"] = tensors.pop(last.bias)
    assert found(tensors, name).own_classes


@some_files
def test_heads_that_are_none(layout, name):
    tensors, last = file_of(layout, name)
    if last is None:
        return
    net = get_candidate(layout, name).architecture
    kernel, bias = tensors.pop(last.kernel), tensors.pop(last.bias)
    width = kernel.shape[1 if layout.axes.startswith("o") else -2]

    def missing(**others):
        match = found({**tensors, **{k.replace("__", "."): v for k, v in others.items()}}, name)
        assert match.architecture is net and not match.own_classes
        assert last.kernel not in match.arrays
        return match.missing.get(head(net))

    assert missing() is None
    two = missing(a__weight=zeros(64, width), a__bias=zeros(64), b__weight=zeros(10, 64))
    assert two == f"the file has something else for a head: 'a.weight' (64, {width}), 'a.bias' " \
        "(64,), 'b.weight' (10, 64)"  # fmt: skip
    normalised = {f"norm.{part}": zeros(width) for part in ("weight", "bias", "running_mean")}
    assert "norm.weight" in missing(**{"x.weight": kernel, "x.bias": bias}, **normalised)
    both = missing(**{"x.weight": kernel, "y.weight": kernel, "x.bias": bias})
    assert "something else for a head" in both
    assert missing(loss=zeros(10)) == "the file has something else for a head: 'loss' (10,)"
    assert missing(counter=zeros()) is None
    assert f"{last.bias!r} is there without {last.kernel!r}" == missing(
        **{last.bias.replace(".", "__"): bias}
    )
    narrow = list(kernel.shape)
    narrow[1 if layout.axes.startswith("o") else -2] = 7
    assert f"{last.kernel!r} has shape" in missing(
        **{last.kernel.replace(".", "__"): zeros(*narrow), last.bias.replace(".", "__"): bias}
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_body_is_all_but_the_dense_layers_and_the_head(name):
    net = get_architecture(name)
    with_parameters = {layer.name for layer in net.layers if net.layer_parameter_shapes(layer.name)}
    outside = with_parameters - backbone(net)
    dense = {layer.name for layer in net.layers if isinstance(layer, Dense)}
    squeeze = {name for name in dense if ".fc" in name}  # of squeeze-and-excitation
    assert outside == (dense - squeeze) | {head(net)}


@pytest.mark.parametrize(
    "name, last",
    [
        ("squeezenet1_1", "conv10"),
        ("caffenet", "fc8"),
        ("efficientnet_lite0", "fc"),
        ("resnet18", "fc"),
        ("densenet121", "classifier"),
        ("vgg16", "fc8"),
        ("convnext_tiny", "classifier.2"),
    ],
)
def test_the_head_gives_the_classes(name, last):
    net = get_architecture(name)
    assert head(net) == last
    assert net.layer_parameter_shapes(last)[f"{last}.kernel"][-1] == 1000


def test_networks_that_begin_alike_are_not_taken_for_one_another():
    """VGG's first convolution is called and shaped like that of SqueezeNet."""
    places = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
    vgg = {}
    for place, (filters, channels) in places.items():
        vgg[f"features.{place}.weight"] = zeros(filters, channels, 3, 3)
        vgg[f"features.{place}.bias"] = zeros(filters)
    vgg["classifier.0.weight"], vgg["classifier.0.bias"] = zeros(4096, 25088), zeros(4096)
    assert found(vgg).architecture.name == "vgg13"  # of which these may be the first layers
    vgg["features.9.weight"] = zeros(128, 128, 3, 3)
    with pytest.raises(WeightsError, match="do not fit any known network"):
        found(vgg)


@pytest.fixture(scope="module")
def some_shapes():
    """Names and shapes of arrays of several networks that have names in common."""
    return sorted({item for one in SOME for item in get_candidate(*one).shapes.items()})


@settings(PLAIN, max_examples=100)
@given(st.data())
def test_arrays_of_any_shapes(some_shapes, data):
    """A network is found, or none, whatever the shapes are."""
    prefix = data.draw(st.sampled_from(["", "module.", "net."]))
    tensors = {}
    for name, shape in data.draw(st.lists(st.sampled_from(some_shapes), min_size=1, max_size=5)):
        other = st.lists(st.integers(0, 3), max_size=6)
        tensors[prefix + name] = zeros(*data.draw(st.one_of(st.just(shape), other)))
    try:
        match = found(tensors, data.draw(st.sampled_from([None, "resnet18", "efficientnet_b0"])))
    except WeightsError:
        return
    for name, array in match.arrays.items():
        assert array.shape == match.candidate.shapes[name]


def torchvision(n=1000):
    layout = next(layout for layout in LAYOUTS if layout.name == "torchvision's AlexNet")
    return file_of(layout, "alexnet", n)[0]


def test_what_stands_beside_is_named():
    tensors = torchvision() | {"queue": zeros(128, 65536), "aux.weight": zeros(3, 4)}
    match = found(tensors)
    assert "2 arrays are no part of it ('queue', 'aux.weight')" in match.evidence
    assert match.certainty == "certain" and not match.missing
    # but not where something of the body is missing
    del tensors["features.8.weight"]
    with pytest.raises(WeightsError, match="'queue' is unknown"):
        found(tensors)


def groups(**tensors):
    return recognise(Contents(tensors), None)


def test_groups():
    match = groups(state_dict=torchvision(5), optimizer={"x.y": zeros(3)})
    assert match.place == ("state_dict", "") and "under 'state_dict'" in match.evidence
    ones = {name: array + 1 for name, array in torchvision(5).items()}
    assert groups(model_ema=ones, model=torchvision(5)).place[0] == "model"
    assert groups(ema=ones, other={"a.b": zeros(2)}).place[0] == "ema"
    assert groups(first=torchvision(5), second=torchvision(5)).place[0] == "first"
    with pytest.raises(WeightsError, match=r"two networks of this kind .* 'first' and 'second'"):
        groups(first=torchvision(5), second=ones)
    squeezenet = next(layout for layout in LAYOUTS if layout.name == "torchvision's SqueezeNet")
    two = {"a": torchvision(5), "b": file_of(squeezenet, "squeezenet1_1")[0]}
    with pytest.raises(
        WeightsError, match=r"fit alexnet and squeezenet1_1.*architecture='alexnet'"
    ):
        groups(**two)
    assert recognise(Contents(two), "squeezenet1_1").place[0] == "b"


def test_two_prefixes_in_one_group():
    both = {f"model.{name}": array for name, array in torchvision(5).items()}
    both |= {f"ema_model.module.{name}": array + 1 for name, array in torchvision(5).items()}
    assert found(both).place == ("", "model.")
    aliases = {**torchvision(5), **{f"net.{name}": a for name, a in torchvision(5).items()}}
    assert found(aliases).own_classes
    other = {f"second.{name}": array + 1 for name, array in torchvision(5).items()}
    with pytest.raises(WeightsError, match="two networks of this kind"):
        found({**{f"first.{name}": a for name, a in torchvision(5).items()}, **other})


@given(st.lists(st.text("ab./", max_size=12), max_size=20, unique=True))
def test_prefixes_of_anything(keys):
    index = {"a": "xy", "a.b": "x", "b/a": "y"}
    for network, prefixes in find_prefixes(split_names(keys), index).items():
        assert len(set(prefixes)) == len(prefixes)
        for prefix in prefixes:
            assert prefix == "" or prefix[-1] in "./"
            assert any(
                key.startswith(prefix) and network in index.get(key[len(prefix) :], "")
                for key in keys
            )


@given(st.lists(st.lists(st.sampled_from(["module", "a", "b"]), min_size=1).map(".".join)))
def test_wrappers_of_anything(keys):
    keys = list(dict.fromkeys(keys))
    short, wrappers = without_wrappers(keys)
    assert sorted(short.values()) == sorted(keys)
    if wrappers:
        assert wrappers == ("module",)
        assert not any("module" in name.split(".")[:-1] for name in short)


def test_a_name_of_a_million_parts():
    name = "a." * 500_000 + "conv1.kernel"
    assert find_prefixes(split_names([name]), {"conv1.kernel": "x"}) == {"x": ["a." * 500_000]}
