"""What makes training plans reproducible and small: threads, groups, memory, changed weights."""

import tracemalloc

import numpy as np
import pytest
from oracles.random_networks import random_images
from oracles.training import linear_loss, small_parameters

from sklearn_decaf import _kernels
from sklearn_decaf.networks import Architecture, Preprocessing
from sklearn_decaf.networks.engine.limits import Limits
from sklearn_decaf.networks.engine.training import TrainingPlan, compiled_passes
from sklearn_decaf.networks.layers import (
    Add,
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    Sigmoid,
)

NET = Architecture(
    "small",
    (
        Conv("conv1", filters=8, kernel_size=3, padding="same"),
        BatchNorm("norm1"),
        ReLU("relu1", max_value=6.0),
        Conv("conv2", filters=8, kernel_size=3, padding=1),
        Add("add", ("conv2", "relu1")),
        ReLU("relu2"),
        MaxPool("pool", size=2, stride=2),
        Conv("depthwise", filters=8, kernel_size=5, stride=2, padding="same", groups=8),
        Conv("conv3", filters=24),
        ReLU("relu3"),
        GlobalAveragePool("average"),
        Dense("fc", units=5),
    ),
    Preprocessing(crop=16, channel_order="rgb", mean=(127.5,) * 3, std=(64.0,) * 3),
    {},
)


def case(n):
    weights = np.random.default_rng(1).standard_normal((n, 5)).astype(np.float32)
    return small_parameters(NET), random_images(NET, n), linear_loss(weights)


def copied(result):
    value, found = result
    return value, {name: array.copy() for name, array in found.items()}


def assert_same_bits(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, other[1][name], err_msg=name)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_leave_the_bits(n_threads):
    parameters, images, loss = case(29)
    plan = TrainingPlan(NET, parameters, "fc", group_size=4, dropout={"relu3": 0.3})
    alone = copied(plan.gradients(images, loss, seed=3))
    for _ in range(5):
        assert_same_bits(alone, plan.gradients(images, loss, seed=3, n_threads=n_threads))
    np.testing.assert_array_equal(plan.forward(images), plan.forward(images, n_threads=n_threads))


@pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="BLAS has other bits for other batches")
def test_an_image_has_the_same_scores_in_any_place():
    parameters, images, _ = case(9)
    plan = TrainingPlan(NET, parameters, "fc", group_size=4)
    np.testing.assert_array_equal(plan.forward(images)[5:], plan.forward(images[5:]))


def test_refresh_is_a_new_plan():
    parameters, images, loss = case(6)
    plan = TrainingPlan(NET, parameters, "fc", group_size=4)
    plan.gradients(images, loss)
    for seed, values in enumerate(parameters.values()):
        values += np.float32(0.1) * np.random.default_rng(seed).random(values.shape, np.float32)
    plan.refresh()
    new = TrainingPlan(NET, parameters, "fc", group_size=4)
    assert_same_bits(copied(plan.gradients(images, loss)), copied(new.gradients(images, loss)))


def test_frozen_layers_and_what_is_below_them():
    parameters, images, loss = case(6)
    whole = copied(TrainingPlan(NET, parameters, "fc").gradients(images, loss))
    some = TrainingPlan(NET, parameters, "fc", trainable=["conv3", "conv2", "fc"])
    _, found = some.gradients(images, loss)
    assert sorted(found) == [
        f"{layer}.{part}" for layer in ("conv2", "conv3", "fc") for part in ("bias", "kernel")
    ]
    for name, array in found.items():
        np.testing.assert_allclose(array, whole[1][name], 1e-5, 1e-5)


@pytest.mark.parametrize("start", ["relu2", "pool", "average"])
def test_from_a_cut(start):
    parameters, images, loss = case(7)
    maps = TrainingPlan(NET, parameters, start).forward(images)
    whole = TrainingPlan(NET, parameters, "fc")
    plan = TrainingPlan(NET, parameters, "fc", start=start)
    np.testing.assert_allclose(plan.forward(maps), whole.forward(images), 1e-5, 1e-5)
    _, part = plan.gradients(maps, loss)
    _, all_of_them = whole.gradients(images, loss)
    below = {"relu2": ("conv1", "norm1", "conv2"), "average": tuple(NET.layer_names[:9])}
    missing = below.get(start, ("conv1", "norm1", "conv2"))
    assert {name.split(".")[0] for name in all_of_them} - {name.split(".")[0] for name in part} == {
        name for name in missing if NET.layer_parameter_shapes(name)
    }
    for name, array in part.items():
        np.testing.assert_allclose(array, all_of_them[name], 1e-4, 1e-5, err_msg=name)


def test_memory_does_not_grow_with_the_batch():
    parameters, images, loss = case(400)
    plan = TrainingPlan(NET, parameters, "fc", group_size=4)
    plan.gradients(images, loss)
    peaks = []
    for n in (40, 400):
        tracemalloc.start()
        plan.gradients(images[:n], loss)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000  # the maps of 360 images are 10 MB


def test_an_error_of_the_loss_comes_out_of_all_threads():
    parameters, images, _ = case(30)
    plan = TrainingPlan(NET, parameters, "fc", group_size=2)

    def loss(scores, part):
        if part.start == 4:
            raise FloatingPointError("no loss")
        return 0.0, scores

    with pytest.raises(FloatingPointError, match="no loss"):
        plan.gradients(images, loss, n_threads=3)
    _, _, fine = case(30)
    assert np.isfinite(plan.gradients(images, fine, n_threads=3)[0])


def test_an_empty_batch():
    parameters, images, loss = case(3)
    plan = TrainingPlan(NET, parameters, "fc")
    plan.gradients(images, loss)
    value, found = plan.gradients(images[:0], loss)
    assert value == 0
    assert not any(np.any(array) for array in found.values())
    assert plan.forward(images[:0]).shape == (0, 5)


def test_large_layers_at_the_end_run_on_blocks(monkeypatch):
    """The gradients are those of a plan that computes them by groups, whatever the threads."""
    net = NET.with_layers(
        ReLU("relu4"), Dense("fc2", units=300), Sigmoid("gate"), Dense("fc3", units=5)
    )
    parameters, images = small_parameters(net), random_images(net, 41)
    loss = linear_loss(np.random.default_rng(1).standard_normal((41, 5)).astype(np.float32))
    options = {"group_size": 4, "dropout": {"relu3": 0.3, "gate": 0.5}}
    by_groups = TrainingPlan(net, parameters, "fc3", **options)
    expected = copied(by_groups.gradients(images, loss, seed=2))
    monkeypatch.setattr("sklearn_decaf.networks.engine.training.dense_head.HEAD_BYTES", 0)
    monkeypatch.setattr("sklearn_decaf.networks.engine.training.dense_head.INPUTS_AT_ONCE", 7)
    monkeypatch.setattr("sklearn_decaf.networks.engine.training.compiled_passes.BLOCK_SIZE", 16)
    plan = TrainingPlan(net, parameters, "fc3", **options)
    value, found = copied(plan.gradients(images, loss, seed=2))
    assert value == pytest.approx(expected[0], rel=1e-5)
    assert found.keys() == expected[1].keys()
    for name, array in found.items():
        scale = np.abs(expected[1][name]).max()
        np.testing.assert_allclose(array, expected[1][name], 0, 1e-5 * scale, err_msg=name)
    for n_threads in (2, 3):
        assert_same_bits((value, found), plan.gradients(images, loss, seed=2, n_threads=n_threads))
    np.testing.assert_allclose(plan.forward(images), by_groups.forward(images), 1e-5, 1e-5)
    last = TrainingPlan(net, parameters, "fc3", trainable=["fc3", "fc2"], **options)
    for name, array in last.gradients(images, loss, seed=2)[1].items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


@pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="no compiled kernels: no strips")
def test_maps_in_strips_and_tiles_in_parts(monkeypatch):
    """What large maps need, on small ones."""
    parameters, images, loss = case(5)
    _, expected = copied(TrainingPlan(NET, parameters, "fc", group_size=2).gradients(images, loss))
    small = Limits(small_map=0, strip_bytes=4096, tile_bytes=1, product_rows=20)
    monkeypatch.setattr(compiled_passes, "Limits", lambda: small)
    for n_images in (1, 2, 4):
        plan = TrainingPlan(NET, parameters, "fc", group_size=n_images)
        _, found = plan.gradients(images, loss)
        for name, array in found.items():
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(array, expected[name], 0, 1e-5 * scale, err_msg=name)


@pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="no compiled kernels: no parts to time")
def test_profile(monkeypatch):
    parameters, images, loss = case(6)
    plan = TrainingPlan(NET, parameters, "fc", group_size=4)
    times = plan.profile(images, loss)
    parts = {(layers, kind) for layers, kind, _ in times}
    assert all(seconds >= 0 for _, _, seconds in times)
    assert parts >= {
        ((), "forward"),
        (("conv1", "norm1", "relu1"), "forward"),
        (("conv1", "norm1", "relu1"), "activation"),
        (("conv1", "norm1", "relu1"), "weights"),
        (("conv2", "add", "relu2"), "input"),
        (("pool",), "activation"),
        (("fc",), "weights"),
        (("fc",), "input"),
    }
    assert (("conv1", "norm1", "relu1"), "input") not in parts  # pixels want no gradient
    monkeypatch.setattr("sklearn_decaf.networks.engine.training.dense_head.HEAD_BYTES", 0)
    by_blocks = TrainingPlan(NET, parameters, "fc", group_size=4).profile(images, loss)
    assert parts - {(layers, kind) for layers, kind, _ in by_blocks} == {(("fc",), "activation")}


@pytest.mark.skipif(_kernels.KERNEL_SET is not None, reason="with compiled kernels there are parts")
def test_no_profile_without_kernels():
    parameters, images, loss = case(2)
    with pytest.raises(RuntimeError, match="no parts to time"):
        TrainingPlan(NET, parameters, "fc").profile(images, loss)
