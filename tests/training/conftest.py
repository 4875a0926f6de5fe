"""A tiny network and images of two kinds, which tests of trainings share."""

from functools import partial

import numpy as np
import pytest
from oracles.training import ArrayData

from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.layers import Conv, Dense, MaxPool, ReLU
from sklearn_decaf.training._fillers import initial_parameters
from sklearn_decaf.training._loop import LoopOptions, Objective, TrainingLoop
from sklearn_decaf.training._losses import multinomial_logistic
from sklearn_decaf.training._schedules import Constant
from sklearn_decaf.training._solvers import SGD

TINY = Architecture(
    "tiny",
    (
        Conv("conv1", filters=4, kernel_size=3, padding=1),
        ReLU("relu1"),
        MaxPool("pool1", size=2, stride=2),
        Dense("fc", units=2),
    ),
    Preprocessing(crop=6, mean=(128.0,) * 3, std=(64.0,) * 3),
    {},
)


@pytest.fixture(scope="session")
def stripes():
    """40 images of 6 x 6 pixels with stripes that lie or stand, in noise; and which."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.normal(128, 20, (40, 6, 6, 3))
    images[labels == 0, ::2] += 60
    images[labels == 1, :, ::2] += 60
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def make_loop(stripes):
    """Make a loop over the stripes; options of the loop and of its parts by name."""
    images, labels = stripes

    def make(
        *,
        network=TINY,
        data=None,
        targets=labels,
        sample_weight=None,
        rows=None,
        solver=None,
        schedule=None,
        dropout=None,
        loss=multinomial_logistic,
        plan_class=TrainingPlan,
        validation=None,
        state=None,
        average=None,
        checkpoint=None,
        **options,
    ):
        plan = plan_class(
            network, initial_parameters(network, 0), "fc", dropout=dropout, group_size=4
        )
        return TrainingLoop(
            plan,
            ArrayData(images) if data is None else data,
            Objective(partial(loss), targets, sample_weight),
            np.arange(40) if rows is None else rows,
            SGD(momentum=0.9) if solver is None else solver,
            Constant(0.05) if schedule is None else schedule,
            LoopOptions(**{"batch_size": 8, "max_epochs": 3, **options}),
            validation=validation,
            state=state,
            average=average,
            checkpoint=checkpoint,
        )

    return make
