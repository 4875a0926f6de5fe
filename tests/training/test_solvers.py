"""Solvers step by step, against torch.optim and scikit-learn."""

import pickle

import numpy as np
import pytest
from sklearn.neural_network import _stochastic_optimizers

from sklearn_decaf import _kernels
from sklearn_decaf.training._solvers import SGD, Adagrad, Adam, AdamW

STEPS = 20
NAMES = ["conv.kernel", "conv.bias", "fc.kernel"]
SHAPES = [(2, 3), (3,), (4, 2)]


def start(dtype=np.float64):
    rng = np.random.default_rng(0)
    return {n: rng.normal(size=s).astype(dtype) for n, s in zip(NAMES, SHAPES)}


def gradients_of(parameters, step):
    """A different gradient each step, that depends on where one is."""
    rng = np.random.default_rng(step)
    return {n: p + 0.3 * rng.normal(size=p.shape).astype(p.dtype) for n, p in parameters.items()}


def rate_of(step):
    return 0.05 / (1 + 0.1 * step)


SOLVERS = {
    "plain": (lambda: SGD(momentum=0), "SGD", {}),
    "momentum": (lambda: SGD(momentum=0.9), "SGD", {"momentum": 0.9}),
    "nesterov": (
        lambda: SGD(momentum=0.8, nesterov=True),
        "SGD",
        {"momentum": 0.8, "nesterov": True},
    ),
    "adam": (lambda: Adam(), "Adam", {}),
    "adam, others": (
        lambda: Adam(beta_1=0.7, beta_2=0.95, epsilon=1e-3),
        "Adam",
        {"betas": (0.7, 0.95), "eps": 1e-3},
    ),
    "adamw": (
        lambda: AdamW(weight_decay=dict.fromkeys(NAMES, 0.1)),
        "AdamW",
        {"weight_decay": 0.1},
    ),
    "adagrad": (lambda: Adagrad(), "Adagrad", {}),
    "adagrad, others": (
        lambda: Adagrad(initial=0.5, epsilon=1e-2),
        "Adagrad",
        {"initial_accumulator_value": 0.5, "eps": 1e-2},
    ),
}
every_solver = pytest.mark.parametrize("name", SOLVERS)


def make(name):
    return SOLVERS[name][0]()


def run(solver, parameters, steps=range(STEPS)):
    for step in steps:
        solver.update(parameters, gradients_of(parameters, step), rate_of(step))
    return parameters


def torch_groups(torch, parameters):
    """A group of torch's for each parameter."""
    leaves = {n: torch.nn.Parameter(torch.tensor(p)) for n, p in parameters.items()}
    return leaves, [{"params": [leaf], "name": name} for name, leaf in leaves.items()]


def check_steps(torch, solver, optimizer, leaves, factors=None):
    parameters = start()
    for step in range(STEPS):
        gradients = gradients_of(parameters, step)
        solver.update(parameters, gradients, rate_of(step))
        for group in optimizer.param_groups:
            (name,) = (n for n, leaf in leaves.items() if leaf is group["params"][0])
            group["lr"] = rate_of(step) * (factors or {}).get(name, 1)
            leaves[name].grad = torch.tensor(gradients[name])
        optimizer.step()
        for name, values in parameters.items():
            expected = leaves[name].detach().numpy()
            np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=f"{name}, {step}")


@every_solver
def test_steps_are_those_of_torch(torch, name):
    make_solver, kind, options = SOLVERS[name]
    leaves, groups = torch_groups(torch, start())
    optimizer = getattr(torch.optim, kind)(groups, lr=1.0, **options)
    check_steps(torch, make_solver(), optimizer, leaves)


def test_rates_and_decays_by_layer_are_groups_of_torch(torch):
    leaves, groups = torch_groups(torch, start())
    for group, decay in zip(groups, (0.2, 0.0, 0.05)):
        group["weight_decay"] = decay
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    solver = AdamW(
        weight_decay={"conv": 0.2, "fc": 0.05}, layer_rates={"conv": 0.5, "conv.bias": 2.0}
    )
    factors = {"conv.kernel": 0.5, "conv.bias": 2.0}
    check_steps(torch, solver, optimizer, leaves, factors)


@pytest.mark.parametrize(
    ("solver", "other"),
    [
        (
            SGD(momentum=0.9),
            lambda p: _stochastic_optimizers.SGDOptimizer(p, 0.05, momentum=0.9, nesterov=False),
        ),
        (
            SGD(momentum=0.7, nesterov=True),
            lambda p: _stochastic_optimizers.SGDOptimizer(p, 0.05, momentum=0.7, nesterov=True),
        ),
        # which adds epsilon in another place
        (Adam(epsilon=0), lambda p: _stochastic_optimizers.AdamOptimizer(p, 0.05, epsilon=0)),
    ],
)
def test_steps_at_one_rate_are_those_of_scikit_learn(solver, other):
    found, expected = start(), start()
    other = other(list(expected.values()))
    for step in range(STEPS):
        gradients = gradients_of(found, step)
        solver.update(found, gradients, 0.05)
        other.update_params(list(expected.values()), list(gradients.values()))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-11)


@every_solver
def test_a_pickle_goes_on_where_it_was(name):
    whole = run(make(name), start())
    solver = make(name)
    parameters = run(solver, start(), range(7))
    solver, parameters = pickle.loads(pickle.dumps((solver, parameters)))
    run(solver, parameters, range(7, STEPS))
    for key, values in whole.items():
        np.testing.assert_array_equal(parameters[key], values)


@every_solver
def test_arrays_are_changed_in_place_and_keep_their_precision(name):
    parameters = start(np.float32)
    views = {key: values[:] for key, values in parameters.items()}
    solver = make(name)
    gradients = gradients_of(parameters, 0)
    before = {key: gradient.copy() for key, gradient in gradients.items()}
    solver.update(parameters, gradients, np.float64(0.05))
    for key, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, before[key])
    # also where gradients are wider
    solver.update(parameters, {k: g.astype(np.float64) for k, g in gradients.items()}, 0.05)
    expected = run(make(name), start(), [])
    exact = make(name)
    for _ in range(2):
        exact.update(expected, {k: g.astype(np.float64) for k, g in gradients.items()}, 0.05)
    for key, values in parameters.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(views[key], values)
        np.testing.assert_allclose(values, expected[key], rtol=1e-5, atol=1e-6)
    states = [a for state in solver.state.values() for a in state.values() if np.ndim(a)]
    assert all(a.dtype == np.float32 for a in states)


@every_solver
def test_compiled_steps_are_those_of_numpy(name, monkeypatch):
    compiled = run(make(name), start(np.float32))
    monkeypatch.setattr(_kernels, "kernels", None)
    plain = run(make(name), start(np.float32))
    for parameter, values in plain.items():
        np.testing.assert_allclose(compiled[parameter], values, rtol=1e-5, atol=5e-6)


@every_solver
def test_arrays_that_kernels_do_not_take(name):
    """Those with steps between their numbers are changed as others are."""
    apart = {n: np.repeat(p, 2, axis=-1)[..., ::2] for n, p in start(np.float32).items()}
    expected = run(make(name), start(np.float32))
    run(make(name), apart)
    for parameter, values in expected.items():
        np.testing.assert_allclose(apart[parameter], values, rtol=1e-5, atol=5e-6)


@every_solver
def test_layers_without_a_gradient_stay(name):
    parameters, solver = start(), make(name)
    gradients = gradients_of(parameters, 0)
    before = {key: values.copy() for key, values in parameters.items()}
    solver.update(parameters, {"fc.kernel": gradients["fc.kernel"]}, 0.05)
    for key, values in parameters.items():
        assert np.array_equal(values, before[key]) is (key != "fc.kernel")


def test_one_decay_is_for_kernels():
    parameters = {"fc.kernel": np.ones(2), "fc.bias": np.ones(2)}
    zeros = {name: np.zeros(2) for name in parameters}
    AdamW(weight_decay=0.5).update(parameters, zeros, 0.1)
    np.testing.assert_allclose(parameters["fc.kernel"], 0.95)
    np.testing.assert_array_equal(parameters["fc.bias"], 1)


@pytest.mark.parametrize(
    ("make_solver", "message"),
    [
        (lambda: SGD(momentum=1.0), "momentum == 1.0, must be < 1"),
        (lambda: SGD(momentum=0, nesterov=True), "nesterov=True needs a momentum"),
        (lambda: Adam(beta_2=-0.1), "beta_2 == -0.1, must be >= 0"),
        (lambda: Adam(epsilon=-1), "epsilon == -1, must be >= 0"),
        (lambda: Adagrad(initial=-1), "initial == -1, must be >= 0"),
        (lambda: run(SGD(layer_rates={"nose": 1}), start()), "layer_rates names 'nose'"),
        (lambda: run(AdamW(weight_decay={"fc": -1}), start()), r"weight_decay\['fc'\]=-1"),
    ],
)
def test_wrong_options_are_named(make_solver, message):
    with pytest.raises(ValueError, match=message):
        make_solver()


def test_wrong_arrays_are_named():
    parameters, solver = start(), SGD()
    with pytest.raises(ValueError, match=r"'conv.bias' has shape \(1,\), and the parameter \(3,\)"):
        solver.update(parameters, {"conv.bias": np.ones(1)}, 0.1)
    parameters["fc.kernel"].flags.writeable = False
    with pytest.raises(ValueError, match=r"'fc\.kernel' is read-only"):
        solver.update(parameters, {"fc.kernel": np.ones((4, 2))}, 0.1)
    for rate in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="learning_rate="):
            solver.update(start(), {}, rate)
