"""What a plan computes, against the float64 reference, and what it promises about batches."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.random_networks import (
    architectures,
    assert_close,
    he_parameters,
    outputs_of,
    random_images,
)
from oracles.small_networks import CLASSIFIER, NETWORKS, assert_same_bits, reference_of
from threadpoolctl import threadpool_info

from sklearn_decaf.networks import load_weights
from sklearn_decaf.networks.engine import Limits, Plan
from sklearn_decaf.networks.engine.numpy_fallback import BLOCK_ROWS


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_random_networks(data):
    """Any small network, any wanted layers, and products cut at any row."""
    architecture = data.draw(architectures())
    outputs = data.draw(outputs_of(architecture))
    parameters, images, expected = reference_of(architecture)
    limits = Limits(product_rows=data.draw(st.sampled_from([1, 7, 30, 1024])))
    exact = data.draw(st.booleans())
    actual = Plan(architecture, parameters, outputs, exact=exact, limits=limits).run(images)
    assert_close(architecture, dict(zip(outputs, actual)), expected, 1e-5, random=True)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_small_network(name, exact):
    """Every layer alone, every pair, and all of them: each asks for another fusion."""
    architecture = NETWORKS[name]
    parameters, images, expected = reference_of(architecture)
    names = architecture.layer_names
    for outputs in (*itertools.combinations(names, 1), *itertools.combinations(names, 2), names):
        actual = Plan(architecture, parameters, outputs, exact=exact).run(images)
        assert_close(architecture, dict(zip(outputs, actual)), expected, 1e-5, random=True)


@pytest.mark.parametrize("seed", range(3))
def test_outputs_come_in_the_order_asked_for(seed):
    architecture = NETWORKS["global poolings"]
    parameters, images, expected = reference_of(architecture)
    outputs = np.random.default_rng(seed).permutation(architecture.layer_names).tolist()
    for name, actual in zip(outputs, Plan(architecture, parameters, outputs).run(images)):
        assert actual.shape == expected[name].shape
        np.testing.assert_allclose(actual, expected[name], rtol=1e-4, atol=1e-3)


def test_images_need_not_be_contiguous():
    architecture = NETWORKS["concatenation"]
    parameters, images, _ = reference_of(architecture, n=6)
    plan = Plan(architecture, parameters, architecture.layer_names)
    for view in (images[::-2], images[:, ::-1], images[:, :, ::-1], images[..., ::-1]):
        for strided, packed in zip(plan.run(view), plan.run(view.copy())):
            np.testing.assert_array_equal(strided, packed)


def test_results_belong_to_the_caller():
    architecture = NETWORKS["concatenation"]
    parameters, images, _ = reference_of(architecture, n=5)
    plan = Plan(architecture, parameters, architecture.layer_names)
    first = plan.run(images)
    kept = [values.copy() for values in first]
    second = plan.run(images[::-1].copy())
    for a, b in itertools.combinations([*first, *second], 2):
        assert not np.shares_memory(a, b)
    for values, copy in zip(first, kept):
        np.testing.assert_array_equal(values, copy)
        values.fill(0)  # and what the caller does to them changes nothing
    for again, copy in zip(plan.run(images), kept):
        np.testing.assert_array_equal(again, copy)


def test_parameters_and_images_are_only_read():
    architecture = NETWORKS["global poolings"]
    parameters, images, _ = reference_of(architecture)
    before = {name: values.copy() for name, values in parameters.items()}, images.copy()
    for values in (*parameters.values(), images):
        values.flags.writeable = False
    Plan(architecture, parameters, architecture.layer_names).run(images)
    np.testing.assert_array_equal(images, before[1])
    for name, values in parameters.items():
        np.testing.assert_array_equal(values, before[0][name])


# Batches, threads, processes ----------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier():
    """A plan for all layers of a network with a large head, images, and its results for them."""
    parameters = he_parameters(CLASSIFIER)
    plan = Plan(CLASSIFIER, parameters, CLASSIFIER.layer_names)
    images = random_images(CLASSIFIER, 2 * BLOCK_ROWS + 5)
    return plan, images, plan.run(images)


@pytest.mark.parametrize("size", [1, 2, 3, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1])
def test_a_batch_may_be_split_anywhere(classifier, size):
    plan, images, expected = classifier
    parts = [plan.run(images[i : i + size]) for i in range(0, len(images), size)]
    assert_same_bits([np.concatenate(part) for part in zip(*parts)], expected)


def test_an_image_does_not_see_its_neighbours(classifier):
    plan, images, expected = classifier
    order = np.random.default_rng(0).permutation(len(images))
    assert_same_bits(plan.run(images[order]), [values[order] for values in expected])


@pytest.mark.parametrize("n_threads", [2, 3, 64])
def test_threads_change_nothing(classifier, n_threads):
    plan, images, expected = classifier
    assert_same_bits(plan.run(images, n_threads), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_batches_and_threads_of_a_real_network(name):
    weights = load_weights(name)
    plan = Plan(weights.architecture, weights.parameters, ["prob", weights.architecture.resolve(7)])
    images = random_images(weights.architecture, 3)
    expected = plan.run(images)
    assert_same_bits(plan.run(images, n_threads=2), expected)
    assert_same_bits(plan.run(images[2:]), [values[2:] for values in expected])


def test_a_plan_runs_in_several_threads_at_once(classifier):
    plan, images, expected = classifier
    together = threading.Barrier(4)

    def work(i):
        together.wait()
        part = slice(i, len(images) - 3 * i)
        return part, plan.run(images[part], n_threads=1 + i % 2)

    with ThreadPoolExecutor(4) as pool:
        for part, actual in pool.map(work, range(4)):
            assert_same_bits(actual, [values[part] for values in expected])


def test_blas_has_its_threads_back_afterwards(classifier):
    plan, images, _ = classifier
    before = [pool["num_threads"] for pool in threadpool_info()]
    plan.run(images, n_threads=2)
    with pytest.raises(ValueError, match=r"shape|smaller"):
        plan.run(np.zeros((3, 7, 7, 3), np.uint8), n_threads=2)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_a_plan_survives_a_bad_batch(classifier):
    plan, images, expected = classifier
    with pytest.raises(ValueError, match=r"shape|smaller"):
        plan.run(np.zeros((3, 7, 7, 3), np.uint8))
    assert_same_bits(plan.run(images), expected)


@pytest.mark.parametrize("name", ["classifier", "map"])
def test_no_images(name):
    architecture = CLASSIFIER if name == "classifier" else NETWORKS["concatenation"]
    plan = Plan(architecture, he_parameters(architecture), architecture.layer_names)
    images = np.empty((0, *architecture.input_shape), np.uint8)
    for layer, values in zip(architecture.layer_names, plan.run(images, n_threads=2)):
        assert values.shape == (0, *architecture.shapes()[layer])
        assert values.dtype == np.float32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_forked_process_goes_on(classifier, n_threads):
    """Also if its parent was computing in another thread when it forked."""
    plan, images, expected = classifier
    stop = threading.Event()

    def keep_running():
        while not stop.is_set():
            plan.run(images[:2], n_threads=2)

    background = threading.Thread(target=keep_running)
    background.start()
    try:
        for _ in range(3):
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # a deadlock ends, as a failure
                try:
                    assert_same_bits(plan.run(images, n_threads), expected)
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        background.join()


def test_parameters_have_to_be_there():
    architecture = NETWORKS["residual"]
    parameters = he_parameters(architecture)
    del parameters["e.bias"]
    Plan(architecture, parameters, ["s"]).run(random_images(architecture, 1))  # not on the way
    with pytest.raises(KeyError, match=r"e\.bias"):
        Plan(architecture, parameters, ["t"]).run(random_images(architecture, 1))
