"""Files that are no weight files, or none that is read here: they are called what they are."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.odd_weights import OTHER_FILES, npy
from oracles.protobuf_writer import blob
from oracles.weight_seeds import SEEDS

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import load_weights
from sklearn_decaf.networks.formats import read_tensors
from sklearn_decaf.networks.formats._kinds import name_kind
from sklearn_decaf.networks.formats.mean_image import read_mean_image


@pytest.mark.parametrize("case", OTHER_FILES)
@pytest.mark.parametrize("read", [load_weights, read_mean_image])
def test_files_are_called_what_they_are(case, read, weight_file):
    content, message = OTHER_FILES[case]
    if read is read_mean_image and content.startswith(b"PK"):
        message = "zip archive|Keras"
    path = weight_file(content, "alexnet.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_many_comments_take_no_time():
    """A careless pattern tries all ways to cut them up, and never ends."""
    assert "XML" in name_kind(memoryview(b"<!---->" * 280 + b"<x>"))
    assert "web page" in name_kind(memoryview(b"<!---->" * 280 + b"<html>"))


def test_other_files_for_weights(weight_file):
    mean = np.zeros((3, 256, 256), np.float32)
    for content, message in (
        (blob(mean, legacy=True), "a .binaryproto file of Caffe: a mean image is passed as mean="),
        (npy(mean), r"one array of shape \(3, 256, 256\) .* is passed as mean="),
        (npy(np.zeros((5, 5))), r"a .npy file of one array of shape \(5, 5\) without a name"),
        (npy(np.array("text")), "a .npy file of one array without a name"),
    ):
        with pytest.raises(WeightsError, match=message):
            load_weights(weight_file(content))


def test_pickles_of_other_programs(weight_file):
    class Wrapper:
        pass

    for module, message in (
        ("torch.storage", r"torch\.save\(model\.state_dict\(\)"),
        ("joblib.numpy_pickle", r"a file of joblib\.dump; save its arrays with numpy\.savez"),
    ):
        Wrapper.__module__, Wrapper.__qualname__ = module, "Wrapper"
        raw = b"\x80\x02}(X\x01\x00\x00\x00ac" + f"{module}\nWrapper\n".encode() + b")\x81u."
        with pytest.raises(WeightsError, match=message):
            load_weights(weight_file(raw))


TEXTS = {"architecture", "mean text"}


@pytest.mark.parametrize("case", [case for case in SEEDS if case not in TEXTS])
def test_weight_files_are_not_called_something_else(case):
    assert name_kind(memoryview(SEEDS[case][1])) is None


@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)))
def test_any_bytes(content):
    kind = name_kind(memoryview(content))
    assert kind is None or (isinstance(kind, str) and len(kind) < 400)


def test_a_dict_that_numpy_saved(weight_file):
    """As caffe-tensorflow wrote AlexNet's: a pickle inside an array of one object."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((11, 11, 3, 96), np.float32), np.ones(96, np.float32)
    layers = {"conv1": [kernel, bias], "epoch": 3, "names": np.array(["a"])}
    path = weight_file(npy(np.array(layers, object)), "bvlc_alexnet.npy")
    file = read_tensors(path)
    assert file.format == "npy" and list(file.tensors) == ["conv1.kernel", "conv1.bias"]
    weights = load_weights(path, "bvlc_alexnet")
    np.testing.assert_array_equal(weights.parameters["conv1.kernel"], kernel)
    nested = {"conv1": {"weights": kernel, "biases": bias}}
    assert list(read_tensors(weight_file(npy(np.array(nested, object)))).tensors) == [
        "conv1.weights",
        "conv1.biases",
    ]
    stream = io.BytesIO()
    np.savez(stream, conv1=np.array([kernel, bias], object), params=np.array(layers, object))
    names = list(read_tensors(weight_file(stream.getvalue())).tensors)
    assert names == ["conv1.kernel", "conv1.bias", "params.conv1.kernel", "params.conv1.bias"]
