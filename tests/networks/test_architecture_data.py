"""Architectures as text: the same again for all that are known and any that are drawn, and text
that nobody of good will has written."""

import copy
import json
import math
import pickle
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.layer_examples import EXAMPLES, IDS
from oracles.random_networks import architectures

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import ARCHITECTURES, Architecture, Preprocessing, get_architecture
from sklearn_decaf.networks.architecture_data import (
    MAX_LAYERS,
    MAX_TEXT,
    check_architecture,
    from_text,
    to_text,
)
from sklearn_decaf.networks.layers import KINDS, Concat, Conv, Identity, Layer, ReLU
from sklearn_decaf.networks.mean_image import MeanImage

SMALL = Architecture(
    "small",
    (
        Conv("conv", filters=4, kernel_size=(3, 1), padding=((0, 1), (2, 0)), stride=(2, 1)),
        ReLU("relu", max_value=6),
        Conv("same", filters=4, kernel_size=3, padding="same"),
        Identity("twin", ("relu",)),
    ),
    Preprocessing(crop=(16, 20), resize=30, mean=(1, 2.5, 3), channel_order="bgr"),
    {5: "relu", 7: "twin"},
    pooling="avg",
    layer_pooling={"relu": None, "twin": "avg+max"},
    dropout_layers=frozenset({"relu", "twin"}),
    aliases={"pool ä": "relu"},
)


def same(one: Architecture, other: Architecture) -> bool:
    """Equal, and with numbers of the same types."""
    described = [[*map(repr, net.layers), repr(net.preprocessing)] for net in (one, other)]
    return one == other and hash(one) == hash(other) and described[0] == described[1]


# There and back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_known_networks(name):
    net = get_architecture(name)
    text = to_text(net)
    assert same(from_text(text), net)
    assert len(text) < MAX_TEXT / 8
    assert same(pickle.loads(pickle.dumps(net)), net)


@given(architectures())
def test_random_networks(net):
    assert same(from_text(to_text(net)), net)
    assert same(pickle.loads(pickle.dumps(net)), net)


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_every_kind_of_layer(layer, shapes):
    """In a network of identities, which is as much as the shapes allow."""
    (content,) = json.loads(to_text(Architecture("one", (layer,), Preprocessing(), {})))["layers"]
    assert content["kind"] == type(layer).__name__
    assert content.keys() <= {"kind", *(field.name for field in fields(layer))}
    if len(shapes) == 1 and len(shapes[0]) == 3 and "shuffle" not in layer.name:
        plain = replace(layer, groups=1) if hasattr(layer, "groups") else layer
        plain = replace(plain, stop=2, step=1) if hasattr(plain, "stop") else plain
        net = Architecture("one", (plain,), Preprocessing(crop=32), {})
        assert same(from_text(to_text(net)), net)


def test_all_that_an_architecture_holds():
    found = from_text(to_text(SMALL))
    assert same(found, SMALL)
    assert [getattr(found, field.name) for field in fields(found)] == [
        getattr(SMALL, field.name) for field in fields(SMALL)
    ]
    assert {type(layer).__name__ for layer, _ in EXAMPLES} == {kind.__name__ for kind in KINDS}


def test_numbers_of_numpy_become_plain():
    layers = (Conv("conv", filters=np.int64(4), kernel_size=np.int32(3)), ReLU("relu"))
    preprocessing = Preprocessing(crop=np.int16(9), mean=(np.float32(1),) * 3)
    net = Architecture("numpy", layers, preprocessing, {})
    found = from_text(to_text(net))
    assert found == net
    assert type(found["conv"].filters) is int and type(found.preprocessing.mean[0]) is float


def test_a_mean_image():
    image = MeanImage(np.random.default_rng(0).uniform(0, 255, (40, 40, 3)).astype(np.float32))
    net = replace(SMALL, preprocessing=replace(SMALL.preprocessing, mean_image=image))
    text = to_text(net)
    assert len(text) < 2000
    assert same(from_text(text, image), net)
    assert same(pickle.loads(pickle.dumps(net)), net)
    other = MeanImage(image.pixels / 2)
    for wrong in (None, other):
        with pytest.raises(WeightsError, match="mean image has the checksum"):
            from_text(text, wrong)
    with pytest.raises(WeightsError, match="mean image has the checksum None"):
        from_text(to_text(SMALL), image)
    small = MeanImage(image.pixels[:8, :8])
    with pytest.raises(WeightsError, match="8 pixels a side"):
        from_text(text.replace(image.sha256, small.sha256), small)


def test_copies_are_the_architecture_itself():
    assert copy.copy(SMALL) is SMALL and copy.deepcopy([SMALL])[0] is SMALL
    with pytest.raises(TypeError):
        SMALL.decaf_layers[6] = "relu"
    assert repr(SMALL) == "Architecture('small', 4 layers, 16 x 20 pixels)"


def test_kinds_of_ones_own_are_no_data():
    @dataclass(frozen=True)
    class Own(Layer):
        pass

    net = Architecture("own", (Own("own"),), Preprocessing(), {})
    for write in (to_text, pickle.dumps):
        with pytest.raises(TypeError, match="'own' of 'own' is of type Own"):
            write(net)


# Text of all kinds -----------------------------------------------------------------------------


def changed(change) -> str:
    content = json.loads(to_text(SMALL))
    return json.dumps(change(content) or content)


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(content):
        for step in path:
            content = content[step]
        content[key] = value

    return changed(change)


def drop(*path):
    def change(content):
        *path_to, key = path
        for step in path_to:
            content = content[step]
        del content[key]

    return changed(change)


WRONG = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "JSON object is expected"),
    "deep": ("[" * 100_000, "not JSON"),
    "long": (" " * (MAX_TEXT + 1), "characters"),
    "long number": ('{"version": 1' + "0" * 5000 + "}", "holds the number"),
    "NaN": ('{"version": NaN}', "holds the number"),
    "twice": ('{"version": 1, "version": 1}', "same key twice"),
    "other version": (put("version", 2), "version 2"),
    "unknown field": (put("more", 1), "unknown field 'more'"),
    "no name": (drop("name"), "is called None"),
    "name of no text": (put("name", [1]), "is called"),
    "name with a line break": (put("name", "a\nb"), "is called"),
    "half a character": (put("name", "\ud800"), "is called"),
    "long name": (put("layers", 0, "name", "a" * 600), "is called"),
    "no layers": (put("layers", []), "1 to"),
    "layers of no list": (put("layers", {}), "the layers are"),
    "layer of no object": (put("layers", 1, 3), "layer 1 is 3"),
    "unknown kind": (put("layers", 1, "kind", "Lambda"), "kind 'Lambda'"),
    "kind of no text": (put("layers", 1, "kind", ["ReLU"]), "of kind"),
    "kind of base": (put("layers", 1, "kind", "Layer"), "kind 'Layer'"),
    "unknown field of a layer": (put("layers", 1, "kernel", 3), "unknown field 'kernel'"),
    "class attribute": (put("layers", 1, "onnx_operators", []), "unknown field"),
    "no name of a layer": (drop("layers", 1, "name"), "is called None"),
    "text for a number": (put("layers", 0, "filters", "4"), "filters cannot be '4'"),
    "true for a number": (put("layers", 0, "filters", True), "filters cannot be True"),
    "float for an integer": (put("layers", 0, "filters", 4.0), "filters cannot be 4.0"),
    "no filters": (put("layers", 0, "filters", 0), "filters cannot be 0"),
    "no stride": (put("layers", 0, "stride", [1, 0]), "stride cannot be"),
    "three strides": (put("layers", 0, "stride", [1, 1, 1]), "stride cannot be"),
    "negative kernel": (put("layers", 0, "kernel_size", -3), "kernel_size cannot be -3"),
    "negative padding": (put("layers", 0, "padding", -1), "padding cannot be -1"),
    "padding of a word": (put("layers", 0, "padding", "valid"), "cannot read"),
    "huge padding": (put("layers", 0, "padding", 2**20), "makes maps"),
    "huge same padding": (put("layers", 2, "kernel_size", 2**20), "makes maps"),
    "huge filters": (put("layers", 0, "filters", 2**24), "makes maps"),
    "infinite filters": (put("layers", 0, "filters", "inf"), "filters cannot be"),
    "infinite mean": (put("preprocessing", "mean", ["inf", 0, 0]), "mean cannot be"),
    "large number": (put("layers", 1, "max_value", 1e300), "max_value cannot be"),
    "kernel larger than its map": (put("layers", 0, "kernel_size", 90), "smaller than its kernel"),
    "groups that do not divide": (put("layers", 2, "groups", 3), "groups do not divide"),
    "two inputs": (put("layers", 1, "inputs", ["conv", "conv"]), "cannot read"),
    "inputs of no list": (put("layers", 1, "inputs", "conv"), "inputs cannot be"),
    "later input": (put("layers", 0, "inputs", ["relu"]), "reads \\['relu'\\]"),
    "itself": (put("layers", 1, "inputs", ["relu"]), "reads"),
    "unknown input": (put("layers", 1, "inputs", ["nobody"]), "reads"),
    "same name": (put("layers", 1, "name", "conv"), "is there twice"),
    "name of the input": (put("layers", 0, "name", "data"), "is there twice"),
    "huge input": (put("preprocessing", "crop", 100_000), "pixels"),
    "no input": (put("preprocessing", "crop", 0), "crop cannot be 0"),
    "huge resize": (put("preprocessing", "resize", 2**20), "resized to"),
    "other channels": (put("preprocessing", "channel_order", "yuv"), "channels in the order"),
    "no deviation": (put("preprocessing", "std", [1, 0, 1]), "deviations"),
    "two means": (put("preprocessing", "mean", [1, 2]), "mean cannot be"),
    "mean image of nobody": (put("preprocessing", "mean_image", "ab"), "mean image"),
    "mean image of no text": (put("preprocessing", "mean_image", {"a": 1}), "mean image"),
    "layer number": (put("decaf_layers", {"six": "relu"}), "the number 'six'"),
    "number of nobody": (put("decaf_layers", {"6": "nobody"}), "no layer 'nobody'"),
    "pooling": (put("pooling", "sum"), "pooling is 'sum'"),
    "pooling of no text": (put("pooling", ["avg"]), "pooling is"),
    "automatic pooling": (put("pooling", "auto"), "pooling is 'auto'"),
    "pooling of a layer": (put("layer_pooling", {"relu": 3}), "'relu' is 3"),
    "pooling of nobody": (put("layer_pooling", {"nobody": None}), "no layer"),
    "dropout of no list": (put("dropout_layers", "relu"), "a list is expected"),
    "dropout of no text": (put("dropout_layers", [[1]]), "is called"),
    "alias of nobody": (put("aliases", {"a": "b"}), "no layer 'b'"),
    "alias of no text": (put("aliases", {"a": 1}), "is called 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_text(name):
    text, message = WRONG[name]
    with pytest.raises(WeightsError, match=message) as caught:
        from_text(text)
    assert len(str(caught.value)) < 2000


def layers_of(n: int, kind="Identity", inputs=None) -> str:
    layers = [{"kind": kind, "name": f"l{i}"} for i in range(n)]
    for i in range(1, n):
        if inputs:
            layers[i]["inputs"] = inputs(i)
    layers[0] = {"kind": "Conv", "name": "l0"}
    return put("layers", layers).replace('"relu"', '"l0"').replace('"twin"', '"l1"')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(layers_of(100_000), id="long"),
        pytest.param('{"layers":[' + ",".join(["1"] * 100_000) + "]}", id="numbers"),
        pytest.param(layers_of(MAX_LAYERS + 1), id="many"),
        pytest.param(layers_of(2000, "Concat", lambda i: [f"l{i - 1}"] * 2), id="doubling"),
        pytest.param(layers_of(40, "Concat", lambda i: ["l0"] * 2000), id="inputs"),
        pytest.param(
            layers_of(3, "Dense").replace('"Dense"', '"Dense","units":16777216'), id="dense"
        ),
    ],
)
def test_too_large_is_refused_at_once(text):
    with pytest.raises(WeightsError):
        from_text(text)


def test_large_networks_are_read():
    net = from_text(layers_of(MAX_LAYERS))
    assert len(net.layers) == MAX_LAYERS
    concats = [Concat(f"c{i}", (f"c{i - 1}" if i else "a",) * 2) for i in range(12)]
    net = Architecture("doubled", (Conv("a", filters=64), *concats), Preprocessing(), {})
    with pytest.raises(WeightsError, match=r"'c\d+'.*makes maps"):
        check_architecture(net)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 10),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["same", "inf", "conv", "relu", "avg", "data", "rgb"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def damaged_texts(draw):
    content = json.loads(to_text(draw(architectures(max_blocks=2))))
    for _ in range(draw(st.integers(1, 3))):
        place = content
        while isinstance(place, dict | list) and place and draw(st.integers(0, 3)):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            place[key] = draw(values)
            break
        else:
            if isinstance(place, dict):
                place[draw(st.text(max_size=5))] = draw(values)
    return json.dumps(content)


@settings(max_examples=300)
@given(damaged_texts())
def test_damaged_text_is_refused_or_a_network(text):
    try:
        net = from_text(text)
    except WeightsError:
        return
    assert all(math.prod(shape) for shape in net.shapes().values())
    net.parameter_shapes()
    assert from_text(to_text(net)) == net
