"""torchvision's own networks: their state dicts, and the activations that torch computes.

These tests need torchvision (the extra ``oracles``) and are skipped without it, unless
SKLEARN_DECAF_REQUIRE_ORACLES is set.
"""

from collections import Counter

import numpy as np
import pytest
from oracles.programs import import_torchvision

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.images import iter_batches
from sklearn_decaf.networks import load_weights
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.reference import forward, preprocess
from sklearn_decaf.networks.weights.layouts.torchvision import torchvision_module_names

torchvision = import_torchvision()
torch = pytest.importorskip("torch")

MEMBERS = [
    "alexnet",
    "vgg11_bn",
    "resnet18",
    "resnext50_32x4d",
    "googlenet",
    "inception_v3",
    "squeezenet1_0",
    "densenet121",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet1_0",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "regnet_y_400mf",
    "convnext_tiny",
]


def make(name):
    """A network with random parameters, and statistics of the photographs themselves."""
    options = {"init_weights": False, "aux_logits": True}
    own = options if name in ("googlenet", "inception_v3") else {}
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None, **own)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.momentum = None  # the first batch alone decides
        elif hasattr(module, "layer_scale"):
            torch.nn.init.uniform_(module.layer_scale, 0.5, 1.5)
    return model


def outputs_of(model, x):
    """Outputs of all modules that are called once, and the scores."""
    outputs, calls = {}, Counter()

    def keep(name):
        def hook(module, inputs, output):
            calls[name] += 1
            if isinstance(output, torch.Tensor):
                outputs[name] = output.numpy().copy()

        return hook

    hooks = [m.register_forward_hook(keep(name)) for name, m in model.named_modules() if name]
    with torch.no_grad():
        scores = model(x)
    for hook in hooks:
        hook.remove()
    return {name: output for name, output in outputs.items() if calls[name] == 1}, scores.numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_every_layer(name, tmp_path):
    model = make(name)
    path = tmp_path / f"{name}.pth"
    torch.save(model.state_dict(), path)
    wanted = load_weights(path).architecture.preprocessing
    photographs = load_sample_photos().images[:3]
    ((_, images, _),) = iter_batches(photographs, size=wanted.resize, crop=wanted.crop)
    x = preprocess(images, wanted, np.float64).transpose(0, 3, 1, 2)
    model.train()(torch.from_numpy(x.astype(np.float32)))  # for the statistics
    torch.save(model.state_dict(), path)

    weights = load_weights(path)
    net = weights.architecture
    assert net.name == name and weights.certainty == "certain" and not weights.missing
    theirs, scores = outputs_of(model.eval().double(), torch.from_numpy(x[:1]))
    modules = torchvision_module_names(net)
    found = forward(net, weights.parameters, images[:1], net.layer_names, np.float64)
    compared = set()
    for layer, values in found.items():
        expected = theirs.get(modules.get(layer, layer))
        if expected is None or expected.size != values.size:  # a dense layer of DenseNet is joined
            continue
        if expected.ndim == 4 and expected.shape != values.shape:
            expected = expected.transpose(0, 2, 3, 1)
        error = np.abs(values - expected.reshape(values.shape)).max()
        assert error <= 1e-9 * np.abs(expected).max(), layer
        compared.add(layer)
    with_parameters = {
        layer
        for layer in net.parameters_by_layer
        if not layer.endswith("layer_scale")  # which is no module
    }
    assert with_parameters <= compared
    eight = found[net.decaf_layers[8]]
    assert np.abs(eight - scores).max() <= 1e-9 * np.abs(scores).max()

    wanted = list(dict.fromkeys(net.decaf_layers.values()))
    for layer, values in zip(wanted, Plan(net, weights.parameters, wanted).run(images[:1])):
        error = np.abs(values - found[layer]).max()
        assert error <= 2e-4 * np.abs(found[layer]).max(), layer


def change_head(model, classes=10):
    """Replace the last layer."""
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, torch.nn.Linear):
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], torch.nn.Linear(module.in_features, classes))
            return


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x1_0"])
def test_fine_tuned_networks(name, tmp_path):
    model = make(name)
    change_head(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    wrapped = torch.nn.DataParallel(model)
    checkpoint = {"net": wrapped.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(checkpoint, tmp_path / "x.pth")
    weights = load_weights(tmp_path / "x.pth")
    assert weights.architecture.name == name and weights.certainty == "certain"
    assert weights.own_classes and weights.architecture.shapes()["prob"] == (10,)
    assert "'module.' is taken off" in weights.evidence
    torch.save(model, tmp_path / "y.pth")  # with all that its modules say of themselves
    whole = load_weights(tmp_path / "y.pth")
    assert whole.architecture == weights.architecture and not whole.missing
    for key, values in weights.parameters.items():
        np.testing.assert_array_equal(whole.parameters[key], values)


def test_modules_with_other_constants(tmp_path):
    model = torchvision.models.resnet50(
        weights=None, replace_stride_with_dilation=[False, True, True]
    )
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.01
    torch.save(model, tmp_path / "x.pth")
    weights = load_weights(tmp_path / "x.pth")
    assert "bn1, layer1.0.bn1 and 51 more with epsilon 0.01" in weights.evidence
    net = weights.architecture
    assert net.shapes()["layer4.2"] == (28, 28, 2048) and net["layer4.2.conv2"].dilation == 4
    x = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    with torch.no_grad():
        seen = torch.from_numpy(preprocess(x, net.preprocessing).transpose(0, 3, 1, 2).copy())
        expected = model.eval()(seen.float()).numpy()
    (scores,) = Plan(net, weights.parameters, ["fc"]).run(x)
    assert np.abs(scores - expected).max() <= 1e-4 * np.abs(expected).max()


def test_features_from_a_file(tmp_path):
    model = make("resnet18")
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "resnet18.pth")
    photographs = load_sample_photos().images[:2]
    for layer, width in ((5, 256), (6, 512), (7, 512), (8, 1000)):
        extractor = DeCAFTransformer(layer=layer, weights=tmp_path / "resnet18.pth")
        assert extractor.fit_transform(photographs).shape == (2, width)
