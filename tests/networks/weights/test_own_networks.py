"""Networks of one's own: in files that describe them, by name, and told by the caller."""

import copy
import json
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from oracles import weight_files
from oracles.own_network import FLAT, FLAT_WEIGHTS, PARAMETERS, POCKET, WEIGHTS
from oracles.random_networks import architectures, he_parameters

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import (
    ARCHITECTURES,
    Weights,
    get_architecture,
    load,
    load_weights,
    register,
    save_weights,
)
from sklearn_decaf.networks import architectures as known_architectures
from sklearn_decaf.networks.architecture_data import to_text
from sklearn_decaf.networks.mean_image import MeanImage
from sklearn_decaf.networks.weights import loading
from sklearn_decaf.networks.weights import weights as weights_module
from sklearn_decaf.networks.weights.known_files import NETWORK
from sklearn_decaf.networks.weights.parameters import FileParameters


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    monkeypatch.setattr(known_architectures, "_registered", {})
    monkeypatch.setattr(loading, "registered_weights", loading.registered_weights)
    yield
    loading.registered_weights.clear()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "pocket.safetensors"
    save_weights(WEIGHTS, path)
    return path


@pytest.fixture
def arrays(tmp_path):
    path = tmp_path / "pocket.npz"
    np.savez(path, **PARAMETERS)
    return path


def assert_same(one, other):
    assert one.architecture == other.architecture
    assert one.parameters.keys() == other.parameters.keys()
    for name, values in one.parameters.items():
        assert_array_equal(values, other.parameters[name], err_msg=name)
    assert one.digest == other.digest


# Files that describe their network -------------------------------------------------------------


def test_a_saved_file_loads_anywhere(saved):
    for found in (load_weights(saved), load_weights(saved, POCKET), load(saved, "pocket")):
        assert_same(found, WEIGHTS)
        assert found.certainty == "certain" and "pocket" in found.evidence
    suffixes = {name.rpartition(".")[2] for name in found.parameters}
    assert suffixes == {"kernel", "bias", "scale", "shift", "mean", "variance", "slope"}
    assert not found.parameters["conv1.kernel"].flags.writeable


def test_a_network_that_is_not_known_by_name(saved, arrays):
    with pytest.raises(WeightsError, match="no architecture is called 'pocket'"):
        load_weights(arrays, "pocket")
    with pytest.raises(WeightsError, match=r"'alexnet', but the file says .* 'pocket'"):
        load_weights(saved, "alexnet")


def changed(name, **fields):
    layers = [replace(layer, **fields) if layer.name == name else layer for layer in POCKET.layers]
    return replace(POCKET, layers=tuple(layers))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (FLAT, r"'conv2\.kernel' is \(3, 3, 16, 16\) in pocket and not in flat"),
        (changed("fc", units=8), r"'fc\.kernel' is \(16, 7\) in pocket and \(16, 8\) in pocket"),
        (changed("norm1", epsilon=0.5), r"layer BatchNorm\(.* is BatchNorm\(.*epsilon=0\.5"),
        (
            replace(POCKET, preprocessing=replace(POCKET.preprocessing, mean=(1.0, 2.0, 3.0))),
            "the input Preprocessing",
        ),
        (replace(POCKET, pooling="max"), "pooling or aliases differ"),
    ],
)
def test_another_network_than_the_file_describes(other, message, saved):
    with pytest.raises(WeightsError, match=message):
        load_weights(saved, other)


def test_a_mean_image_goes_along(tmp_path):
    image = MeanImage(np.random.default_rng(0).uniform(90, 140, (36, 36, 3)).astype(np.float32))
    net = replace(POCKET, preprocessing=replace(POCKET.preprocessing, mean_image=image))
    weights = Weights(net, PARAMETERS)
    save_weights(weights, tmp_path / "x.safetensors")
    assert_same(load_weights(tmp_path / "x.safetensors"), weights)
    assert_same(
        load_weights(tmp_path / "x.safetensors", mean=(1, 2, 3)),
        Weights(
            replace(POCKET, preprocessing=replace(POCKET.preprocessing, mean=(1.0, 2.0, 3.0))),
            PARAMETERS,
        ),
    )


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x1_0"])
def test_networks_of_the_package(name, tmp_path):
    net = get_architecture(name)
    weights = Weights(net, he_parameters(net))
    save_weights(weights, tmp_path / "x.safetensors")
    assert_same(load_weights(tmp_path / "x.safetensors"), weights)
    assert_same(load_weights(tmp_path / "x.safetensors", name), weights)


@settings(max_examples=25)
@given(architectures())
def test_random_networks(net):
    weights = Weights(net, he_parameters(net))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        save_weights(weights, path)
        assert_same(load_weights(path), weights)


def test_first_layers_alone(tmp_path):
    first = {key: PARAMETERS[key] for key in PARAMETERS if key.startswith(("conv1", "norm1"))}
    save_weights(Weights(POCKET, first), tmp_path / "x.safetensors")
    found = load_weights(tmp_path / "x.safetensors")
    assert found.available_layers() == ("conv1", "norm1")
    with pytest.raises(WeightsError, match=r"prelu1\.slope"):
        found.require(["pool1"])


def test_large_files_are_remembered(saved, tmp_path, monkeypatch):
    """What a large file was found to be is kept on the disk, its own network included."""
    from sklearn_decaf.networks import disk_cache
    from sklearn_decaf.networks.weights import known_files

    monkeypatch.setenv(disk_cache.VARIABLE, str(tmp_path / "packed"))
    monkeypatch.setattr(disk_cache, "MIN_FILE", 1)
    monkeypatch.setattr(known_files, "AT_REST", -1.0)
    for wanted in (None, POCKET):
        first = known_files.open_weight_file(
            saved, saved.stat(), checksum=None, architecture=wanted
        )
        with monkeypatch.context() as closed:
            closed.setattr(known_files, "read_tensors", lambda *_, **__: pytest.fail("was read"))
            again = known_files.open_weight_file(
                saved, saved.stat(), checksum=None, architecture=wanted
            )
        assert again.architecture == first.architecture == POCKET
        assert again.parameters.identity == first.parameters.identity
        assert_same(Weights(again.architecture, dict(again.parameters)), WEIGHTS)


@pytest.mark.parametrize("kind", ["saved", "told"])
def test_mean_images_of_large_files_are_remembered(kind, tmp_path, monkeypatch):
    from sklearn_decaf.networks import disk_cache
    from sklearn_decaf.networks.weights import known_files

    monkeypatch.setenv(disk_cache.VARIABLE, str(tmp_path / "packed"))
    monkeypatch.setattr(disk_cache, "MIN_FILE", 1)
    monkeypatch.setattr(known_files, "AT_REST", -1.0)
    size = POCKET.preprocessing.resize
    mean_image = MeanImage(np.random.default_rng(0).uniform(0, 255, (size, size, 3)))
    net = replace(POCKET, preprocessing=replace(POCKET.preprocessing, mean_image=mean_image))
    path = tmp_path / ("x.safetensors" if kind == "saved" else "x.npz")
    if kind == "saved":
        save_weights(Weights(net, WEIGHTS.parameters), path)
    else:
        np.savez(path, **WEIGHTS.parameters)
    for wanted in (net, *([None] if kind == "saved" else [])):
        for _ in range(2):
            file = known_files.open_weight_file(
                path, path.stat(), checksum=None, architecture=wanted
            )
            assert file.architecture == net


def test_what_the_caller_says_of_pictures_wins(tmp_path):
    size = POCKET.preprocessing.resize
    mean_image = MeanImage(np.full((size, size, 3), 100.0))
    net = replace(POCKET, preprocessing=replace(POCKET.preprocessing, mean_image=mean_image))
    save_weights(Weights(net, WEIGHTS.parameters), tmp_path / "x.safetensors")
    other = replace(POCKET.preprocessing, mean=(1.0, 2.0, 3.0))
    found = load_weights(tmp_path / "x.safetensors", preprocessing=other)
    assert found.architecture.preprocessing == other
    found = load_weights(tmp_path / "x.safetensors", preprocessing=other, mean=(4, 5, 6))
    assert found.architecture.preprocessing == replace(other, mean=(4.0, 5.0, 6.0))


DAMAGED = {
    "no data": ({"architecture": "pocket"}, "its architecture is 'pocket'"),
    "not JSON": ({"architecture": "pocket", NETWORK: "{"}, "not JSON"),
    "a list": ({"architecture": "pocket", NETWORK: "[]"}, "JSON object is expected"),
    "another network": (
        {"architecture": "pocket", NETWORK: to_text(get_architecture("alexnet"))},
        r"'conv1\.kernel' has shape \(3, 3, 3, 16\); alexnet has it as \(11, 11, 3, 64\)",
    ),
    "a smaller network": (
        {"architecture": "flat", NETWORK: to_text(FLAT)},
        r"flat has no parameter 'conv2\.kernel'",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_files_whose_description_is_wrong(case, weight_file):
    metadata, message = DAMAGED[case]
    path = weight_file(weight_files.safetensors(PARAMETERS, metadata))
    with pytest.raises(WeightsError, match=message):
        load_weights(path)


def test_numbers_that_are_none(weight_file):
    bias = np.full_like(PARAMETERS["fc.bias"], np.nan)
    metadata = {"architecture": "pocket", NETWORK: to_text(POCKET)}
    path = weight_file(weight_files.safetensors({**PARAMETERS, "fc.bias": bias}, metadata))
    with pytest.raises(WeightsError, match=r"'fc\.bias' holds NaN"):
        load_weights(path)


def test_a_header_that_begins_like_another_format(tmp_path):
    """Its length is the first number of a safetensors file, and may be 'PK' or a pickle's 0x80."""
    for start in (b"PK", b"\x80\x02", b"\x80\x25"):
        length = int.from_bytes(start, "little")
        header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
        content = length.to_bytes(8, "little") + header.encode().ljust(length) + b"\0" * 4
        path = tmp_path / "x.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="do not fit any known network"):
            load_weights(path)


# Networks that the caller describes -----------------------------------------------------------


def test_arrays_of_a_network_that_is_told(arrays):
    found = load_weights(arrays, POCKET)
    assert_same(found, WEIGHTS)
    assert found.certainty == "told" and "as described" in found.evidence
    assert load_weights(arrays, POCKET) is found
    with pytest.raises(WeightsError):
        load_weights(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv2.kernel": None}, r"'conv2\.kernel' of shape \(3, 3, 16, 16\) is missing"),
        ({"norm1.mean": None}, r"'norm1\.mean' of shape \(16,\) is missing"),
        ({"conv1.kernel": (3, 3, 16, 3)}, r"'conv1\.kernel' has shape \(3, 3, 16, 3\); pocket has"),
        ({"conv9.kernel": (3, 3)}, r"no parameter 'conv9\.kernel'; it has conv1\.kernel"),
    ],
)
def test_arrays_of_another_network(change, message, tmp_path):
    content = {name: values for name, values in PARAMETERS.items() if name not in change}
    for name, shape in change.items():
        if shape is not None:
            content[name] = np.zeros(shape, np.float32)
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(WeightsError, match=message):
        load_weights(tmp_path / "x.npz", POCKET)


_TORCH = {"kernel": "weight", "scale": "weight", "shift": "bias", "slope": "weight"}
_TORCH |= {"bias": "bias", "mean": "running_mean", "variance": "running_var"}


def as_torch(net, parameters):
    """A state dict of torch with modules called as the layers are."""
    state = {}
    for name, values in parameters.items():
        layer, _, key = name.rpartition(".")
        if values.ndim == 4:
            values = values.transpose(3, 2, 0, 1)  # (filters, channels, h, w)
        elif values.ndim == 2:
            source = net.shapes()[net.inputs(layer)[0]]
            rows = np.arange(len(values)).reshape(source)
            rows = rows.transpose(2, 0, 1).ravel() if len(source) == 3 else rows
            values = values[rows].T
        state[f"{layer}.{_TORCH[key]}"] = np.ascontiguousarray(values)
    state["norm1.num_batches_tracked"] = np.array(3)
    return state


@pytest.mark.parametrize("weights", [WEIGHTS, FLAT_WEIGHTS], ids=["pocket", "flat"])
def test_a_state_dict_of_torch(weights, weight_file):
    """Axes as torch has them, and a convolution without bias."""
    state = as_torch(weights.architecture, weights.parameters)
    found = load_weights(weight_file(weight_files.torch_zip(state)), weights.architecture)
    assert_same(found, weights)
    del state["conv1.bias"]
    found = load_weights(weight_file(weight_files.torch_zip(state)), weights.architecture)
    assert_array_equal(found.parameters["conv1.bias"], np.zeros(16, np.float32))
    state["conv1.weight"] = state["conv1.weight"][:8]
    with pytest.raises(WeightsError, match=r"'conv1\.weight' has shape \(8, 3, 3, 3\)"):
        load_weights(weight_file(weight_files.torch_zip(state)), weights.architecture)
    del state["conv1.weight"]
    with pytest.raises(WeightsError, match=r"'conv1\.kernel' of shape .* is missing"):
        load_weights(weight_file(weight_files.torch_zip(state)), weights.architecture)


def test_an_architecture_that_the_package_knows_is_its_name():
    weights = load_weights("squeezenet1_1", get_architecture("squeezenet1_1"))
    assert weights is load_weights("squeezenet1_1")
    with pytest.raises(WeightsError, match="are for squeezenet1_1, not for"):
        load_weights("squeezenet1_1", POCKET)
    with pytest.raises(TypeError, match="architecture=3"):
        load_weights("squeezenet1_1", 3)


def test_weights_in_memory_are_checked_and_returned():
    assert load_weights(WEIGHTS) is WEIGHTS and load_weights(WEIGHTS, POCKET) is WEIGHTS
    with pytest.raises(WeightsError, match=r"not for architecture=.*alexnet.*'conv1\.kernel' is"):
        load_weights(WEIGHTS, "alexnet")
    with pytest.raises(WeightsError, match=r"names of layers by number"):
        load_weights(WEIGHTS, replace(POCKET, pooling="max"))
    with pytest.raises(ValueError, match="mean= and preprocessing= are for files"):
        load_weights(WEIGHTS, mean=(1, 2, 3))
    for name, wrong, message in (
        ("conv1.bias", np.zeros(3, np.float32), r"'conv1\.bias' has shape \(3,\)"),
        ("conv1.bias", np.zeros(16), "is of type float64; float32 is expected"),
        ("conv1.bias", np.zeros(16, int), "floating point is expected"),
        ("conv1.bias", np.full(16, np.inf, np.float32), "holds NaN or infinity"),
        ("other.bias", np.zeros(3, np.float32), r"no parameter 'other\.bias'"),
    ):
        with pytest.raises(WeightsError, match=message):
            load_weights(Weights(POCKET, {**PARAMETERS, name: wrong}))
    with pytest.raises(WeightsError, match="no parameters at all"):
        load_weights(Weights(POCKET, {}))


def test_what_is_wrong_is_not_saved(tmp_path):
    with pytest.raises(WeightsError, match="has no parameter"):
        save_weights(Weights(FLAT, PARAMETERS), tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


# Names --------------------------------------------------------------------------------------


def test_registered_networks_are_found(arrays):
    register(POCKET)
    assert get_architecture("pocket") is POCKET and "pocket" not in ARCHITECTURES
    assert_same(load_weights(arrays, "pocket"), WEIGHTS)
    register(copy.deepcopy(POCKET))  # an equal one: nothing happens
    register(get_architecture("alexnet"))
    with pytest.raises(WeightsError, match=r"no weights are called 'pocket'"):
        load_weights("pocket")


@pytest.mark.parametrize("kind", ["memory", "npz", "saved"])
def test_registered_weights_are_found(kind, saved, arrays):
    weights = {"memory": WEIGHTS, "npz": arrays, "saved": str(saved)}[kind]
    register(POCKET, weights)
    register(POCKET, weights)
    assert_same(load_weights("pocket"), WEIGHTS)
    assert_same(load_weights("pocket", "pocket"), WEIGHTS)
    with pytest.raises(WeightsError):
        load_weights("pocket", "alexnet")
    with pytest.raises(ValueError, match="other weights are registered as 'pocket'"):
        register(POCKET, Weights(POCKET, he_parameters(POCKET, 1)))


def test_names_that_are_taken(saved):
    with pytest.raises(ValueError, match="another network is called 'alexnet': take another name"):
        register(replace(POCKET, name="alexnet"))
    register(POCKET)
    with pytest.raises(ValueError, match="another network is called 'pocket'"):
        register(replace(POCKET, pooling="max"))
    with pytest.raises(ValueError, match="weights 'squeezenet1_1' come with the package"):
        register(get_architecture("squeezenet1_1"), load_weights("squeezenet1_1"))
    with pytest.raises(WeightsError, match="another network"):
        register(replace(FLAT, name="pocket2"), saved)
    with pytest.raises(TypeError, match="is not an Architecture"):
        register("pocket")
    with pytest.raises(ValueError, match="no architecture is called 'pocket2'"):
        get_architecture("pocket2")


# Pickles ------------------------------------------------------------------------------------


@pytest.fixture
def forgetful(monkeypatch):
    """As if each pickle were read by a process of its own."""
    monkeypatch.setattr(weights_module, "_pickled", {})
    monkeypatch.setattr(weights_module, "_recent", [])

    def read(content):
        weights_module._pickled.clear()
        return pickle.loads(content)

    return read


def test_pickles_hold_the_weights(forgetful):
    found = forgetful(pickle.dumps(WEIGHTS))
    assert found is not WEIGHTS
    assert_same(found, WEIGHTS)
    assert not found.parameters["fc.bias"].flags.writeable


def test_a_process_keeps_one_copy():
    content = pickle.dumps(WEIGHTS)
    assert pickle.loads(content) is WEIGHTS
    assert copy.deepcopy({"a": WEIGHTS})["a"] is WEIGHTS and copy.copy(WEIGHTS) is WEIGHTS
    other = replace(WEIGHTS, source="elsewhere")
    assert pickle.loads(pickle.dumps(other)).source == "elsewhere"


def test_a_damaged_pickle_is_noticed(forgetful):
    content = pickle.dumps(WEIGHTS)
    numbers = PARAMETERS["conv2.kernel"].tobytes()
    assert numbers in content
    other = np.where(np.arange(PARAMETERS["conv2.kernel"].size) == 7, 1, 0).astype(np.float32)
    damaged = content.replace(numbers, other.tobytes())
    with pytest.raises(WeightsError, match="damaged: the digest of its numbers"):
        forgetful(damaged)
    text = to_text(POCKET).encode()
    assert text in content
    with pytest.raises(WeightsError, match=r"'fc\.kernel' has shape"):
        forgetful(content.replace(text, text.replace(b'"units":7', b'"units":8')))


def test_pickles_of_what_a_large_file_holds(forgetful):
    parameters = FileParameters(PARAMETERS, lambda: PARAMETERS, identity="one")
    weights = Weights(POCKET, parameters, "file", "0" * 64)
    found = forgetful(pickle.dumps(weights))
    assert found.digest == weights.digest and found.sha256 == weights.sha256
    assert found.parameters.identity == "one"
    assert_array_equal(found.parameters["fc.bias"], PARAMETERS["fc.bias"])
