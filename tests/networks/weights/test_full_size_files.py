"""Full-size weight files, and the activations that other programs compute from them.

These tests need torch, OpenCV or ONNX Runtime (the extra ``oracles``) and a gigabyte of memory.
Each is skipped where its program is not installed, unless SKLEARN_DECAF_REQUIRE_ORACLES is set.
"""

import numpy as np
import pytest
from oracles import caffe_network, decaf_network, decaf_writer, onnx_writer
from oracles.calibrated_networks import calibrate
from oracles.programs import oracle
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.networks import get_architecture, load_weights
from sklearn_decaf.networks.layers import BatchNorm
from sklearn_decaf.networks.reference import forward, preprocess


def check_layers(found, expected, tolerance=1e-5):
    """Every layer to within `tolerance` of its largest value."""
    assert found.keys() == expected.keys()
    for layer, values in expected.items():
        error = np.abs(found[layer] - values).max()
        assert error <= tolerance * np.abs(values).max(), (layer, error)


@pytest.mark.parametrize("v1", [False, True], ids=["v2", "v1"])
@pytest.mark.parametrize("name, network", [("caffenet", "CaffeNet"), ("bvlc_alexnet", "AlexNet")])
def test_caffemodel_against_opencv(name, network, v1, tmp_path):
    cv2 = oracle("cv2", "OpenCV, which runs caffemodels, is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this version of OpenCV no longer reads Caffe's files; 4.x does")
    net = get_architecture(name)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffe_network.caffemodel(net, he_parameters(net), network, v1=v1))
    (tmp_path / "net.prototxt").write_text(caffe_network.prototxt(net))

    images = random_images(net, 1)
    layers = [layer.name for layer in net.layers]
    weights = load_weights(path)
    assert weights.architecture == net
    found = forward(net, weights.parameters, images, layers, np.float64)

    other = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(path))
    other.enableFusion(False)
    other.setInput(preprocess(images, net.preprocessing).transpose(0, 3, 1, 2).copy())
    blobs = dict(zip(layers, other.forward(layers)))
    expected = {
        layer: blob.transpose(0, 2, 3, 1) if blob.ndim == 4 else blob
        for layer, blob in blobs.items()
    }
    check_layers(found, expected)


@pytest.mark.parametrize("name", ["bvlc_googlenet", "caffe_resnet50", "squeezenet1_0"])
def test_caffemodels_with_branches_against_opencv(name, tmp_path):
    cv2 = oracle("cv2", "OpenCV, which runs caffemodels, is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this version of OpenCV no longer reads Caffe's files; 4.x does")
    net = get_architecture(name)
    images = random_images(net, 1)
    parameters, _ = calibrate(net, images)
    renamed = {}
    if name == "squeezenet1_0":
        renamed = {layer.name: layer.name.replace(".", "/") for layer in net.layers}
        renamed |= {f"fire{i}.squeeze": f"fire{i}/squeeze1x1" for i in range(2, 10)}
    path = tmp_path / "net.caffemodel"
    content = caffe_network.caffemodel(net, parameters, name, renamed=renamed)
    path.write_bytes(content)
    (tmp_path / "net.prototxt").write_text(caffe_network.prototxt(net, renamed))

    weights = load_weights(path)
    assert weights.architecture == net and weights.certainty == "certain", weights.evidence
    layers = [layer.name for layer in net.layers]
    found = forward(net, weights.parameters, images, layers, np.float64)

    other = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(path))
    other.enableFusion(False)
    other.setInput(preprocess(images, net.preprocessing).transpose(0, 3, 1, 2).copy())
    # the output of a normalisation is that of the scale behind it
    scaled = {
        one.name: caffe_network.scale_name(one.name)
        for one in net.layers
        if isinstance(one, BatchNorm)
    }
    names = [scaled.get(layer, renamed.get(layer, layer)) for layer in layers]
    blobs = dict(zip(layers, other.forward(names)))
    expected = {
        layer: blob.transpose(0, 2, 3, 1).reshape(found[layer].shape) if blob.ndim == 4 else blob
        for layer, blob in blobs.items()
    }
    # it sums in single precision: rounding grows from layer to layer, of random networks above all
    check_layers(found, expected, 1e-3)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_state_dict_against_torch(new_format, tmp_path):
    torch = oracle("torch", "torch is not installed")
    from torch import nn

    torch.manual_seed(0)
    features = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
    )
    model = nn.ModuleDict({"features": features, "classifier": classifier}).eval()
    path = tmp_path / "alexnet.pth"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=new_format)

    net = get_architecture("alexnet")
    images = random_images(net, 1)
    layers = [layer.name for layer in net.layers if layer.name != "prob"]
    weights = load_weights(path)
    assert weights.architecture == net
    assert sum(values.size for values in weights.parameters.values()) == 61_100_840
    found = forward(net, weights.parameters, images, layers, np.float64)

    x = torch.from_numpy(preprocess(images, net.preprocessing).transpose(0, 3, 1, 2).copy())
    outputs = []
    with torch.no_grad():
        for module in (*features, nn.Flatten(), *classifier):
            x = module(x)
            if not isinstance(module, nn.Dropout | nn.Flatten):
                outputs.append(x.numpy())
    expected = {
        layer: x.transpose(0, 2, 3, 1) if x.ndim == 4 else x for layer, x in zip(layers, outputs)
    }
    check_layers(found, expected)


def test_tensors_that_torch_saves(tmp_path):
    """Views, parameters and half precision, in both formats."""
    torch = oracle("torch", "torch is not installed")
    from sklearn_decaf.networks.formats import read_tensors

    base = torch.arange(24, dtype=torch.float32)
    tensors = {
        "transposed": base.reshape(4, 6).T,
        "channels_last": base.reshape(1, 4, 3, 2).to(memory_format=torch.channels_last).clone(),
        "parameter": torch.nn.Parameter(base + 1),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double(),
        "count": torch.tensor(3),
        "empty": torch.zeros(0, 3),
    }
    for new_format in (True, False):
        path = tmp_path / f"{new_format}.pth"
        torch.save(tensors, path, _use_new_zipfile_serialization=new_format)
        read = read_tensors(path).tensors
        assert list(read) == list(tensors)
        for name, values in tensors.items():
            np.testing.assert_array_equal(read[name], values.detach().float().numpy())


@pytest.mark.slow
def test_decaf_pickle_against_its_own_layers(tmp_path):
    net = get_architecture("decaf")
    parameters = he_parameters(net)
    layers = decaf_writer.network(parameters)
    path = tmp_path / "imagenet.decafnet.epoch90"
    path.write_bytes(decaf_writer.dumps(layers))
    weights = load_weights(path)
    assert weights.architecture == net

    images = random_images(net, 1)
    expected = decaf_network.forward(layers, images[0], np.array(net.preprocessing.mean))
    names = {blob: net.resolve(blob) for blob in expected}
    found = forward(net, weights.parameters, images, set(names.values()), np.float64)
    check_layers({blob: found[layer][0] for blob, layer in names.items()}, expected, 1e-10)


@pytest.mark.parametrize(
    "name, trans_b, tolerance",
    [
        ("alexnet", True, 1e-5),
        ("alexnet", False, 1e-5),
        ("caffenet", False, 1e-5),
        ("bvlc_alexnet", False, 1e-5),
        # fifty layers deep, in float32 on the other side: it is that which is off, see below
        ("efficientnet_lite0", True, 3e-5),
    ],
)
def test_onnx_against_onnxruntime(name, trans_b, tolerance, tmp_path):
    runtime = oracle("onnxruntime", "ONNX Runtime is not installed")
    net = get_architecture(name)
    path = tmp_path / "model.onnx"
    model = onnx_writer.model(net, he_parameters(net), trans_b=trans_b)
    path.write_bytes(model.SerializeToString())
    weights = load_weights(path)
    assert weights.architecture == net

    images = random_images(net, 1)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(path, options)
    layers = [output.name for output in session.get_outputs()]
    x = preprocess(images, net.preprocessing).transpose(0, 3, 1, 2).copy()
    expected = {
        layer: blob.transpose(0, 2, 3, 1) if blob.ndim == 4 else blob
        for layer, blob in zip(layers, session.run(None, {"data": x}))
    }
    found = forward(net, weights.parameters, images, layers, np.float64)
    check_layers(found, expected, tolerance)


@pytest.mark.slow
def test_onnx_in_double_precision(tmp_path):
    """Where single precision tells less than 1e-5, exact arithmetic does: ONNX's own evaluator."""
    reference = oracle("onnx.reference", "onnx is not installed")
    net = get_architecture("efficientnet_lite0")
    model = onnx_writer.model(net, he_parameters(net))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    weights = load_weights(path)
    assert (weights.format, weights.certainty) == ("onnx", "certain")

    images = random_images(net, 1)
    layers = [output.name for output in model.graph.output]
    x = preprocess(images, net.preprocessing, np.float64).transpose(0, 3, 1, 2)
    evaluator = reference.ReferenceEvaluator(onnx_writer.in_double(model))
    blobs = evaluator.run(None, {"data": x})
    expected = {
        layer: blob.transpose(0, 2, 3, 1) if blob.ndim == 4 else blob
        for layer, blob in zip(layers, blobs)
    }
    found = forward(net, weights.parameters, images, layers, np.float64)
    check_layers(found, expected, 1e-12)
