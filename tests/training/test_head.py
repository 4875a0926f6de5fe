"""Networks with new heads: the same scores as a pipeline of features and a linear classifier."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.striped_images import NETWORK, striped_images, weights
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.weights.weights import Weights
from sklearn_decaf.training._frozen_pipeline import Choice, compare_pipelines, fit_pipeline
from sklearn_decaf.training._head import Head, scale_rows, with_head

PLAIN = Choice(Head("a"), 1.0, 0.0)


def tuned(base, head, frozen, n_classes):
    made = with_head(base.architecture, head, n_classes)
    own = {f"{made.scores}.kernel": frozen.kernel, f"{made.scores}.bias": frozen.bias}
    names = made.architecture.parameter_shapes()
    return Weights(made.architecture, {n: own.get(n, base.parameters.get(n)) for n in names})


@pytest.mark.parametrize("scaling", [None, "l2"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("layer", [7, 6])
def test_scores_of_the_network_are_those_of_the_pipeline(layer, scaling, n_classes):
    base = weights()
    images, labels = striped_images(30, n_classes=n_classes)
    steps = [
        DeCAFTransformer(layer, weights=base),
        FunctionTransformer(np.float64),
        LogisticRegression(C=3.0, max_iter=5000, tol=1e-8),
    ]
    if scaling:
        steps.insert(2, Normalizer())
    expected = make_pipeline(*steps).fit(images, labels).predict_proba(images)
    head = Head(NETWORK.decaf_layers[layer], scaling)
    rows = steps[0].transform(images)
    frozen = fit_pipeline({head.layer: rows}, Choice(head, 3.0, 0.0), labels, n_classes)
    network = tuned(base, head, frozen, n_classes)
    found = DeCAFTransformer("prob", weights=network).transform(images)
    assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("efficientnet_lite0", ("fc",)), ("squeezenet1_1", ("classes",)), ("caffenet", ("fc8",))],
)
def test_names_and_numbers(name, layers):
    net = get_architecture(name)
    made = with_head(net, Head(net.decaf_layers[6]), 5)
    assert made.scores in layers
    assert made.architecture.decaf_layers[8] == made.scores
    assert made.architecture.decaf_layers[6] == net.decaf_layers[6]
    assert 7 not in made.architecture.decaf_layers
    assert made.architecture.shapes()["prob"] == (5,)


def test_maps_have_no_length():
    net = get_architecture("caffenet")
    with pytest.raises(ValueError, match="are maps, which are not pooled"):
        with_head(net, Head("pool5", "l2"), 5)
    assert with_head(net, Head("pool5"), 5).architecture.parameter_shapes()["fc8.kernel"] == (
        9216,
        5,
    )


def test_rows_of_zeros_stay():
    rows = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    assert_allclose(scale_rows(rows, "l2"), [[0, 0], [0.6, 0.8]], rtol=1e-6)


# The choice ------------------------------------------------------------------------------------


def test_the_better_layer_is_chosen():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    good = np.eye(3)[labels] + rng.normal(0, 0.1, (60, 3))
    features = {"noise": rng.normal(0, 1, (60, 3)), "good": good}
    heads = [Head(layer, scaling) for layer in features for scaling in (None, "l2")]
    found = compare_pipelines(features, heads, labels, random_state=0)
    assert [choice.head.layer for choice in found] == ["good", "good", "noise", "noise"]
    assert found[0].score == 1.0 > found[-1].score
    assert all(np.isfinite(choice.C) for choice in found)


def test_too_few_images_to_cross_validate():
    features = {"a": np.eye(3, dtype=np.float32)}
    heads = [Head("a"), Head("a", "l2")]
    choices = compare_pipelines(features, heads, np.arange(3))
    assert [choice.head for choice in choices] == heads
    found = fit_pipeline(features, choices[0], np.arange(3), 3)
    assert (found.scores(features).argmax(axis=1) == np.arange(3)).all()


def test_a_class_without_images_never_wins():
    rng = np.random.default_rng(0)
    labels = np.array([0, 2] * 10)
    rows = (np.eye(3)[labels] + rng.normal(0, 0.1, (20, 3))).astype(np.float32)
    scores = fit_pipeline({"a": rows}, PLAIN, labels, 4).scores({"a": rows})
    assert set(scores.argmax(axis=1)) == {0, 2}
    assert (scores[:, [1, 3]].max() < scores[:, [0, 2]]).all()


def test_weights_of_images_count():
    """An image of weight 2 is as good as two of them."""
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(0, 1, (20, 3)).astype(np.float32), np.arange(20) % 2
    share = np.r_[np.full(5, 2.0), np.ones(15)]
    twice = np.r_[:5, :20]
    found = fit_pipeline({"a": rows}, PLAIN, labels, 2, share)
    expected = fit_pipeline({"a": rows[twice]}, PLAIN, labels[twice], 2)
    assert_allclose(found.kernel, expected.kernel, atol=2e-3)
