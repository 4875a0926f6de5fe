"""Files that are no weight files, or none that is read here: they are called what they are."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.protobuf_writer import blob, field
from oracles.weight_seeds import SEEDS

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import load_weights
from sklearn_decaf.networks.formats import read_tensors
from sklearn_decaf.networks.formats._kinds import name_kind
from sklearn_decaf.networks.formats.mean_image import read_mean_image


def zipped(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return stream.getvalue()


def tarred():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("alexnet.pth"))
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(90)
PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:7be5be79\nsize 244408911\n"
NODE = field(1, "input") + field(2, "Placeholder")
FILES = {
    "HDF5": (HDF5, r"an HDF5 file \(Caffe's .caffemodel.h5, Keras's .h5.*h5py.*\.npz"),
    "a web page": (PAGE, "a web page: .*fetch it again"),
    "a page in small letters": (b"\n\n <html lang='en'>" + bytes(9), "a web page"),
    "a page with a mark": (b"\xef\xbb\xbf<!doctype html>", "a web page"),
    "a page after a comment": (b"<!-- saved -->\n<HTML>", "a web page"),
    "a refusal": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML doc"),
    "an answer": (b'{"message": "Not Found"}', "JSON text, .*what a server said"),
    "an index": (b'{"metadata": {}, "weight_map": {"a": "b"}}', "an index of weight files"),
    "Git LFS": (POINTER, "a Git LFS pointer: .*git lfs pull"),
    "git-annex": (b"/annex/objects/SHA256E-s1--7b.pth\n", "a git-annex pointer"),
    "gzip": (gzip.compress(b"weights"), "gzip data: unpack it"),
    "bzip2": (b"BZh91AY&SY", "bzip2 data"),
    "xz": (b"\xfd7zXZ\x00\x00\x04", "xz data"),
    "zstandard": (b"\x28\xb5\x2f\xfd\x04\x58", "zstandard data"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
    "RAR": (b"Rar!\x1a\x07\x00", "a RAR archive"),
    "tar": (tarred(), "a tar archive: unpack it"),
    "zip": (
        zipped("x/alexnet.pth", "x/readme.txt"),
        "zip archive with 'x/alexnet.pth' in it: unpa",
    ),
    "a folder of a Mac": (zipped("__MACOSX/._a.pth", "a.txt"), "zip archive that holds '__MACOSX"),
    "Keras": (zipped("config.json", "model.weights.h5"), "a Keras model"),
    "zeros": (bytes(5000), "nothing but zeros.*fetch it again"),
    "SavedModel": (b"\x08\x01\x12\x80\x20\x0a\x05", "a TensorFlow SavedModel"),
    "a graph": (field(1, NODE) * 2, "a TensorFlow graph"),
    "TensorFlow Lite": (b"\x20\x00\x00\x00TFL3" + bytes(9), "a TensorFlow Lite model"),
    "Matlab": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a Matlab file.*scipy.io.loadmat"),
    "MXNet": (b"\x12\x01" + bytes(6) + b"\x00\x00\x00\x00", "an MXNet .params file"),
    "a prototxt": (b'name: "CaffeNet"\ninput: "data"\n', "a prototxt file.*.caffemodel"),
    "a prototxt with a remark": (b'# mine\n\nlayer {\n  name: "x"', "a prototxt file"),
    "a solver": (b'net: "train_val.prototxt"\nbase_lr: 0.01', "a prototxt file"),
    "text": ("Gewichte für später\n".encode(), "text that begins with b'Gewichte"),
    "a script": (b"#!/bin/sh\nexit", "a script, not a weight file"),
    "an image": (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG image, not a weight file"),
    "a PNG image": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG image"),
    "a PDF": (b"%PDF-1.4\n\xff", "a PDF document"),
    "a Mac's note": (b"\x00\x05\x16\x07\x00\x02", "notes about another: its name begins with '._'"),
    "protocol 0": (pickle.dumps({"a": 1}, 0), "a pickle of protocol 0 or 1: .*protocol 2"),
    "protocol 0 of a list": (pickle.dumps([np.ones(3)], 0), "a pickle of protocol 0 or 1"),
    "protocol 0 of an array": (pickle.dumps(np.ones(3), 0), "a pickle of protocol 0 or 1"),
    "protocol 1": (pickle.dumps({"a": 1}, 1), "a pickle of protocol 0 or 1"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("read", [load_weights, read_mean_image])
def test_files_are_called_what_they_are(case, read, weight_file):
    content, message = FILES[case]
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


@pytest.mark.parametrize("case", [case for case in SEEDS if case not in ("changes", "mean text")])
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
