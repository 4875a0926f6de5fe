"""What parameters begin with."""

import numpy as np
import pytest
from scipy import stats

from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.layers import (
    KINDS,
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    PReLU,
    ReLU,
    Softmax,
)
from sklearn_decaf.training._fillers import (
    DEFAULTS,
    Constant,
    Gaussian,
    He,
    Uniform,
    Xavier,
    fans,
    initial_parameters,
)

LAYERS = (
    Conv("c", filters=8, kernel_size=3),
    BatchNorm("n"),
    ReLU("r"),
    Conv("d", filters=8, kernel_size=3, groups=4),
    PReLU("p"),
    GlobalAveragePool("pool"),
    Dense("fc", units=10),
    Softmax("prob"),
)
NETWORK = Architecture("small", LAYERS, Preprocessing(crop=9), {})
SHAPE = (3, 3, 40, 60)
FILLERS = [Constant(2), Uniform(-1, 3), Gaussian(2, 1), Xavier(), Xavier("normal"), He()]


def draw(filler, shape=SHAPE, dtype=np.float64):
    return filler(shape, np.random.default_rng(0), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("filler", [*FILLERS, He("uniform")])
def test_shape_and_precision(filler, dtype):
    values = draw(filler, dtype=dtype)
    assert values.shape == SHAPE and values.dtype == dtype


@pytest.mark.parametrize(
    ("filler", "distribution"),
    [
        (Uniform(-1, 3), stats.uniform(-1, 4)),
        (Gaussian(2, 1), stats.norm(1, 2)),
        (Xavier(), stats.uniform(-np.sqrt(6 / 900), 2 * np.sqrt(6 / 900))),
        (Xavier("normal"), stats.norm(0, np.sqrt(2 / 900))),
        (He(), stats.norm(0, np.sqrt(2 / 360))),
        (He("uniform"), stats.uniform(-np.sqrt(6 / 360), 2 * np.sqrt(6 / 360))),
    ],
)
def test_distributions(filler, distribution):
    assert stats.kstest(draw(filler).ravel(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(7, 5), (3, 2, 4, 6), (5, 5, 1, 8)])
def test_fans_are_those_of_torch(torch, shape):
    axes = (1, 0) if len(shape) == 2 else (3, 2, 0, 1)
    weight = torch.empty(tuple(shape[i] for i in axes))
    assert fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(weight)


def test_every_parameter_has_a_filler():
    for kind in KINDS:
        keys = set(kind("x").parameter_shapes((6, 6, 4)))
        assert keys <= {"kernel", *DEFAULTS}, kind


def test_normalisations_begin_with_doing_nothing():
    parameters = initial_parameters(NETWORK, 0)
    assert {k: p.shape for k, p in parameters.items()} == NETWORK.parameter_shapes()
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 8))
    own = [parameters[f"n.{key}"] for key in ("scale", "shift", "mean", "variance")]
    np.testing.assert_allclose(NETWORK["n"].forward([x], own), x, rtol=1e-5)
    assert not parameters["c.bias"].any() and (parameters["p.slope"] == 0.25).all()
    assert {p.dtype for p in parameters.values()} == {np.dtype(np.float32)}


def test_the_last_layer_is_small():
    whole = initial_parameters(NETWORK, 0, last_scale=1)
    small = initial_parameters(NETWORK, 0)
    for key, values in whole.items():
        factor = np.float32(0.1 if key == "fc.kernel" else 1)
        np.testing.assert_allclose(small[key], factor * values, rtol=1e-6)
    own = initial_parameters(NETWORK, 0, fillers={"fc": Constant(3)})
    assert (own["fc.kernel"] == 3).all()  # who names it means it


def test_the_same_seed_gives_the_same_whatever_stands_beside():
    first, second = initial_parameters(NETWORK, 0), initial_parameters(NETWORK, 0)
    other = initial_parameters(NETWORK, 1)
    for key, values in first.items():
        np.testing.assert_array_equal(second[key], values, strict=True)
        assert not key.endswith("kernel") or not np.array_equal(other[key], values)
    without = tuple(layer for layer in LAYERS if layer.name not in ("n", "r", "p"))
    shorter = initial_parameters(Architecture("shorter", without, Preprocessing(crop=9), {}), 0)
    assert len(shorter) == 6
    for key, values in shorter.items():
        np.testing.assert_array_equal(values, first[key])
    assert not np.array_equal(first["c.kernel"].ravel()[:99], first["d.kernel"].ravel()[:99])


def test_random_states_of_scikit_learn():
    state = np.random.RandomState(3)
    first, second = initial_parameters(NETWORK, state), initial_parameters(NETWORK, state)
    assert not np.array_equal(first["c.kernel"], second["c.kernel"])
    again = initial_parameters(NETWORK, np.random.RandomState(3))
    np.testing.assert_array_equal(first["c.kernel"], again["c.kernel"])
    one, two = initial_parameters(NETWORK), initial_parameters(NETWORK)
    assert not np.array_equal(one["c.kernel"], two["c.kernel"])


def test_fillers_by_layer_and_by_parameter():
    fillers = {"c": Constant(5), "n.scale": Constant(0.5), "d.bias": Constant(0.1)}
    parameters = initial_parameters(NETWORK, 0, kernel=Gaussian(0.01), fillers=fillers)
    assert (parameters["c.kernel"] == 5).all()
    assert (parameters["n.scale"] == 0.5).all() and not parameters["n.shift"].any()
    assert (parameters["d.bias"] == np.float32(0.1)).all()
    assert parameters["d.kernel"].std() == pytest.approx(0.01, rel=0.3)


@pytest.mark.parametrize(
    ("fillers", "message"),
    [
        ({"conv": He()}, "fillers names 'conv', .* the layers are c, d, fc"),
        ({"r": He()}, "fillers names 'r'"),
        ({"c.bias": He()}, r"shape \(8,\) are no kernel"),
        ({"c": He("gamma")}, "distribution='gamma' must be 'normal' or 'uniform'"),
    ],
)
def test_wrong_fillers_are_named(fillers, message):
    with pytest.raises(ValueError, match=message):
        initial_parameters(NETWORK, 0, fillers=fillers)
