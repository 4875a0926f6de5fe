"""Estimators that train a network: images and rows, options, pickles, searches, streams."""

import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.exceptions import ImageError
from sklearn_decaf.networks import (
    Architecture,
    Preprocessing,
    get_architecture,
    load_weights,
    save_weights,
)
from sklearn_decaf.networks.layers import BatchNorm, Conv, Dense, ReLU
from sklearn_decaf.networks.reference import forward
from sklearn_decaf.training import ConvNetClassifier, ConvNetRegressor, Mirror
from sklearn_decaf.training._divergence import Diverged

TINY = (Conv("conv", filters=4, kernel_size=3, padding=1, stride=2), ReLU("relu"))
FAST = {"network": TINY, "learning_rate_init": 0.02, "max_iter": 6, "random_state": 0, "n_jobs": 1}


def parameters_of(net):
    return {name: values.tobytes() for name, values in net.weights_.parameters.items()}


@pytest.fixture(scope="module")
def fitted(stripes):
    images, labels = stripes
    names = np.array(["lying", "standing"])[labels]
    return ConvNetClassifier(**FAST).fit(images, names)


def encoded(image, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def test_images_in_all_forms_give_the_same_network(fitted, stripes, tmp_path):
    images, labels = stripes
    expected = parameters_of(fitted)
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images):
        path.write_bytes(encoded(image))
    forms = [
        list(images),
        [Image.fromarray(image) for image in images],
        images.astype(np.float64) / 255,
    ]
    unknown_sizes = [[encoded(image) for image in images], paths, pd.DataFrame({"path": paths})]
    for X in (*forms, *unknown_sizes):
        size = 6 if any(X is form for form in unknown_sizes) else None
        net = ConvNetClassifier(**FAST, image_size=size).fit(X, fitted.classes_[labels])
        assert parameters_of(net) == expected
        np.testing.assert_array_equal(net.predict_proba(X), fitted.predict_proba(images))
    with pytest.raises(ValueError, match="pass image_size="):
        ConvNetClassifier(**FAST).fit(paths, labels)
    paths[7].write_bytes(b"no image")
    with pytest.raises(ImageError, match="row 7"):
        ConvNetClassifier(**FAST, image_size=6).fit(paths, labels)


def test_images_that_are_not_held_are_read_each_time(fitted, stripes):
    images, labels = stripes
    net = ConvNetClassifier(**FAST)
    net._held = 0
    assert parameters_of(net.fit(images, fitted.classes_[labels])) == parameters_of(fitted)


def test_rows(fitted, stripes):
    images, labels = stripes
    rows = images.reshape(40, -1)
    net = ConvNetClassifier(**FAST, image_shape=(6, 6, 3)).fit(rows, labels)
    assert parameters_of(net) == parameters_of(fitted) and net.n_features_in_ == 108
    grey = rows[:, ::3].astype(float) - 1000  # numbers of any range
    net = ConvNetClassifier(**FAST, image_shape=(6, 6)).fit(grey, labels)
    assert net.score(grey, labels) > 0.9
    mean = net.weights_.architecture.preprocessing.mean
    np.testing.assert_allclose(mean, [grey.mean()] * 3, rtol=1e-4)
    pipeline = make_pipeline(MinMaxScaler(), ConvNetClassifier(**FAST, image_shape=(6, 6)))
    assert pipeline.fit(grey, labels).score(grey, labels) > 0.9
    with pytest.raises(ValueError, match=r"36 features.*6 \* 5 \* 1 = 30"):
        ConvNetClassifier(**FAST, image_shape=(6, 5)).fit(grey, labels)
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        ConvNetClassifier(**FAST, image_shape=(3, 3, 4)).fit(grey, labels)
    with pytest.raises(ValueError, match="need image_shape="):
        ConvNetClassifier(**FAST).fit(grey, labels)


def test_predictions(fitted, stripes):
    images, labels = stripes
    assert fitted.score(images, fitted.classes_[labels]) > 0.95
    probabilities = fitted.predict_proba(images)
    net = fitted.weights_.architecture
    scores = forward(net, fitted.weights_.parameters, images, ["scores"])["scores"]
    odds = np.log(probabilities[:, 1] / probabilities[:, 0])
    np.testing.assert_allclose(odds, scores[:, 1] - scores[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.decision_function(images), odds, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(images)), probabilities)
    assert set(fitted.predict(images)) == {"lying", "standing"}
    np.testing.assert_array_equal(fitted.predict_proba(images[5:6]), probabilities[5:6])
    assert fitted.predict([]).shape == (0,) and fitted.predict_proba([]).shape == (0, 2)
    with pytest.raises(NotFittedError):
        ConvNetClassifier().predict(images)


def test_the_same_bits_at_every_fit_and_with_any_threads(fitted, stripes):
    images, labels = stripes
    options = {**FAST, "augmentation": ("crop", "mirror", "colour"), "dropout": {"relu": 0.5}}
    expected = parameters_of(ConvNetClassifier(**options).fit(images, labels))
    again = ConvNetClassifier(**{**options, "n_jobs": 3}).fit(images, labels)
    assert parameters_of(again) == expected
    other = ConvNetClassifier(**{**options, "random_state": 1}).fit(images, labels)
    assert parameters_of(other) != expected != parameters_of(fitted)


def test_clone_and_pickle(fitted, stripes):
    images, _ = stripes
    copy = clone(fitted)
    assert not hasattr(copy, "weights_")
    params, copied = fitted.get_params(), copy.get_params()
    assert copied == params
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict_proba(images), fitted.predict_proba(images))
    size = sum(values.nbytes for values in fitted.weights_.parameters.values())
    assert len(pickle.dumps(fitted)) < size + 10_000


@pytest.mark.slow
def test_search(stripes):
    images, labels = stripes
    grid = {"learning_rate_init": [1e-6, 0.02], "augmentation": [None, Mirror()]}
    search = GridSearchCV(ConvNetClassifier(**FAST), grid, cv=2, error_score="raise", n_jobs=2)
    search.fit(list(images), labels)
    assert search.best_params_["learning_rate_init"] == 0.02 and search.best_score_ > 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "sgd"},
        {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.2},
        {"solver": "adam", "learning_rate": "step", "step_epochs": 4},
        {"solver": "adagrad", "learning_rate": "constant", "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
        {"solver": "adamw", "learning_rate": "adaptive"},
        {"ema": 0.7},
        {"max_norm": 1.0, "l1": 1e-4, "alpha": {"conv": 1e-3}, "layer_rates": {"conv": 0.5}},
        {"label_smoothing": 0.1, "exact": True, "batch_size": 8},
        {"solver": "lbfgs", "max_iter": 30},
    ],
    ids=str,
)
def test_all_solvers_and_schedules_learn(stripes, options):
    images, labels = stripes
    net = ConvNetClassifier(**{**FAST, "max_iter": 12, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(images, labels)
    assert net.score(images, labels) > 0.9
    assert net.loss_curve_[-1] < 0.8 * net.loss_curve_[0]
    assert len(net.loss_curve_) == net.n_iter_


@pytest.mark.parametrize("early_stopping", [False, True])
def test_batch_normalisation(stripes, early_stopping):
    """With the statistics of groups, their running averages, or without any."""
    images, labels = stripes
    network = (TINY[0], BatchNorm("norm"), TINY[1])
    options = {**FAST, "network": network, "batch_size": 13, "early_stopping": early_stopping}
    options["max_iter"] = 12
    grouped = ConvNetClassifier(**options).fit(images, labels)  # the last batch is one image
    frozen = ConvNetClassifier(**options, batch_norm="frozen").fit(images, labels)
    for net, moved in ((grouped, True), (frozen, False)):
        assert net.score(images, labels) > 0.9
        found = net.weights_.parameters
        assert (found["norm.mean"] != 0).all() == moved
        assert (found["norm.variance"] != 1).all() == moved
    again = ConvNetClassifier(**{**options, "n_jobs": 3}).fit(images, labels)
    assert parameters_of(again) == parameters_of(grouped)


def test_attributes(fitted):
    assert fitted.n_iter_ == 6 and fitted.n_steps_ == 12
    assert len(fitted.loss_curve_) == 6 and fitted.loss_ == fitted.loss_curve_[-1]
    assert fitted.best_loss_ == min(fitted.loss_curve_)
    assert len(fitted.learning_rates_) == len(fitted.step_losses_) == 12
    assert fitted.learning_rates_[0] == 0.02 and fitted.learning_rates_[-1] < 0.001
    assert fitted.validation_scores_ is None and fitted.best_validation_score_ is None


def test_what_mlp_has(stripes):
    """Parameters and attributes of the same names, with the same meaning where both have them."""
    images, labels = stripes
    ours, theirs = ConvNetClassifier().get_params(), MLPClassifier().get_params()
    assert theirs.keys() - ours.keys() == {"hidden_layer_sizes", "activation"}
    common = {"early_stopping": True, "n_iter_no_change": 3, "random_state": 0, "max_iter": 5}
    net = ConvNetClassifier(network=TINY, **common).fit(images, labels)
    mlp = MLPClassifier(**common).fit(images.reshape(40, -1) / 255, labels)
    for name in ("validation_scores_", "best_validation_score_", "n_iter_", "loss_curve_"):
        one, other = getattr(net, name), getattr(mlp, name)
        assert np.ndim(one) == np.ndim(other)
    assert net.best_loss_ is None and mlp.best_loss_ is None


def test_early_stopping_keeps_the_best(stripes):
    images, labels = stripes
    labels = labels.copy()
    labels[::7] = 1 - labels[::7]  # some that nobody can learn
    net = ConvNetClassifier(
        **{**FAST, "max_iter": 40, "learning_rate": "constant", "learning_rate_init": 0.05},
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=4,
    ).fit(images, labels)
    scores = net.validation_scores_
    assert net.best_validation_score_ == max(scores) and net.n_iter_ == len(scores) < 40
    best = int(np.argmax(scores))
    assert net.n_iter_ == best + 6  # five without progress, one more than four
    with pytest.raises(ValueError, match="early_stopping=True"):
        net.fit(images[:3], [0, 0, 1])


def test_weights_of_images_and_classes(stripes):
    images, labels = stripes
    weights = np.where(np.arange(40) < 30, 1.0, 0.0)
    net = ConvNetClassifier(**FAST).fit(images, labels, sample_weight=weights)
    part = ConvNetClassifier(**FAST).fit(images, labels, sample_weight=2 * weights)
    assert parameters_of(net) == parameters_of(part)
    twice = ConvNetClassifier(**FAST, class_weight={0: 1, 1: 2}).fit(images, labels)
    own = ConvNetClassifier(**FAST).fit(images, labels, sample_weight=1 + labels)
    assert parameters_of(twice) == parameters_of(own)
    few = np.r_[:20:2, 21:40:6]  # ten of one class, four of the other
    shares = []
    for class_weight in (None, "balanced"):
        net = ConvNetClassifier(**{**FAST, "max_iter": 1}, class_weight=class_weight)
        shares.append(net.fit(images[few], labels[few]).predict_proba(images[few])[:, 0].mean())
    assert shares[0] > shares[1] + 0.01
    with pytest.raises(ValueError, match="sample weights are zero"):
        ConvNetClassifier(**FAST).fit(images, labels, sample_weight=0 * weights)
    with pytest.raises(ValueError, match="negative"):
        ConvNetClassifier(**FAST).fit(images, labels, sample_weight=-weights)


def test_warm_start_goes_on(stripes):
    images, labels = stripes
    net = ConvNetClassifier(**{**FAST, "max_iter": 2}, warm_start=True).fit(images, labels)
    first = parameters_of(net)
    net.fit(images, labels)
    assert net.n_iter_ == len(net.loss_curve_) == 4 and net.loss_curve_[2] < net.loss_curve_[0]
    assert net.learning_rates_[:4] == net.learning_rates_[4:]
    assert parameters_of(net) != first
    with pytest.raises(ValueError, match=r"goes on with the classes.*\[0, 1\]; y has \[0, 1, 2\]"):
        net.fit(images, [2, *labels[1:]])
    net.warm_start = False
    assert parameters_of(net.fit(images, labels)) == first


def test_partial_fit_on_a_stream(stripes):
    images, labels = stripes
    net = ConvNetClassifier(**FAST, batch_size=5)
    for _ in range(4):
        for i in range(0, 40, 10):
            net.partial_fit(images[i : i + 10], labels[i : i + 10], classes=[0, 1])
            net = pickle.loads(pickle.dumps(net))
    assert net.n_iter_ == 16 and net.n_steps_ == 32 and set(net.learning_rates_) == {0.02}
    assert net.score(images, labels) > 0.9
    with pytest.raises(ValueError, match="label of row 1, 7, is none"):
        net.partial_fit(images[:2], [0, 7])
    with pytest.raises(ValueError, match="classes must be passed"):
        clone(net).partial_fit(images, labels)
    with pytest.raises(ValueError, match="early_stopping"):
        clone(net).set_params(early_stopping=True).partial_fit(images, labels, classes=[0, 1])
    with pytest.raises(ValueError, match="balanced"):
        clone(net).set_params(class_weight="balanced").partial_fit(images, labels, classes=[0, 1])
    assert not hasattr(ConvNetClassifier(solver="lbfgs"), "partial_fit")


def test_the_solver_goes_on_in_partial_fit(stripes):
    """Calls for halves of the images are the steps of one epoch, if they are not shuffled."""
    images, labels = stripes
    options = {**FAST, "solver": "sgd", "batch_size": 20, "shuffle": False}
    whole = ConvNetClassifier(**{**options, "learning_rate": "constant", "max_iter": 1})
    whole.network = get_small_architecture()
    halves = clone(whole)
    with pytest.warns(ConvergenceWarning):
        whole.fit(images, labels)
    for part in (slice(0, 20), slice(20, 40)):
        halves.partial_fit(images[part], labels[part], classes=[0, 1])
    assert halves.n_steps_ == whole.n_steps_ == 2
    assert parameters_of(halves) == parameters_of(whole)


def get_small_architecture():
    """One with a mean of its own, whatever images come first."""
    return Architecture(
        "small",
        (*TINY, Dense("fc", units=2)),
        Preprocessing(resize=6, crop=6, mean=(128.0,) * 3, std=(64.0,) * 3),
        {},
    )


def test_a_known_network_is_trained_from_the_beginning(stripes):
    images, labels = stripes
    net = ConvNetClassifier("squeezenet1_1", image_size=48, max_iter=1, random_state=0)
    net.fit(images[:4], labels[:4])
    architecture = net.weights_.architecture
    assert architecture.shapes()["pool10"] == (2,) and architecture.input_shape == (48, 48, 3)
    own = get_architecture("squeezenet1_1").preprocessing
    assert architecture.preprocessing.mean == own.mean
    assert net.predict(images[:2]).shape == (2,)


def test_features_of_the_network(fitted, stripes, tmp_path):
    images, _ = stripes
    net = fitted.weights_.architecture
    transformer = fitted.to_transformer()
    assert isinstance(transformer, DeCAFTransformer)
    rows = transformer.fit_transform(images)
    expected = forward(net, fitted.weights_.parameters, images, ["relu"])["relu"]
    np.testing.assert_allclose(rows, expected.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    save_weights(fitted.weights_, tmp_path / "net.safetensors")
    weights = load_weights(tmp_path / "net.safetensors")
    assert weights.architecture == net and weights.own_classes
    again = DeCAFTransformer(7, weights=weights, resize="warp", dropout=False)
    np.testing.assert_array_equal(again.fit_transform(images), rows)
    grey = images[..., 0].reshape(40, -1).astype(float)
    net = ConvNetClassifier(**FAST, image_shape=(6, 6)).fit(grey, fitted.predict(images))
    with pytest.raises(ValueError, match="rows of floats"):
        net.to_transformer()


def test_a_fit_that_fails_leaves_nothing_of_the_one_before(stripes):
    images, labels = stripes
    net = ConvNetClassifier(**FAST).fit(images, labels)
    net.set_params(solver="sgd", learning_rate_init=1e20)
    with pytest.raises(Diverged):
        net.fit(images, labels)
    with pytest.raises(NotFittedError):
        net.predict(images)


def test_divergence_is_named(stripes):
    images, labels = stripes
    net = ConvNetClassifier(**{**FAST, "solver": "sgd", "learning_rate_init": 1e20})
    with pytest.raises(Diverged, match=r"at step \d+ \(epoch 1 of 6\).*'adamw' trains them"):
        net.fit(images, labels)


def test_a_training_that_was_too_short_is_mentioned(stripes):
    images, labels = stripes
    net = ConvNetClassifier(**{**FAST, "learning_rate": "constant", "max_iter": 2})
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        net.fit(images, labels)


def test_regression(stripes):
    images, _ = stripes
    y = images[:, :3].mean(axis=(1, 2, 3)) * 1000
    net = ConvNetRegressor(**{**FAST, "max_iter": 30}).fit(images, y)
    assert net.score(images, y) > 0.8 and net.predict(images).shape == (40,)
    both = np.c_[y, -2 * y]
    net = ConvNetRegressor(**{**FAST, "max_iter": 30}, early_stopping=True).fit(images, both)
    assert net.predict(images).shape == (40, 2) and net.score(images, both) > 0.5
    assert net.n_outputs_ == 2 and max(net.validation_scores_) == net.best_validation_score_
    with pytest.raises(ValueError, match="1 numbers an image, and had 2"):
        net.set_params(warm_start=True).fit(images, y)
    constant = ConvNetRegressor(**FAST).fit(images, np.full(40, 5.0))
    np.testing.assert_allclose(constant.predict(images), 5, atol=0.5)
    net = ConvNetRegressor(**FAST, image_shape=(6, 6, 3))
    for _ in range(20):
        net.partial_fit(images.reshape(40, -1), y)
    assert net.score(images.reshape(40, -1), y) > 0.5


def test_a_network_without_a_convolution(stripes):
    images, labels = stripes
    net = ConvNetClassifier(**{**FAST, "network": [Dense("fc", units=8), ReLU("relu")]})
    assert net.fit(images, labels).score(images, labels) > 0.9
    alone = net.predict_proba(images[3:4])
    np.testing.assert_allclose(alone, net.predict_proba(images)[3:4], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "newton"}, "solver"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"network": 3}, "network"),
        ({"max_iter": 0}, "max_iter"),
        ({"augmentation": "flip"}, "flip"),
        ({"dropout": 1.0}, "dropout"),
        ({"layer_rates": {"conv9": 1}}, "conv9"),
        ({"alpha": {"conv9": 1}}, "conv9"),
        ({"checkpoint": "x", "random_state": None}, "random_state=None with a checkpoint"),
        ({"checkpoint": "x", "solver": "lbfgs"}, "lbfgs"),
    ],
)
def test_bad_parameters_are_named(stripes, options, message):
    images, labels = stripes
    with pytest.raises(ValueError, match=message):
        ConvNetClassifier(**{**FAST, **options}).fit(images, labels)


def test_labels_and_images_that_do_not_fit(stripes):
    images, labels = stripes
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ConvNetClassifier(**FAST).fit(images, labels[:-1])
    with pytest.raises(ValueError, match="no images to learn from"):
        ConvNetClassifier(**FAST, image_size=8).fit([], [])
    with pytest.raises(ValueError, match="label of row 2 is missing"):
        ConvNetClassifier(**FAST).fit(images, [0, 1, None, *labels[3:]])
    with pytest.raises(ValueError, match="requires y"):
        ConvNetClassifier(**FAST).fit(images, None)


def test_progress(stripes, capsys):
    images, labels = stripes
    ConvNetClassifier(**{**FAST, "max_iter": 2}, verbose=True).fit(images, labels)
    assert "[ConvNetClassifier, epoch 2/2, loss " in capsys.readouterr().err


@pytest.mark.slow
def test_digits():
    """The mean of five splits; a support vector machine has 99.0 % on the same."""
    X, y = load_digits(return_X_y=True)
    scores = []
    for seed in range(5):
        train, test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=y)
        net = ConvNetClassifier(image_shape=(8, 8), max_iter=15, random_state=seed)
        scores.append(net.fit(train, y_train).score(test, y_test))
    assert np.mean(scores) > 0.987  # it was 98.9 %
