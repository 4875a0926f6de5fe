"""DeCAFTransformer inside scikit-learn: pipelines, searches, columns, output of other types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from oracles.cheap_layer import CHEAP
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.datasets import load_sample_photos


def test_pipeline_learns(photos, files):
    for X, y in (photos, files):
        classifier = make_pipeline(DeCAFTransformer(), LinearSVC()).fit(X[:8], y[:8])
        assert classifier.score(X[8:], y[8:]) == 1.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Liblinear failed to converge")
def test_grid_search_over_layer_dropout_and_c(files):
    X, y = files
    pipe = Pipeline(
        [("decaf", DeCAFTransformer(weights="squeezenet1_1", random_state=0)), ("svm", LinearSVC())]
    )
    grid = {"decaf__layer": [5, "pool1"], "decaf__dropout": [True, False], "svm__C": [0.1, 1.0]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert search.best_score_ == 1.0
    assert search.predict(X[:2]).tolist() == ["china", "flower"]


def test_cross_validation_in_two_processes(files):
    X, y = files
    classifier = make_pipeline(DeCAFTransformer(**CHEAP), StandardScaler(), LogisticRegression())
    one = cross_val_score(classifier, X, y, cv=3, n_jobs=1, error_score="raise")
    two = cross_val_score(classifier, X, y, cv=3, n_jobs=2, error_score="raise")
    assert_array_equal(one, two)


def test_column_transformer_and_feature_union(files):
    X, _ = files
    frame = pd.DataFrame({"photo": X, "width": np.arange(12.0)})
    for columns in ("photo", ["photo"]):
        columns_in = ColumnTransformer(
            [("decaf", DeCAFTransformer(**CHEAP), columns), ("rest", "passthrough", ["width"])]
        )
        rows = columns_in.fit_transform(frame)
        assert rows.shape == (12, 65)
        assert columns_in.get_feature_names_out()[[0, -1]].tolist() == [
            "decaf__pool1_0000",
            "rest__width",
        ]
    union = FeatureUnion(
        [("a", DeCAFTransformer(**CHEAP)), ("b", DeCAFTransformer(**{**CHEAP, "pooling": "max"}))]
    )
    assert union.fit_transform(X).shape == (12, 128)


def test_set_output_pandas_keeps_the_index(files):
    X, _ = files
    photos = pd.DataFrame({"photo": X}, index=[f"photo {i}" for i in range(12)])
    frame = DeCAFTransformer(**CHEAP).set_output(transform="pandas").fit_transform(photos)
    assert frame.columns.tolist() == DeCAFTransformer(**CHEAP).get_feature_names_out().tolist()
    assert frame.index.tolist() == photos.index.tolist()
    assert (frame.dtypes == np.float32).all()


def test_set_output_polars(files):
    polars = pytest.importorskip("polars")
    X, _ = files
    rows = DeCAFTransformer(**CHEAP).fit_transform(X)
    column = polars.DataFrame({"photo": X})
    for given in (X, column, column["photo"]):
        frame = DeCAFTransformer(**CHEAP).set_output(transform="polars").fit_transform(given)
        assert isinstance(frame, polars.DataFrame)
        assert_array_equal(frame.to_numpy(), rows)


@pytest.mark.slow
def test_sample_photographs_end_to_end():
    train, test = load_sample_photos(subset="train"), load_sample_photos(subset="test")
    classifier = make_pipeline(DeCAFTransformer(), LinearSVC()).fit(train.images, train.target)
    assert classifier.score(test.images, test.target) > 0.8  # guessing: 0.07


def test_joblib_knows_a_path_by_its_text(files, tmp_path):
    """A documented trap: an edited file gives its old features from a cache of joblib."""
    path = tmp_path / "photo.png"
    path.write_bytes(Path(files[0][0]).read_bytes())
    pipe = Pipeline(
        [("decaf", DeCAFTransformer(**CHEAP)), ("scale", StandardScaler(with_std=False))],
        memory=str(tmp_path / "cache"),
    )
    X = [str(path), files[0][2]]
    first = pipe.fit_transform(X)
    path.write_bytes(Path(files[0][1]).read_bytes())
    assert_array_equal(pipe.fit_transform(X), first)
    assert not np.array_equal(DeCAFTransformer(**CHEAP).transform(X[:1]), first[:1])


def test_predict_labels_under_another_output_container(photos):
    from sklearn import config_context

    expected = DeCAFTransformer().predict_labels(photos[0][:2], top=2)
    with config_context(transform_output="pandas"):
        assert DeCAFTransformer().predict_labels(photos[0][:2], top=2) == expected
    transformer = DeCAFTransformer().set_output(transform="pandas")
    assert transformer.predict_labels(photos[0][:2], top=2) == expected


def test_verbose_shows_progress(files, capsys):
    DeCAFTransformer(verbose=True, **CHEAP).transform(files[0])
    shown = capsys.readouterr().err
    assert "100%" in shown and "12/12" in shown and "/s" in shown
    DeCAFTransformer(**CHEAP).transform(files[0])
    assert capsys.readouterr().err == ""
