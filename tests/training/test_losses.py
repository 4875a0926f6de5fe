"""Losses and their gradients: against differences, SciPy, scikit-learn and torch."""

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.metrics import log_loss, mean_squared_error

from sklearn_decaf.training._losses import kl_divergence, logistic, multinomial_logistic, squared

N, K = 6, 4
RNG = np.random.default_rng(0)
SCORES = 3 * RNG.normal(size=(N, K))
LABELS = np.array([0, 3, 2, 2, 1, 0])
SOFT = RNG.dirichlet(np.ones(K), N)
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0])
ANSWERS = (RNG.random((N, K)) < 0.5).astype(float)

CASES = {
    "labels": (multinomial_logistic, LABELS, {}),
    "soft": (multinomial_logistic, SOFT, {}),
    "smoothed": (multinomial_logistic, LABELS, {"label_smoothing": 0.1}),
    "soft, smoothed": (multinomial_logistic, SOFT, {"label_smoothing": 0.3}),
    "kl": (kl_divergence, SOFT, {}),
    "logistic": (logistic, ANSWERS, {}),
    "logistic, probabilities": (logistic, SOFT, {}),
    "squared": (squared, SOFT, {}),
}
every_loss = pytest.mark.parametrize(("loss", "targets", "options"), CASES.values(), ids=CASES)


@every_loss
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_gradients_are_the_limits_of_differences(loss, targets, options, weights):
    def value(flat):
        return loss(flat.reshape(N, K), targets, sample_weight=weights, **options)[0]

    _, gradient = loss(SCORES, targets, sample_weight=weights, **options)
    expected = optimize.approx_fprime(SCORES.ravel(), value, 1e-7)
    np.testing.assert_allclose(gradient.ravel(), expected, rtol=0, atol=1e-6)


@every_loss
def test_weights_repeat_images(loss, targets, options):
    counts = np.array([1, 0, 2, 1, 3, 1])
    loss_weighted, gradient = loss(SCORES, targets, sample_weight=counts, **options)
    rows = np.repeat(np.arange(N), counts)
    loss_repeated, repeated = loss(SCORES[rows], targets[rows], **options)
    assert loss_weighted == pytest.approx(loss_repeated, rel=1e-12)
    for i in range(N):
        np.testing.assert_allclose(gradient[i], repeated[rows == i].sum(axis=0), atol=1e-15)


@every_loss
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_parts_of_a_batch_add_up(loss, targets, options, weights):
    whole, gradient = loss(SCORES, targets, sample_weight=weights, **options)
    total = N if weights is None else weights.sum()
    parts = [
        loss(
            SCORES[rows],
            targets[rows],
            sample_weight=None if weights is None else weights[rows],
            total_weight=total,
            **options,
        )
        for rows in (slice(0, 2), slice(2, 6))
    ]
    assert sum(part for part, _ in parts) == pytest.approx(whole, rel=1e-12)
    np.testing.assert_allclose(np.concatenate([g for _, g in parts]), gradient, atol=1e-15)


@every_loss
def test_precision_of_the_scores(loss, targets, options):
    value, gradient = loss(SCORES, targets, **options)
    narrow, single = loss(SCORES.astype(np.float32), targets, **options)
    assert single.dtype == np.float32 and gradient.dtype == np.float64
    assert narrow == pytest.approx(value, rel=1e-6)
    whole = np.round(SCORES).astype(int)
    _, expected = loss(whole.astype(float), targets, **options)
    np.testing.assert_array_equal(loss(whole, targets, **options)[1], expected)


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_large_scores_do_not_overflow(scale):
    for loss, targets in ((multinomial_logistic, LABELS), (logistic, ANSWERS)):
        value, gradient = loss(scale * SCORES, targets)
        assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_values_are_those_of_scikit_learn(weights):
    probable = special.softmax(SCORES, axis=1)
    expected = log_loss(LABELS, probable, sample_weight=weights)
    found, _ = multinomial_logistic(SCORES, LABELS, sample_weight=weights)
    assert found == pytest.approx(expected, rel=1e-12)
    expected = K / 2 * mean_squared_error(SOFT, SCORES, sample_weight=weights)
    assert squared(SCORES, SOFT, sample_weight=weights)[0] == pytest.approx(expected, rel=1e-12)
    expected = sum(
        log_loss(ANSWERS[:, k], special.expit(SCORES[:, k]), sample_weight=weights, labels=[0, 1])
        for k in range(K)
    )
    assert logistic(SCORES, ANSWERS, sample_weight=weights)[0] == pytest.approx(expected, rel=1e-9)


def test_divergence_is_that_of_scipy():
    expected = np.mean([stats.entropy(p, special.softmax(s)) for p, s in zip(SOFT, SCORES)])
    assert kl_divergence(SCORES, SOFT)[0] == pytest.approx(expected, rel=1e-12)
    zero, gradient = kl_divergence(np.log(SOFT), SOFT)
    assert zero == pytest.approx(0, abs=1e-15) and np.abs(gradient).max() < 1e-15
    one_class = np.eye(K)[LABELS]  # no entropy, and no logarithm of 0
    assert kl_divergence(SCORES, one_class)[0] == pytest.approx(
        multinomial_logistic(SCORES, LABELS)[0], rel=1e-12
    )


def test_a_single_output():
    """(n,) works like (n, 1); one never meets the other."""
    targets = ANSWERS[:, 0]
    for loss in (logistic, squared):
        flat, gradient = loss(SCORES[:, 0], targets)
        column, columns = loss(SCORES[:, :1], targets[:, np.newaxis])
        assert flat == pytest.approx(column, rel=1e-12)
        np.testing.assert_array_equal(gradient, columns[:, 0])
        with pytest.raises(ValueError, match=r"shape \(6,\), and scores \(6, 1\)"):
            loss(SCORES[:, :1], targets)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": LABELS[:5]}, r"targets have shape \(5,\), and scores \(6, 4\)"),
        ({"targets": SOFT[:, :3]}, r"shape \(6, 3\)"),
        ({"targets": LABELS + 1}, "the label 4 of image 1 is no index of one of 4 classes"),
        ({"targets": LABELS - 1}, "the label -1 of image 0"),
        ({"targets": LABELS / 2}, "whole numbers, and not of type float64"),
        ({"targets": 2 * SOFT}, "targets of image 0 are no probabilities"),
        ({"targets": np.full((N, K), np.nan)}, "targets of image 0 are no probabilities"),
        ({"label_smoothing": 1.5}, r"label_smoothing=1.5 must be in \[0, 1\]"),
        ({"sample_weight": WEIGHTS[:5]}, r"sample_weight has shape \(5,\), and there are 6"),
        ({"sample_weight": -WEIGHTS}, "sample_weight has numbers that are negative"),
        ({"sample_weight": np.full(N, np.nan)}, "not finite"),
        ({"sample_weight": np.zeros(N)}, "the sum of sample_weight is 0"),
        ({"scores": SCORES[:0], "targets": LABELS[:0]}, "there are none"),
        ({"scores": SCORES[:, 0]}, r"shape \(n, n_classes\), and not \(6,\)"),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        multinomial_logistic(**{"scores": SCORES, "targets": LABELS, **arguments})


def test_targets_of_other_losses():
    with pytest.raises(ValueError, match="shape"):
        kl_divergence(SCORES, LABELS)
    with pytest.raises(ValueError, match="no probabilities"):
        kl_divergence(SCORES, 2 * SOFT)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        logistic(SCORES, 2 * ANSWERS - 1)


def torch_losses(F, scores, torch):
    """Each case as torch computes it."""
    soft, answers = torch.tensor(SOFT), torch.tensor(ANSWERS)
    labels = torch.tensor(LABELS)
    logs = F.log_softmax(scores, 1)
    return {
        "labels": F.cross_entropy(scores, labels),
        "soft": F.cross_entropy(scores, soft),
        "smoothed": F.cross_entropy(scores, labels, label_smoothing=0.1),
        "soft, smoothed": F.cross_entropy(scores, soft, label_smoothing=0.3),
        "kl": F.kl_div(logs, soft, reduction="batchmean"),
        "logistic": F.binary_cross_entropy_with_logits(scores, answers, reduction="sum") / N,
        "logistic, probabilities": F.binary_cross_entropy_with_logits(scores, soft) * K,
        "squared": F.mse_loss(scores, soft, reduction="sum") / (2 * N),
    }


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_torch(torch, name):
    scores = torch.tensor(SCORES, requires_grad=True)
    expected = torch_losses(torch.nn.functional, scores, torch)[name]
    expected.backward()
    loss, targets, options = CASES[name]
    value, gradient = loss(SCORES, targets, **options)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, scores.grad.numpy(), rtol=0, atol=1e-14)


def test_class_weights_are_those_of_torch(torch):
    """Which torch divides by the sum of the weights of the images' classes."""
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(SCORES), torch.tensor(LABELS), torch.tensor(weights)
    )
    found, _ = multinomial_logistic(SCORES, LABELS, sample_weight=weights[LABELS])
    assert found == pytest.approx(expected.item(), rel=1e-12)
