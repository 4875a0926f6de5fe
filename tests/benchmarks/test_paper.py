"""The protocols of benchmarks/paper.py on features made here, and that a run can be continued."""

import io
import json
import sys
import tarfile
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracles import collections as tiny
from PIL import Image
from sklearn import config_context
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import _sun397, load_sample_photos
from sklearn_decaf.metrics import target_accuracy

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
if not (BENCHMARKS / "paper.py").is_file():
    pytest.skip("benchmarks/ is not beside the tests", allow_module_level=True)


@pytest.fixture(scope="module")
def modules():
    """The scripts as modules, without leaving their folder on the path."""
    names = ("_features", "_markdown", "_protocols", "_results", "paper")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _features
        import _protocols
        import _results
        import paper

        yield {"features": _features, "protocols": _protocols, "results": _results, "paper": paper}
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def protocols(modules):
    return modules["protocols"]


def features(n_classes, per_class, noise=0.35, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), per_class)
    X = np.abs(np.eye(n_classes, 12)[y] + noise * rng.normal(size=(len(y), 12)) + shift)
    return X.astype(np.float32), y


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SVM", "LogReg"])
@pytest.mark.parametrize("dropout", [False, True])
def test_caltech101(protocols, kind, dropout):
    X, y = features(4, 34)
    model, cv = protocols.caltech101(kind, dropout)
    (train, test), *others = cv.split(X, y)
    assert len(others) == 4
    assert np.bincount(y[train]).tolist() == [30] * 4 and len(test) == 16
    # C is chosen on 25 + 5 of the training images
    (inner_train, inner_test), = model.cv.split(X[train], y[train])  # fmt: skip
    assert np.bincount(y[train][inner_train]).tolist() == [25] * 4
    assert np.bincount(y[train][inner_test]).tolist() == [5] * 4
    assert sorted(model.param_grid["classifier__C"]) == sorted(protocols.C_VALUES)
    assert cross_val_score(model, X, y, cv=cv, scoring="balanced_accuracy").mean() > 0.6


def test_the_learning_curve_rises(protocols):
    X, y = features(5, 35, noise=0.6)
    scores = []
    for n in (1, 5, 30):
        model, cv = protocols.caltech101_learning_curve("SVM", False, n)
        scores.append(cross_val_score(model, X, y, cv=cv, scoring="balanced_accuracy").mean())
        assert cv.get_n_splits() == (5 if n == 30 else 20)
    assert scores[0] < scores[1] < scores[2]


@pytest.mark.slow
def test_cub200_and_sun397(protocols):
    X, y = features(3, 100)
    assert protocols.cub200("LogReg").fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.6
    rows = np.arange(100)
    per_class = [np.concatenate([100 * c + part for c in range(3)]) for part in np.split(rows, 2)]
    scores = cross_val_score(protocols.sun397("SVM", False), X, y, cv=[tuple(per_class)])
    assert scores[0] > 0.6


def test_from_photographs_it_is_the_same(protocols, tmp_path):
    X, y = load_sample_photos(subset="train", return_X_y=True)
    X, y = X[y < 3], y[y < 3]
    decaf = DeCAFTransformer(5, False, weights="squeezenet1_1", cache=tmp_path)
    features = decaf.transform(X)
    model, cv = protocols.caltech101_learning_curve("SVM", True, 5)
    cv.n_splits = 2
    whole = Pipeline([("decaf", decaf), *model.steps])
    expected = cross_val_score(model, features, y, cv=cv)
    assert np.array_equal(cross_val_score(whole, X, y, cv=cv), expected)


@pytest.mark.slow
def test_office(protocols):
    Xs, ys = features(3, 30, noise=0.3)
    Xt, yt = features(3, 25, noise=0.3, shift=0.4, seed=1)
    X, y = np.concatenate([Xs, Xt]), np.concatenate([ys, yt])
    domain = np.repeat([1, -1], [90, 75])
    splits = protocols.office_splits(y, domain, 20)
    for train, test in splits:
        assert np.bincount(y[train][domain[train] > 0]).tolist() == [20] * 3
        assert np.bincount(y[train][domain[train] < 0]).tolist() == [3] * 3
        assert len(test) == 66 and (domain[test] < 0).all()
    assert len(splits) == 5
    more = protocols.with_unlabelled_target(X, y, domain, splits)
    assert (more[1][165:] == -1).all() and len(more[3][0][0]) == len(splits[0][0]) + 75
    scores = {}
    for method in protocols.OFFICE_METHODS:
        data, labels, domains, cv = more if method.startswith("Gong") else (X, y, domain, splits)
        model = protocols.office(method)
        if method.startswith("Gong"):
            model.set_params(geodesicflowkernel__n_components=3)
        with config_context(enable_metadata_routing=True):
            scores[method] = cross_val_score(
                model, data, labels, cv=cv, scoring=target_accuracy,
                params={"sample_domain": domains}, error_score="raise",
            ).mean()  # fmt: skip
    assert min(scores.values()) > 0.5
    assert set(scores) == set(sys.modules["paper"].TABLE_1)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_few_images_a_class_are_no_reason_for_a_warning(modules, n_jobs, capfd):
    X, y = features(12, 8)
    X, y = np.concatenate([X, X + 1]), np.concatenate([y, y + 12])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        modules["paper"].ignore_expected_warnings()
        for n in (1, 2):
            for kind in ("SVM", "LogReg"):
                model, cv = modules["protocols"].caltech101_learning_curve(kind, False, n)
                cross_val_score(model, X, y, cv=cv, scoring="balanced_accuracy", n_jobs=n_jobs)
    assert [str(warning.message) for warning in caught] == []
    assert "unique classes" not in "".join(capfd.readouterr())


# -- the command --


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of 33 small pictures, named as in Caltech-101."""
    photos = load_sample_photos()
    rng = np.random.default_rng(0)
    top = tmp_path_factory.mktemp("caltech") / "101_ObjectCategories"
    for name in ("brick", "cat", "grass"):
        images = photos.images[photos.target == photos.target_names.tolist().index(name)]
        (top / name).mkdir(parents=True)
        for i in range(33):
            image = Image.fromarray(images[i % len(images)])
            side = int(min(image.size) * rng.uniform(0.6, 1))
            image.crop((0, 0, side, side)).save(top / name / f"image_{i:04}.jpg")
    return top.parent


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on(modules, folder, tmp_path, monkeypatch, capsys):
    paper = modules["paper"]
    arguments = [
        "figure4", "--data", str(folder), "--weights", "squeezenet1_1", "--n-train", "1", "3",
        "--results", str(tmp_path / "results"), "--cache", str(tmp_path / "cache"),
    ]  # fmt: skip
    calls = []
    compute = paper.cross_val_score

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return compute(*args, **kwargs)

    monkeypatch.setattr(paper, "cross_val_score", counted)
    with pytest.raises(KeyboardInterrupt):
        paper.main(arguments)
    file = tmp_path / "results" / "figure4.json"
    assert len(json.loads(file.read_text())["cells"]) == 7

    def no_network(*args, **kwargs):
        raise AssertionError("the features are in the cache")

    monkeypatch.setattr(modules["features"].DeCAFTransformer, "transform", no_network)
    paper.main(arguments)
    # 3 layers x 4 variants on the left; 4 variants x 2 numbers on the right; 7 were there
    cells = json.loads(file.read_text())["cells"]
    assert len(cells) == 20 and len(calls) == 8 + 13
    paper.main(arguments)
    assert len(calls) == 21
    for cell in cells.values():
        assert 0.2 < cell["mean"] <= 1 and cell["mean"] == pytest.approx(np.mean(cell["scores"]))
    text = (tmp_path / "results" / "figure4.md").read_text()
    assert "part of Caltech-101: 99 images of 3 classes" in text
    assert "| DeCAF6, SVM + dropout    | 86.9     |" in text
    assert capsys.readouterr().out.count(text) == 2

    (folder / "101_ObjectCategories" / "cat" / "image_0032.jpg").unlink()
    with pytest.raises(SystemExit, match="has the results of other data"):
        paper.main(arguments)


def unpack(content, folder):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")


@pytest.fixture
def made_up_features(modules, monkeypatch):
    """Features that show the class, instead of the network's; returns the boxes it was given."""
    seen = []

    def compute(filenames, layers, weights, *, boxes=None, cache=None):
        seen.append(boxes)
        parents = [Path(path).parent.name for path in filenames]
        y = np.unique(parents, return_inverse=True)[1]
        X = np.eye(12)[y] + 0.1 * np.random.default_rng(0).normal(size=(len(y), 12))
        return dict.fromkeys(layers, X.astype(np.float32))

    monkeypatch.setattr(modules["results"], "image_features", compute)
    return seen


def run(modules, table, data, results):
    modules["paper"].main(
        [table, "--data", str(data), "--weights", "squeezenet1_1", "--results", str(results)]
    )
    return json.loads((results / f"{table}.json").read_text())["cells"]


@pytest.mark.slow
def test_table_2_takes_the_boxes(modules, made_up_features, tmp_path):
    unpack(tiny.cub200_2011(20)["CUB_200_2011.tgz"], tmp_path)
    cells = run(modules, "table2", tmp_path, tmp_path / "results")
    assert len(cells) == 6 and all(cell["mean"] == 1 for cell in cells.values())
    (boxes,) = made_up_features
    assert boxes.shape == (60, 4) and boxes[0].tolist() == [1, 2, 6, 8.5]


@pytest.mark.slow
def test_table_3_takes_five_partitions(modules, made_up_features, tmp_path, monkeypatch):
    smaller = replace(_sun397.COLLECTION, **tiny.SUN_NUMBERS)
    monkeypatch.setattr(_sun397, "COLLECTION", smaller)
    protocol = modules["protocols"].pipeline  # too few images to choose C
    monkeypatch.setattr(modules["paper"], "sun397", protocol)
    unpack(tiny.sun397()["SUN397.tar.gz"], tmp_path)
    with zipfile.ZipFile(io.BytesIO(tiny.sun397()["Partitions.zip"])) as archive:
        archive.extractall(tmp_path)
    cells = run(modules, "table3", tmp_path, tmp_path / "results")
    assert len(cells) == 8
    assert all(len(cell["scores"]) == 5 and cell["mean"] > 0.8 for cell in cells.values())


@pytest.mark.parametrize("training", ["0", "1"])
def test_which_mark_of_cropped_birds_means_training(modules, tmp_path, training):
    """The half that is as large for every species: 4 of each here, and 4 or 2 to be tested."""
    other = "1" if training == "0" else "0"
    names, marks = [], []
    for species, n_test in (("a", 4), ("b", 2)):
        for i in range(4 + n_test):
            path = tmp_path / "images" / species / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(path)
            names.append(f"{species}/{i}.png")
            marks.append(other if i < n_test else training)
    for file, column in (("images.txt", names), ("train_test_split.txt", marks)):
        (tmp_path / file).write_text("".join(f"{i}, {text}\n" for i, text in enumerate(column)))
    data = modules["paper"]._load_cropped_birds(tmp_path)
    ((train, test),) = data.splits
    assert np.bincount(data.target[train]).tolist() == [4, 4]
    assert np.bincount(data.target[test]).tolist() == [4, 2]
    assert {Path(data.filenames[row]).name for row in test} == {"0.png", "1.png", "2.png", "3.png"}
