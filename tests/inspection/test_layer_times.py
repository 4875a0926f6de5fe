"""layer_times and its display. No time is asserted."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_decaf import DeCAFTransformer, _kernels
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.inspection import LayerTimeDisplay, LayerTimes, layer_times
from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.flops import layer_flops

QUICK = {"batch_size": 1, "n_repeats": 1}


@pytest.fixture(scope="module")
def times():
    return layer_times("squeezenet1_1", "fire2", **QUICK)


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib", reason="displays need matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def made_up():
    """A table whose sums are known."""
    return LayerTimes(
        {
            "step": np.array(["conv1", "pool1", "conv2", "fc6"]),
            "layers": np.array(["conv1 relu1", "pool1", "conv2 relu2", "fc6"]),
            "type": np.array(["convolution", "pooling", "convolution", "fully connected"]),
            "seconds": np.array([3e-3, 1e-3, 2e-3, 4e-3]),
            "mflop": np.array([30.0, 1.0, 50.0, 8.0]),
            "gflops": np.array([10.0, 1.0, 25.0, 2.0]),
        },
        network="caffenet",
        batch_size=8,
        n_threads=1,
        backend="engine",
    )


def test_every_layer_is_in_one_step(times):
    names = " ".join(times.columns["layers"]).split()
    network = get_architecture("squeezenet1_1")
    expected = [layer.name for layer in network.ancestors(["fire2"])]
    assert sorted(names) == sorted(expected)
    flops = layer_flops(network)
    assert_allclose(times.columns["mflop"].sum() * 1e6, sum(flops[n] for n in expected))
    assert (times.columns["seconds"] >= 0).all() and times.columns["seconds"].sum() > 0
    assert len({len(column) for column in times.columns.values()}) == 1
    assert_allclose(
        times.columns["gflops"] * times.columns["seconds"] * 1e3, times.columns["mflop"]
    )
    assert "squeezenet1_1" in repr(times) and "batch_size=1" in repr(times)


def test_types_are_those_of_the_layers_with_most_operations(times):
    kinds = dict(zip(times.columns["step"].tolist(), times.columns["type"].tolist()))
    assert kinds["conv1"] == "convolution"
    assert set(kinds.values()) <= {"convolution", "pooling", "relu", "concat", "input"}
    lite = layer_times("efficientnet_lite0", "block1.depthwise", **QUICK).columns["type"].tolist()
    assert "depthwise convolution" in lite


def test_profile_of_the_engine_is_used_where_there_is_one(monkeypatch):
    """Steps that fuse layers, and one that belongs to no layer."""
    seconds = iter([9.0, 9.0, 9.0, 1.0, 2.0, 0.5, 3.0, 4.0, 0.5, 2.0, 3.0, 0.5])

    def profile(self, images, n_threads):
        assert images.shape == (4, 227, 227, 3) and images.dtype == np.uint8
        assert n_threads == 2
        names = [("conv1", ("conv1", "relu1")), ("pool1", ("pool1",)), ("input", ())]
        return [(step, layers, next(seconds)) for step, layers in names]

    monkeypatch.setattr(Plan, "profile", profile, raising=False)
    times = layer_times("squeezenet1_1", "pool1", batch_size=4, n_repeats=3, n_jobs=2)
    assert times.backend == "engine" and times.n_threads == 2
    assert times.columns["layers"].tolist() == ["conv1 relu1", "pool1", ""]
    # the first run warms up; the medians of the others, for one image
    assert_allclose(times.columns["seconds"], [2 / 4, 3 / 4, 0.5 / 4])
    assert times.columns["type"].tolist() == ["convolution", "pooling", "other"]
    flops = layer_flops(get_architecture("squeezenet1_1"))
    assert_allclose(times.columns["mflop"][0] * 1e6, flops["conv1"] + flops["relu1"])
    assert times.columns["mflop"][2] == times.columns["gflops"][2] == 0


def test_sums_by_type():
    table = made_up().by_type()
    assert table["type"].tolist() == ["convolution", "fully connected", "pooling"]
    assert_allclose(table["seconds"], [5e-3, 4e-3, 1e-3])
    assert_allclose(table["share"], [0.5, 0.4, 0.1])
    assert_allclose(table["mflop"], [80, 8, 1])
    assert_allclose(table["gflops"], [16, 2, 1])


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = made_up().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == ["step", "layers", "type", "seconds", "mflop", "gflops"]
    assert frame.set_index("step").loc["conv2", "mflop"] == 50
    assert made_up().to_frame(by_type=True)["share"].sum() == pytest.approx(1)


def test_without_pandas(monkeypatch):
    original = builtins.__import__

    def without_pandas(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ImportError, match="pip install pandas"):
        made_up().to_frame()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer": "conv99"}, "conv99"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"n_repeats": 0}, "n_repeats=0"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"weights": "resnet50"}, "resnet50"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        layer_times(**{"weights": "squeezenet1_1", "layer": "pool1", **QUICK, **parameters})


def test_weights_that_do_not_reach_the_layer(shared_data):
    path = shared_data("weights/alexnet_torchvision_conv1-5.npz")
    with pytest.raises(WeightsError, match="fc6"):
        layer_times(path, 6, **QUICK)


def test_bars_of_layers(plt):
    display = LayerTimeDisplay(made_up()).plot(n_labels=2)
    heights = sorted(bar.get_height() for bar in display.ax_.patches)
    assert_allclose(heights, [1, 2, 3, 4])
    assert [text.get_text() for text in display.ax_.texts] == ["fc6", "conv1"]  # the longest
    assert "10 ms an image" in display.ax_.get_title()
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["convolution", "fully connected", "pooling"]
    display.figure_.canvas.draw()


def test_bars_of_types(plt):
    _, ax = plt.subplots()
    display = LayerTimeDisplay(made_up())
    assert display.plot(ax=ax, kind="type") is display
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert_allclose([bar.get_width() for bar in ax.patches], [5, 4, 1])
    labels = [text.get_text() for text in ax.texts]
    assert labels[0] == "50 %, 16 GFLOP/s"
    with pytest.raises(ValueError, match="kind='pie'"):
        display.plot(kind="pie")


def test_display_from_estimator(plt):
    transformer = DeCAFTransformer(("conv1", "pool1"), weights="squeezenet1_1", n_jobs=1)
    pipeline = make_pipeline(transformer, LogisticRegression())
    display = LayerTimeDisplay.from_estimator(pipeline, batch_size=1, n_repeats=1)
    assert " ".join(display.times.columns["layers"]).split()[-1] == "pool1"
    assert display.times.network == "squeezenet1_1" and display.times.batch_size == 1
    with pytest.raises(TypeError, match="LayerTimeDisplay"):
        LayerTimeDisplay.from_estimator(LogisticRegression())


def test_batches_of_images_are_the_same_for_the_same_seed(monkeypatch):
    seen = []

    def profile(self, images, n_threads):
        seen.append(images.copy())
        return [("conv1", ("conv1",), 1.0)]

    monkeypatch.setattr(Plan, "profile", profile, raising=False)
    for seed in (0, 0, 1):
        layer_times("squeezenet1_1", "conv1", random_state=seed, **QUICK)
    assert_array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[0], seen[4])


def test_of_several_layers_the_deepest_is_timed(plt):
    transformer = DeCAFTransformer(("fire2", "pool1"), weights="squeezenet1_1")
    times = LayerTimeDisplay.from_estimator(transformer, **QUICK).times
    names = " ".join(times.columns["layers"]).split()
    assert "fire2" in names and "fire3" not in names


@pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="nothing is compiled")
def test_a_training_step():
    times = layer_times("squeezenet1_1", "fire2", training=True, **QUICK)
    columns = times.columns
    parts = {
        part: set(" ".join(columns["layers"][columns["part"] == part]).split())
        for part in np.unique(columns["part"])
    }
    assert set(parts) == {"forward", "activation", "weights", "input"}
    net = get_architecture("squeezenet1_1")
    layers = {layer.name for layer in net.ancestors(["fire2"])}
    assert parts["forward"] == layers - {"fire2"}  # a concatenation takes no time
    trained = layers.intersection(net.parameters_by_layer)
    assert trained <= parts["weights"]  # with their activations
    assert "conv1" not in parts["input"]  # nobody wants the gradient by the pixels
    assert (columns["seconds"] >= 0).all()
    assert columns["mflop"][columns["part"] == "activation"].sum() == 0


def test_a_training_step_is_measured_on_one_thread():
    with pytest.raises(ValueError, match=r"n_jobs=2"):
        layer_times("squeezenet1_1", "fire2", training=True, n_jobs=2, **QUICK)
