"""Pipelines, searches and skada, with metadata routing on and off."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.metadata_routing import get_routing_for_object

from sklearn_decaf.adaptation import (
    DomainScaler,
    DomainSubsetClassifier,
    FeatureAugmentation,
    GeodesicFlowKernel,
    LateFusionClassifier,
    MMDTClassifier,
)
from sklearn_decaf.metrics import target_accuracy, target_mean_class_accuracy
from sklearn_decaf.model_selection import DomainShuffleSplit


@pytest.fixture
def data():
    rng = np.random.default_rng(7)
    y = np.tile([0, 1, 2], 40)
    sample_domain = np.repeat([1, -2], 60)
    X = rng.normal(size=(120, 8)) + 2.5 * np.eye(8)[y] + 2 * (sample_domain < 0)[:, None]
    return X, y, sample_domain


def pipelines():
    return {
        "subset": make_pipeline(StandardScaler(), DomainSubsetClassifier(LinearSVC(), "both")),
        "fusion": make_pipeline(StandardScaler(), LateFusionClassifier(LinearSVC())),
        "augmentation": make_pipeline(FeatureAugmentation(), LinearSVC()),
        "scaler": make_pipeline(DomainScaler(), LinearSVC()),
        "flow": make_pipeline(DomainScaler(), GeodesicFlowKernel(3), KNeighborsClassifier(1)),
        "mmdt": make_pipeline(StandardScaler(), MMDTClassifier()),
    }


def needing_domains(pipeline):
    return [
        name for name, step in pipeline.steps if type(step).__module__.startswith("sklearn_decaf.")
    ]


@pytest.mark.parametrize("name", pipelines())
def test_routing_on_and_off_agree(data, name):
    X, y, sample_domain = data
    with config_context(enable_metadata_routing=True):
        on = pipelines()[name].fit(X, y, sample_domain=sample_domain)
        predicted = on.predict(X[60:])
        aware = on.predict(X, sample_domain=sample_domain)
        score = on.score(X, y, sample_domain=sample_domain)
    assert np.array_equal(aware[60:], predicted)
    # scikit-learn's own classifiers score all rows alike
    assert score == np.mean(aware == y)
    off = pipelines()[name]
    off.fit(X, y, **{f"{step}__sample_domain": sample_domain for step in needing_domains(off)})
    assert np.array_equal(off.predict(X[60:]), predicted)
    assert off.score(X[60:], y[60:]) == np.mean(predicted == y[60:])
    if hasattr(off, "decision_function"):
        assert np.array_equal(off.decision_function(X[60:]).argmax(axis=1), predicted)


@pytest.mark.parametrize("name", pipelines())
def test_clones_and_pickles(data, name):
    X, y, sample_domain = data
    with config_context(enable_metadata_routing=True):
        pipeline = pipelines()[name].fit(X, y, sample_domain=sample_domain)
        again = clone(pipeline).fit(X, y, sample_domain=sample_domain)
        loaded = pickle.loads(pickle.dumps(pipeline))
        assert np.array_equal(again.predict(X), pipeline.predict(X))
        assert np.array_equal(loaded.predict(X), pipeline.predict(X))


@pytest.mark.parametrize("name", pipelines())
def test_cross_validation_over_both_domains(data, name):
    X, y, sample_domain = data
    splitter = DomainShuffleSplit(10, 3, n_splits=2, random_state=0)
    with config_context(enable_metadata_routing=True):
        scores = cross_validate(
            pipelines()[name],
            X,
            y,
            cv=splitter,
            scoring={"rows": target_accuracy, "classes": target_mean_class_accuracy},
            params={"sample_domain": sample_domain},
            error_score="raise",
        )
    assert scores["test_rows"].shape == (2,)
    assert scores["test_rows"].mean() > 0.5
    assert np.allclose(scores["test_rows"], scores["test_classes"])  # classes of equal size


def test_search_over_train_on_and_steps(data):
    X, y, sample_domain = data
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("model", DomainSubsetClassifier(LinearSVC()))]
    )
    grid = [
        {"model__train_on": ["source", "target", "both"], "model__estimator__C": [0.1, 1]},
        {"scale": ["passthrough", DomainScaler()], "model": [MMDTClassifier()]},
    ]
    splitter = DomainShuffleSplit(10, 3, n_splits=2, random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            pipeline, grid, cv=splitter, scoring=target_accuracy, error_score="raise"
        )
        search.fit(X, y, sample_domain=sample_domain)
        assert len(search.cv_results_["params"]) == 8
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.predict(X[60:]).shape == (60,)
        assert search.score(X, y, sample_domain=sample_domain) > 0.5


def test_search_with_routing_off(data):
    """Domain labels go to the splitter as groups, and to the step by its name."""
    X, y, sample_domain = data
    search = GridSearchCV(
        make_pipeline(StandardScaler(), MMDTClassifier()),
        {"mmdtclassifier__C_target": [0.1, 1.0]},
        cv=DomainShuffleSplit(10, 3, n_splits=2, random_state=0),
        scoring=target_accuracy,
        error_score="raise",
    )
    search.fit(X, y, groups=sample_domain, mmdtclassifier__sample_domain=sample_domain)
    with config_context(enable_metadata_routing=True):
        other = clone(search).fit(X, y, sample_domain=sample_domain)
    assert np.array_equal(
        search.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"]
    )


def test_default_score_of_a_search_takes_domains(data):
    X, y, sample_domain = data
    splitter = DomainShuffleSplit(10, 3, n_splits=2, random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(MMDTClassifier(), {"C_target": [0.1, 1]}, cv=splitter)
        search.fit(X, y, sample_domain=sample_domain)
        assert search.best_score_ > 0.5
        by_hand = np.mean(search.best_estimator_.predict(X, sample_domain=sample_domain) == y)
        assert search.score(X, y, sample_domain=sample_domain) == by_hand


def test_photographs_of_two_domains():
    """After the network, in a pipeline, with lists of images and routing on."""
    from sklearn_decaf import DeCAFTransformer
    from sklearn_decaf.datasets import load_sample_photos

    photos = load_sample_photos(subset="train")
    chosen = [i for label in (0, 1) for i in np.flatnonzero(photos.target == label)[:3]]
    bright = [np.asarray(photos.images[i]) for i in chosen]
    dark = [image // 3 for image in bright]
    y = np.tile(photos.target[chosen], 2)
    sample_domain = np.repeat([1, -2], 6)
    network = DeCAFTransformer(weights="squeezenet1_1")
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(network, DomainScaler(), GeodesicFlowKernel(2), LinearSVC())
        pipeline.fit(bright + dark, y, sample_domain=sample_domain)
        assert pipeline.predict(dark).shape == (6,)
    subset = DomainSubsetClassifier(make_pipeline(network, LinearSVC()), "source")
    subset.fit(bright + dark, y, sample_domain=sample_domain)
    assert subset.score(bright, y[:6]) == 1.0


def test_fold_without_target_rows_is_named(data):
    X, y, sample_domain = data
    folds = [(np.arange(60), np.arange(60, 120))]
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(
            ValueError, match=r"labelled target rows, and there is none \(domain 1: 60 samples\)"
        ),
    ):
        cross_val_score(
            MMDTClassifier(), X, y, cv=folds, params={"sample_domain": sample_domain},
            error_score="raise",
        )  # fmt: skip


def test_sample_weight_through_routing(data):
    X, y, sample_domain = data
    weight = np.random.default_rng(0).uniform(0.1, 3, 120)
    with config_context(enable_metadata_routing=True):
        inner = LinearSVC(random_state=0).set_fit_request(sample_weight=True)
        subset = DomainSubsetClassifier(inner)
        subset.fit(X, y, sample_domain=sample_domain, sample_weight=weight)
        piped = make_pipeline(FunctionTransformer(), subset)
        piped.fit(X, y, sample_domain=sample_domain, sample_weight=weight)
        mmdt = MMDTClassifier().set_fit_request(sample_weight=True)
        make_pipeline(mmdt).fit(X, y, sample_domain=sample_domain, sample_weight=weight)
    off = DomainSubsetClassifier(LinearSVC(random_state=0))
    off.fit(X, y, sample_domain=sample_domain, sample_weight=weight)
    expected = LinearSVC(random_state=0).fit(X, y, sample_weight=weight)
    for model in (subset, piped[-1], off):
        assert np.allclose(model.estimator_.coef_, expected.coef_)
    plain = MMDTClassifier().fit(X, y, sample_domain=sample_domain, sample_weight=weight)
    assert np.allclose(plain.coef_, mmdt.coef_)


def test_domains_are_requested_without_asking():
    with config_context(enable_metadata_routing=True):
        for estimator in (MMDTClassifier(), GeodesicFlowKernel(), FeatureAugmentation()):
            methods = ["fit", "predict" if hasattr(estimator, "predict") else "transform"]
            for method in methods:
                routing = get_routing_for_object(estimator)
                assert routing.consumes(method, ["sample_domain"]) == {"sample_domain"}
        routing = get_routing_for_object(DomainSubsetClassifier(LinearSVC()))
        assert "sample_domain" in routing.consumes("predict", ["sample_domain"])


@pytest.mark.slow
def test_importing_changes_no_configuration(tmp_path):
    import subprocess
    import sys

    code = (
        "import sklearn; before = sklearn.get_config();"
        "import sklearn_decaf.adaptation, sklearn_decaf.metrics, sklearn_decaf.model_selection;"
        "assert sklearn.get_config() == before; import sys; assert 'skada' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


# ------------------------------------------------------------------------------------- skada


@pytest.fixture
def skada():
    from sklearn import get_config, set_config

    before = get_config()["enable_metadata_routing"]
    module = pytest.importorskip("skada", reason="skada is not installed")
    set_config(enable_metadata_routing=True)  # importing skada does this, the first time
    yield module
    set_config(enable_metadata_routing=before)


@pytest.mark.slow
def test_our_transformer_before_a_skada_adapter(skada, data):
    """Scaling by domain, then skada's CORAL, then a classifier, in skada's pipeline."""
    X, y, sample_domain = data
    masked = y.copy()
    pipeline = skada.make_da_pipeline(
        FunctionTransformer(), DomainScaler(), skada.CORALAdapter(), LinearSVC()
    )
    pipeline.fit(X, masked, sample_domain=sample_domain)
    predicted = pipeline.predict(X[60:], sample_domain=sample_domain[60:])
    assert np.mean(predicted == y[60:]) > 0.6


@pytest.mark.parametrize("name", ["subset", "fusion", "mmdt", "augmentation"])
def test_our_supervised_methods_in_a_skada_pipeline(skada, data, name):
    X, y, sample_domain = data
    steps = [clone(step) for _, step in pipelines()[name].steps]
    pipeline = skada.make_da_pipeline(*steps, mask_target_labels=False)
    pipeline.fit(X, y.copy(), sample_domain=sample_domain)
    predicted = pipeline.predict(X[60:], sample_domain=sample_domain[60:])
    assert np.mean(predicted == y[60:]) > 0.8
    assert np.array_equal(pipeline.predict(X[60:]), predicted)
    with config_context(enable_metadata_routing=True):
        alone = pipelines()[name].fit(X, y, sample_domain=sample_domain)
        assert np.array_equal(alone.predict(X[60:]), predicted)


def test_geodesic_flow_kernel_in_a_skada_pipeline(skada, data):
    """Unsupervised: skada masks the target's labels, the kernel does not miss them."""
    X, y, sample_domain = data
    pipeline = skada.make_da_pipeline(
        DomainScaler(), GeodesicFlowKernel(3), KNeighborsClassifier(1)
    )
    pipeline.fit(X, y.copy(), sample_domain=sample_domain)
    assert pipeline.predict(X[60:], sample_domain=sample_domain[60:]).shape == (60,)


@pytest.mark.parametrize("splitter", ["SourceTargetShuffleSplit", "StratifiedDomainShuffleSplit"])
def test_search_of_ours_with_a_skada_splitter(skada, data, splitter):
    import skada.model_selection

    X, y, sample_domain = data
    cv = getattr(skada.model_selection, splitter)(n_splits=2, random_state=0)
    if splitter == "SourceTargetShuffleSplit":  # trains on source rows only
        model, grid = DomainSubsetClassifier(LinearSVC(), "source"), {"estimator__C": [0.1, 1]}
    else:
        model, grid = MMDTClassifier(), {"C_target": [0.1, 1]}
    search = GridSearchCV(model, grid, cv=cv, scoring=target_accuracy, error_score="raise")
    search.fit(X, y, sample_domain=sample_domain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_our_splitter_and_scorer_with_a_skada_estimator(skada, data):
    X, y, sample_domain = data
    scores = cross_val_score(
        skada.CORAL(LinearSVC()),
        X,
        y.copy(),
        cv=DomainShuffleSplit(10, 3, n_splits=2, random_state=0),
        scoring=target_accuracy,
        params={"sample_domain": sample_domain},
        error_score="raise",
    )
    assert scores.mean() > 0.5
