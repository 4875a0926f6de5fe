"""Fine-tuning: what it starts from, what it learns, what it keeps, and where its results go."""

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.striped_images import NETWORK, striped_images, weights
from oracles.training import ArrayData
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_decaf import ActivationCache, DeCAFTransformer, extract
from sklearn_decaf._features.recipe import Recipe
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.images import check_images
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.layers import (
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    ReLU,
    Softmax,
)
from sklearn_decaf.networks.weights import save_weights
from sklearn_decaf.networks.weights.weights import Weights
from sklearn_decaf.training import FineTunedClassifier
from sklearn_decaf.training._fillers import initial_parameters
from sklearn_decaf.training._loop import LoopOptions, Objective, TrainingLoop
from sklearn_decaf.training._losses import multinomial_logistic
from sklearn_decaf.training._schedules import Cosine
from sklearn_decaf.training._solvers import AdamW
from sklearn_decaf.training._state import TrainingState

BASE = weights()
IMAGES, LABELS = striped_images(48)
TEST_IMAGES, TEST_LABELS = striped_images(60, seed=1)
FROZEN = {"learning_rate_init": 1e-30, "alpha": 0.0, "max_iter": 1}


def make(trainable="last:2", **parameters):
    defaults = {"weights": BASE, "random_state": 0, "n_jobs": 1, "max_iter": 2}
    return FineTunedClassifier(trainable, **{**defaults, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return make(early_stopping=False, learning_rate_init=3e-3, max_iter=4).fit(IMAGES, LABELS)


# The start -------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", ["head", "last:1", "last:2", "last:4", ("conv3",)])
@pytest.mark.parametrize("scaling", [None, "l2"])
def test_it_starts_as_the_frozen_pipeline(trainable, scaling):
    classifier = make(trainable, scaling=scaling, early_stopping=False, **FROZEN)
    classifier.fit(IMAGES, LABELS)
    assert classifier.scaling_ == scaling
    steps = [
        DeCAFTransformer(classifier.layer_, weights=BASE),
        FunctionTransformer(np.float64),
        *([Normalizer()] if scaling else []),
        LogisticRegression(C=classifier.C_, max_iter=5000, tol=1e-8),
    ]
    pipeline = make_pipeline(*steps).fit(IMAGES, LABELS)
    found = classifier.predict_proba(TEST_IMAGES)
    assert_allclose(found, pipeline.predict_proba(TEST_IMAGES), atol=5e-3)


def test_the_layer_is_chosen_or_given():
    assert make("head", layer=6, **FROZEN).fit(IMAGES, LABELS).layer_ == "relu3"
    assert make("head", layer="relu2", **FROZEN).fit(IMAGES, LABELS).layer_ == "relu2"
    assert make("last:1", **FROZEN).fit(IMAGES, LABELS).layer_ == "relu4"  # or nothing is trained


# The training ----------------------------------------------------------------------------------


def test_it_learns_what_the_frozen_network_does_not_know():
    images, labels = striped_images(48, noise=80.0)
    tests = striped_images(60, noise=80.0, seed=1)
    frozen = make("head", early_stopping=False, **FROZEN).fit(images, labels)
    tuned = make("last:4", early_stopping=False, max_iter=20, learning_rate_init=5e-3, layer=7)
    tuned.fit(images, labels)
    assert tuned.loss_curve_[-1] < 0.5 * tuned.loss_curve_[0]
    assert tuned.score(*tests) > frozen.score(*tests) + 0.05


def test_training_from_the_cut_is_training_from_the_pixels():
    classifier = make(
        "last:2",
        layer=7,
        scaling="l2",
        early_stopping=False,
        augmentation=None,
        learning_rate_init=0.01,
    )
    start = clone(classifier).set_params(**FROZEN).fit(IMAGES, LABELS)
    classifier.fit(IMAGES, LABELS)
    assert classifier.cut_layer_ == "relu2"
    assert classifier.trained_layers_ == ("conv3", "conv4", "fc")
    network = start.to_transformer().weights
    parameters = {name: values.copy() for name, values in network.parameters.items()}
    plan = TrainingPlan(network.architecture, parameters, "fc", trainable=("conv3", "conv4", "fc"))
    pixels = IMAGES[:, 2:18, 2:18]  # resized to 20 x 20, and the centre of 16 x 16 cut out
    loop = TrainingLoop(
        plan,
        ArrayData(pixels),
        Objective(multinomial_logistic, LABELS),
        np.arange(len(IMAGES)),
        AdamW(weight_decay=1e-4),
        Cosine(0.01, 4),
        LoopOptions(max_epochs=2),
        state=TrainingState(seed=seed_of(classifier)),
    )
    result = loop.run()
    for name, values in classifier.parameters_.items():
        assert_allclose(values, result[name], atol=2e-4, err_msg=name)
        assert np.abs(values - network.parameters[name]).max() > 1e-3


def seed_of(classifier):
    """The seed of a training that follows a cross-validation."""
    seeds = []
    original = TrainingState.__init__

    def note(self, *args, **keywords):
        original(self, *args, **keywords)
        seeds.append(self.seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingState, "__init__", note)
        clone(classifier).set_params(max_iter=1).fit(IMAGES, LABELS)
    return seeds[0]


def test_mirror_images_are_learned_from():
    """Stripes across and along look the same in a mirror; slanted ones do not."""
    recipe = make()._recipe_for(BASE, ("pool1", "relu4"), (None, "avg"), with_mirror=True)
    plain = replace(recipe, with_mirror=False)
    options = {"batch_size": 7, "n_threads": 1, "on_error": "raise"}
    rows = np.concatenate([r for _, r, _ in recipe.iter_rows(check_images(IMAGES), **options)])
    flipped = check_images(IMAGES[:, :, ::-1])
    expected = [
        np.concatenate([r for _, r, _ in plain.iter_rows(images, **options)])
        for images in (check_images(IMAGES), flipped)
    ]
    assert_array_equal(rows, np.hstack(expected), strict=True)
    assert list(recipe.output_columns()) == [
        "pool1",
        "relu4:avg",
        "pool1|mirror",
        "relu4:avg|mirror",
    ]


def test_layers_below_stay(fitted):
    assert set(fitted.parameters_) == {
        f"{layer}.{kind}" for layer in fitted.trained_layers_ for kind in ("kernel", "bias")
    }
    now = fitted.to_transformer().weights.parameters
    assert_array_equal(now["conv1.kernel"], BASE.parameters["conv1.kernel"])


def test_normalisations_keep_their_statistics():
    net = replace(
        NETWORK,
        layers=(
            Conv("conv1", filters=8, kernel_size=3),
            BatchNorm("norm1"),
            ReLU("relu1"),
            *(GlobalAveragePool("pool"), Dense("fc", units=4), Softmax("prob")),
        ),
        decaf_layers={7: "relu1", 8: "fc"},
    )
    base = Weights(net, initial_parameters(net, 0))
    classifier = make("last:1", weights=base, early_stopping=False).fit(IMAGES, LABELS)
    kinds = {"conv1": ("kernel", "bias"), "norm1": ("scale", "shift"), "fc": ("kernel", "bias")}
    assert set(classifier.parameters_) == {f"{n}.{kind}" for n in kinds for kind in kinds[n]}
    now = classifier.to_transformer().weights.parameters
    assert_array_equal(now["norm1.mean"], base.parameters["norm1.mean"])
    assert np.abs(now["norm1.scale"] - base.parameters["norm1.scale"]).max() > 0


def test_the_same_bits_each_time(fitted):
    again = clone(fitted).set_params(n_jobs=2).fit(IMAGES, LABELS)
    assert again.loss_curve_ == fitted.loss_curve_
    for name, values in fitted.parameters_.items():
        assert_array_equal(again.parameters_[name], values)
    assert_array_equal(again.predict_proba(TEST_IMAGES), fitted.predict_proba(TEST_IMAGES))


def test_the_whole_network():
    classifier = make("all", early_stopping=False, learning_rate_init=3e-3).fit(IMAGES, LABELS)
    assert classifier.cut_layer_ == "data"
    assert classifier.trained_layers_[0] == "conv1"
    assert classifier.predict_proba(TEST_IMAGES).shape == (60, 3)
    assert_allclose(
        classifier.predict_proba(TEST_IMAGES),
        classifier.to_transformer("prob").transform(TEST_IMAGES),
        atol=1e-5,
    )


# Validation ------------------------------------------------------------------------------------


def test_the_best_epoch_is_kept():
    classifier = make(
        "last:4", layer=7, max_iter=6, learning_rate_init=0.01, validation_fraction=0.25
    )
    classifier.fit(IMAGES, LABELS)
    assert len(classifier.validation_scores_) == 1 + classifier.n_iter_ == 7
    assert classifier.best_validation_score_ == max(classifier.validation_scores_)
    assert classifier.best_epoch_ == np.argmax(classifier.validation_scores_)


def test_where_nothing_is_won_nothing_is_trained():
    """Steps that are much too large: the frozen pipeline wins, fitted to all images."""
    images, labels = striped_images(60, noise=5.0)
    classifier = make("last:2", learning_rate_init=10.0, validation_fraction=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it may diverge
        classifier.fit(images, labels)
    assert classifier.best_epoch_ == 0
    assert all(name.startswith("fc.") for name in classifier.parameters_)
    C, layer, scaling = classifier.C_, classifier.layer_, classifier.scaling_
    frozen = make("last:2", layer=layer, scaling=scaling, C=C, early_stopping=False, **FROZEN)
    frozen.fit(images, labels)
    assert_allclose(
        classifier.predict_proba(TEST_IMAGES), frozen.predict_proba(TEST_IMAGES), atol=1e-6
    )


# The cache -------------------------------------------------------------------------------------


def test_the_cut_is_computed_once(tmp_path, monkeypatch, fitted):
    cached = clone(fitted).set_params(cache=tmp_path).fit(IMAGES, LABELS)
    assert_array_equal(cached.predict_proba(TEST_IMAGES), fitted.predict_proba(TEST_IMAGES))
    n = len(ActivationCache(tmp_path))
    monkeypatch.setattr(Recipe, "iter_rows", None)  # nothing is computed from now on
    again = clone(cached).set_params(learning_rate_init=0.01).fit(IMAGES, LABELS)
    again.predict(TEST_IMAGES)
    cached.predict(IMAGES)
    assert len(ActivationCache(tmp_path)) == n


@pytest.mark.slow
def test_a_search_over_depth_and_rate(tmp_path):
    grid = {"trainable": ["head", "last:2"], "learning_rate_init": [1e-3, 1e-2]}
    search = GridSearchCV(
        make(cache=tmp_path, max_iter=3, early_stopping=False), grid, cv=2, n_jobs=2
    )
    search.fit(IMAGES, LABELS)
    assert search.best_score_ > 0.4
    assert search.predict(TEST_IMAGES).shape == (60,)
    single = clone(search).set_params(n_jobs=1, estimator__cache=None).fit(IMAGES, LABELS)
    assert_array_equal(search.cv_results_["mean_test_score"], single.cv_results_["mean_test_score"])


# Where results go --------------------------------------------------------------------------------


def test_the_transformer_has_the_tuned_network(fitted, tmp_path):
    transformer = fitted.to_transformer(8)
    assert_allclose(
        transformer.transform(TEST_IMAGES), fitted.decision_function(TEST_IMAGES), atol=1e-4
    )
    features = fitted.to_transformer().transform(TEST_IMAGES)
    assert features.shape == (60, 16 if fitted.layer_ == "relu4" else 12)
    path = tmp_path / "tuned.safetensors"
    sha256 = fitted.save_weights(path)
    loaded = DeCAFTransformer(fitted.to_transformer().layer, weights=path)
    assert_array_equal(loaded.fit(TEST_IMAGES).transform(TEST_IMAGES), features)
    assert loaded.weights_sha256_ == sha256
    assert loaded.predict_labels(TEST_IMAGES[:1], top=1)[0][0][0] in {"0", "1", "2"}


def test_the_tuned_network_in_the_cache_in_files_and_in_displays(fitted, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    from sklearn_decaf.inspection import ActivationDisplay, FilterDisplay

    paths = []
    for i, image in enumerate(TEST_IMAGES[:5]):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(paths[-1])
    transformer = fitted.to_transformer(8).set_params(cache=tmp_path / "cache")
    expected = fitted.decision_function(TEST_IMAGES[:5])
    assert_allclose(transformer.transform(paths), expected, atol=1e-4)
    assert len(ActivationCache(tmp_path / "cache")) >= 5
    found = extract(
        paths, tmp_path / "scores", transformer=transformer, format="npy", verbose=False
    )
    assert_allclose(np.load(found.files[0]), expected, atol=1e-4)
    FilterDisplay.from_estimator(transformer)
    ActivationDisplay.from_estimator(transformer, paths[0], layer="conv3")


def test_another_input_size_goes_along(tmp_path):
    classifier = make("last:1", crop=12, resize="crop", **FROZEN).fit(IMAGES, LABELS)
    path = tmp_path / "small.safetensors"
    classifier.save_weights(path)
    loaded = DeCAFTransformer(8, weights=path, resize="crop")
    expected = classifier.decision_function(TEST_IMAGES)
    assert_allclose(loaded.transform(TEST_IMAGES), expected, atol=1e-4)


def test_a_pickle_has_what_was_trained(fitted, tmp_path):
    path = tmp_path / "base.safetensors"
    save_weights(BASE, path)
    classifier = clone(fitted).set_params(weights=str(path), trainable="last:1").fit(IMAGES, LABELS)
    text = pickle.dumps(classifier)
    assert b"conv3.kernel" not in text
    assert b"conv4.kernel" in text
    other = pickle.loads(text)
    assert_array_equal(other.predict_proba(TEST_IMAGES), classifier.predict_proba(TEST_IMAGES))
    save_weights(weights(seed=1), path)
    with pytest.raises(WeightsError, match="have changed since"):
        pickle.loads(text).predict(TEST_IMAGES)


def test_a_copy_is_as_good(fitted):
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted), copy.copy(fitted)):
        assert_array_equal(other.predict_proba(TEST_IMAGES), fitted.predict_proba(TEST_IMAGES))
    with pytest.raises(NotFittedError):
        clone(fitted).predict(TEST_IMAGES)


# A stream --------------------------------------------------------------------------------------


def test_a_stream():
    classifier = make(layer=7, learning_rate_init=3e-3)
    losses = []
    for i in range(8):
        images, labels = striped_images(24, seed=i)
        classifier.partial_fit(images, labels, classes=[0, 1, 2, 3] if i == 0 else None)
        losses.append(classifier.loss_curve_[-1])
        if i == 4:
            classifier = pickle.loads(pickle.dumps(classifier))
    assert classifier.n_iter_ == 8
    assert len(classifier.loss_curve_) == 8
    assert min(losses[4:]) < losses[0]
    assert classifier.predict_proba(TEST_IMAGES).shape == (60, 4)
    assert 3 not in classifier.predict(TEST_IMAGES)


def test_a_stream_goes_on_after_fit(fitted):
    other = pickle.loads(pickle.dumps(fitted))
    before = other.predict_proba(TEST_IMAGES)
    other.partial_fit(IMAGES, LABELS)
    assert np.abs(other.predict_proba(TEST_IMAGES) - before).max() > 1e-4
    with pytest.raises(ValueError, match="are not those of an earlier call"):
        other.partial_fit(IMAGES, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match="the label of row 0, 5, is none of the classes"):
        other.partial_fit(IMAGES[:3], [5, 0, 1])
    with pytest.raises(ValueError, match="classes must be passed"):
        make().partial_fit(IMAGES, LABELS)
    with pytest.raises(ValueError, match="balanced"):
        make(class_weight="balanced").partial_fit(IMAGES, LABELS, classes=[0, 1, 2])


# Weights and labels ----------------------------------------------------------------------------


def test_images_without_weight_do_not_count():
    wrong = np.r_[LABELS, (LABELS[:12] + 1) % 3]
    images = np.r_[IMAGES, IMAGES[:12]]
    share = np.r_[np.ones(48), np.zeros(12)]
    options = {"C": 1.0, "layer": 7, "scaling": None, "early_stopping": False}
    found = make("head", **options, **FROZEN).fit(images, wrong, sample_weight=share)
    expected = make("head", **options, **FROZEN).fit(IMAGES, LABELS)
    assert_allclose(
        found.predict_proba(TEST_IMAGES), expected.predict_proba(TEST_IMAGES), atol=2e-3
    )


def test_labels_of_any_kind():
    names = np.array(["across", "along", "both"])[LABELS]
    classifier = make("head", class_weight="balanced", **FROZEN).fit(list(IMAGES), names.tolist())
    assert set(classifier.predict(TEST_IMAGES)) <= set(names)
    two = LABELS < 2
    classifier = make("head", class_weight={0: 2.0}, **FROZEN).fit(IMAGES[two], LABELS[two])
    scores = classifier.decision_function(TEST_IMAGES)
    assert scores.shape == (60,)
    assert_array_equal(classifier.predict(TEST_IMAGES), (scores > 0).astype(int))
    assert_allclose(
        np.log(classifier.predict_proba(TEST_IMAGES)), classifier.predict_log_proba(TEST_IMAGES)
    )


@pytest.mark.parametrize(
    ("parameters", "labels", "message"),
    [
        ({}, LABELS[:-1], "y has 47 labels, and X has 48 images"),
        ({}, np.zeros(48, int), "y has one class, 0"),
        ({}, [None, *LABELS[1:]], "the label of row 0 is missing"),
        ({"trainable": "last:9"}, LABELS, "has 4 blocks below the head"),
        ({"trainable": ("conv4",), "layer": 6}, LABELS, "none of the layers|below 'relu3'"),
        ({"validation_fraction": 0.01}, LABELS, "cannot be split"),
        ({"layer": 4}, LABELS, "is not a layer of striped"),
        ({"layer": "pool1", "scaling": "l3"}, LABELS, "scaling"),
    ],
)
def test_what_cannot_be_fitted_is_named(parameters, labels, message):
    with pytest.raises(ValueError, match=message):
        make(**parameters).fit(IMAGES, labels)
