"""What a transformer carries in a pickle: text, the checksum of its weights, the kernels in use."""

import copy
import io
import os
import pickle
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from oracles.cheap_layer import CHEAP
from oracles.processes import run_with_pickle
from oracles.public_api import public_estimators
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from sklearn_decaf import ActivationCache, DeCAFTransformer, _kernels, extract
from sklearn_decaf._features import pickling
from sklearn_decaf.exceptions import KernelError, KernelWarning, WeightsError
from sklearn_decaf.networks import load_weights

SHA256 = load_weights("squeezenet1_1").sha256


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (12, 30, 40, 3), dtype=np.uint8))


@pytest.fixture
def small_weights(tmp_path, monkeypatch):
    """The first layers of a network, in a file in the working directory."""
    monkeypatch.chdir(tmp_path)
    parameters = load_weights("squeezenet1_1").parameters
    np.savez("w.npz", **{name: parameters[name] for name in ("conv1.kernel", "conv1.bias")})
    return {"weights": "w.npz", "architecture": "squeezenet1_1", "layer": "pool1", "pooling": "avg"}


def after_pickling(thing):
    return pickle.loads(pickle.dumps(thing))


# What is in a pickle --------------------------------------------------------------------------


def test_no_weights(images):
    transformer = DeCAFTransformer().fit(images)
    expected = transformer.transform(images)
    assert len(pickle.dumps(transformer)) < 10_000
    assert_array_equal(after_pickling(transformer).transform(images), expected)
    classifier = make_pipeline(DeCAFTransformer(), LinearSVC()).fit(images, [0, 1] * 6)
    buffer = io.BytesIO()
    joblib.dump(classifier, buffer)
    buffer.seek(0)
    assert_array_equal(joblib.load(buffer).predict(images), classifier.predict(images))


@pytest.mark.parametrize("fitted", [False, True])
def test_the_checksum_of_the_weights(fitted, images):
    transformer = DeCAFTransformer(**CHEAP)
    if fitted:
        transformer.fit(images)
    pipeline = make_pipeline(transformer, "passthrough")
    for thing in (transformer, pipeline, after_pickling(pipeline), clone(after_pickling(pipeline))):
        assert SHA256.encode() in pickle.dumps(thing)
    assert hasattr(after_pickling(transformer), "weights_sha256_") == fitted


def test_weights_that_cannot_be_had_are_no_reason_not_to_pickle(images):
    for parameters in ({"weights": "missing.npz"}, {"weights": 3}, {"layer": 99, "cache": 3}):
        transformer = after_pickling(DeCAFTransformer(**parameters))
        assert transformer.get_params() == DeCAFTransformer(**parameters).get_params()


@pytest.mark.parametrize("name", [name for name, _ in public_estimators()])
def test_paths_are_text_in_pickles_of_all_estimators(name):
    """Pickled pathlib objects name modules that differ between versions of Python."""
    cls = dict(public_estimators())[name]
    constraints = getattr(cls, "_parameter_constraints", {})
    paths = [key for key, kinds in constraints.items() if os.PathLike in list(kinds)]
    assert paths or name != "sklearn_decaf.DeCAFTransformer"
    if not paths:
        return
    estimator = cls(**{key: Path("some", key) for key in paths})
    before = estimator.get_params()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps(estimator, protocol)
        assert b"pathlib" not in content
        for copied in (pickle.loads(content), copy.deepcopy(estimator), clone(estimator)):
            assert copied.get_params() == before
            assert all(isinstance(getattr(copied, key), Path) for key in paths)
    assert estimator.get_params() == before
    assert b"pathlib" not in pickle.dumps(make_pipeline(estimator, LinearSVC()))


def test_other_kinds_of_paths_become_text(tmp_path, images):
    class Elsewhere(os.PathLike):
        def __fspath__(self):
            return str(tmp_path / "cache")

    transformer = DeCAFTransformer(cache=Elsewhere(), **CHEAP)
    copied = after_pickling(transformer)
    assert copied.cache == str(tmp_path / "cache")
    assert_array_equal(copied.transform(images), transformer.transform(images))
    cache = ActivationCache(tmp_path / "cache")
    assert b"pathlib" not in pickle.dumps(DeCAFTransformer(cache=cache, **CHEAP))


def test_copies_are_like_the_original(small_weights, images):
    transformer = DeCAFTransformer(cache="cache", **small_weights).fit(images)
    for copied in (copy.copy(transformer), copy.deepcopy(transformer)):
        assert vars(copied) == vars(transformer)
    assert copied._folders is not transformer._folders


def test_pickles_of_earlier_versions_load(images):
    """They have parameters, and the checksum if fitted; paths may be objects in them."""
    fitted = DeCAFTransformer(**CHEAP).fit(images)
    expected = fitted.transform(images)
    for state in (fitted.get_params(), {**fitted.get_params(), "weights_sha256_": SHA256}):
        old = DeCAFTransformer.__new__(DeCAFTransformer)
        old.__setstate__({**state, "cache": None})
        assert_array_equal(old.transform(images), expected)
        assert_array_equal(after_pickling(old).fit_transform(images), expected)


def test_a_cache_of_joblib_knows_the_weights(small_weights, images, tmp_path):
    """A pipeline with memory is known by the pickles of its steps."""
    steps = [("decaf", DeCAFTransformer(**small_weights)), ("rest", "passthrough"), ("last", None)]
    pipeline = Pipeline(steps, memory=str(tmp_path / "memory"))
    first = pipeline.fit_transform(images)
    assert_array_equal(pipeline.fit_transform(images), first)
    content = dict(np.load("w.npz"))
    np.savez("w.npz", **{name: 2 * value for name, value in content.items()})
    assert not np.array_equal(pipeline.fit_transform(images), first)


# Weights that changed -------------------------------------------------------------------------


@pytest.mark.parametrize("fitted", [False, True])
def test_weights_that_changed_are_refused(fitted, small_weights, images):
    transformer = DeCAFTransformer(**small_weights)
    if fitted:
        transformer.fit(images)
    expected = transformer.transform(images)
    assert_array_equal(expected, DeCAFTransformer(**CHEAP).transform(images))
    copied = after_pickling(transformer)
    content = dict(np.load("w.npz"))
    np.savez("w.npz", **{**content, "conv1.bias": content["conv1.bias"] + 1})
    done = "fitted" if fitted else "pickled"
    for one in (copied, after_pickling(copied), after_pickling(make_pipeline(copied, None))[0]):
        with pytest.raises(WeightsError, match=rf"(?s)w\.npz.*changed.*{done}"):
            one.transform(images)
        with pytest.raises(WeightsError, match="changed"):
            one.predict_labels(images)
    if fitted:  # fitted anew: fine
        assert not np.array_equal(copied.fit(images).transform(images), expected)
    else:
        with pytest.raises(WeightsError, match=r"pickled.*make it anew"):
            clone(copied).fit(images)
        copied.set_params(weights="squeezenet1_1", architecture=None)  # others than those
        assert_array_equal(copied.transform(images), expected)
    assert not np.array_equal(DeCAFTransformer(**small_weights).transform(images), expected)


# Relative paths -------------------------------------------------------------------------------


@pytest.fixture
def another_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.mark.parametrize("fitted", [False, True])
def test_relative_paths_in_a_process_elsewhere(fitted, small_weights, images, another_folder):
    transformer = DeCAFTransformer(cache="cache", **small_weights)
    if fitted:
        transformer.fit(images)
    code = """if True:
        import pickle, sys
        transformer, images = pickle.load(sys.stdin.buffer)
        sys.stdout.buffer.write(transformer.fit_transform(images).tobytes())
        sys.stdout.buffer.write(transformer.transform(images[:1]).tobytes())
    """
    if fitted:
        code = code.replace("fit_transform", "transform")
    found = run_with_pickle(code, (transformer, images), another_folder)
    expected = DeCAFTransformer(**CHEAP).transform(images)
    assert found == expected.tobytes() + expected[:1].tobytes()
    assert os.listdir(another_folder) == []
    assert len(ActivationCache("cache")) == 12


@pytest.mark.slow
def test_one_cache_for_reused_workers(small_weights, images, another_folder, monkeypatch):
    """Processes that started elsewhere use the cache of whoever sends them work."""
    here = os.getcwd()
    with joblib.parallel_config("loky", n_jobs=2):
        monkeypatch.chdir(another_folder)
        Parallel()(delayed(os.getcwd)() for _ in range(4))
        monkeypatch.chdir(here)
        model = make_pipeline(DeCAFTransformer(cache="cache", **small_weights), LinearSVC())
        scores = cross_val_score(model, images, [0, 1] * 6, cv=3, error_score="raise")
        grid = {"decaftransformer__dropout": [False, True]}
        GridSearchCV(model, grid, cv=2, error_score="raise").fit(images, [0, 1] * 6)
    assert len(scores) == 3
    assert os.listdir(another_folder) == []
    assert len(ActivationCache("cache")) == 12


def test_relative_paths_after_chdir(small_weights, images, another_folder, monkeypatch):
    transformer = DeCAFTransformer(cache="cache", **small_weights).fit(images)
    expected = transformer.transform(images)
    monkeypatch.chdir(another_folder)
    assert_array_equal(transformer.transform(images), expected)
    assert_array_equal(after_pickling(transformer).transform(images), expected)
    assert os.listdir(another_folder) == []
    with pytest.raises(WeightsError, match=r"no file .*w\.npz"):
        clone(transformer).fit(images)  # fitted anew, here
    # what is not there any more is looked for where one is now
    moved = after_pickling(transformer)
    moved._folders = dict.fromkeys(moved._folders, "/no/such/folder")
    Path("w.npz").write_bytes(Path(transformer._folders["w.npz"], "w.npz").read_bytes())
    assert_array_equal(moved.transform(images), expected)
    assert sorted(os.listdir(another_folder)) == ["cache", "w.npz"]


def test_only_relative_paths_say_where_they_start(small_weights, images, tmp_path):
    here = os.getcwd().encode()
    assert here in pickle.dumps(DeCAFTransformer(**small_weights))
    absolute = {**small_weights, "weights": "squeezenet1_1", "architecture": None}
    assert here not in pickle.dumps(DeCAFTransformer(**absolute).fit(images))
    assert not hasattr(DeCAFTransformer(cache=tmp_path, **absolute).fit(images), "_folders")


# Kernels --------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch, images):
    """A function: a transformer as it arrives from a process with other kernels."""

    def send(kernels, *, asked=False, fitted=True):
        transformer = DeCAFTransformer(**CHEAP)
        if fitted:
            transformer.fit(images)
        with monkeypatch.context() as there:
            there.setattr(_kernels, "in_use", lambda: kernels)
            there.delenv("SKLEARN_DECAF_KERNELS", raising=False)
            if asked:
                there.setenv("SKLEARN_DECAF_KERNELS", kernels.split(" ")[0])
            return after_pickling(transformer)

    monkeypatch.setattr(pickling, "_warned", set())
    monkeypatch.setattr(_kernels, "in_use", lambda: "v4 (x86_64)")
    return send


@pytest.mark.parametrize("fitted", [False, True])
def test_other_kernels_are_warned_of_once(fitted, sent, images):
    transformer = sent("base (x86_64)", fitted=fitted)
    done = "fitted" if fitted else "pickled"
    words = rf"{done} where .*base \(x86_64\).*v4 \(x86_64\)"
    with pytest.warns(KernelWarning, match=words) as caught:
        rows = transformer.transform(images)
    assert caught[0].filename == __file__
    assert rows.shape == (12, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transformer.transform(images)
        sent("v3 (x86_64)").transform(images)  # the same bits
    with pytest.warns(KernelWarning, match=r"aarch64"):
        sent("base (aarch64)", fitted=fitted).transform(images)


@pytest.mark.parametrize("fitted", [False, True])
def test_kernels_that_were_asked_for_are_asked_for_everywhere(fitted, sent, images, tmp_path):
    transformer = sent("base (x86_64)", asked=True, fitted=fitted)
    again = after_pickling(transformer)  # sent on from here
    for one in (transformer, again, after_pickling(make_pipeline(again, LinearSVC()))[0]):
        with pytest.raises(KernelError, match=r"base \(x86_64\).*v4 \(x86_64\).*SKLEARN_DECAF_KER"):
            one.transform(images)
    with pytest.raises(KernelError):
        extract(["a.jpg"], tmp_path / "rows", transformer=transformer, verbose=False)
    for same in ("v4 (x86_64)", "v3 (x86_64)"):
        assert sent(same, asked=True, fitted=fitted).transform(images).shape == (12, 64)
    if fitted:  # what is fitted anew belongs here
        assert transformer.fit(images).transform(images).shape == (12, 64)
        assert after_pickling(transformer).transform(images).shape == (12, 64)
    else:
        with pytest.raises(KernelError):
            clone(transformer).fit_transform(images)


def test_the_message_of_real_processes(images, tmp_path):
    """A transformer from a process with kernels of a set in one without any."""
    if _kernels.KERNEL_SET is None:
        pytest.skip("no kernels are in use here")
    transformer = DeCAFTransformer(**CHEAP).fit(images)
    program = """if True:
        import pickle, sys, warnings
        warnings.simplefilter("error")
        transformer, images = pickle.load(sys.stdin.buffer)
        try:
            transformer.transform(images)
        except Exception as error:
            print(type(error).__name__, error)
    """
    found = run_with_pickle(
        program, (transformer, images), tmp_path, SKLEARN_DECAF_KERNELS="none"
    ).decode()
    asked = bool(os.environ.get("SKLEARN_DECAF_KERNELS"))
    assert found.startswith("KernelError" if asked else "KernelWarning")
    assert f"{_kernels.KERNEL_SET} (" in found and "none (" in found


@pytest.mark.slow
def test_which_sets_have_the_same_bits(images, tmp_path):
    """What `same_bits` says of the sets that are here, for all layers of two networks."""
    available = _kernels.available_sets()
    program = """if True:
        import hashlib, pickle, sys
        from sklearn_decaf import DeCAFTransformer
        parameters, images = pickle.load(sys.stdin.buffer)
        for network in parameters:
            rows = DeCAFTransformer(**network).transform(images)
            sys.stdout.write(hashlib.sha256(rows.tobytes()).hexdigest() + " ")
    """
    networks = ["efficientnet_lite0", "squeezenet1_1"]
    parameters = [
        {"layer": load_weights(name).architecture.layer_names, "weights": name, "pooling": None}
        for name in networks
    ]
    digests = {
        name: run_with_pickle(
            program, (parameters, images[:2]), tmp_path, SKLEARN_DECAF_KERNELS=name
        ).split()
        for name in available
    }
    for one in available:
        assert len(digests[one]) == len(networks)
        for other in available:
            same = _kernels.same_bits(f"{one} (here)", f"{other} (here)")
            assert [x == y for x, y in zip(digests[one], digests[other])] == [same, same]


def test_names_of_kernels(monkeypatch):
    for name, expected in (("AMD64", "x86_64"), ("arm64", "aarch64"), ("ppc64le", "ppc64le")):
        monkeypatch.setattr(_kernels.platform, "machine", lambda name=name: name)
        assert _kernels.in_use().split(" ")[1] == f"({expected})"
    assert not _kernels.same_bits("v3 (x86_64)", "base (x86_64)")
    assert not _kernels.same_bits("base (x86_64)", "base (aarch64)")
    assert _kernels.same_bits("none (x86_64)", "none (x86_64)")
