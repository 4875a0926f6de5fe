"""Curves of trainings: what is drawn, and where."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from sklearn_decaf.inspection import LearningCurveDisplay
from sklearn_decaf.training import ConvNetClassifier

plt = pytest.importorskip("matplotlib.pyplot")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(24) % 2


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def points(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line.get_xdata().tolist(), line.get_ydata().tolist()


def test_from_a_network():
    network = ConvNetClassifier(
        max_iter=3, batch_size=6, early_stopping=True, validation_fraction=0.25, random_state=0
    ).fit(IMAGES, LABELS)
    display = LearningCurveDisplay.from_estimator(network)
    epochs = list(range(1, network.n_iter_ + 1))
    assert points(display.ax_, "loss") == (epochs, network.loss_curve_)
    assert points(display.score_ax_, "validation score") == (epochs, network.validation_scores_)
    places, rates = points(display.rate_ax_, "learning rate")
    assert (places[-1], rates) == (epochs[-1], network.learning_rates_)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_from_estimators_of_others():
    rows = IMAGES.reshape(24, -1) / 255
    pipeline = make_pipeline(PCA(4), MLPClassifier((4,), max_iter=4, random_state=0))
    search = GridSearchCV(pipeline, {"pca__n_components": [3]}, cv=2).fit(rows, LABELS)
    display = LearningCurveDisplay.from_estimator(search)
    assert points(display.ax_, "loss")[1] == search.best_estimator_[-1].loss_curve_
    assert display.score_ax_ is None and display.rate_ax_ is None


def test_one_more_score_is_that_of_the_beginning():
    display = LearningCurveDisplay([2.0, 1.0], [0.5, 0.75, 0.625], best_epoch=1).plot()
    assert points(display.score_ax_, "validation score") == ([0, 1, 2], [0.5, 0.75, 0.625])
    marked = [line for line in display.score_ax_.get_lines() if line.get_markersize() == 9]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in marked] == [(1, 0.75)]


def test_given_axes_and_scale():
    _, ax = plt.subplots()
    display = LearningCurveDisplay([2.0, 1.0]).plot(ax, log_loss=True)
    assert display.ax_ is ax and ax.get_yscale() == "log"


def test_nothing_to_show():
    with pytest.raises(TypeError, match=r"loss_curve_.*PCA"):
        LearningCurveDisplay.from_estimator(PCA(2).fit(np.eye(4)))
    with pytest.raises(NotFittedError):
        LearningCurveDisplay.from_estimator(ConvNetClassifier())
