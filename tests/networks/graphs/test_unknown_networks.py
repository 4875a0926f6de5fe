"""ONNX models of networks that have no name: every layer against ONNX's evaluator and Runtime."""

import numpy as np
import pytest
from oracles import onnx_writer
from oracles.programs import oracle
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.networks import Preprocessing, load
from sklearn_decaf.networks.architectures._builder import IMAGENET, Builder
from sklearn_decaf.networks.engine.plan import Plan
from sklearn_decaf.networks.graphs.input_scale import for_sides
from sklearn_decaf.networks.layers import (
    GELU,
    Add,
    AveragePool,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Dense,
    GlobalAveragePool,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Multiply,
    Scale,
    SiLU,
)

onnx_reference = oracle("onnx.reference", "onnx is not installed")
RELU6 = {"activation": HardSwish}


def inverted_blocks():
    """Inverted blocks of 7x7 kernels, with squeeze-and-excitation."""
    net = Builder()
    net.conv("stem", 8, 3, 2, norm="stem.bn", activation=SiLU)
    for i in range(3):
        source, block = net.last, f"block{i}"
        net.conv(f"{block}.expand", 24, norm=f"{block}.bn1", **RELU6)
        net.conv(f"{block}.depthwise", 24, 7, groups=24, norm=f"{block}.bn2", **RELU6)
        gated = net.last
        net.add(GlobalAveragePool, f"{block}.mean")
        net.add(Dense, f"{block}.squeeze", units=6)
        net.add(LeakyReLU, f"{block}.slope", slope=0.1)
        net.add(Dense, f"{block}.excite", units=24)
        net.add(HardSigmoid, f"{block}.gate", slope=0.2)
        net.add(Multiply, f"{block}.gated", gated, net.last)
        net.conv(f"{block}.project", 8, norm=f"{block}.bn3", activation=None)
        net.add(Add, block, net.last, source)
        net.block()
    net.classifier(classes=10)
    return net.architecture("inverted", for_sides(IMAGENET, (48, 48)))


def dilated():
    """Dilated layers side by side, as segmentation networks have them; rectangular kernels."""
    net = Builder()
    net.conv("stem", 12, (3, 5), (2, 1), padding=((1, 1), (2, 2)))
    net.add(MaxPool, "pool", size=3, stride=2, padding=1, ceil_mode=False)
    for i in range(3):
        source = net.last
        parts = [
            net.conv(f"part{i}.{d}", 6, 3, source=source, dilation=(d, d + 1), padding=(d, d + 1))
            for d in (1, 2, 5)
        ]
        net.add(Concat, f"joined{i}", *parts)
        net.add(LayerNorm, f"norm{i}")
        net.add(ChannelShuffle, f"shuffle{i}", groups=3)
        net.block()
    net.add(AveragePool, "average", size=2, stride=2, ceil_mode=False)
    net.add(Dense, "hidden", units=20)
    net.add(GELU, "gelu")
    net.block()
    net.add(Dense, "fc", units=7)
    return net.architecture("dilated", for_sides(IMAGENET, (33, 41)))


def uneven_branches():
    """Two branches of different depth, which rejoin; and a split."""
    net = Builder()
    net.conv("stem", 16, 5, 2)
    for i in range(3):
        source, block = net.last, f"block{i}"
        net.conv(f"{block}.short", 16, source=source, activation=None)
        short = net.add(Scale, f"{block}.scale", has_shift=False)
        half = net.add(ChannelSlice, f"{block}.half", source, start=8, stop=16)
        net.conv(f"{block}.deep1", 8, 3, source=half, groups=2)
        net.conv(f"{block}.deep2", 8, (1, 3), padding=(0, 1))
        net.conv(f"{block}.deep3", 8, (3, 1), padding=(1, 0))
        net.conv(f"{block}.deep4", 16, 1, activation=None)
        net.add(Add, block, short, net.last)
        net.block()
    net.classifier(classes=1000)
    return net.architecture("uneven", for_sides(IMAGENET, (40, 40)))


NETWORKS = {"inverted": inverted_blocks, "dilated": dilated, "uneven": uneven_branches}


def seen(images, preprocessing):
    """The input (n, 3, h, w), float32."""
    x = (images - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    return x.transpose(0, 3, 1, 2).astype(np.float32)


def evaluate(model, x):
    evaluator = onnx_reference.ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, {"data": x})))


def run_by_runtime(model, x):
    runtime = oracle("onnxruntime", "ONNX Runtime is not installed")
    session = runtime.InferenceSession(model.SerializeToString())
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"data": x})))


@pytest.mark.parametrize("compute", [evaluate, run_by_runtime])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer(name, compute, tmp_path):
    written = NETWORKS[name]()
    parameters = he_parameters(written)
    model = onnx_writer.model(written, parameters, opset=18)
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    weights = load(path)
    net = weights.architecture
    assert (net.name, weights.certainty, weights.missing) == (name, "likely", {})
    assert "ImageNet's mean and over its deviation, is assumed" in weights.evidence
    assert net.preprocessing == written.preprocessing
    assert net.decaf_layers == {**written.decaf_layers}
    assert weights.own_classes == (name != "uneven")

    images = random_images(net, 2)
    expected = compute(model, seen(images, net.preprocessing))
    got = dict(zip(net.layer_names, Plan(net, weights.parameters, net.layer_names).run(images)))
    # layers of several nodes have the name of one of them
    called = {layer.removesuffix("_map").removesuffix("_2"): layer for layer in got}
    assert called.keys() >= expected.keys()
    for layer, one in expected.items():
        one = one.transpose(0, 2, 3, 1) if one.ndim == 4 else one
        other = got[called[layer]].reshape(one.shape)
        size = np.abs(one).max()
        np.testing.assert_allclose(other, one, rtol=0, atol=2e-5 * size, err_msg=layer)


def test_the_caller_says_what_pictures_are(tmp_path):
    written = uneven_branches()
    model = onnx_writer.model(written, he_parameters(written))
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_param = "side"
    path = tmp_path / "open.onnx"
    path.write_bytes(model.SerializeToString())
    assert load(path).architecture.input_shape == (224, 224, 3)
    assert "the graph leaves the size of its input open" in load(path).evidence
    told = Preprocessing(crop=64, resize=70, channel_order="bgr", mean=(1.0, 2.0, 3.0))
    weights = load(path, preprocessing=told)
    assert weights.architecture.preprocessing == told and weights.certainty == "told"
    assert "the caller's" in weights.evidence
