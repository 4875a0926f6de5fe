"""The training loop: what is learned, when it ends, which parameters are the result."""

import numpy as np
import pytest
from oracles.training import ArrayData
from sklearn.exceptions import ConvergenceWarning

from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.reference import forward
from sklearn_decaf.training._averaging import AveragedParameters
from sklearn_decaf.training._divergence import Diverged
from sklearn_decaf.training._schedules import Adaptive, Constant, Cosine
from sklearn_decaf.training._solvers import SGD
from sklearn_decaf.training._validation import Validation, split_rows


def same(one, other):
    return one.keys() == other.keys() and all((one[key] == other[key]).all() for key in one)


def accuracy(labels):
    return lambda outputs: float((outputs.argmax(axis=1) == labels).mean())


def test_it_learns(make_loop, stripes):
    images, labels = stripes
    loop = make_loop(max_epochs=8)
    parameters = loop.run()
    scores = forward(loop.plan.architecture, parameters, images, ["fc"])["fc"]
    assert (scores.argmax(axis=1) == labels).mean() == 1
    state = loop.state
    assert state.epoch == len(state.losses) == 8 and state.stopped == "max_iter"
    assert state.n_steps == len(state.step_losses) == len(state.learning_rates) == 40
    assert state.losses[-1] < 0.2 < state.losses[0]
    np.testing.assert_allclose(state.losses[0], np.mean(state.step_losses[:5]))


def test_each_epoch_has_an_order_of_its_own(make_loop):
    class Watched(ArrayData):
        seen = []

        def take(self, rows, epoch=None, rng=None):
            self.seen.append((epoch, *rows))
            return super().take(rows)

    loop = make_loop()
    loop.data = Watched(loop.data.inputs)
    loop.run()
    orders = [[i for e, *rows in Watched.seen if e == epoch for i in rows] for epoch in range(3)]
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    Watched.seen.clear()
    loop = make_loop(shuffle=False, max_epochs=1, batch_size=32)
    loop.data = Watched(loop.data.inputs)
    loop.run()
    assert Watched.seen == [(0, *range(32)), (0, *range(32, 40))]


def test_the_same_bits_from_any_threads_and_from_data_made_ahead(make_loop):
    class Slow(ArrayData):
        """Images with noise that is drawn when they are taken."""

        is_slow = False

        def take(self, rows, epoch=None, rng=None):
            images = super().take(rows).astype(np.float32)
            return images if rng is None else images + rng.normal(0, 5, images.shape)

    def run(**options):
        loop = make_loop(dropout={"pool1": 0.5}, **options)
        loop.data = Slow(loop.data.inputs)
        return loop, loop.run()

    _, expected = run()
    assert same(run(n_threads=2)[1], expected)
    Slow.is_slow = True
    assert same(run()[1], expected)
    loop, _ = run(max_epochs=2)
    assert not same(loop.trained, expected)


def test_rows_that_are_not_trained_on_change_nothing(make_loop):
    expected = make_loop(rows=np.arange(30)).run()
    loop = make_loop(rows=np.arange(30))
    loop.data = ArrayData(np.concatenate([loop.data.inputs[:30], loop.data.inputs[:10] * 0]))
    assert same(loop.run(), expected)


def test_weights_of_images(make_loop, stripes):
    """Images of weight 0 do not count, and the scale of the weights does not matter."""
    _, labels = stripes
    wrong = labels.copy()
    wrong[30:] = 1 - wrong[30:]
    weights = np.r_[np.ones(30), np.zeros(10)]
    expected = make_loop(sample_weight=weights, shuffle=False).run()
    found = make_loop(sample_weight=2 * weights, targets=wrong, shuffle=False).run()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)


def test_the_best_parameters_of_the_validation_are_the_result(make_loop):
    scores, seen = iter([0.1, 0.5, 0.4, 0.3]), []
    validation = Validation(np.arange(4), lambda outputs: seen.append(outputs) or next(scores))
    loop = make_loop(validation=validation, max_epochs=4)
    result = loop.run()
    assert loop.state.validation_scores == [0.1, 0.5, 0.4, 0.3]
    assert loop.state.best_epoch == 2 and loop.state.best_score == 0.5
    assert same(result, make_loop(max_epochs=2).run())
    assert not same(result, loop.plan.parameters)
    images = loop.data.inputs[:4]
    expected = forward(loop.plan.architecture, result, images, ["fc"])["fc"]
    np.testing.assert_allclose(seen[1], expected, rtol=1e-5, atol=1e-6)


def test_of_equal_scores_the_first_counts(make_loop):
    for first, best in ((True, 0), (False, 1)):
        validation = Validation(np.arange(4), lambda outputs: 0.5)
        loop = make_loop(validation=validation, validate_first=first)
        loop.run()
        assert loop.state.best_epoch == best


def test_the_initial_parameters_are_a_candidate(make_loop):
    scores = iter([0.9, 0.5, 0.4, 0.3])
    validation = Validation(np.arange(4), lambda outputs: next(scores))
    loop = make_loop(validation=validation, validate_first=True)
    before = {name: values.copy() for name, values in loop.trained.items()}
    assert same(loop.run(), before)
    assert loop.state.best_epoch == 0 and len(loop.state.validation_scores) == 4


@pytest.mark.parametrize(("patience", "epochs"), [(1, 4), (2, 5)])
def test_no_progress_in_validation_ends_it(make_loop, patience, epochs):
    scores = iter([0.1, 0.5, 0.50005, 0.4, 0.4, 0.4, 0.4])
    validation = Validation(np.arange(4), lambda outputs: next(scores))
    loop = make_loop(validation=validation, n_iter_no_change=patience, max_epochs=7)
    loop.run()
    assert loop.state.epoch == epochs and "did not improve" in loop.state.stopped


def test_no_progress_of_the_loss_ends_it(make_loop):
    def run(**options):
        loop = make_loop(schedule=Constant(0.0), n_iter_no_change=2, max_epochs=9, **options)
        loop.run()
        return loop.state.epoch

    assert run() == 4  # the first is better than nothing
    assert run(stop_on_loss=False) == 9


def test_the_adaptive_rate_ends_it(make_loop):
    schedule = Adaptive(3e-5, n_iter_no_change=1, tol=1)
    loop = make_loop(schedule=schedule, max_epochs=50)
    loop.run()
    assert "learning rate" in loop.state.stopped and loop.state.epoch < 20
    assert sorted(set(loop.state.learning_rates)) == pytest.approx([2.4e-7, 1.2e-6, 6e-6, 3e-5])


def test_rates_of_the_steps(make_loop):
    loop = make_loop(schedule=Cosine(0.05, 15, warm_up=0.2))
    loop.run()
    assert loop.state.learning_rates == [Cosine(0.05, 15, warm_up=0.2)(i) for i in range(15)]


def test_averaged_parameters_are_validated_and_are_the_result(make_loop):
    last = make_loop().run()
    average, validated = AveragedParameters(0.5), []
    loop = make_loop(average=average)
    loop.validation = Validation(np.arange(4), lambda o: validated.append(o) or len(validated))
    result = loop.run()
    assert same(loop.trained, last) and not same(result, last)  # learned the same
    assert same(result, average.values)
    expected = forward(loop.plan.architecture, result, loop.data.inputs[:4], ["fc"])["fc"]
    np.testing.assert_allclose(validated[-1], expected, rtol=1e-5, atol=1e-6)


class Broken(TrainingPlan):
    """Overflows in the step of this number, from 1 on."""

    step = 0
    breaks_at = 8
    value = np.inf

    def gradients(self, inputs, loss, **options):
        self.step += 1
        if self.step == self.breaks_at:
            self.parameters["conv1.bias"][0] = self.value
        return super().gradients(inputs, loss, **options)


def test_a_divergence_is_named_and_the_best_parameters_stay(make_loop):
    loop = make_loop(plan_class=Broken)
    with pytest.warns(ConvergenceWarning, match=r"step 8 \(epoch 2 of 3\).*'conv1.bias'.*adamw"):
        result = loop.run()
    assert same(result, make_loop(max_epochs=1).run())
    assert loop.state.stopped == "diverged" and loop.state.n_steps == 7


def test_a_divergence_at_once_is_an_error(make_loop):
    with pytest.raises(Diverged, match=r"step [12] \(epoch 1 of 3\).*(layer '|\.kernel'|\.bias')"):
        make_loop(solver=SGD(momentum=0.0), schedule=Constant(1e30), batch_size=16).run()


def test_a_loss_that_explodes_is_a_divergence(make_loop):
    Exploding = type("Exploding", (Broken,), {"value": 1e15})
    with pytest.warns(ConvergenceWarning, match=r"the loss is .*'\w+' has the largest output"):
        make_loop(plan_class=Exploding).run()


def test_bad_inputs_are_named(make_loop):
    loop = make_loop()
    loop.data = ArrayData(np.full((40, 6, 6, 3), np.nan, np.float32))
    with pytest.raises(Diverged, match="its input is not finite"):
        loop.run()


def test_ctrl_c_leaves_what_was_learned(make_loop):
    class Interrupted(TrainingPlan):
        step = 0

        def gradients(self, inputs, loss, **options):
            self.step += 1
            if self.step == 8:
                raise KeyboardInterrupt
            return super().gradients(inputs, loss, **options)

    loop = make_loop(plan_class=Interrupted)
    with pytest.warns(UserWarning, match="interrupted by the user after 7 steps"):
        result = loop.run()
    assert same(result, loop.plan.parameters) and loop.state.stopped == "interrupted"


def test_another_training_goes_on(make_loop):
    first = make_loop(max_epochs=1)
    first.run()
    second = make_loop(max_epochs=2, state=first.state.continued(), solver=first.solver)
    for name, values in second.trained.items():
        values[...] = first.trained[name]
    assert same(second.run(), make_loop(max_epochs=3).run())
    assert len(second.state.losses) == 3


def test_progress_names_epochs(make_loop, capsys):
    validation = Validation(np.arange(4), lambda outputs: 0.25)
    make_loop(verbose=True, label="Net", max_epochs=2, validation=validation).run()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("[Net, epoch 2/2, loss 0.") and "validation 0.25]" in lines[1]
    assert "40/40 images" in lines[1]
    make_loop(max_epochs=1).run()
    assert capsys.readouterr().err == ""


def test_penalties_and_clipping(make_loop):
    free, held = make_loop(), make_loop(l2=1.0)
    kernels = [sum(np.square(v).sum() for v in loop.run().values()) for loop in (free, held)]
    assert kernels[1] < 0.9 * kernels[0]
    assert held.state.losses[0] > free.state.losses[0]
    clipped = make_loop(max_norm=1e-6, solver=SGD(momentum=0.0), max_epochs=1)
    before = {name: values.copy() for name, values in clipped.trained.items()}
    for name, values in clipped.run().items():
        assert np.abs(values - before[name]).max() <= 5 * 0.05 * 1e-6 + 1e-7


def test_nothing_to_train_on(make_loop):
    with pytest.raises(ValueError, match="no images"):
        make_loop(rows=np.arange(0))


def test_rows_of_every_class_are_held_back():
    labels = np.repeat([0, 1], [90, 10])
    train, valid = split_rows(100, 0.1, np.random.RandomState(0), labels=labels)
    assert sorted([*train, *valid]) == list(range(100))
    assert np.bincount(labels[valid]).tolist() == [9, 1]
    with pytest.raises(ValueError, match=r"early_stopping=True with validation_fraction=0\.1"):
        split_rows(3, 0.1, np.random.RandomState(0), labels=np.arange(3))
