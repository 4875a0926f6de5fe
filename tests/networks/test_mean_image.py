"""Mean images: their files, and what a network sees of a photograph, computed independently."""

import contextlib
import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import caffe_network, decaf_network, decaf_writer, protobuf_writer
from oracles.random_networks import he_parameters
from PIL import Image

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.images import resize_and_crop
from sklearn_decaf.networks import (
    Preprocessing,
    Weights,
    get_architecture,
    load_weights,
    save_weights,
)
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.formats.mean_image import read, read_mean_image
from sklearn_decaf.networks.mean_image import MeanImage
from sklearn_decaf.networks.reference import forward, preprocess

RNG = np.random.default_rng(0)
# channels first, as all files have it; smooth on the whole, and different everywhere
MEAN = RNG.uniform(80, 150, (3, 256, 256)).astype(np.float32)
PHOTO = Image.fromarray(RNG.integers(0, 256, (256, 256, 3), dtype=np.uint8))


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz(values, name="arr_0", **others):
    stream = io.BytesIO()
    np.savez(stream, **{name: values}, **others)
    return stream.getvalue()


def meta(values):
    names = [f"class {i}" for i in range(1000)]
    return b"\x80\x02" + decaf_writer.python2({"label_names": names, "data_mean": values}) + b"."


FILES = {
    "binaryproto": protobuf_writer.blob(MEAN, legacy=True),
    "binaryproto with a shape": protobuf_writer.blob(MEAN[None]),
    "double binaryproto": protobuf_writer.blob(MEAN.astype(np.float64)),
    "npy": npy(MEAN.astype(np.float64)),
    "meta": meta(MEAN.ravel()),
    "meta of a column": meta(MEAN.reshape(-1, 1)),
    "pickle of today": pickle.dumps({"data_mean": MEAN}, protocol=2),
    "npz": npz(MEAN),
}

PIXEL = np.array([104.0, 116.5, 122.25])
PIXELS = {
    "npy": npy(PIXEL),
    "npy of float32": npy(PIXEL.astype(np.float32)),
    "npy of axes": npy(PIXEL.reshape(1, 3, 1, 1)),
    "npz": npz(PIXEL, name="mean"),
    "npz with more": npz(PIXEL, name="data_mean", other=np.zeros(3)),
    "binaryproto": protobuf_writer.blob(PIXEL.astype(np.float32).reshape(3, 1, 1), legacy=True),
    "binaryproto with a shape": protobuf_writer.blob(PIXEL),
    "meta": meta(PIXEL.astype(np.float32)),
    "pickle of an array": pickle.dumps(PIXEL, protocol=4),
    "text": b"104 116.5 122.25\n",
    "text with commas": b"[104.0, 116.5, 122.25]",
    "lines": b"1.04e2\n1.165e+02\n122.25\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_files(kind, weight_file):
    pixels, _ = read_mean_image(weight_file(FILES[kind]))
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), MEAN)


@pytest.mark.parametrize("kind", PIXELS)
def test_a_mean_pixel(kind, tmp_path):
    path, mean = tmp_path / "net.caffemodel", tmp_path / "mean"
    path.write_bytes(caffe_file())
    mean.write_bytes(PIXELS[kind])
    np.testing.assert_array_equal(read_mean_image(mean)[0], PIXEL)
    loaded = load_weights(path, mean=mean)
    assert loaded.architecture.preprocessing.mean == tuple(PIXEL)
    assert loaded.architecture.preprocessing.mean_image is None
    assert load_weights(path, mean=mean) is loaded
    # as numbers
    given = load_weights(path, mean=PIXEL)
    assert given.architecture == loaded.architecture and given.digest == loaded.digest
    assert load_weights(path, mean=tuple(PIXEL)) is given
    assert len({one.sha256 for one in (given, loaded, load_weights(path))}) == 3
    # and it is kept
    save_weights(loaded, tmp_path / "saved.safetensors")
    assert load_weights(tmp_path / "saved.safetensors").architecture == loaded.architecture


def test_the_network_subtracts_a_mean_pixel(tmp_path):
    (tmp_path / "net.caffemodel").write_bytes(caffe_file())
    weights = load_weights(tmp_path / "net.caffemodel", mean=[104, 116.5, 122.25])
    crop = ours(PHOTO, weights.architecture.preprocessing, ten_crop=False)
    (found,) = Plan(weights.architecture, weights.parameters, ["conv1"]).run(crop[None])
    kernel, bias = (
        weights.parameters[f"conv1.{kind}"].astype(float) for kind in ("kernel", "bias")
    )
    seen = crop[:11, :11, ::-1] - PIXEL  # BGR
    expected = np.einsum("hwc,hwcf->f", seen, kernel) + bias
    np.testing.assert_allclose(found[0, 0, 0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "mean, error, message",
    [
        ([104, 117], ValueError, "mean has 2 numbers; it is a file, or three"),
        (MEAN, ValueError, "mean has 196608 numbers"),
        (object(), TypeError, "is no path and not three numbers"),
        (["a", "b", "c"], TypeError, "is no path and not three numbers"),
        ([104, 117, 300], WeightsError, "a mean pixel of .*300.0.; 0 to 255"),
        ([104, np.nan, 3], WeightsError, "a mean pixel of"),
    ],
)
def test_no_mean_pixels(mean, error, message, tmp_path):
    (tmp_path / "net.caffemodel").write_bytes(caffe_file())
    with pytest.raises(error, match=message):
        load_weights(tmp_path / "net.caffemodel", mean=mean)


def test_archives_of_several_arrays(weight_file):
    with pytest.raises(WeightsError, match=r"2 arrays .'a', 'b'., and it is not clear which"):
        read_mean_image(weight_file(npz(MEAN, name="a", b=MEAN)))
    last = npy(MEAN.transpose(1, 2, 0))
    with pytest.raises(WeightsError, match=r"\(256, 256, 3\); .* transpose it"):
        read_mean_image(weight_file(last))


def test_caffes_own_mean(shared_data):
    """Its average is Caffe's mean pixel."""
    pixels, _ = read_mean_image(shared_data / "weights" / "ilsvrc_2012_mean.npy")
    assert pixels.shape == (256, 256, 3)
    mean = get_architecture("caffenet").preprocessing.mean
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), mean, rtol=1e-9)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"\x93NUMPY",
        npy(MEAN[:2]),
        npy(MEAN[0]),
        npy(np.zeros(5, np.float32)),
        npy(np.array(["text"])),
        npy(MEAN.astype(object)),
        meta(np.zeros(10, np.float32)),
        pickle.dumps({"data_mean": MEAN}, protocol=0),
        pickle.dumps({"data_mean": MEAN}, protocol=1),
        pickle.dumps([1, 2], protocol=2),
        pickle.dumps({"data_mean": 3}, protocol=2),
        pickle.dumps({"data_mean": print}, protocol=2),
        protobuf_writer.caffemodel({"conv1": ("Convolution", [MEAN])}),
    ],
)
def test_files_of_other_things(content, weight_file):
    path = weight_file(content)
    with pytest.raises(WeightsError, match=str(path)):
        read_mean_image(path)


@given(st.binary(max_size=300), st.sampled_from(list(FILES)), st.integers(0, 200))
def test_any_bytes(noise, kind, at):
    for content in (noise, FILES[kind][:at] + noise, FILES[kind][: -1 - at]):
        with contextlib.suppress(WeightsError):
            read(memoryview(content))


@pytest.mark.parametrize(
    "pixels, message",
    [
        (MEAN, "shape"),
        (MEAN.transpose(1, 2, 0)[:100], "shape"),
        (MEAN.transpose(1, 2, 0) * np.nan, "finite"),
        (MEAN.transpose(1, 2, 0) * 10, "0 to 255"),
        (-MEAN.transpose(1, 2, 0), "0 to 255"),
        (MEAN.transpose(1, 2, 0).astype(int), "floating"),
    ],
)
def test_no_mean_images(pixels, message):
    with pytest.raises(WeightsError, match=message):
        MeanImage(pixels)


def test_a_mean_image_is_a_value():
    one, same = (MeanImage(MEAN.transpose(1, 2, 0)) for _ in range(2))
    other = MeanImage(MEAN.transpose(2, 1, 0))
    assert one == same and hash(one) == hash(same) and one != other
    with pytest.raises(ValueError):
        one.pixels[:] = 0
    with pytest.raises(WeightsError, match="256 pixels a side, not 300"):
        one.crop(300)
    assert "256 x 256" in repr(one)


# -- what the network sees --


def caffe_crops(photo, mean):
    """Ten crops as Caffe's first Python wrapper cut them: the mean is subtracted before."""
    picture = np.asarray(photo, np.float64)[:, :, ::-1].transpose(2, 0, 1)  # BGR, channels first
    picture = picture - mean
    crops = []
    for top in (0, 29):
        for left in (0, 29):
            crops.append(picture[:, top : top + 227, left : left + 227])
    crops.append(picture[:, 14:241, 14:241])
    crops += [crop[:, :, ::-1] for crop in crops]
    return np.stack(crops).transpose(0, 2, 3, 1)


def decaf_crops(photo, mean):
    """Ten crops as DeCAF's own program cut them: upside down, minus the mean, mirrored by rows."""
    picture = np.flipud(np.asarray(photo, np.float64)) - mean.transpose(1, 2, 0)
    crops = []
    for top in (0, 29):
        for left in (0, 29):
            crops.append(picture[top : top + 227, left : left + 227])
    crops.append(picture[14:241, 14:241])
    crops += [np.flipud(crop) for crop in crops]
    return np.stack(crops)


CROPS = {"caffenet": caffe_crops, "bvlc_alexnet": caffe_crops, "decaf": decaf_crops}


def with_mean(name):
    net = get_architecture(name)
    image = MeanImage(MEAN.transpose(1, 2, 0))
    return replace(net, preprocessing=replace(net.preprocessing, mean_image=image))


def ours(photo, preprocessing, ten_crop):
    how = {"crop": preprocessing.crop, "upside_down": preprocessing.flip_vertical}
    return resize_and_crop(photo, ten_crop=ten_crop, **how)


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("size", [(256, 256), (400, 300)])
def test_the_networks_input(name, size):
    photo = PHOTO.resize(size)
    preprocessing = with_mean(name).preprocessing
    expected = CROPS[name](photo.resize((256, 256), Image.Resampling.BILINEAR), MEAN)
    crops = ours(photo, preprocessing, ten_crop=True)
    found = preprocess(preprocessing.level_crops(crops), preprocessing, np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5)
    centre = ours(photo, preprocessing, ten_crop=False)
    np.testing.assert_array_equal(preprocess(centre[None], preprocessing, np.float64)[0], found[4])
    # and with the mean pixel
    plain = get_architecture(name).preprocessing
    pixel = np.asarray(plain.mean)[:, None, None]
    expected = CROPS[name](photo.resize((256, 256), Image.Resampling.BILINEAR), pixel)
    assert plain.level_crops(crops) is crops
    found = preprocess(crops, plain, np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", CROPS)
def test_the_engine_subtracts_it(name):
    net = with_mean(name)
    parameters = he_parameters(net)
    crops = ours(PHOTO, net.preprocessing, ten_crop=True)
    expected = CROPS[name](PHOTO, MEAN)
    # without a mean, and upright, whatever is put in is what the network sees
    bare = replace(net, preprocessing=replace(net.preprocessing, mean=(0.0,) * 3, mean_image=None))
    flip = slice(None, None, -1 if net.preprocessing.flip_vertical else 1)
    order = slice(None, None, -1 if net.preprocessing.channel_order == "bgr" else 1)
    wanted = forward(bare, parameters, expected[:, flip, :, order], ["conv1"], np.float64)["conv1"]
    plan = Plan(net, parameters, ["conv1"])
    (centre,) = plan.run(ours(PHOTO, net.preprocessing, ten_crop=False)[None])
    (ten,) = plan.run(net.preprocessing.level_crops(crops))
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(centre[0], wanted[4], rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(ten, wanted, rtol=0, atol=1e-5 * scale)
    (other,) = Plan(get_architecture(name), parameters, ["conv1"]).run(crops[4:5])
    assert np.abs(other[0] - wanted[4]).max() > 0.01 * scale  # the mean pixel is another matter


# -- with the weights --


def conv1(name):
    parameters = he_parameters(get_architecture(name))
    return {key: parameters[key] for key in ("conv1.kernel", "conv1.bias")}


def caffe_file(name="caffenet"):
    net = replace(get_architecture(name), layers=get_architecture(name).layers[:1], decaf_layers={},
                  dropout_layers=frozenset())  # fmt: skip
    return caffe_network.caffemodel(net, conv1(name), "CaffeNet")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_loaded_and_saved_with_weights(kind, tmp_path):
    path, mean = tmp_path / "net.caffemodel", tmp_path / "mean"
    path.write_bytes(caffe_file())
    mean.write_bytes(FILES[kind])
    plain, loaded = load_weights(path), load_weights(path, mean=mean)
    assert plain.architecture.preprocessing.mean_image is None
    image = loaded.architecture.preprocessing.mean_image
    np.testing.assert_array_equal(image.pixels.transpose(2, 0, 1), MEAN)
    assert plain.sha256 != loaded.sha256
    assert load_weights(path, mean=mean) is loaded

    saved = tmp_path / "saved.safetensors"
    save_weights(loaded, saved)
    again = load_weights(saved)
    assert again.architecture.preprocessing.mean_image == image
    assert list(again.parameters) == list(loaded.parameters)


@pytest.mark.slow
def test_the_pair_of_decaf(tmp_path):
    path, mean = tmp_path / "imagenet.decafnet.epoch90", tmp_path / "imagenet.decafnet.meta"
    layers = decaf_writer.network(conv1("decaf"))
    path.write_bytes(decaf_writer.dumps(layers))
    alone = load_weights(path)
    assert alone.architecture.preprocessing.mean_image is None
    mean.write_bytes(FILES["meta"])
    pair = load_weights(path)
    assert pair.architecture.preprocessing.mean_image is not None
    assert pair.sha256 != alone.sha256
    # the whole way from a photograph, against the program of 2013
    plan = Plan(pair.architecture, pair.parameters, ["conv1"])
    (found,) = plan.run(ours(PHOTO, pair.architecture.preprocessing, ten_crop=False)[None])
    picture = np.flipud(np.asarray(PHOTO, np.float64)) - MEAN.transpose(1, 2, 0)
    seen = np.flipud(picture[14:241, 14:241])  # the oracle turns it upside down itself
    expected = decaf_network.forward(layers, seen, np.zeros(3))["conv1_cudanet_out"]
    assert np.abs(found[0] - expected).max() < 1e-5 * np.abs(expected).max()
    mean.write_bytes(FILES["meta"][:-100])
    with pytest.raises(WeightsError, match=str(mean)):
        load_weights(path)


@pytest.mark.slow
def test_a_mean_that_changed_is_loaded_again(tmp_path):
    path, mean = tmp_path / "net.caffemodel", tmp_path / "mean.npy"
    path.write_bytes(caffe_file())
    mean.write_bytes(npy(MEAN))
    first = load_weights(path, mean=mean)
    mean.write_bytes(npy(MEAN / 2))
    second = load_weights(path, mean=mean)
    assert first.sha256 != second.sha256
    with pytest.raises(WeightsError, match="No such file"):
        load_weights(path, mean=tmp_path / "nothing")
    mean.write_bytes(npy(MEAN[:, :100, :100]))
    with pytest.raises(WeightsError, match="100 pixels a side, not 227"):
        load_weights(path, mean=mean)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["caffenet", "decaf"])
def test_ten_crops_of_a_photograph(name, tmp_path):
    """From the photograph to the features, against the original crops in float64."""
    parameters = conv1(name)
    weights = Weights(with_mean(name), parameters, "x", "0" * 64)
    save_weights(weights, tmp_path / "net.safetensors")
    network = DeCAFTransformer(
        "conv1", weights=tmp_path / "net.safetensors", pooling="avg", ten_crop=True
    )
    rows = network.transform([PHOTO])
    bare = Preprocessing(crop=227)  # takes what the network sees
    seen = CROPS[name](PHOTO, MEAN)
    net = replace(get_architecture(name), preprocessing=bare)
    maps = forward(net, parameters, seen, ["conv1"], np.float64)["conv1"]
    expected = maps.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(rows[0], expected, rtol=0, atol=1e-5 * np.abs(maps).max())
    one = network.set_params(ten_crop=False).transform([PHOTO])
    np.testing.assert_allclose(
        one[0], maps[4].mean(axis=(0, 1)), rtol=0, atol=1e-5 * np.abs(maps).max()
    )
