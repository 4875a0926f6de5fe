"""Training plans of random networks, against the float64 reference."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from oracles.random_networks import architectures, random_images
from oracles.training import assert_gradients, small_parameters

from sklearn_decaf.networks.layers import Layer


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(architecture=architectures())
def test_random_networks(architecture):
    assume(architecture.parameter_shapes())
    assert all(type(layer).backward is not Layer.backward for layer in architecture.layers)
    parameters, images = small_parameters(architecture), random_images(architecture, 3)
    # where values lie at a kink, or two under a window are alike, rounding decides what passes
    with np.errstate(all="raise", under="ignore"):
        # the floor is for a softmax with a probability of nearly 1
        assert_gradients(architecture, parameters, images, tolerance=1e-3, floor=1e-5)
