"""Transformers with weights in memory and networks of one's own: all that others can do."""

import pickle
from dataclasses import replace

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from oracles.own_network import FLAT_WEIGHTS, PARAMETERS, POCKET, WEIGHTS
from oracles.processes import run_with_pickle
from oracles.random_networks import he_parameters
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_decaf import ActivationCache, DeCAFTransformer, extract
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.images import iter_batches
from sklearn_decaf.networks import Weights, register, save_weights
from sklearn_decaf.networks import architectures as known_architectures
from sklearn_decaf.networks.reference import forward
from sklearn_decaf.networks.weights import loading

OTHER = Weights(POCKET, he_parameters(POCKET, 1))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (12, 30, 40, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def expected(images):
    """Layer 7, computed by the reference in float64."""
    ((_, batch, _),) = iter_batches(images, size=36, crop=32)
    return forward(POCKET, PARAMETERS, batch, ["pool2"], np.float64)["pool2"]


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    monkeypatch.setattr(known_architectures, "_registered", {})
    yield
    loading.registered_weights.clear()


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "pocket.npz", **PARAMETERS)
    save_weights(WEIGHTS, tmp_path / "pocket.safetensors")
    return tmp_path


def assert_close(rows, expected):
    np.testing.assert_allclose(rows, expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.fixture(params=["memory", "saved", "told", "named", "all by name", "file by name"])
def parameters(request, files):
    """All ways to say which network is meant."""
    if "name" in request.param:
        known = {"all by name": WEIGHTS, "file by name": files / "pocket.npz"}
        register(POCKET, known.get(request.param))
    return {
        "memory": {"weights": WEIGHTS},
        "saved": {"weights": files / "pocket.safetensors"},
        "told": {"weights": files / "pocket.npz", "architecture": POCKET},
        "named": {"weights": files / "pocket.npz", "architecture": "pocket"},
        "all by name": {"weights": "pocket"},
        "file by name": {"weights": "pocket"},
    }[request.param]


def test_features(parameters, images, expected):
    transformer = DeCAFTransformer(7, **parameters)
    rows = transformer.fit_transform(images)
    assert_close(rows, expected)
    assert_array_equal(transformer.transform(images), rows)
    assert list(transformer.get_feature_names_out()[:2]) == ["decaf7_0000", "decaf7_0001"]
    in_memory = parameters["weights"] is WEIGHTS
    assert not in_memory or transformer.weights_sha256_ == WEIGHTS.digest
    assert len(transformer.weights_sha256_) == 64
    for layer, width in ((5, 16), (6, 16), ("body", 16), (8, 7), ((5, "prob"), 23)):
        wide = clone(transformer).set_params(layer=layer)
        assert wide.transform(images).shape == (12, width)
        assert len(wide.get_feature_names_out()) == width
    (best,) = transformer.predict_labels(images[:1], top=7)
    assert sorted(name for name, _ in best) == list("0123456")
    assert sum(p for _, p in best) == pytest.approx(1, abs=1e-5)


def test_copies_and_pickles(parameters, images):
    for fitted in (False, True):
        transformer = DeCAFTransformer(7, **parameters)
        if fitted:
            transformer.fit(images)
        rows = transformer.transform(images)
        read = pickle.loads(pickle.dumps(transformer))
        for copied in (clone(transformer), read, clone(read), pickle.loads(pickle.dumps(read))):
            assert_array_equal(copied.transform(images), rows)
            assert copied.get_params() == transformer.get_params()


def test_copies_share_what_is_large():
    copied = clone(DeCAFTransformer(weights=WEIGHTS, architecture=POCKET))
    assert copied.weights is WEIGHTS and copied.architecture is POCKET


def test_processes_that_know_nothing(parameters, images, tmp_path):
    """Another process has no registration, and starts elsewhere."""
    code = """if True:
        import pickle, sys
        transformer, images = pickle.load(sys.stdin.buffer)
        sys.stdout.buffer.write(transformer.transform(images).tobytes())
        sys.stdout.buffer.write(transformer.fit(images).transform(images[:1]).tobytes())
        again = pickle.loads(pickle.dumps(transformer))
        sys.stdout.buffer.write(again.transform(images[:1]).tobytes())
    """
    transformer = DeCAFTransformer(7, **parameters).fit(images)
    rows = transformer.transform(images)
    found = run_with_pickle(code, (transformer, images), tmp_path)
    assert found == rows.tobytes() + 2 * rows[:1].tobytes()


def test_what_is_in_a_pickle(files):
    """Weights in memory whole; of the others their path, and the network as text."""
    size = sum(values.nbytes for values in PARAMETERS.values())
    assert size > 9000
    assert size < len(pickle.dumps(DeCAFTransformer(weights=WEIGHTS))) < size + 5000
    told = DeCAFTransformer(weights=str(files / "pocket.npz"), architecture=POCKET)
    assert b"BatchNorm" in pickle.dumps(told)
    register(POCKET, files / "pocket.npz")
    for named in (DeCAFTransformer(weights="pocket"), told):
        content = pickle.dumps(named)
        assert len(content) < 5000
        assert b"pathlib" not in content
        assert not hasattr(named.fit([np.zeros((9, 9, 3))]), "_folders")
    assert b"BatchNorm" not in pickle.dumps(DeCAFTransformer())


def test_a_name_that_means_something_else_here(images, monkeypatch):
    register(POCKET, WEIGHTS)
    content = pickle.dumps(DeCAFTransformer(7, weights="pocket"))
    monkeypatch.setattr(known_architectures, "_registered", {})
    loading.registered_weights.clear()
    register(replace(POCKET, pooling="max"))
    with pytest.raises(WeightsError, match="another network is called 'pocket'"):
        pickle.loads(content).transform(images)


def test_weights_that_changed(files, images):
    register(POCKET)
    path = files / "pocket.npz"
    for parameters in ({"architecture": POCKET}, {"architecture": "pocket"}):
        np.savez(path, **PARAMETERS)
        transformer = DeCAFTransformer(7, weights=path, **parameters).fit(images)
        copied = pickle.loads(pickle.dumps(transformer))
        np.savez(path, **OTHER.parameters)
        for one in (transformer, copied):
            with pytest.raises(WeightsError, match="have changed since"):
                one.transform(images)
    transformer = DeCAFTransformer(7, weights=WEIGHTS).fit(images)
    with pytest.raises(WeightsError, match="have changed since"):
        transformer.set_params(weights=OTHER).transform(images)
    unfitted = pickle.loads(pickle.dumps(DeCAFTransformer(7, weights=WEIGHTS)))
    unfitted.set_params(weights=OTHER).transform(images)  # others than those: fine


def test_weights_that_are_edited_are_others(images):
    """Whatever checksum they claim."""
    claimed = replace(WEIGHTS, sha256="0" * 64)
    edited = replace(claimed, parameters={**PARAMETERS, "fc.bias": PARAMETERS["fc.bias"] + 1})
    one, other = (DeCAFTransformer(8, weights=w).fit(images) for w in (claimed, edited))
    assert one.weights_sha256_ != other.weights_sha256_
    assert not np.array_equal(one.transform(images), other.transform(images))


def test_a_search_over_weights(images):
    model = make_pipeline(DeCAFTransformer(7), LogisticRegression())
    grid = {"decaftransformer__weights": [WEIGHTS, OTHER], "decaftransformer__crop": [None, 20]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise")
    search.fit(images, [0, 1] * 6)
    kept = search.cv_results_["param_decaftransformer__weights"]
    assert [one.digest for one in kept] == [WEIGHTS.digest, OTHER.digest] * 2
    here = GridSearchCV(model, grid, cv=2, error_score="raise").fit(images, [0, 1] * 6)
    assert_array_equal(here.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_workers_of_joblib(parameters, images):
    transformer = DeCAFTransformer(7, **parameters)
    rows = transformer.transform(images)
    with joblib.parallel_config("loky", n_jobs=2):
        found = Parallel()(delayed(transformer.fit_transform)(images) for _ in range(2))
    for one in found:
        assert_array_equal(one, rows)


def test_the_cache(images, tmp_path, parameters):
    cache = ActivationCache(tmp_path / "cache")
    for one in (WEIGHTS, OTHER):
        rows = DeCAFTransformer(7, weights=one, cache=cache).transform(images)
        assert_array_equal(rows, DeCAFTransformer(7, weights=one).transform(images))
    n = len(cache)
    rows = DeCAFTransformer(7, cache=cache, **parameters).transform(images)
    assert_array_equal(rows, DeCAFTransformer(7, weights=WEIGHTS).transform(images))
    assert len(cache) == n  # known by its numbers, however it is named
    steps = [("decaf", DeCAFTransformer(7, **parameters)), ("rest", "passthrough"), ("last", None)]
    assert_array_equal(Pipeline(steps, memory=str(tmp_path / "m")).fit_transform(images), rows)


def test_extract(images, tmp_path, parameters):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    transformer = DeCAFTransformer(7, **parameters)
    result = extract(paths, tmp_path / "out", transformer=transformer, verbose=False)
    assert_array_equal(np.load(result.files[0]), transformer.transform(images[:3]))
    again = extract(paths, tmp_path / "out", transformer=transformer, verbose=False)
    assert again.n_computed == 0
    manifest = (tmp_path / "out" / "_manifest.json").read_text()
    assert DeCAFTransformer(7, **parameters).fit(images).weights_sha256_ in manifest
    preprocessing = replace(POCKET.preprocessing, mean=(1.0, 2.0, 3.0))
    darker = Weights(replace(POCKET, preprocessing=preprocessing), PARAMETERS)
    for other in (OTHER, darker):
        with pytest.raises(ValueError, match="made with other settings"):
            extract(
                paths,
                tmp_path / "out",
                transformer=DeCAFTransformer(7, weights=other),
                verbose=False,
            )


def test_displays(parameters, images):
    pytest.importorskip("matplotlib").use("agg")
    from sklearn_decaf.inspection import (
        ActivationDisplay,
        FilterDisplay,
        LayerTimeDisplay,
        layer_times,
    )

    transformer = DeCAFTransformer(7, **parameters)
    assert FilterDisplay.from_estimator(transformer).filters.shape == (16, 3, 3, 3)
    display = ActivationDisplay.from_estimator(transformer, images[0], layer="conv2")
    assert display.maps.shape == (7, 7, 16) and display.photograph.shape == (32, 32, 3)
    display = LayerTimeDisplay.from_estimator(transformer, batch_size=1, n_repeats=1)
    assert display.times.network == "pocket"
    assert layer_times(WEIGHTS, 7, batch_size=1, n_repeats=1).network == "pocket"


def test_what_is_shown():
    shown = repr(DeCAFTransformer(weights=WEIGHTS, architecture=POCKET))
    assert "Weights(pocket, " in shown and "Architecture('pocket', 12 layers" in shown
    assert len(shown) < 300
    assert "pocket" in DeCAFTransformer(weights=WEIGHTS)._repr_html_()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": WEIGHTS, "architecture": "alexnet"}, r"'conv1\.kernel' is"),
        ({"weights": WEIGHTS, "architecture": FLAT_WEIGHTS.architecture}, r"'conv2\.kernel' is"),
        (
            {"weights": Weights(FLAT_WEIGHTS.architecture, PARAMETERS)},
            r"no parameter 'conv2\.kernel'",
        ),
        (
            {"weights": Weights(POCKET, {**PARAMETERS, "norm1.mean": np.zeros(3, np.float32)})},
            r"'norm1\.mean' has shape \(3,\)",
        ),
        ({"weights": "squeezenet1_1", "architecture": POCKET}, "are for squeezenet1_1"),
    ],
)
def test_what_does_not_belong_together(parameters, message, images):
    for compute in ("fit", "transform", "fit_transform"):
        with pytest.raises(WeightsError, match=message):
            getattr(DeCAFTransformer("conv1", **parameters), compute)(images)


def test_layers_that_are_missing(images):
    first = {name: PARAMETERS[name] for name in ("conv1.kernel", "conv1.bias")}
    weights = Weights(POCKET, first)
    assert DeCAFTransformer("conv1", weights=weights).fit_transform(images).shape == (12, 16)
    with pytest.raises(WeightsError, match=r"needs norm1\.scale, .* as far as layer 'conv1'"):
        DeCAFTransformer(7, weights=weights).fit(images)
