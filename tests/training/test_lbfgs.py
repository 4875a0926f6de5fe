"""L-BFGS against scikit-learn's logistic regression and multi-layer perceptron."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor

from sklearn_decaf.training._lbfgs import minimise
from sklearn_decaf.training._losses import multinomial_logistic, squared
from sklearn_decaf.training._penalties import penalise


def digits(n=150):
    X, y = load_digits(return_X_y=True)
    return X[:n] / 16, y[:n]


def logistic_regression(X, y, C):
    """The loss of scikit-learn's, over the number of images."""

    def compute(parameters):
        scores = X @ parameters["fc.kernel"] + parameters["fc.bias"]
        loss, gradient = multinomial_logistic(scores, y)
        gradients = {"fc.kernel": X.T @ gradient, "fc.bias": gradient.sum(axis=0)}
        return loss + penalise(parameters, gradients, l2=1 / (C * len(X))), gradients

    return compute


def start(dtype=np.float64):
    return {"fc.kernel": np.zeros((64, 10), dtype), "fc.bias": np.zeros(10, dtype)}


def test_minimum_is_that_of_logistic_regression():
    X, y = digits()
    model = LogisticRegression(C=1.0, tol=1e-6, max_iter=1000).fit(X, y)
    compute, parameters = logistic_regression(X, y, 1.0), start()
    found = minimise(compute, parameters, tol=1e-6)
    assert found.converged
    expected = {"fc.kernel": model.coef_.T, "fc.bias": model.intercept_}
    assert found.loss == pytest.approx(compute(expected)[0], rel=1e-6)
    assert compute(parameters)[0] == found.loss
    np.testing.assert_allclose(parameters["fc.kernel"], expected["fc.kernel"], atol=2e-3)


def test_steps_are_those_of_scikit_learn():
    """A perceptron from the same weights has the same ones after some iterations."""
    X, y = digits(40)
    y = y.astype(float)
    model = MLPRegressor(
        hidden_layer_sizes=(5,),
        solver="lbfgs",
        alpha=0.0,
        activation="tanh",
        max_iter=1,
        random_state=0,
    )
    with pytest.warns(UserWarning):  # it did not converge
        model.fit(X, y)
    names = ("in.kernel", "out.kernel", "in.bias", "out.bias")
    weights = (*model.coefs_, *model.intercepts_)
    parameters = {name: values.copy() for name, values in zip(names, weights)}
    model.set_params(warm_start=True, max_iter=8)
    with pytest.warns(UserWarning):
        model.fit(X, y)

    def compute(p):
        hidden = np.tanh(X @ p["in.kernel"] + p["in.bias"])
        loss, by_output = squared(hidden @ p["out.kernel"] + p["out.bias"], y[:, np.newaxis])
        by_hidden = by_output @ p["out.kernel"].T * (1 - hidden**2)
        return loss, {
            "in.kernel": X.T @ by_hidden,
            "out.kernel": hidden.T @ by_output,
            "in.bias": by_hidden.sum(axis=0),
            "out.bias": by_output.sum(axis=0),
        }

    found = minimise(compute, parameters, max_iter=8)
    assert not found.converged and found.n_iter == 8
    assert found.loss == pytest.approx(model.loss_, rel=1e-6)
    for name, expected in zip(names, (*model.coefs_, *model.intercepts_)):
        np.testing.assert_allclose(parameters[name], expected, rtol=1e-5, atol=1e-6)


def test_single_precision_is_changed_in_place():
    X, y = digits(40)
    parameters, losses = start(np.float32), []
    kernel = parameters["fc.kernel"]
    compute = logistic_regression(X.astype(np.float32), y, 1.0)
    found = minimise(
        compute, parameters, max_iter=5, callback=lambda p: losses.append(compute(p)[0])
    )
    assert kernel.dtype == np.float32 and parameters["fc.kernel"] is kernel and kernel.any()
    assert len(losses) == found.n_iter == 5 and losses == sorted(losses, reverse=True)
    assert compute(parameters)[0] == pytest.approx(found.loss, rel=1e-6)


def test_parameters_without_gradient_stay():
    X, y = digits(40)
    compute = logistic_regression(X, y, 1.0)

    def only_bias(parameters):
        loss, gradients = compute(parameters)
        return loss, {"fc.bias": gradients["fc.bias"]}

    parameters = start()
    minimise(only_bias, parameters)
    assert parameters["fc.bias"].any() and not parameters["fc.kernel"].any()


def test_a_loss_that_is_not_finite_is_told():
    with pytest.raises(FloatingPointError, match="the loss is nan before the first step"):
        minimise(lambda p: (np.nan, p), start())
