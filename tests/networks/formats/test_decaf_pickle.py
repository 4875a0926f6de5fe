"""The network of 2013."""

import numpy as np
import pytest
from oracles import decaf_writer, pickle_writer

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import get_architecture, load_weights
from sklearn_decaf.networks.formats import decaf_pickle

RNG = np.random.default_rng(0)
CONV2 = RNG.standard_normal((2, 5, 5, 6), dtype=np.float32)  # four channels in two groups
FC = RNG.standard_normal((12, 3), dtype=np.float32)
BIASES = RNG.standard_normal(6, dtype=np.float32)
LAYERS = [
    decaf_writer.other("data", "data"),
    decaf_writer.conv("conv2", CONV2, BIASES),
    decaf_writer.other("pool2", "pool", pool="max", sizeX=3, stride=2),
    decaf_writer.dense("fc6", FC, BIASES[:3]),
]


def read(content):
    found = decaf_pickle.read(memoryview(content))
    return found.tensors, found.metadata


@pytest.mark.parametrize("trainer", [False, True])
def test_reads_layers(trainer):
    content = decaf_writer.dumps(LAYERS, trainer=trainer)
    assert decaf_pickle.looks_like(memoryview(content))
    tensors, metadata = read(content)
    assert metadata["layers"] == "data conv2 pool2 fc6"
    assert list(tensors) == ["conv2.weights", "conv2.biases", "fc6.weights", "fc6.biases"]
    np.testing.assert_array_equal(tensors["conv2.weights"], CONV2)
    np.testing.assert_array_equal(tensors["conv2.biases"], BIASES)
    np.testing.assert_array_equal(tensors["fc6.weights"], FC)
    np.testing.assert_array_equal(tensors["fc6.biases"], BIASES[:3])
    assert not any(values.flags.writeable for values in tensors.values())


@pytest.mark.slow
def test_loads_as_the_decaf_architecture(weight_file):
    shapes = get_architecture("decaf").parameter_shapes()
    parameters = {
        f"{layer}.{kind}": RNG.standard_normal(shapes[f"{layer}.{kind}"], dtype=np.float32)
        for layer in ("conv1", "conv2", "fc8")
        for kind in ("kernel", "bias")
    }
    loaded = load_weights(weight_file(decaf_writer.dumps(decaf_writer.network(parameters))))
    assert loaded.architecture.name == "decaf"
    assert list(loaded.parameters) == list(parameters)
    for name, values in parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], values)


def changed(**fields):
    conv = {k: v for k, v in (LAYERS[1] | fields).items() if v is not None}
    return decaf_writer.dumps([LAYERS[0], conv])


BAD = {
    "a dict": (pickle_writer.dumps({}), "not hold a list of layers"),
    "an empty list": (pickle_writer.dumps([]), "not hold a list of layers"),
    "a list of numbers": (pickle_writer.dumps([1]), "layer 0 is 1, not a dict"),
    "no name": (changed(name=None), "name of layer 1 is None"),
    "a number for a name": (changed(name=5), "name of layer 1 is 5"),
    "no type": (changed(type=None), "type of layer 1"),
    "one name twice": (decaf_writer.dumps([*LAYERS, LAYERS[1]]), "two layers are called 'conv2'"),
    "no weights": (changed(weights=None), "not a list of one array"),
    "two weights": (changed(weights=LAYERS[1]["weights"] * 2), "not a list of one array"),
    "weights that are text": (changed(weights=["abc"]), "bytes, not an array"),
    "no biases": (changed(biases=None), "biases of 'conv2' are None"),
    "biases for every position": (changed(sharedBiases=0), "bias for every position"),
    "other channels": (changed(channels=[8]), "does not fit its 300 weights"),
    "channels that do not divide": (changed(channels=[5]), "does not fit"),
    "no size": (changed(filterSize=[0]), "filterSize is 0"),
    "a size that is a list": (changed(filterSize=[[5]]), "filterSize is list"),
    "huge filters": (changed(filters=2**40), "filters is 1099511627776"),
    "weights of an unknown class": (
        changed(weights=[pickle_writer.Call(pickle_writer.Name("os", "system"), ("true",), 0)]),
        "an object of 'os.system', which is not made, not an array",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_an_error(case):
    content, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        read(content)


def test_unknown_classes_are_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = pickle_writer.Call(pickle_writer.Name("os", "system"), ("touch owned",), {"a": 1})
    layers = [LAYERS[0] | {"owner": call, "more": [call, call]}, *LAYERS[1:]]
    tensors, _ = read(decaf_writer.dumps(layers))
    assert len(tensors) == 4
    assert not list(tmp_path.iterdir())
