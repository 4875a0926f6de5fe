"""Models as torch exports them to ONNX, and the activations that torch computes.

These tests need torch with its exporters (the extra ``oracles``).
"""

import numpy as np
import pytest
from oracles.programs import oracle

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import load_weights
from sklearn_decaf.networks.layers import AveragePool

torch = oracle("torch", "torch is not installed")
onnx = oracle("onnx", "onnx is not installed")
oracle("onnxscript", "the exporter of torch needs onnxscript")
from oracles import torch_networks  # noqa: E402
from oracles.torch_networks import check  # noqa: E402

NETWORKS = {
    "alexnet": (torch_networks.AlexNet, 224),
    "squeezenet1_1": (torch_networks.SqueezeNet, 227),
    "efficientnet_lite0": (torch_networks.TimmLite0, 224),
}
HOW = {
    "as it comes": {"dynamo": True},  # the numbers are in a second file
    "not optimised": {"dynamo": True, "optimize": False},  # with its batch normalisations
    "in one file": {"dynamo": True, "external_data": False},
    "by the first exporter": {"dynamo": False},
    "not folded": {"dynamo": False, "do_constant_folding": False},
}


def export(model, side, path, **options):
    torch.onnx.export(model, (torch.zeros(1, 3, side, side),), path, **options)
    return path


@pytest.fixture(scope="module")
def models():
    return {name: torch_networks.randomise(kind(10)) for name, (kind, _) in NETWORKS.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", NETWORKS)
def test_exports(name, how, models, tmp_path):
    path = export(models[name], NETWORKS[name][1], tmp_path / "model.onnx", **HOW[how])
    weights = load_weights(path)
    assert (weights.format, weights.architecture.name) == ("onnx", name)
    assert weights.missing == {} and "its head has 10 classes" in weights.evidence
    check(models[name], weights)


@pytest.mark.filterwarnings("ignore")
def test_a_prefix(models, tmp_path):
    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = models["squeezenet1_1"]

        def forward(self, x):
            return self.backbone(x)

    weights = load_weights(export(Outer().eval(), 227, tmp_path / "x.onnx", dynamo=True))
    assert "'backbone.' is taken off" in weights.evidence
    check(models["squeezenet1_1"], weights, ["conv1", "fire9", "prob"])


@pytest.mark.filterwarnings("ignore")
def test_other_networks_with_these_names_and_shapes(tmp_path):
    """What weights do not show, the graph does: it is computed as the file has it."""
    model = torch_networks.randomise(torch_networks.AlexNet())
    model.features[2] = torch.nn.AvgPool2d(3, 2)
    path = export(model, 224, tmp_path / "x.onnx", dynamo=True)
    weights = load_weights(path)
    assert "pool1: in its place the file has" in weights.evidence
    assert sum(isinstance(one, AveragePool) for one in weights.architecture.layers) == 1

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch_networks.randomise(torch_networks.AlexNet())

        def forward(self, x):
            return self.net((x / 255 - 0.45) / 0.225)

    path = export(Scaled().eval(), 224, tmp_path / "y.onnx", dynamo=True)
    weights = load_weights(path)
    assert weights.architecture.preprocessing.std == (57.375,) * 3
    assert weights.architecture.preprocessing.mean == (114.75,) * 3
    assert weights.certainty == "certain"


@pytest.mark.filterwarnings("ignore")
def test_a_head_that_is_not_the_networks(tmp_path):
    class Labels(torch.nn.Module):
        """Several labels for one picture."""

        def __init__(self):
            super().__init__()
            self.net = torch_networks.randomise(torch_networks.AlexNet(20))

        def forward(self, x):
            return self.net(x).sigmoid()

    weights = load_weights(export(Labels().eval(), 224, tmp_path / "x.onnx", dynamo=True))
    assert weights.available_layers()[-1] == "fc8"
    with pytest.raises(WeightsError, match=r"prob: in its place the file has: Sigmoid"):
        weights.require(["prob"])


@pytest.mark.filterwarnings("ignore")
def test_quantised_models(models, tmp_path):
    runtime = oracle("onnxruntime.quantization", "ONNX Runtime is not installed")
    path = export(models["squeezenet1_1"], 227, tmp_path / "x.onnx", dynamo=False)
    runtime.quantize_dynamic(path, tmp_path / "q.onnx", weight_type=runtime.QuantType.QUInt8)
    with pytest.raises(WeightsError, match=r"a quantised model \(it has nodes of kind"):
        load_weights(tmp_path / "q.onnx")


@pytest.mark.filterwarnings("ignore")
def test_half_precision(models, tmp_path):
    model = onnx.load(export(models["squeezenet1_1"], 227, tmp_path / "x.onnx", dynamo=False))
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name))
    onnx.save(model, tmp_path / "half.onnx")
    found = load_weights(tmp_path / "half.onnx").parameters
    exact = load_weights(tmp_path / "x.onnx").parameters
    for name in exact:
        if name not in ("conv1.kernel", "conv1.bias"):  # whose scale is changed afterwards
            np.testing.assert_array_equal(found[name], exact[name].astype(np.float16))
