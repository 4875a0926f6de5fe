"""Networks at other input sizes, against Pillow by hand and the plain NumPy reference."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.own_network import FLAT, FLAT_WEIGHTS, POCKET, WEIGHTS
from oracles.random_networks import he_parameters
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sklearn_decaf import ActivationCache, DeCAFTransformer, extract
from sklearn_decaf.__main__ import main
from sklearn_decaf.exceptions import ImageError, WeightsError
from sklearn_decaf.networks import Weights, get_architecture, load_weights, save_weights
from sklearn_decaf.networks.mean_image import MeanImage
from sklearn_decaf.networks.reference import forward

SIDES = 37, 52  # of photographs, height first


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (6, *SIDES, 3), dtype=np.uint8))


def seen(image, size, sides, resize="warp", corner=None):
    """What the network sees of a photograph: resized by Pillow, and cut out here."""
    h, w = sides
    if resize == "warp":
        resized = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    elif resize == "crop":
        height, width = (round(side * size / min(SIDES)) for side in SIDES)
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    else:
        resized = Image.fromarray(image)
    pixels = np.asarray(resized)
    below, right = pixels.shape[0] - h, pixels.shape[1] - w
    top, left = (
        (below // 2, right // 2) if corner is None else (corner[0] * below, corner[1] * right)
    )
    return pixels[top : top + h, left : left + w]


def at_size(net, h, w):
    return replace(net, preprocessing=replace(net.preprocessing, crop=(h, w)))


def reference(weights, batch, layer):
    net = at_size(weights.architecture, *batch.shape[1:3])
    return forward(net, weights.parameters, batch, [layer], np.float64)[layer]


def assert_close(rows, expected):
    np.testing.assert_allclose(rows, expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("resize", ["warp", "crop"])
@pytest.mark.parametrize(
    ("parameters", "size", "sides"),
    [
        ({"crop": 24}, 27, (24, 24)),
        ({"crop": 48}, 54, (48, 48)),
        ({"crop": 33}, 37, (33, 33)),
        ({"crop": (24, 40)}, 45, (24, 40)),
        ({"crop": (41, 32)}, 46, (41, 32)),
        ({"crop": 24, "resize_to": 50}, 50, (24, 24)),
        ({"crop": 48, "resize_to": 48}, 48, (48, 48)),
        ({"resize_to": 60}, 60, (32, 32)),
        ({"crop": [30, 30]}, 34, (30, 30)),
        ({"crop": np.int64(24), "resize_to": np.int32(30)}, 30, (24, 24)),
    ],
)
def test_features_at_other_sizes(parameters, size, sides, resize, images):
    batch = np.stack([seen(image, size, sides, resize) for image in images])
    transformer = DeCAFTransformer(7, weights=WEIGHTS, resize=resize, **parameters)
    assert_close(transformer.fit_transform(images), reference(WEIGHTS, batch, "pool2"))
    maps = transformer.set_params(layer="relu2", pooling=None).fit_transform(images)
    expected = reference(WEIGHTS, batch, "relu2")
    assert_close(maps, expected.reshape(6, -1))
    assert len(transformer.get_feature_names_out()) == maps.shape[1]


def test_cut_out_of_the_photograph_as_it_is(images):
    batch = np.stack([seen(image, None, (30, 50), None) for image in images])
    transformer = DeCAFTransformer(7, weights=WEIGHTS, resize=None, crop=(30, 50))
    assert_close(transformer.transform(images), reference(WEIGHTS, batch, "pool2"))
    with pytest.raises(ImageError, match=r"52 x 37 pixels, smaller than the 40 x 40 that"):
        DeCAFTransformer(7, weights=WEIGHTS, resize=None, crop=40).transform(images)


def test_the_own_size_is_the_default(images):
    rows = DeCAFTransformer(7, weights=WEIGHTS).transform(images)
    for same in (
        {"crop": 32},
        {"crop": (32, 32)},
        {"resize_to": 36},
        {"crop": 32, "resize_to": 36},
    ):
        assert_array_equal(DeCAFTransformer(7, weights=WEIGHTS, **same).transform(images), rows)


@pytest.mark.parametrize("upside_down", [False, True])
def test_ten_crops(upside_down, images):
    preprocessing = replace(POCKET.preprocessing, flip_vertical=upside_down)
    weights = Weights(replace(POCKET, preprocessing=preprocessing), WEIGHTS.parameters)
    corners = [(0, 0), (0, 1), (1, 0), (1, 1), None]
    rows = []
    for image in images[:2]:
        if upside_down:  # rows are counted from below, and mirror images are top-bottom
            parts = [seen(image[::-1], 45, (24, 40), "warp", corner)[::-1] for corner in corners]
            parts += [part[::-1] for part in parts]
        else:
            parts = [seen(image, 45, (24, 40), "warp", corner) for corner in corners]
            parts += [part[:, ::-1] for part in parts]
        rows.append(reference(weights, np.stack(parts), "pool2").mean(axis=0))
    transformer = DeCAFTransformer(7, weights=weights, crop=(24, 40), ten_crop=True)
    assert_close(transformer.transform(images[:2]), np.stack(rows))


# Layers and sizes that do not go together ------------------------------------------------------


def test_layers_on_flattened_maps(images):
    own = DeCAFTransformer(6, weights=FLAT_WEIGHTS)
    assert own.fit_transform(images).shape == (6, 9)
    message = (
        r"layer 'relu6' of flat needs fc6, .*fc6 reads all of pool1, which is 11 x 11 x 16 at an "
        r"input of 48 x 48 pixels, and its weights are for 7 x 7 x 16.*as far as layer 'pool1'"
    )
    for compute in ("fit", "transform", "fit_transform"):
        with pytest.raises(WeightsError, match=message):
            getattr(clone(own).set_params(crop=48), compute)(images)
    rows = DeCAFTransformer(5, weights=FLAT_WEIGHTS, crop=48).transform(images)
    batch = np.stack([seen(image, 54, (48, 48)) for image in images])
    net = replace(FLAT, layers=FLAT.layers[:4], decaf_layers={5: "pool1"})
    first = Weights(net, FLAT_WEIGHTS.parameters)
    assert_close(rows, reference(first, batch, "pool1").mean(axis=(1, 2)))
    # a size at which the map is the same
    assert clone(own).set_params(crop=31).fit_transform(images).shape == (6, 9)


def test_a_cache_asks_for_no_layer_out_of_reach(images, tmp_path):
    cache = ActivationCache(tmp_path)
    plain = DeCAFTransformer(5, weights=FLAT_WEIGHTS, crop=48)
    rows = clone(plain).set_params(cache=cache).fit_transform(images)
    assert_array_equal(rows, plain.fit_transform(images))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"crop": 0}, "crop"),
        ({"crop": (3, 0)}, r"crop=\(3, 0\)"),
        ({"crop": (1, 2, 3)}, r"crop=\(1, 2, 3\)"),
        ({"crop": ()}, r"crop=\(\)"),
        ({"crop": True}, "crop"),
        ({"crop": (3.5, 3)}, r"crop=\(3.5, 3\)"),
        ({"crop": "32"}, "crop"),
        ({"resize_to": 0}, "resize_to"),
        ({"resize_to": 3.5}, "resize_to"),
        ({"crop": 48, "resize_to": 40}, "crop=48 and resize_to=40: .* must be at least 48"),
        ({"resize_to": 20}, "resize_to=20: .* must be at least 32"),
        ({"resize": None, "resize_to": 20}, "resize_to=20 with resize=None"),
        ({"crop": 4}, r"crop=4: pocket cannot have this input: layer 'pool1'"),
    ],
)
def test_sizes_that_cannot_be(parameters, message, images):
    for compute in ("fit", "transform", "fit_transform"):
        with pytest.raises(ValueError, match=message):
            getattr(DeCAFTransformer(7, weights=WEIGHTS, **parameters), compute)(images)


@pytest.fixture(scope="module")
def with_mean_image():
    pixels = np.random.default_rng(0).uniform(90, 140, (36, 36, 3)).astype(np.float32)
    preprocessing = replace(POCKET.preprocessing, mean_image=MeanImage(pixels))
    return Weights(replace(POCKET, preprocessing=preprocessing), WEIGHTS.parameters), pixels


def test_mean_images(with_mean_image, images):
    """The part of it that belongs to the crop is subtracted; another scale has no mean image."""
    weights, pixels = with_mean_image
    for sides in ((20, 20), (36, 36), (20, 30)):
        batch = np.stack([seen(image, 36, sides) for image in images]).astype(np.float32)
        top, left = ((36 - side) // 2 for side in sides)
        means = pixels[top : top + sides[0], left : left + sides[1]]
        net = at_size(POCKET, *sides)
        plain = replace(net, preprocessing=replace(net.preprocessing, mean=(0.0,) * 3))
        expected = forward(plain, weights.parameters, batch - means, ["pool2"], np.float64)
        rows = DeCAFTransformer(7, weights=weights, crop=sides, resize_to=36).transform(images)
        assert_close(rows, expected["pool2"])
    for parameters in ({"crop": 20}, {"crop": 48, "resize_to": 54}, {"resize_to": 40}):
        with pytest.raises(ValueError, match="subtracts a mean image of photographs of 36 pixels"):
            DeCAFTransformer(7, weights=weights, **parameters).fit(images)


# Networks of the package ------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [(160, 160), (192, 288)])
@pytest.mark.parametrize("weights", ["efficientnet_lite0", "squeezenet1_1"])
def test_networks_that_come_along(weights, sides, images):
    loaded = load_weights(weights)
    size = round(256 * max(sides) / loaded.architecture.preprocessing.crop)
    batch = np.stack([seen(image, size, sides) for image in images[:1]])
    net = at_size(loaded.architecture, *sides)
    layer = net.resolve(6)
    expected = forward(net, loaded.parameters, batch, [layer], np.float64)[layer]
    transformer = DeCAFTransformer(6, weights=weights, pooling="avg", crop=sides)
    rows = transformer.transform(images[:1])
    np.testing.assert_allclose(
        rows, expected.mean(axis=(1, 2)), rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    (best,) = transformer.predict_labels(images[:1], top=1)
    assert 0 < best[0][1] <= 1


def test_alexnet(images):
    net = get_architecture("alexnet")
    first = {k: v for k, v in he_parameters(net).items() if k.startswith("conv")}
    transformer = DeCAFTransformer(5, weights=Weights(net, first), crop=128)
    assert transformer.fit_transform(images[:1]).shape == (1, 3 * 3 * 256)


# All that goes with a parameter -----------------------------------------------------------------


def test_it_travels(images, tmp_path):
    save_weights(WEIGHTS, tmp_path / "w.safetensors")
    for weights in (WEIGHTS, tmp_path / "w.safetensors"):
        transformer = DeCAFTransformer(7, weights=weights, crop=(24, 40), resize_to=44)
        rows = transformer.fit_transform(images)
        for copied in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
            assert_array_equal(copied.transform(images), rows)
            assert (copied.crop, copied.resize_to) == ((24, 40), 44)


def test_cached_activations_are_those_of_one_size(images, tmp_path):
    cache = ActivationCache(tmp_path)
    sizes = ({}, {"crop": 24}, {"crop": (24, 32)}, {"crop": (32, 24)}, {"resize_to": 50})
    for size in (*sizes, *sizes):
        plain = DeCAFTransformer(7, weights=WEIGHTS, **size)
        rows = clone(plain).set_params(cache=cache).transform(images)
        assert_array_equal(rows, plain.transform(images))


def test_a_search_over_sizes(images):
    model = make_pipeline(DeCAFTransformer(7, weights=WEIGHTS), KNeighborsClassifier(1))
    grid = {
        "decaftransformer__crop": [24, (24, 40), None],
        "decaftransformer__resize_to": [None, 50],
    }
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(images, [0, 1] * 3)
    assert len(search.cv_results_["params"]) == 6


@pytest.fixture
def paths(images, tmp_path):
    (tmp_path / "photos").mkdir()
    names = [tmp_path / "photos" / f"{i}.png" for i in range(3)]
    for name, image in zip(names, images):
        Image.fromarray(image).save(name)
    return names


def test_extract(paths, images, tmp_path):
    out = tmp_path / "out"
    wide = DeCAFTransformer(7, weights=WEIGHTS, crop=(24, 40))
    result = extract(paths, out, transformer=wide, verbose=False)
    assert_array_equal(np.load(result.files[0]), wide.transform(images[:3]))
    settings = json.loads((out / "_manifest.json").read_text())["settings"]
    assert (settings["crop"], settings["resize_to"]) == ([24, 40], None)
    assert extract(paths, out, transformer=clone(wide), verbose=False).n_computed == 0
    for other in ({"crop": 40}, {"crop": None}, {"resize_to": 60}):
        with pytest.raises(ValueError, match=rf"other settings .*{next(iter(other))}: "):
            extract(paths, out, transformer=clone(wide).set_params(**other), verbose=False)


def test_an_output_of_an_earlier_version(paths, tmp_path):
    """It does not name sizes, and was made at the network's own."""
    from sklearn_decaf._extraction.output_folder import _dumps

    out, plain = tmp_path / "out", DeCAFTransformer(7, weights=WEIGHTS)
    extract(paths, out, transformer=plain, verbose=False)
    for name in ("_manifest.json", ".manifest.json"):
        manifest = json.loads((out / name).read_text())
        del manifest["sha256"]
        for setting in ("crop", "resize_to", "architecture_sha256"):
            del manifest["settings"][setting]
        (out / name).write_bytes(_dumps(manifest))
    assert extract(paths, out, transformer=plain, verbose=False).n_computed == 0
    with pytest.raises(ValueError, match="crop: None there, 24 now"):
        extract(paths, out, transformer=clone(plain).set_params(crop=24), verbose=False)


def test_the_command_line(paths, images, tmp_path, capsys):
    weights, out = tmp_path / "w.safetensors", tmp_path / "out"
    save_weights(WEIGHTS, weights)
    command = [
        "extract",
        str(tmp_path / "photos"),
        "--weights",
        str(weights),
        "--layer",
        "7",
        "--quiet",
    ]
    assert main([*command, "--out", str(out), "--crop", "24x40", "--resize-to", "44"]) == 0
    expected = DeCAFTransformer(7, weights=weights, crop=(24, 40), resize_to=44).transform(paths)
    assert_array_equal(np.load(out / "part-000000.npy"), expected)
    assert main([*command, "--out", str(tmp_path / "square"), "--crop", "24"]) == 0
    with pytest.raises(SystemExit):
        main([*command, "--out", str(out), "--crop", "wide"])
    assert "--crop" in capsys.readouterr().err


def test_displays(images):
    pytest.importorskip("matplotlib").use("agg")
    from sklearn_decaf.inspection import ActivationDisplay, LayerTimeDisplay

    transformer = DeCAFTransformer(6, weights=WEIGHTS, crop=(48, 64))
    display = ActivationDisplay.from_estimator(transformer, images[0], layer="conv2")
    assert display.maps.shape == (11, 15, 16) and display.photograph.shape == (48, 64, 3)
    LayerTimeDisplay.from_estimator(transformer, batch_size=1, n_repeats=1)
