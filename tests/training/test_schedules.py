"""Learning rates step by step, against torch and scikit-learn."""

import pickle

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, _stochastic_optimizers

from sklearn_decaf.training._schedules import Adaptive, Constant, Cosine, Inverse, Step

RATE, STEPS = 0.3, 40


def rates(schedule, n=STEPS):
    return [schedule(step) for step in range(n)]


def torch_rates(torch, make_scheduler, n=STEPS):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = make_scheduler(torch.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(n):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def warm_cosine(lr, optimizer):
    rise = lr.LinearLR(optimizer, start_factor=1 / 8, end_factor=1, total_iters=7)
    wave = lr.CosineAnnealingLR(optimizer, T_max=32, eta_min=0.01)
    return lr.SequentialLR(optimizer, [rise, wave], milestones=[8])


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize(
    ("schedule", "make_scheduler"),
    [
        (Constant(RATE), lambda lr, o: lr.ConstantLR(o, factor=1)),
        (Cosine(RATE, STEPS, warm_up=0), lambda lr, o: lr.CosineAnnealingLR(o, STEPS)),
        (Cosine(RATE, STEPS, warm_up=0.2, end=0.01), warm_cosine),
        (Step(RATE, 7), lambda lr, o: lr.StepLR(o, 7)),
        (Step(RATE, 3, factor=0.5), lambda lr, o: lr.StepLR(o, 3, 0.5)),
        (
            Inverse(RATE, speed=0.2, power=0.75),
            lambda lr, o: lr.LambdaLR(o, lambda step: (1 + 0.2 * step) ** -0.75),
        ),
    ],
)
def test_rates_are_those_of_torch(torch, schedule, make_scheduler):
    np.testing.assert_allclose(rates(schedule), torch_rates(torch, make_scheduler), rtol=1e-10)


def test_inverse_is_that_of_scikit_learn():
    other = _stochastic_optimizers.SGDOptimizer([], RATE, lr_schedule="invscaling", power_t=0.6)
    schedule = Inverse(RATE, power=0.6)
    for step in range(STEPS):
        other.iteration_ends(step)
        assert schedule(step) == pytest.approx(other.learning_rate, rel=1e-12)


def test_cosine_ends_and_stays_there():
    schedule = Cosine(RATE, 10, warm_up=0.3, end=0.02)
    found = rates(schedule, 15)
    np.testing.assert_allclose(found[:4], [RATE / 3, 2 * RATE / 3, RATE, RATE])
    assert found[10:] == [0.02] * 5
    assert found[3:11] == sorted(found[3:11], reverse=True) and len(set(found[3:11])) == 8
    assert rates(Cosine(RATE, 4, warm_up=1), 5) == pytest.approx([0.075, 0.15, 0.225, 0.3, 0])


@pytest.mark.parametrize(
    "schedule", [Constant(1), Cosine(1, 9), Step(1, 2), Inverse(1), Adaptive(1)], ids=type
)
def test_schedules_are_pickled(schedule):
    assert rates(pickle.loads(pickle.dumps(schedule))) == rates(schedule)
    assert schedule.end_epoch(1.0) is False


def test_adaptive_follows_scikit_learn():
    """Told of the losses of a training of scikit-learn, it has the same rates and stops with it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    model = MLPClassifier(
        (5,),
        solver="sgd",
        learning_rate="adaptive",
        learning_rate_init=0.5,
        tol=1e-3,
        n_iter_no_change=2,
        max_iter=2000,
        random_state=0,
    )
    seen = []
    trigger = _stochastic_optimizers.SGDOptimizer.trigger_stopping

    def watched(self, message, verbose):
        stops = trigger(self, message, verbose)
        seen.append((len(model.loss_curve_), self.learning_rate, stops))
        return stops

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_stochastic_optimizers.SGDOptimizer, "trigger_stopping", watched)
        model.fit(X, y)
    assert len(seen) > 5 and seen[-1][2]

    schedule, found = Adaptive(0.5, tol=1e-3, n_iter_no_change=2), []
    for epoch, loss in enumerate(model.loss_curve_, 1):
        before = schedule(0)
        stops = schedule.end_epoch(loss)
        if stops or schedule(0) != before:
            found.append((epoch, schedule(0), stops))
    assert found == seen


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"warm_up=3 is a share of the steps, in \[0, 1\]"):
        Cosine(RATE, STEPS, warm_up=3)
    with pytest.raises(ValueError, match="every=0 must be larger than 0"):
        Step(RATE, 0)
