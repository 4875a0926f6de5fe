"""The engine against the float64 reference, and what it promises about batches and threads."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_features__ as cpu_features
from oracles.random_networks import (
    Oblong,
    architectures,
    assert_close,
    he_parameters,
    random_images,
)
from threadpoolctl import threadpool_info

from sklearn_decaf import _kernels
from sklearn_decaf.exceptions import KernelWarning
from sklearn_decaf.networks import get_architecture, load_weights, reference
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.engine import Plan, algorithms, convolutions, memory
from sklearn_decaf.networks.engine.fusion import ConvStep, fuse
from sklearn_decaf.networks.engine.plan import HEAD_ROWS
from sklearn_decaf.networks.engine.program import TrunkProgram
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    ReLU,
    Softmax,
)

BGR = Preprocessing(crop=9, channel_order="bgr", mean=(10.0, 60.0, 200.0), std=(1.0, 2.0, 4.0))
FLIPPED = Preprocessing(crop=10, mean=(100.0, 120.0, 140.0), flip_vertical=True)

compiled = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels: the trunk is the reference itself"
)


def network(*layers: Layer, preprocessing: Preprocessing = FLIPPED) -> Architecture:
    return Architecture("small", layers, preprocessing, decaf_layers={})


def reference_of(architecture, n=2):
    """Parameters, images and every layer in float64."""
    parameters, images = he_parameters(architecture), random_images(architecture, n)
    expected = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    return parameters, images, expected


def run_in_process(program: str, given, environment, folder) -> bytes:
    """What a program prints in a new process, which reads `given` from a pickle."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(given),
        env=environment,
        cwd=folder,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# Values -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_random_networks(data):
    """Any small network, any wanted layers, and products cut at any row."""
    architecture = data.draw(architectures())
    names = architecture.layer_names
    some = st.lists(st.sampled_from(names), min_size=1, unique=True)
    outputs = data.draw(st.one_of(st.just(names[-1:]), some, st.just(names)))
    parameters, images, expected = reference_of(architecture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutions, "PRODUCT_ROWS", data.draw(st.sampled_from([1, 7, 30, 1024])))
        actual = Plan(architecture, parameters, outputs, exact=data.draw(st.booleans())).run(images)
    assert_close(architecture, dict(zip(outputs, actual)), expected, 1e-5, random=True)


NETWORKS = {
    "bgr, depthwise first": network(
        Conv("c", filters=3, kernel_size=3, padding="same", groups=3), preprocessing=BGR
    ),
    "bgr, groups first": network(
        Conv("c", filters=6, kernel_size=3, stride=2, groups=3), ReLU("r"), preprocessing=BGR
    ),
    "bgr": network(Conv("c", filters=2, kernel_size=4, padding=1), preprocessing=BGR),
    "image padded": network(Conv("c", filters=2, kernel_size=5, stride=2, padding="same")),
    "one by one with a border": network(
        Conv("c", filters=4), Conv("d", filters=5, padding=1), ReLU("r")
    ),
    "border written at once": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r", max_value=6.0),
        Conv("d", filters=4, kernel_size=5, stride=2, padding="same", groups=4),
        Conv("e", filters=3, kernel_size=2, padding="same"),
        ReLU("s"),
        Conv("f", filters=2, kernel_size=3, padding=2),
    ),
    "double precision": network(
        Conv("c", filters=4, kernel_size=3, double_precision=True),
        ReLU("r", max_value=60.0),
        Conv("d", filters=4, kernel_size=3, padding=1, groups=4, double_precision=True),
        ReLU("s"),
        Conv("e", filters=4, double_precision=True),
        Add("sum", ("e", "r")),
        ReLU("t"),
        Conv("f", filters=3, double_precision=True),
        Concat("all", ("f", "r")),
    ),
    "border of nothing": network(
        Conv("c", filters=4, kernel_size=3), Conv("d", filters=4, stride=2, padding="same")
    ),
    "border, read twice": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=4, kernel_size=3, padding=1),
        Conv("e", ("r",), filters=4, kernel_size=5, padding=2),
        Add("sum", ("d", "e")),
    ),
    "residual": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=6),
        ReLU("s", max_value=6.0),
        Conv("e", filters=4, kernel_size=3, padding="same"),
        Add("sum", ("e", "r")),
        ReLU("t"),
        Conv("f", filters=2),
    ),
    "residual first": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=4),
        Add("sum", ("r", "d")),
        Conv("e", filters=4),
        Add("sum2", ("sum", "e")),
        ReLU("t"),
    ),
    "residual with a later one": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=4),
        Conv("e", ("c",), filters=4),
        ReLU("r"),
        Add("sum", ("d", "r")),
        ReLU("s"),
    ),
    "residual with its own input": network(
        Conv("c", filters=4, kernel_size=3), Conv("d", filters=4), Add("sum", ("d", "c"))
    ),
    "residual after a depthwise": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=4, kernel_size=3, padding=1, groups=4),
        Add("sum", ("d", "c")),
        ReLU("r"),
    ),
    "added to itself": network(
        Conv("c", filters=4, kernel_size=3), Add("sum", ("c", "c")), ReLU("r")
    ),
    "concatenation": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=3),
        ReLU("s"),
        MaxPool("p", ("r",), size=1, stride=1),
        Conv("e", ("r",), filters=5, kernel_size=3, padding=1),
        Concat("all", ("s", "p", "e", "r")),
        Conv("f", filters=2),
    ),
    "concatenation of a member twice": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=3),
        Concat("all", ("d", "c", "d")),
        MaxPool("p"),
    ),
    "concatenation of concatenations": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=3),
        Conv("e", ("c",), filters=2),
        Concat("inner", ("d", "e")),
        Conv("f", ("c",), filters=5),
        Concat("outer", ("f", "inner", "c")),
        Concat("outermost", ("outer", "f")),
    ),
    "concatenation of sums and depthwise": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=4),
        Add("sum", ("d", "c")),
        Conv("e", ("c",), filters=4, kernel_size=3, padding=1, groups=4),
        ReLU("r"),
        Concat("all", ("sum", "r")),
    ),
    "ceil mode": network(
        Conv("c", filters=4, kernel_size=1),
        MaxPool("p", size=3, stride=2),
        MaxPool("q", size=2, stride=3),
        MaxPool("s", size=1, stride=4),
    ),
    "floor mode": network(
        Conv("c", filters=4, kernel_size=1),
        MaxPool("p", size=3, stride=2, ceil_mode=False),
        MaxPool("q", size=2, stride=3, ceil_mode=False),
    ),
    "normalisation": network(
        Conv("c", filters=7, kernel_size=3),
        LRN("n", alpha=0.02),
        Conv("d", filters=2, kernel_size=3, padding=1),
        LRN("o", size=7, alpha=0.1, beta=0.6, k=2.0),
    ),
    "global poolings": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        GlobalAveragePool("a"),
        GlobalMaxPool("m", ("r",)),
        Concat("am", ("a", "m")),
        Dense("fc", units=6),
        ReLU("s"),
        Dense("fd", units=3),
        Softmax("prob"),
    ),
    "a map into a dense layer": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Dense("fc", units=6),
        Dense("fd", ("r",), units=6),
        Add("sum", ("fc", "fd")),
    ),
}


for double in (False, True):
    layers = (
        Conv("c", filters=4, kernel_size=3, double_precision=double),
        Conv("d", filters=4, kernel_size=3, stride=2, padding="same", double_precision=double),
        ReLU("r"),
        Conv("e", filters=3, kernel_size=2, stride=3, padding="same"),
    )
    name = "border on one side" + ", double precision" * double
    NETWORKS[name] = Oblong("oblong", layers, FLIPPED, decaf_layers={})


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


# Fusion -------------------------------------------------------------------------------------


def steps_of(architecture, outputs):
    """What is left after fusion: the name of each step's output, and of what it holds."""
    steps = fuse(architecture, architecture.ancestors(outputs), outputs)
    return [step.output if isinstance(step, ConvStep) else step.name for step in steps]


def test_nothing_wanted_is_fused_away():
    architecture = get_architecture("efficientnet_lite0")
    names = architecture.layer_names[:-2]
    assert steps_of(architecture, names) == list(names)


def test_residuals_and_activations_are_fused():
    architecture = get_architecture("efficientnet_lite0")
    steps = fuse(architecture, architecture.ancestors(["head"]), ["head"])
    assert all(isinstance(step, ConvStep) for step in steps)
    with_residual = [step.output for step in steps if step.residual is not None]
    assert with_residual == [f"block{i}" for i in (3, 5, 7, 8, 10, 11, 13, 14, 15)]
    # stem and head, an expansion in all blocks but the first, and a depthwise one in each
    assert sum(step.relu is not None for step in steps) == 2 + 15 + 16


def test_concatenations_are_written_in_place():
    architecture = get_architecture("squeezenet1_1")
    steps = fuse(architecture, architecture.ancestors(["relu10"]), ["relu10"])
    into = [step.concat for step in steps if isinstance(step, ConvStep) and step.concat]
    assert into == [f"fire{i}" for i in range(2, 10) for _ in range(2)]


@compiled
def test_borders_are_written_in_place(monkeypatch):
    """No step copies a map only to put zeros around it."""
    copies, bind_copy = [], _kernels.kernels.bind_copy
    monkeypatch.setattr(
        _kernels.kernels, "bind_copy", lambda *given: copies.append(given) or bind_copy(*given)
    )
    architecture = NETWORKS["border written at once"]
    packed = algorithms.pack_convolutions(
        architecture, he_parameters(architecture), architecture.layers
    )
    program = TrunkProgram(architecture, packed, architecture.layers, (INPUT,), ["f"])
    borders = {name: maps.pads for name, maps in program._values.items()}
    assert borders["s"] == ((2, 2), (2, 2))
    # the depthwise one copies its input, as it cannot write into a border
    assert len(copies) <= 1


# Memory -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(0, 5)), max_size=30))
def test_arena_never_hands_out_memory_twice(actions):
    arena, live = memory.Arena(), []
    for number, (take, size, which) in enumerate(actions):
        if take or not live:
            array = arena.take((size, 3))
            assert array.shape == (size, 3)
            assert array.dtype == np.float32
            assert array.ctypes.data % 64 == 0
            array.fill(number)
            live.append((array, number))
        else:
            arena.give_back(live.pop(which % len(live))[0])
        assert all((array == mark).all() for array, mark in live)


def test_arena_uses_memory_again():
    arena = memory.Arena()
    small, large = arena.take((4,)), arena.take((100,))
    arena.give_back(large)
    arena.give_back(small)
    assert np.shares_memory(arena.take((2, 2)), small)  # the smallest that fits
    assert np.shares_memory(arena.take((50,)), large)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 2), st.integers(0, 5)),
        max_size=30,
    )
)
def test_bordered_arrays_keep_their_zeros(actions):
    arena, live = memory.Arena(), []
    for number, (take, side, border, which) in enumerate(actions, 1):
        if take or not live:
            pads = ((border, 1), (0, border))
            array = arena.take_bordered(2, (side, 2, 3), pads)
            assert array.shape == (2, border + side + 1, 2 + border, 3)
            assert array.ctypes.data % 64 == 0
            inner = array[:, border : border + side, :2]
            inner.fill(0)
            assert not array.any()
            inner.fill(number)
            live.append((array, inner, number))
        else:
            arena.give_back(live.pop(which % len(live))[0])
        for array, inner, mark in live:
            assert (inner == mark).all()
            assert array.sum(dtype=np.float64) == mark * inner.size


def memory_of_a_run(architecture):
    """The most bytes that a new plan and a first run took, the result aside."""
    parameters, images = he_parameters(architecture), random_images(architecture, 1)
    tracemalloc.start()
    try:
        plan = Plan(architecture, parameters, architecture.layer_names[-1:])
        packed = tracemalloc.get_traced_memory()[0]
        plan.run(images)
        return tracemalloc.get_traced_memory()[1] - packed
    finally:
        tracemalloc.stop()


@compiled
def test_a_deep_network_needs_no_more_memory_than_a_shallow_one():
    """All that is fused, and all that is not, gives its memory back."""

    def deep(blocks):
        layers = [Conv("data0", filters=16, kernel_size=3, padding=1)]
        for i in range(blocks):
            before = f"data{i}"
            layers += [
                Conv(f"a{i}", filters=16, kernel_size=3, padding=1, double_precision=True),
                ReLU(f"b{i}"),
                Conv(f"c{i}", filters=16, kernel_size=5, padding="same", groups=16),
                ReLU(f"d{i}"),
                Conv(f"e{i}", filters=16),
                Add(f"f{i}", (f"e{i}", before)),
                Conv(f"g{i}", filters=8),
                Conv(f"h{i}", (f"f{i}",), filters=8, kernel_size=3, padding=1),
                ReLU(f"i{i}"),
                Concat(f"j{i}", (f"g{i}", f"i{i}")),
                MaxPool(f"k{i}", size=1, stride=1),
                LRN(f"data{i + 1}"),
            ]
        return network(*layers, preprocessing=Preprocessing(crop=64))

    smallest = 64 * 64 * 8 * 4  # bytes of the maps with 8 channels
    shallow, deeper = memory_of_a_run(deep(2)), memory_of_a_run(deep(12))
    assert deeper - shallow < 10 * smallest / 2  # less than any map that each block might keep


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

CLASSIFIER = network(
    Conv("c", filters=16, kernel_size=5, stride=2),
    ReLU("r"),
    LRN("n"),
    MaxPool("p"),
    Dense("fc6", units=300),
    ReLU("relu6"),
    Dense("fc7", units=70),
    Softmax("prob"),
    preprocessing=Preprocessing(crop=41, mean=(120.0,) * 3),
)


@pytest.fixture(scope="module")
def classifier():
    """A plan for all layers of a network with a large head, images, and its results for them."""
    parameters = he_parameters(CLASSIFIER)
    plan = Plan(CLASSIFIER, parameters, CLASSIFIER.layer_names)
    images = random_images(CLASSIFIER, 2 * HEAD_ROWS + 5)
    return plan, images, plan.run(images)


def assert_same_bits(actual, expected):
    assert len(actual) == len(expected)
    for values, wanted in zip(actual, expected):
        np.testing.assert_array_equal(values, wanted, strict=True)


@pytest.mark.parametrize("size", [1, 2, 3, HEAD_ROWS - 1, HEAD_ROWS, HEAD_ROWS + 1])
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


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_batches_and_threads_of_a_real_network(name):
    weights = load_weights(name)
    plan = Plan(weights.architecture, weights.parameters, ["prob", weights.architecture.resolve(7)])
    images = random_images(weights.architecture, 3)
    expected = plan.run(images)
    assert_same_bits(plan.run(images, n_threads=2), expected)
    assert_same_bits(plan.run(images[2:]), [values[2:] for values in expected])


SAME_IMAGE = """
import pickle, sys
import numpy as np
from sklearn_decaf.networks.engine import Plan

architecture, parameters, images = pickle.load(sys.stdin.buffer)
outputs = Plan(architecture, parameters, architecture.layer_names).run(np.repeat(images, 37, 0))
different = [name for name, values in zip(architecture.layer_names, outputs)
             if not (values == values[0]).all()]
assert not different, different
"""


@pytest.mark.skipif(
    not any(pool["internal_api"] == "openblas" for pool in threadpool_info()),
    reason="NumPy's BLAS is not OpenBLAS, which has a kernel to choose",
)
@pytest.mark.parametrize(
    ("blas_kernel", "feature"), [("Prescott", "SSE3"), ("Nehalem", "SSE42"), ("Haswell", "AVX2")]
)
def test_a_row_has_the_same_bits_anywhere_whatever_the_blas_kernel(blas_kernel, feature, tmp_path):
    """OpenBLAS's AVX2 kernel, for one, adds up some rows of a product in another order."""
    if not cpu_features.get(feature):
        pytest.skip(f"this CPU has no {feature}")
    given = CLASSIFIER, he_parameters(CLASSIFIER), random_images(CLASSIFIER, 1)
    environment = {**os.environ, "OPENBLAS_CORETYPE": blas_kernel}
    run_in_process(SAME_IMAGE, given, environment, tmp_path)


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


# What cannot be run -------------------------------------------------------------------------


@dataclass(frozen=True)
class Unknown(Layer):
    """A layer that neither the engine nor the reference has heard of."""


@compiled
@pytest.mark.parametrize(
    ("architecture", "error", "message"),
    [
        (network(Conv("c"), Conv("d", (INPUT,)), Add("s", ("c", "d"))), ValueError, "one conv"),
        (network(ReLU("r")), ValueError, "read by one convolution"),
        (network(Conv("c"), Unknown("u")), TypeError, "no step for layers of type Unknown"),
    ],
)
def test_networks_that_the_engine_refuses(architecture, error, message):
    plan = Plan(architecture, he_parameters(architecture), architecture.layer_names[-1:])
    with pytest.raises(error, match=message):
        plan.run(random_images(architecture, 1))


def test_parameters_have_to_be_there():
    architecture = NETWORKS["residual"]
    parameters = he_parameters(architecture)
    del parameters["e.bias"]
    Plan(architecture, parameters, ["s"]).run(random_images(architecture, 1))  # not on the way
    with pytest.raises(KeyError, match=r"e\.bias"):
        Plan(architecture, parameters, ["t"]).run(random_images(architecture, 1))


# Kernels ------------------------------------------------------------------------------------


def test_without_kernels_the_reference_runs_and_one_warning_says_so(monkeypatch):
    architecture = CLASSIFIER
    parameters, images, expected = reference_of(architecture)
    monkeypatch.setattr(_kernels, "KERNEL_SET", None)
    monkeypatch.setattr(_kernels, "_warned", False)
    monkeypatch.delenv(_kernels.OVERRIDE_VARIABLE, raising=False)
    with pytest.warns(KernelWarning, match="runs its networks on NumPy") as caught:
        plans = [Plan(architecture, parameters, architecture.layer_names) for _ in range(2)]
    assert len(caught) == 1
    assert_close(
        architecture, dict(zip(architecture.layer_names, plans[0].run(images))), expected, 1e-5
    )
    monkeypatch.setattr(_kernels, "_warned", False)
    monkeypatch.setenv(_kernels.OVERRIDE_VARIABLE, "none")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Plan(architecture, parameters, architecture.layer_names)


EVERY_LAYER = """
import pickle, sys, warnings
import numpy as np
from sklearn_decaf import _kernels
from sklearn_decaf.networks.engine import Plan

warnings.simplefilter("error", UserWarning)
results = {"kernel set": _kernels.KERNEL_SET}
for name, (architecture, parameters, images) in pickle.load(sys.stdin.buffer).items():
    outputs = architecture.layer_names
    results[name] = dict(zip(outputs, Plan(architecture, parameters, outputs).run(images, 2)))
    exact = Plan(architecture, parameters, outputs, exact=True).run(images, 2)
    results[name + ": exact"] = dict(zip(outputs, exact))
    (deepest,) = Plan(architecture, parameters, outputs[-1:]).run(images)
    results[name + ": the last layer only"] = {outputs[-1]: deepest}
pickle.dump(results, sys.stdout.buffer)
"""


@pytest.fixture(scope="module")
def many_networks():
    """By name: architecture, parameters and images; and every layer in float64."""
    given, expected = {}, {}
    for name in ("efficientnet_lite0", "squeezenet1_1"):
        weights = load_weights(name)
        images = random_images(weights.architecture, 1)
        given[name] = weights.architecture, dict(weights.parameters), images
    given["classifier"] = CLASSIFIER, he_parameters(CLASSIFIER), random_images(CLASSIFIER, 3)
    for name, architecture in NETWORKS.items():
        if type(architecture) is Architecture:  # another class could not be unpickled
            given[name] = architecture, he_parameters(architecture), random_images(architecture, 1)
    for name, (architecture, parameters, images) in given.items():
        expected[name] = reference.forward(
            architecture, parameters, images, architecture.layer_names, np.float64
        )
    return given, expected


@pytest.mark.parametrize("kernel_set", [*_kernels.installed_sets(), "none"])
def test_each_kernel_set(kernel_set, many_networks, tmp_path):
    """In a process of its own, where no warning is allowed."""
    if kernel_set not in (*_kernels.available_sets(), "none"):
        pytest.skip(f"this CPU cannot run the kernels {kernel_set!r}")
    given, expected = many_networks
    environment = {**os.environ, _kernels.OVERRIDE_VARIABLE: kernel_set}
    results = pickle.loads(run_in_process(EVERY_LAYER, given, environment, tmp_path))
    assert results.pop("kernel set") == (None if kernel_set == "none" else kernel_set)
    for title, layers in results.items():
        name = title.split(":")[0]
        small = name in NETWORKS
        assert_close(given[name][0], layers, expected[name], 1e-5, random=small)
