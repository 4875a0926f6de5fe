"""Torchvision's networks as torch exports them, as if nobody knew them, against torch.

These tests need torchvision, and torch with its exporters (the extra ``oracles``).
"""

import numpy as np
import pytest
from oracles.programs import oracle

from sklearn_decaf.networks.engine.plan import Plan
from sklearn_decaf.networks.formats import read_tensors
from sklearn_decaf.networks.graphs import read_structure

torch = oracle("torch", "torch is not installed")
torchvision = oracle("torchvision", "torchvision is not installed")
oracle("onnx", "onnx is not installed")
oracle("onnxscript", "the exporter of torch needs onnxscript")

# Networks, and the module whose output is layer 7, if that is a whole one.
NETWORKS = {
    "resnet18": "layer4.1",
    "mobilenet_v3_small": "classifier.1",
    "shufflenet_v2_x1_0": "conv5",
    "densenet121": "",
    "efficientnet_b0": "features.8",
    "convnext_tiny": "features.7.2",
    "inception_v3": "Mixed_7c",
    "squeezenet1_0": "classifier.2",
}
HOW = {
    "opset 9": {"dynamo": False, "opset_version": 9},
    "opset 11, not folded": {
        "dynamo": False,
        "opset_version": 11,
        "do_constant_folding": False,
        "training": torch.onnx.TrainingMode.PRESERVE,
    },
    "opset 13, any number of pictures": {
        "dynamo": False,
        "opset_version": 13,
        "input_names": ["x"],
        "dynamic_axes": {"x": {0: "n"}},
    },
    "opset 17": {"dynamo": False, "opset_version": 17},
    "as it comes": {"dynamo": True},
    "not optimised": {"dynamo": True, "optimize": False},
}


@pytest.fixture(scope="module")
def models():
    """Networks with statistics of their own in every batch normalisation."""
    made = {}
    for name in NETWORKS:
        torch.manual_seed(0)
        options = {"init_weights": True} if name == "inception_v3" else {}
        made[name] = model = torchvision.models.get_model(name, weights=None, **options).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for values in (module.running_var, module.weight.data):
                    values.uniform_(0.8, 1.2)
                for values in (module.running_mean, module.bias.data):
                    values.uniform_(-0.1, 0.1)
    return made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_the_layer_before_them(name, how, models, tmp_path):
    model, side = models[name], 299 if name == "inception_v3" else 224
    seen = {}
    if NETWORKS[name]:
        module = model.get_submodule(NETWORKS[name])
        hook = module.register_forward_hook(lambda *args: seen.update(seven=args[2].clone()))
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (torch.zeros(1, 3, side, side),), path, **HOW[how])
    found = read_structure(read_tensors(path).contents, "network")
    net, parameters = found.architecture, found.parameters
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    preprocessing = net.preprocessing
    x = (images - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    with torch.no_grad():
        scores = model(torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float32)).numpy()
    wide = {key: np.asarray(array, np.float32) for key, array in parameters.items()}
    seven, eight = Plan(net, wide, [net.decaf_layers[7], net.decaf_layers[8]]).run(images)
    np.testing.assert_allclose(
        eight.reshape(scores.shape), scores, rtol=0, atol=1e-5 * np.abs(scores).max()
    )
    if NETWORKS[name]:
        hook.remove()
        expected = seen["seven"].numpy()
        expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
        size = np.abs(expected).max()
        np.testing.assert_allclose(
            seven.reshape(expected.shape), expected, rtol=0, atol=1e-5 * size
        )
