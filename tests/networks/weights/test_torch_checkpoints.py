"""Checkpoints of training programs, written by torch, and the activations that torch computes.

These tests need torch (the extra ``oracles``) and a gigabyte of memory; see `test_full_size_files`.
"""

import argparse
import collections
import copy
import datetime
import enum
import os
import pathlib

import numpy as np
import pytest
from oracles.programs import oracle

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import load_weights

torch = oracle("torch", "torch is not installed")
from oracles import torch_networks  # noqa: E402
from oracles.torch_networks import check  # noqa: E402

NETWORKS = {
    "alexnet": torch_networks.AlexNet,
    "squeezenet1_1": torch_networks.SqueezeNet,
    "efficientnet_lite0": torch_networks.WheelLite0,
    "timm": torch_networks.TimmLite0,
}
ARCHITECTURE = {"timm": "efficientnet_lite0"}  # which names and shapes do not tell


class Colour(enum.Enum):
    RED = 1


class Opaque:
    """Something of the training program."""

    def __init__(self):
        self.numbers = {0: torch.ones(3), "x": np.arange(3)}


class Runs:
    """Leaves a file behind when Python's own unpickler sees it."""

    def __reduce__(self):
        return os.mkdir, ("owned",)


def beside():
    """What training programs keep beside the weights."""
    return {
        "args": argparse.Namespace(lr=0.1, layers=[1, 2], path=pathlib.Path("x")),
        "best": np.float64(0.5),
        "text": np.str_("text"),
        "history": collections.defaultdict(list, loss=[0.1, np.float32(0.2)]),
        "counts": collections.Counter("abca"),
        "ordered": collections.OrderedDict([(1, 2), ((3, 4), 5)]),
        "when": datetime.datetime.now(datetime.timezone.utc),
        "day": np.datetime64("2020-01-01"),
        "colour": Colour.RED,
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "numpy dtype": np.dtype("float32"),
        "names": np.array(["cat", "dog"]),
        "objects": np.array([{}, None, "x"], object),
        "set": {1, 2},
        "frozen": frozenset("ab"),
        "large": 2**200,
        "numbers": {None: 1, 2.5: 3, True: 4, (1, 2): 5},
        "random": torch.get_rng_state(),
        "numpy random": np.random.default_rng(0).bit_generator.state,
        "opaque": Opaque(),
        "expanded": torch.ones(1).expand(10),
        "half": torch.ones(2, dtype=torch.float16),
        "complex": torch.ones(2, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
        "code": Runs(),
    }


def trained(model):
    """A model after a step of an optimizer with state, and that optimizer's state."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The parameters of `SMALL`, whose plain state dict gives torch's activations."""
    path = tmp_path_factory.mktemp("small") / "small.pth"
    torch.save(SMALL.state_dict(), path)
    weights = load_weights(path)
    check(SMALL, weights)
    return weights


def same(weights, expected):
    assert weights.architecture == expected.architecture
    assert weights.parameters.keys() == expected.parameters.keys()
    for name, values in expected.parameters.items():
        np.testing.assert_array_equal(weights.parameters[name], values)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fine_tuned_checkpoint(name, tmp_path, monkeypatch):
    """Optimizer, arguments, a prefix, a new head of 10 classes: every layer as torch has it."""
    monkeypatch.chdir(tmp_path)
    model = torch_networks.randomise(NETWORKS[name](10))
    optimizer = trained(model)
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    checkpoint = {"epoch": 3, **beside(), "state_dict": state, "optimizer": optimizer}
    torch.save(checkpoint, "model_best.pth.tar")
    weights = load_weights("model_best.pth.tar", ARCHITECTURE.get(name))
    assert weights.architecture.name == ARCHITECTURE.get(name, name)
    assert "'state_dict'" in weights.evidence and "'module.'" in weights.evidence
    assert "its head has 10 classes" in weights.evidence
    assert weights.missing == {} and weights.own_classes
    check(model, weights)
    assert not pathlib.Path("owned").exists()

    transformer = DeCAFTransformer(
        layer=(8, "prob"), weights="model_best.pth.tar", architecture=ARCHITECTURE.get(name)
    )
    photo = np.zeros((50, 60, 3), np.uint8)
    rows = transformer.fit_transform([photo])
    assert rows.shape == (1, 20)
    assert transformer.get_feature_names_out()[-1] == "prob_0009"
    (best,) = transformer.predict_labels([photo], top=10)
    assert sorted(label for label, _ in best) == [str(i) for i in range(10)]
    with pytest.raises(ValueError, match="from 1 to 10"):
        transformer.predict_labels([photo], top=11)


SMALL = torch_networks.randomise(torch_networks.SqueezeNet(2))
TRAINED = trained(copy.deepcopy(SMALL))  # the state of its optimizer
CONTAINERS = {
    "model": lambda state: {"model": state, **beside()},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.tensor(0.1)},
    "net": lambda state: {"net": state, "acc": 91.2, "epoch": 4},
    "module": lambda state: {"module": state, "lr_scheduler": {"last_epoch": 3}},
    "weights": lambda state: [state, {"epoch": 3}],
    "a tuple": lambda state: (state, TRAINED),
    "two levels": lambda state: {"trainer": {"net": state, "optimizer": {}}, "args": {}},
    "a dict of a class of its own": lambda state: collections.UserDict(net=state),
    "a namespace": lambda state: argparse.Namespace(model=state, lr=0.1),
    "another root": lambda state: collections.defaultdict(dict, state=state),
    "beside the weights": lambda state: {**state, "epoch": 3, "args": beside()},
    "an average beside": lambda state: {
        "model": state,
        "model_ema": {name: value + 1 for name, value in state.items()},
        "ema": {"shadow": {name: value + 1 for name, value in state.items()}},
    },
    "lightning": lambda state: {
        "epoch": 3,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {f"model.{name}": value for name, value in state.items()}
        | {"criterion.weight": torch.ones(2)},
        "hyper_parameters": {"lr": 0.1, **beside()},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(1.0)}
        },
        "optimizer_states": [TRAINED],
        "lr_schedulers": [],
    },
    "the best of the same": lambda state: {"model": state, "last": dict(state)},
}


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", CONTAINERS)
def test_where_programs_put_the_weights(small, case, new_format, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = CONTAINERS[case](SMALL.state_dict())
    torch.save(content, "x.pth", _use_new_zipfile_serialization=new_format)
    weights = load_weights("x.pth")
    assert weights.certainty == "certain"
    same(weights, small)
    assert not pathlib.Path("owned").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(small, protocol, tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"net": SMALL.state_dict(), **beside()}, path, pickle_protocol=protocol)
    same(load_weights(path), small)


PREFIXES = [
    "module.",
    "model.",
    "net.module.",
    "backbone.",
    "_orig_mod.",
    "module._orig_mod.model.",
    "a.b.c.d.e.f.g.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes(small, prefix, tmp_path):
    state = {f"{prefix}{name}": value for name, value in SMALL.state_dict().items()}
    torch.save(state, tmp_path / "x.pth")
    weights = load_weights(tmp_path / "x.pth")
    assert weights.certainty == "certain" and "taken off their names" in weights.evidence
    same(weights, small)


def test_wrappers_inside_names(tmp_path):
    """torch's example for ImageNet wraps the features of AlexNet alone."""
    model = torch_networks.randomise(torch_networks.AlexNet())
    state = {
        name.replace("features.", "features.module."): value
        for name, value in model.state_dict().items()
    }
    assert "features.module.0.weight" in state and "classifier.1.weight" in state
    torch.save(state, tmp_path / "x.pth")
    weights = load_weights(tmp_path / "x.pth")
    assert "'module.' is taken off" in weights.evidence and not weights.own_classes
    check(model, weights)


def test_a_model_that_was_wrapped_or_averaged(small, tmp_path):
    model = torch.nn.DataParallel(SMALL)
    torch.save({"model": model.state_dict()}, tmp_path / "x.pth")
    same(load_weights(tmp_path / "x.pth"), small)
    average = torch.optim.swa_utils.AveragedModel(SMALL)
    torch.save(average.state_dict(), tmp_path / "y.pth")  # with a counter, n_averaged
    same(load_weights(tmp_path / "y.pth"), small)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("where", ["alone", "inside"])
def test_whole_modules(small, where, new_format, tmp_path):
    """Their parameters are read; their classes are neither needed nor made."""
    content = SMALL if where == "alone" else {"model": SMALL, "optimizer": TRAINED}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=new_format)
    same(load_weights(tmp_path / "x.pth"), small)


def test_what_a_module_says_about_its_layers(tmp_path):
    model = torch_networks.randomise(torch_networks.WheelLite0(3))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.05
    torch.save(model, tmp_path / "x.pth")
    check(model, load_weights(tmp_path / "x.pth"))
    model._blocks[3]._depthwise_conv.stride = (1, 1)
    torch.save(model, tmp_path / "y.pth")
    weights = load_weights(tmp_path / "y.pth")
    assert "as the file says, block4.depthwise.conv with stride 1" in weights.evidence
    model._blocks[3].stride = 1
    check(model, weights)
    model._blocks[3]._depthwise_conv.dilation = (2, 2)
    torch.save(model, tmp_path / "z.pth")
    with pytest.raises(WeightsError, match=r"block4.depthwise.conv: its dilation is 2 x 2"):
        load_weights(tmp_path / "z.pth")


HEADS = {
    # AlexNet's last layer, and the last layer of its own names that can be computed
    "dropped": (lambda model: model.classifier.__delitem__(6), "relu7", None),
    "another width": (
        lambda model: model.classifier.__setitem__(6, torch.nn.Linear(4096, 7)),
        "prob",
        7,
    ),
    "one class": (
        lambda model: model.classifier.__setitem__(6, torch.nn.Linear(4096, 1)),
        "prob",
        1,
    ),
    "without a bias": (
        lambda model: model.classifier.__setitem__(6, torch.nn.Linear(4096, 5, bias=False)),
        "prob",
        5,
    ),
    "inside a sequence": (
        lambda model: model.classifier.__setitem__(
            6, torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(4096, 5))
        ),
        "prob",
        5,
    ),
    "two layers": (
        lambda model: model.classifier.__setitem__(
            6, torch.nn.Sequential(torch.nn.Linear(4096, 64), torch.nn.Linear(64, 5))
        ),
        "relu7",
        "something else for a head: 'classifier.6.0.weight'",
    ),
    "two layers in its place": (
        lambda model: model.classifier.extend([torch.nn.ReLU(), torch.nn.Linear(32, 5)])
        and model.classifier.__setitem__(6, torch.nn.Linear(4096, 32)),
        "relu7",
        "'classifier.8.weight' comes after",
    ),
    "another input": (
        lambda model: model.classifier.__setitem__(6, torch.nn.Linear(2048, 5)),
        "relu7",
        r"'classifier.6.weight' has shape \(5, 2048\)",
    ),
    "one layer in place of three": (
        lambda model: setattr(model, "classifier", torch.nn.Linear(9216, 5)),
        "pool5",
        r"something else for a head: 'classifier.weight' \(5, 9216\)",
    ),
    "narrow hidden layers": (
        lambda model: setattr(
            model,
            "classifier",
            torch.nn.Sequential(
                torch.nn.Dropout(), torch.nn.Linear(9216, 512), torch.nn.ReLU(),
                torch.nn.Linear(512, 5),
            ),
        ),
        "pool5",
        r"'classifier.1.weight' has shape \(512, 9216\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADS)
def test_heads_of_alexnet(case, tmp_path):
    change, last, outcome = HEADS[case]
    model = torch_networks.randomise(torch_networks.AlexNet())
    change(model)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    weights = load_weights(tmp_path / "x.pth")
    available = weights.available_layers()
    assert available[-1] == last
    if isinstance(outcome, int):
        assert weights.own_classes and len(weights.class_names()) == outcome
        assert weights.architecture.shapes()["prob"] == (outcome,)
        if case != "inside a sequence":
            check(model, weights)
        return
    body = torch_networks.AlexNet()
    body.load_state_dict(model.state_dict(), strict=False) if case == "dropped" else None
    body.features = model.features
    if last == "relu7":
        for i in (1, 4):
            body.classifier[i] = model.classifier[i]
    check(body, weights, list(available))
    with pytest.raises(WeightsError, match=outcome or "needs fc8.kernel, fc8.bias"):
        weights.require(["prob"])


def test_two_networks_of_one_kind(small, tmp_path):
    other = {name: value + 1 for name, value in SMALL.state_dict().items()}
    both = {"generator": SMALL.state_dict(), "critic": other}
    torch.save(both, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"two networks .* under 'generator' and 'critic': save"):
        load_weights(tmp_path / "x.pth")
    torch.save({"student": SMALL.state_dict(), "teacher": other}, tmp_path / "y.pth")
    weights = load_weights(tmp_path / "y.pth")
    assert "under 'student'" in weights.evidence
    same(weights, small)


def test_numbers_of_other_kinds(small, tmp_path):
    model = copy.deepcopy(SMALL).half()
    torch.save(model.state_dict(), tmp_path / "x.pth")
    check(model, load_weights(tmp_path / "x.pth"))
    model = copy.deepcopy(SMALL).bfloat16()
    torch.save(model.state_dict(), tmp_path / "y.pth")
    check(model, load_weights(tmp_path / "y.pth"))
    model = copy.deepcopy(SMALL).double()
    torch.save(model.state_dict(), tmp_path / "d.pth")
    same(load_weights(tmp_path / "d.pth"), small)
    arrays = {name: value.numpy() for name, value in SMALL.state_dict().items()}
    torch.save({"state_dict": arrays}, tmp_path / "z.pth")
    same(load_weights(tmp_path / "z.pth"), small)
    quantised = {
        name: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)
        for name, value in SMALL.state_dict().items()
    }
    torch.save(quantised, tmp_path / "q.pth")
    with pytest.raises(
        WeightsError, match=r"'features.0.weight' is a tensor of a kind that is not"
    ):
        load_weights(tmp_path / "q.pth")
    eight = {name: value.to(torch.float8_e4m3fn) for name, value in SMALL.state_dict().items()}
    torch.save(eight, tmp_path / "e.pth")
    with pytest.raises(
        WeightsError, match=r"'features.0.weight' is a tensor of a kind that is not"
    ):
        load_weights(tmp_path / "e.pth")


def test_files_of_torch_that_hold_no_weights(tmp_path):
    torch.save(TRAINED, tmp_path / "optimizer.pth")
    with pytest.raises(WeightsError, match=r"do not fit any known network.*state.0.step"):
        load_weights(tmp_path / "optimizer.pth")
    torch.save({"code": Runs()}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match=r"holds no state dict of tensors.*mkdir"):
        load_weights(tmp_path / "code.pth")
    torch.save(torch.ones(3), tmp_path / "tensor.pth")
    with pytest.raises(WeightsError, match="do not fit"):
        load_weights(tmp_path / "tensor.pth")
    torch.jit.save(torch.jit.trace(SMALL, torch.ones(1, 3, 227, 227)), tmp_path / "script.pt")
    with pytest.raises(WeightsError, match="TorchScript program; save its state dict"):
        load_weights(tmp_path / "script.pt")
