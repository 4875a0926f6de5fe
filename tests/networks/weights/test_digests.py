"""What weights are known by, in memory and from files."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.onnx_models import external_model

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf._cache.keys import recipe_digest
from sklearn_decaf._features.recipe import Recipe
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import Weights, get_architecture, load_weights, save_weights
from sklearn_decaf.networks.mean_image import MeanImage
from sklearn_decaf.networks.weights.parameters import FileParameters
from sklearn_decaf.networks.weights.variants import with_changes

NET = get_architecture("alexnet")
RNG = np.random.default_rng(0)
CONV1 = {
    "conv1.kernel": RNG.standard_normal((11, 11, 3, 64), np.float32),
    "conv1.bias": RNG.standard_normal(64, np.float32),
}
IMAGE = MeanImage(np.full((256, 256, 3), 7.0, np.float32))


def with_input(**changes):
    return replace(NET, preprocessing=replace(NET.preprocessing, **changes))


def edited():
    bias = CONV1["conv1.bias"].copy()
    bias[3] = 1
    return {**CONV1, "conv1.bias": bias}


OTHERS = {
    "a number": Weights(NET, edited()),
    "no bias": Weights(NET, {"conv1.kernel": CONV1["conv1.kernel"]}),
    "another name": Weights(NET, {f"x{name}": values for name, values in CONV1.items()}),
    "another shape": Weights(NET, {name: values[None] for name, values in CONV1.items()}),
    "another bound": Weights(with_changes(NET, {"relu1": {"max_value": 6.0}}), CONV1),
    "another stride": Weights(with_changes(NET, {"conv1": {"stride": 5}}), CONV1),
    "another mean": Weights(with_input(mean=(1.0, 2.0, 3.0)), CONV1),
    "another scale": Weights(with_input(std=(1.0, 2.0, 3.0)), CONV1),
    "a mean image": Weights(with_input(mean_image=IMAGE), CONV1),
    "another mean image": Weights(
        with_input(mean_image=MeanImage(IMAGE.pixels + np.float32(1))), CONV1
    ),
    "another crop": Weights(with_input(crop=200), CONV1),
}


def test_a_digest_is_of_the_numbers_and_the_architecture():
    weights = Weights(NET, CONV1)
    assert (weights.source, weights.sha256) == ("memory", "")
    same = {name: np.array(values) for name, values in reversed(CONV1.items())}
    assert Weights(NET, same, "elsewhere", "0" * 64).digest == weights.digest
    assert len(weights.digest) == 64
    digests = {weights.digest, *(other.digest for other in OTHERS.values())}
    assert len(digests) == 1 + len(OTHERS)


@pytest.mark.parametrize("case", OTHERS)
def test_activations_are_cached_under_it(case):
    """Weights that were edited, or an architecture with other constants, are other weights."""

    def key(weights):
        return recipe_digest(Recipe(weights, ("conv1",), None))

    weights = Weights(NET, CONV1, "x", "0" * 64)
    # as `replace` leaves it: the checksum of a file that these are not from
    other = replace(OTHERS[case], source=weights.source, sha256=weights.sha256)
    assert key(other) != key(weights)
    assert key(Weights(NET, dict(CONV1), "y", "1" * 64)) == key(weights)


def test_files_with_the_same_numbers(tmp_path):
    weights = Weights(NET, CONV1)
    save_weights(weights, tmp_path / "a.safetensors")
    np.savez(tmp_path / "b.npz", **CONV1)
    loaded = [load_weights(tmp_path / name) for name in ("a.safetensors", "b.npz")]
    assert {one.digest for one in loaded} == {weights.digest}
    assert loaded[0].sha256 != loaded[1].sha256


def test_large_files_are_known_by_their_checksum():
    """Their numbers are not read for it."""

    def fail():
        raise AssertionError("the file was read")

    one = Weights(NET, FileParameters(CONV1, fail, identity="one"))
    same = Weights(NET, FileParameters(CONV1, fail, identity="one"))
    other = Weights(NET, FileParameters(CONV1, fail, identity="other"))
    assert one.digest == same.digest != other.digest


def test_a_saved_file_has_all_that_is_different(tmp_path):
    net = with_changes(
        get_architecture("squeezenet1_1"),
        {
            "conv10": {"filters": 3},
            "relu1": {"max_value": 6.0},
            "pool1": {"padding": ((0, 1), (1, 0)), "ceil_mode": False},
            "fire2.expand3x3": {"padding": "same", "dilation": 2},
            "data": {"mean": (1.0, 2.0, 3.0), "std": (255.0, 255.0, 254.5)},
        },
    )
    shapes = net.parameter_shapes()
    parameters = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    weights = Weights(net, parameters, own_classes=True)
    path = tmp_path / "x.safetensors"
    save_weights(weights, path)
    loaded = load_weights(path)
    assert loaded.architecture == net and loaded.own_classes
    assert loaded.class_names() == ["0", "1", "2"]
    assert loaded.digest == weights.digest and loaded.certainty == "certain"
    rows = DeCAFTransformer((8, "prob"), weights=path).transform([np.zeros((9, 9, 3))])
    np.testing.assert_allclose(rows[0], [0, 0, 0, 1 / 3, 1 / 3, 1 / 3], rtol=1e-6)


def test_a_file_that_another_one_draws_on_is_watched(tmp_path):
    """A model of which only the numbers beside it changed."""
    content, raw = external_model(CONV1)
    path, numbers = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    path.write_bytes(content)
    numbers.write_bytes(raw)
    first = load_weights(path)
    assert load_weights(path) is first
    np.testing.assert_array_equal(first.parameters["conv1.bias"], CONV1["conv1.bias"])
    other = (np.frombuffer(raw, np.float32) + np.float32(1)).tobytes()
    numbers.write_bytes(other)
    second = load_weights(path)
    np.testing.assert_array_equal(second.parameters["conv1.bias"], CONV1["conv1.bias"] + 1)
    assert first.sha256 != second.sha256 and first.digest != second.digest
    numbers.unlink()
    with pytest.raises(WeightsError, match=r"'model.onnx.data', which has to lie beside the model"):
        load_weights(path)
