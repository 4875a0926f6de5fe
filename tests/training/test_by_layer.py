"""Numbers by layer, penalties, limits on gradients, and averages."""

import copy
import pickle

import numpy as np
import pytest

from sklearn_decaf.training._averaging import AveragedParameters
from sklearn_decaf.training._by_layer import by_parameter
from sklearn_decaf.training._clipping import check_finite, clip_by_norm, clip_by_value
from sklearn_decaf.training._penalties import penalise

# names of layers have dots themselves
NAMES = ["layer1.0.conv.kernel", "layer1.0.conv.bias", "layer1.0.bn.scale", "fc.kernel", "fc.bias"]


def arrays(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: scale * rng.normal(size=(3, 2)) for name in NAMES}


@pytest.mark.parametrize(
    ("value", "kernels_only", "expected"),
    [
        (2, False, [2, 2, 2, 2, 2]),
        (2, True, [2, 7, 7, 2, 7]),
        ({}, False, [7, 7, 7, 7, 7]),
        ({"layer1.0.conv": 3}, False, [3, 3, 7, 7, 7]),
        ({"layer1.0.conv": 3}, True, [3, 7, 7, 7, 7]),
        ({"layer1.0.conv": 3, "layer1.0.conv.bias": 0.5}, False, [3, 0.5, 7, 7, 7]),
        ({"fc.bias": 1, "layer1.0.bn.scale": 2}, True, [7, 7, 2, 7, 1]),
    ],
)
def test_numbers_by_parameter(value, kernels_only, expected):
    found = by_parameter(value, NAMES, "x", default=7, kernels_only=kernels_only)
    assert found == dict(zip(NAMES, expected))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"conv": 1.0}, "l2 names 'conv', which is neither .* the layers are layer1.0.conv, "),
        ({"fc": -1.0}, r"l2\['fc'\]=-1.0 must be a finite number, 0 or larger"),
        (float("nan"), "l2=nan must be"),
        (float("inf"), "l2=inf must be"),
        ("0.1", "l2='0.1' must be"),
    ],
)
def test_wrong_numbers_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        by_parameter(value, NAMES, "l2")


# Penalties ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("l1", "l2"),
    [(0.0, 0.5), (0.5, 0.0), (0.1, 0.2), ({"fc": 2.0}, {"fc.bias": 0.3, "layer1.0.conv": 0.1})],
)
def test_gradients_of_penalties_are_the_limits_of_differences(l1, l2):
    parameters = arrays()
    gradients = {name: np.zeros_like(values) for name, values in parameters.items()}
    penalise(parameters, gradients, l1=l1, l2=l2)

    def value(changed):
        unused = {name: np.zeros_like(values) for name, values in parameters.items()}
        return penalise(changed, unused, l1=l1, l2=l2)

    for name, gradient in gradients.items():
        for place in np.ndindex(gradient.shape):
            above, below = copy.deepcopy(parameters), copy.deepcopy(parameters)
            above[name][place] += 1e-6
            below[name][place] -= 1e-6
            expected = (value(above) - value(below)) / 2e-6
            assert gradient[place] == pytest.approx(expected, abs=1e-8)


def test_penalties_by_hand():
    parameters = {"a.kernel": np.array([[1.0, -2.0, 0.0]]), "a.bias": np.array([9.0])}
    gradients = {"a.kernel": np.ones((1, 3)), "a.bias": np.ones(1)}
    assert penalise(parameters, gradients, l1=0.5, l2=2) == 0.5 * 3 + 2 / 2 * 5
    np.testing.assert_array_equal(gradients["a.kernel"], [[1 + 0.5 + 2, 1 - 0.5 - 4, 1]])
    np.testing.assert_array_equal(gradients["a.bias"], [1])


def test_frozen_layers_have_no_penalty():
    parameters = arrays()
    gradients = {"fc.kernel": np.zeros((3, 2))}
    expected = (parameters["fc.kernel"] ** 2).sum() / 2
    assert penalise(parameters, gradients, l2=1.0) == pytest.approx(expected, rel=1e-12)


# Limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_norm_is_limited_as_by_torch(torch, max_norm):
    gradients = arrays(1)
    others = [torch.nn.Parameter(torch.zeros(3, 2, dtype=torch.float64)) for _ in NAMES]
    for parameter, gradient in zip(others, gradients.values()):
        parameter.grad = torch.tensor(gradient)
    expected = torch.nn.utils.clip_grad_norm_(others, max_norm).item()
    assert clip_by_norm(gradients, max_norm) == pytest.approx(expected, rel=1e-12)
    for parameter, gradient in zip(others, gradients.values()):
        # torch adds 1e-6 to the norm it divides by
        np.testing.assert_allclose(gradient, parameter.grad.numpy(), rtol=1e-6)


def test_norm_after_the_limit():
    gradients = arrays(1)
    before = clip_by_norm(gradients, np.inf)
    assert clip_by_norm(gradients, before / 3) == before
    assert clip_by_norm(gradients, np.inf) == pytest.approx(before / 3, rel=1e-12)


def test_values_are_limited():
    gradients = arrays(1)
    expected = {name: np.clip(values, -0.3, 0.3) for name, values in gradients.items()}
    clip_by_value(gradients, 0.3)
    for name, values in expected.items():
        np.testing.assert_array_equal(gradients[name], values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("clip", [clip_by_norm, clip_by_value])
def test_what_is_not_finite_is_named(bad, clip):
    gradients = arrays()
    check_finite(gradients)
    gradients["fc.kernel"][1, 1] = bad
    before = copy.deepcopy(gradients)
    with pytest.raises(FloatingPointError, match=r"gradient of 'fc\.kernel' is not finite"):
        clip(gradients, 1.0)
    for name, values in before.items():
        np.testing.assert_array_equal(gradients[name], values)  # nothing is half done
    with pytest.raises(ValueError, match="=0 must be larger than 0"):
        clip(gradients, 0)


# Averages -----------------------------------------------------------------------------------


def test_averages_are_those_of_torch(torch):
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    module = torch.nn.Linear(3, 2).double()
    other = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average = AveragedParameters(0.9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        weight = rng.normal(size=(2, 3))
        with torch.no_grad():
            module.weight.copy_(torch.tensor(weight))
        average.update({"fc.kernel": weight})
        weight[:] = np.nan  # it keeps a copy
        other.update_parameters(module)
        expected = other.module.weight.detach().numpy()
        np.testing.assert_allclose(average.values["fc.kernel"], expected, rtol=1e-12)


def test_averages_go_on_from_a_pickle():
    first = AveragedParameters(0.5)
    first.update({"w": np.float32([4])})
    second = pickle.loads(pickle.dumps(first))
    second.update({"w": np.float32([2])})
    np.testing.assert_array_equal(second.values["w"], np.float32([3]), strict=True)
    np.testing.assert_array_equal(first.values["w"], np.float32([4]), strict=True)
    with pytest.raises(ValueError, match=r"decay=1 must be in \[0, 1\)"):
        AveragedParameters(1)
