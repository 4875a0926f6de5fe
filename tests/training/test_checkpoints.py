"""Trainings that are killed and go on: the same bytes at the end."""

import os
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
from oracles.killed_training import kill_until_done, learn_undisturbed
from PIL import Image
from sklearn.base import clone

from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.layers import BatchNorm, Dense
from sklearn_decaf.training import ConvNetClassifier
from sklearn_decaf.training._averaging import AveragedParameters
from sklearn_decaf.training._checkpoints import Checkpoint, CheckpointError
from sklearn_decaf.training._schedules import Adaptive
from sklearn_decaf.training._solvers import Adam
from sklearn_decaf.training._validation import Validation


class Stop(Exception):
    pass


def test_stopped_at_any_step_it_ends_with_the_same_bytes(make_loop, tmp_path):
    def make(stop_at, checkpoint=None):
        class Stopping(TrainingPlan):
            step = 0

            def gradients(self, *args, **options):
                self.step += 1
                if self.step == stop_at:
                    raise Stop
                return super().gradients(*args, **options)

        return make_loop(
            plan_class=Stopping,
            solver=Adam(),
            schedule=Adaptive(0.01, tol=1, n_iter_no_change=0),
            average=AveragedParameters(0.9),
            validation=Validation(np.arange(4), lambda outputs: float(outputs[0, 0])),
            validate_first=True,
            dropout={"pool1": 0.2},
            checkpoint=checkpoint,
        )

    expected = make(0)
    result = expected.run()
    described = {"max_iter": "3", "data": "abc"}
    for step in range(1, 16, 3):
        folder = tmp_path / str(step)
        with Checkpoint(folder, described, every=0) as checkpoint, pytest.raises(Stop):
            make(step, checkpoint).run()
        for _ in range(2):  # and once more when it is done
            with Checkpoint(folder, described, every=0) as checkpoint:
                loop = make(0, checkpoint)
                found = loop.run()
            for name, values in result.items():
                assert found[name].tobytes() == values.tobytes()
            for name in ("losses", "validation_scores", "learning_rates", "step_losses"):
                assert getattr(loop.state, name) == getattr(expected.state, name)
            assert loop.state.stopped == expected.state.stopped
        assert sorted(os.listdir(folder)) == ["training.lock", "training.npz"]


def test_what_is_measured_while_it_learns_goes_on_too(make_loop, tmp_path):
    net = make_loop().plan.architecture
    net = replace(net, layers=(net.layers[0], BatchNorm("norm"), *net.layers[1:]))

    def make(stop_at, checkpoint=None):
        class Measuring(TrainingPlan):
            step = 0

            def gradients(self, inputs, loss, **options):
                self.step += 1
                if self.step == stop_at:
                    raise Stop
                self.parameters["norm.mean"] += 0.1 * inputs.mean() / 255
                return super().gradients(inputs, loss, **options)

        return make_loop(network=net, plan_class=Measuring, checkpoint=checkpoint)

    expected = make(0).run()
    with Checkpoint(tmp_path, {}, every=0) as checkpoint, pytest.raises(Stop):
        make(9, checkpoint).run()
    with Checkpoint(tmp_path, {}, every=0) as checkpoint:
        found = make(0, checkpoint).run()
    assert found["norm.mean"][0] > 0.5
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes()


def test_another_training_is_refused(make_loop, tmp_path):
    with Checkpoint(tmp_path, {"max_iter": "3", "data": "a" * 64}) as checkpoint:
        make_loop(checkpoint=checkpoint).run()
    other = {"max_iter": "4", "data": "a" * 64, "alpha": "0.1"}
    with Checkpoint(tmp_path, other) as checkpoint:
        message = "max_iter is 3 there, and 4 here, and alpha differ.*training.npz"
        with pytest.raises(CheckpointError, match=message):
            make_loop(checkpoint=checkpoint).run()


def test_a_damaged_file_is_named(make_loop, tmp_path):
    with Checkpoint(tmp_path, {}) as checkpoint:
        make_loop(checkpoint=checkpoint).run()
        content = checkpoint.path.read_bytes()
        for damaged in (content[: len(content) // 2], b"", b"no archive"):
            checkpoint.path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=r"training\.npz cannot be read.*remove it"):
                make_loop(checkpoint=checkpoint).run()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_at_a_time_are_refused(tmp_path):
    with (
        Checkpoint(tmp_path, {}),
        pytest.raises(CheckpointError, match="another process"),
        Checkpoint(tmp_path, {}),
    ):
        pass


def test_files_are_written_now_and_then(make_loop, tmp_path):
    with Checkpoint(tmp_path, {}, every=1e6) as checkpoint:
        assert not checkpoint.is_due()
        make_loop(checkpoint=checkpoint).run()
        assert checkpoint.path.exists()  # at the end in any case


@pytest.mark.slow
def test_killed_trainings_end_with_the_same_bytes(tmp_path):
    expected = learn_undisturbed(tmp_path / "whole")
    killed, found = kill_until_done(tmp_path / "killed", random.Random(0), 4)
    assert killed >= 2 and found == expected
    assert learn_undisturbed(tmp_path / "killed") == expected  # once more, when all is done


def test_ctrl_c_keeps_the_file(make_loop, tmp_path):
    """The same training goes on where it was, and not where the interrupted one ended."""

    class Interrupted(TrainingPlan):
        step = 0

        def gradients(self, inputs, loss, **options):
            self.step += 1
            if self.step == 8:
                raise KeyboardInterrupt
            return super().gradients(inputs, loss, **options)

    expected = make_loop().run()
    with Checkpoint(tmp_path, {}, every=0) as checkpoint:
        with pytest.warns(UserWarning, match="interrupted"):
            make_loop(plan_class=Interrupted, checkpoint=checkpoint).run()
        found = make_loop(checkpoint=checkpoint).run()
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes()


def test_an_estimator_refuses_what_is_of_another(stripes, tmp_path):
    images, labels = stripes
    net = ConvNetClassifier([Dense("fc", units=2)], max_iter=2, random_state=0, checkpoint=tmp_path)
    net.fit(images, labels)
    expected = net.weights_.parameters["fc.kernel"].tobytes()
    assert clone(net).fit(images, labels).weights_.parameters["fc.kernel"].tobytes() == expected
    clone(net).set_params(n_jobs=1, verbose=True).fit(images, labels)
    for options, message in (
        ({"max_iter": 3}, "max_iter is 2 there, and 3 here"),
        ({"random_state": 1}, "random_state is 0 there, and 1 here"),
        ({"network": [Dense("fc", units=3)]}, "network is"),
    ):
        with pytest.raises(CheckpointError, match=message):
            clone(net).set_params(**options).fit(images, labels)
    for X, y, message in (
        (images[::-1], labels, "X is .* there"),
        (images, labels[::-1], "y is .* there"),
    ):
        with pytest.raises(CheckpointError, match=message):
            clone(net).fit(X, y)
    with pytest.raises(CheckpointError, match="sample_weight is none there"):
        clone(net).fit(images, labels, sample_weight=np.ones(40))
    with pytest.raises(ValueError, match="partial_fit does not support checkpoint"):
        clone(net).partial_fit(images, labels, classes=[0, 1])


def test_photographs_of_a_checkpoint_are_known_by_their_content(stripes, tmp_path):
    images, labels = stripes
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    net = ConvNetClassifier(
        [Dense("fc", units=2)],
        image_size=6,
        max_iter=1,
        random_state=0,
        checkpoint=tmp_path / "training",
    )
    for held in (0, 2**20):  # read each time, or held in memory
        net._held = held
        net.set_params(checkpoint=tmp_path / str(held)).fit(paths, labels)
        Image.fromarray(images[1]).save(paths[0])
        with pytest.raises(CheckpointError, match="X is"):
            net.fit(paths, labels)
        Image.fromarray(images[0]).save(paths[0])
        net.fit(paths, labels)
