"""FilterDisplay and ActivationDisplay."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.inspection import ActivationDisplay, FilterDisplay
from sklearn_decaf.inspection._plotting import tile
from sklearn_decaf.networks import get_architecture, load_weights
from sklearn_decaf.networks.reference import forward

matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SQUEEZENET = DeCAFTransformer(weights="squeezenet1_1")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def china():
    return load_sample_image("china.jpg")


def first_filters_alone(name, tmp_path):
    """A weight file with a first layer of distinct values, and those values."""
    architecture = get_architecture(name)
    shapes = {
        key: shape
        for key, shape in architecture.parameter_shapes().items()
        if key.startswith("conv1.")
    }
    rng = np.random.default_rng(0)
    parameters = {key: rng.standard_normal(shape, np.float32) for key, shape in shapes.items()}
    path = tmp_path / f"{name}.npz"
    np.savez(path, **parameters)
    return path, parameters["conv1.kernel"]


@pytest.mark.slow
def test_filters_are_the_first_kernels_in_rgb():
    """SqueezeNet reads BGR, so its kernel's channels are turned round."""
    display = FilterDisplay.from_estimator(SQUEEZENET)
    kernel = load_weights("squeezenet1_1").parameters["conv1.kernel"]  # (3, 3, bgr, 64)
    assert display.filters.shape == (64, 3, 3, 3)
    assert_array_equal(display.filters[7, 0, 2, ::-1], kernel[0, 2, :, 7])
    lite = FilterDisplay.from_estimator(make_pipeline(DeCAFTransformer(), LogisticRegression()))
    kernel = load_weights("efficientnet_lite0").parameters["stem.conv.kernel"]
    assert_array_equal(lite.filters[3], kernel[..., 3])
    assert "32 filters of stem.conv" in lite.ax_.get_title()


def test_filters_of_an_upside_down_network_are_turned(tmp_path):
    path, kernel = first_filters_alone("decaf", tmp_path)
    transformer = DeCAFTransformer("conv1", weights=path, architecture="decaf")
    display = FilterDisplay.from_estimator(transformer)
    assert_array_equal(display.filters[5], kernel[::-1, :, :, 5])


def test_filters_are_drawn_with_grey_for_zero():
    filters = np.zeros((3, 2, 2, 3), np.float32)
    filters[1, 0, 0] = (2.0, -2.0, 1.0)
    filters[2] = 1e-3
    display = FilterDisplay(filters).plot(n_columns=3)
    (sheet,) = (image.get_array() for image in display.ax_.images)
    height = sheet.shape[0]
    assert sheet.min() >= 0 and sheet.max() <= 1
    assert_allclose(sheet[:, :height], 0.5)
    second = sheet[:, height + 4 : 2 * height + 4]
    assert_allclose(second[0, 0], (1.0, 0.0, 0.75))
    assert_allclose(sheet[0, -1], 1.0)  # a weak filter has a scale of its own
    shared = FilterDisplay(filters).plot(n_columns=3, share_scale=True)
    assert_allclose(shared.ax_.images[0].get_array()[0, -1], 0.5, atol=1e-3)


def test_maps_are_those_of_the_reference(china):
    display = ActivationDisplay.from_estimator(SQUEEZENET, china, layer="pool1")
    loaded = load_weights("squeezenet1_1")
    resized = Image.fromarray(china).resize((256, 256), Image.Resampling.BILINEAR)
    seen = np.asarray(resized.crop((14, 14, 241, 241)))
    assert_array_equal(display.photograph, seen)
    expected = forward(loaded.architecture, loaded.parameters, seen[None], ["pool1"], np.float64)
    assert display.maps.shape == (56, 56, 64)
    assert_allclose(display.maps, expected["pool1"][0], atol=1e-4 * expected["pool1"].max())


def test_maps_of_an_upside_down_network_stand_upright(tmp_path):
    """The 2013 network sees photographs upside down; its maps are turned back."""
    path, _ = first_filters_alone("decaf", tmp_path)
    transformer = DeCAFTransformer("conv1", weights=path, architecture="decaf")
    mean = np.array(get_architecture("decaf").preprocessing.mean)
    image = np.tile(mean.round().astype(np.uint8), (256, 256, 1))
    image[:64] = 255  # something to be seen at the top only
    display = ActivationDisplay.from_estimator(transformer, image)
    change = np.abs(display.maps - display.maps[-1, 0]).mean(axis=(1, 2))
    assert change[:10].min() > 10 * change[-20:].max()


def test_channels_are_the_strongest_or_the_given(china):
    display = ActivationDisplay.from_estimator(SQUEEZENET, china, layer="fire3", channels=6)
    peaks = display.maps.max(axis=(0, 1))
    assert_array_equal(display.channels_, np.argsort(-peaks, kind="stable")[:6])
    assert "6 of 128 channels of fire3" in display.ax_.get_title()
    assert display.plot(channels=[3, 1]) is display
    assert display.channels_.tolist() == [3, 1]
    display.plot(channels=[0], share_scale=True, cmap="viridis")
    display.figure_.canvas.draw()


def test_the_transformers_own_layer_and_settings(china):
    transformer = DeCAFTransformer(
        ("fire2", 6), dropout=True, weights="squeezenet1_1", ten_crop=True, resize="crop"
    ).set_output(transform="pandas")
    pipeline = make_pipeline(transformer, StandardScaler())
    display = ActivationDisplay.from_estimator(pipeline, Image.fromarray(china))
    assert display.layer == "fire2" and display.maps.shape == (56, 56, 128)
    assert display.maps.dtype == np.float32
    assert transformer.get_params()["layer"] == ("fire2", 6)  # as it was
    plain = DeCAFTransformer("fire2", weights="squeezenet1_1", resize="crop", pooling=None)
    assert_array_equal(display.maps.ravel(), plain.transform([china])[0])


def test_layers_without_maps_and_other_estimators(china):
    with pytest.raises(ValueError, match=r"gives a vector of 1000.*'relu10'"):
        ActivationDisplay.from_estimator(SQUEEZENET, china, layer="prob")
    for display in (FilterDisplay, ActivationDisplay):
        arguments = () if display is FilterDisplay else (china,)
        with pytest.raises(TypeError, match=f"{display.__name__}.*LogisticRegression"):
            display.from_estimator(LogisticRegression(), *arguments)


@pytest.mark.parametrize(("n", "n_columns"), [(1, None), (5, None), (6, 2), (7, 7), (3, 10)])
def test_tiles_hold_every_picture(n, n_columns):
    pictures = np.random.default_rng(0).random((n, 4, 6, 3))
    sheet = tile(pictures, n_columns, gap=2, fill=-1.0)
    columns = n_columns or int(np.ceil(np.sqrt(n)))
    for i, picture in enumerate(pictures):
        top, left = 6 * (i // columns), 8 * (i % columns)
        assert_allclose(sheet[top : top + 4, left : left + 6], picture, rtol=1e-6)
    assert (sheet != -1).sum() == pictures.size
    assert sheet.shape[1] == 8 * columns - 2


@pytest.mark.parametrize("channels", [0, -1, True, [], [64], [-1], [0.5], [[0]], "all"])
def test_bad_channels_are_named(channels):
    display = ActivationDisplay(np.zeros((4, 4, 64)))
    with pytest.raises(ValueError, match=r"channels=.*0 to 63"):
        display.plot(channels=channels)


@pytest.mark.parametrize("n_columns", [0, -2, 1.5, True])
def test_bad_numbers_of_columns_are_named(n_columns):
    with pytest.raises(ValueError, match="n_columns="):
        FilterDisplay(np.zeros((4, 3, 3, 3))).plot(n_columns=n_columns)


@pytest.mark.parametrize("kind", [list, tuple, np.stack])
def test_one_image_is_wanted(china, kind):
    with pytest.raises(ValueError, match="image must be one image; got a collection of 2"):
        ActivationDisplay.from_estimator(SQUEEZENET, kind([china, china]), layer="fire2")
