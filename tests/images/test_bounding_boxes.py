"""Photographs cropped to their bounding boxes, alone and in pipelines."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_decaf
from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.exceptions import ImageError, ImageWarning


def ramp(width, height):
    """An image whose pixel (x, y) is (x, y, 0)."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(width)
    pixels[..., 1] = np.arange(height)[:, None]
    return pixels


class Mean(TransformerMixin, BaseEstimator):
    """Mean colour: says which part of a ramp it sees."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([np.asarray(image).mean(axis=(0, 1)) for image in X])


def crop(image, box, enlarge=1.5, size=None, **parameters):
    crops = BoundingBoxCropper(enlarge, size, **parameters).transform([image], boxes=[box])
    (result,) = crops
    return np.asarray(result)


@pytest.mark.parametrize(
    ("box", "enlarge", "expected"),
    [
        ((40, 40, 80, 60), 1.0, (40, 40, 80, 60)),
        ((40, 40, 80, 60), 1.5, (30, 35, 90, 65)),
        ((40, 40, 80, 60), 0.5, (50, 45, 70, 55)),
        ((0, 0, 100, 90), 1.5, (0, 0, 120, 90)),  # cut off at the edges of the image
        ((100, 70, 119, 89), 2.0, (91, 61, 120, 90)),
        ((-20, 10, 20, 50), 1.0, (0, 10, 20, 50)),
        ((10.4, 10.6, 20.4, 20.6), 1.0, (10, 11, 20, 21)),
    ],
)
def test_the_region(box, enlarge, expected):
    result = crop(ramp(120, 90), box, enlarge)
    left, upper, right, lower = expected
    assert result.shape == (lower - upper, right - left, 3)
    assert np.array_equal(result, ramp(120, 90)[upper:lower, left:right])


def test_warping_as_pillow_does():
    image = Image.fromarray(ramp(120, 90))
    result = crop(image, (40, 40, 80, 60), size=64)
    expected = image.crop((30, 35, 90, 65)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(result, np.asarray(expected))
    assert BoundingBoxCropper().transform([image], boxes=[(1, 1, 9, 9)])[0].size == (256, 256)


def test_exif_orientation(tmp_path):
    """By default the boxes are those of the upright picture."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(ramp(60, 40)).save(path, exif=exif)
    upright = np.rot90(ramp(60, 40), -1)
    box = (5, 10, 15, 40)
    assert np.array_equal(crop(path, box, 1.0), upright[10:40, 5:15])
    assert np.array_equal(crop(path, box, 1.0, exif_transpose=False), ramp(60, 40)[10:40, 5:15])


PHOTOS = [ramp(100 + 2 * i, 80) for i in range(6)]
BOXES = np.array([[10 * i, 10, 10 * i + 20, 40] for i in range(6)], dtype=float)


def as_objects():
    X = np.empty((6, 5), dtype=object)
    for i in range(6):
        X[i] = [PHOTOS[i], *BOXES[i]]
    return X


COLUMNS = {
    "object array of 5": as_objects,
    "column_stack": lambda: np.column_stack(
        [np.fromiter(PHOTOS, dtype=object, count=6), BOXES.astype(object)]
    ),
    "pairs": lambda: list(zip(PHOTOS, BOXES)),
    "pairs of tuples": lambda: [(photo, tuple(box)) for photo, box in zip(PHOTOS, BOXES)],
    "pandas of 5": lambda: pd.DataFrame({"image": PHOTOS, **dict(zip("lurw", BOXES.T))}),
    "pandas of 2": lambda: pd.DataFrame({"image": PHOTOS, "box": list(BOXES)}),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_boxes_as_columns(kind):
    cropper = BoundingBoxCropper()
    expected = [np.asarray(image) for image in cropper.transform(PHOTOS, boxes=BOXES)]
    for found in (cropper.transform(COLUMNS[kind]()), cropper.fit_transform(COLUMNS[kind]())):
        assert len(found) == 6
        assert all(np.array_equal(a, b) for a, b in zip(found, expected))


def test_polars_and_paths(tmp_path):
    paths = []
    for i, photo in enumerate(PHOTOS):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(photo).save(paths[-1])
    expected = [np.asarray(x) for x in BoundingBoxCropper().transform(PHOTOS, boxes=BOXES)]
    wide = pl.DataFrame({"image": paths, **dict(zip("lurw", BOXES.T))})
    pair = pl.DataFrame({"image": paths, "box": BOXES.tolist()})
    for X in (wide, pair):
        assert all(
            np.array_equal(a, b) for a, b in zip(BoundingBoxCropper().transform(X), expected)
        )
    for boxes in (BOXES.tolist(), pd.DataFrame(BOXES), pl.DataFrame(BOXES)):
        crops = BoundingBoxCropper().transform(paths, boxes=boxes)
        assert np.array_equal(crops[5], expected[5])


def test_a_sequence_that_crops_on_demand(tmp_path):
    """Nothing is opened before it is asked for, and nothing is kept."""
    crops = BoundingBoxCropper().transform([str(tmp_path / "missing.jpg")] * 3, boxes=BOXES[:3])
    assert len(crops) == 3
    with pytest.raises(ImageError, match=r"row 1, .*missing.jpg'?: no such file"):
        crops[1]
    crops = BoundingBoxCropper(size=None).transform(PHOTOS, boxes=BOXES)
    part = crops[1:4:2]
    assert len(part) == 2 and np.array_equal(part[-1], crops[3])
    assert np.array_equal(pickle.loads(pickle.dumps(crops))[2], crops[2])
    with pytest.raises(IndexError):
        crops[6]


@pytest.mark.parametrize(
    ("box", "pattern"),
    [
        ((10, 10, 5, 20), r"row 2: the box \(10.0, 10.0, 5.0, 20.0\) is empty.*x \+ width"),
        ((10, 10, 20, 10), "row 2: .* is empty"),
        ((10, 10, np.nan, 20), "row 2: .* missing or infinite edge"),
        ((10, 10, np.inf, 20), "row 2: .* missing or infinite edge"),
        ((10, 10, 20), "row 2: .* is not \\(left, upper, right, lower\\)"),
        (None, "row 2: the box None is not"),
        ("abcd", "row 2: the box 'abcd' is not"),
        ((1, 2, 3, "x"), "row 2: .* is not"),
    ],
)
def test_bad_boxes_name_the_row(box, pattern):
    boxes = [tuple(b) for b in BOXES]
    boxes[2] = tuple(map(float, box)) if pattern.startswith("row 2: the box \\(10") else box
    with pytest.raises(ImageError, match=pattern):
        BoundingBoxCropper().transform(PHOTOS, boxes=boxes)
    with pytest.raises(ImageError, match=pattern):
        BoundingBoxCropper().transform(list(zip(PHOTOS, boxes)))


def test_a_box_outside_of_its_image():
    outside = BOXES + np.array([500, 0, 500, 0])
    crops = BoundingBoxCropper().transform(PHOTOS, boxes=outside)
    pattern = (
        r"row 3, array.*: 106 x 80 pixels: the box \(530.0, 10.0, 550.0, 40.0\) holds none of them"
    )
    with pytest.raises(ImageError, match=pattern):
        crops[3]


@pytest.mark.parametrize(
    ("X", "boxes", "pattern"),
    [
        (PHOTOS, BOXES[:5], "6 images and 5 boxes"),
        (PHOTOS, 3, r"boxes=3: pass an array of shape \(6, 4\)"),
        (PHOTOS, None, r"row 0 is no pair \(image, box\)"),
        (np.zeros((3, 8, 8, 3), np.uint8), None, r"there are no boxes: X is a ndarray of shape"),
        (pd.DataFrame({"a": PHOTOS}), None, "X has 1 columns, expected 5"),
        (np.empty((2, 4), dtype=object), None, "X has 4 columns, expected 5"),
        ("x.jpg", BOXES, "one image"),
    ],
)
def test_wrong_inputs(X, boxes, pattern):
    with pytest.raises(ImageError, match=pattern):
        BoundingBoxCropper().transform(X, boxes=boxes)


@pytest.mark.parametrize("parameters", [{"enlarge": 0}, {"size": 0}, {"size": "x"}])
def test_wrong_parameters(parameters):
    cropper = BoundingBoxCropper(**parameters)
    with pytest.raises(ValueError, match="must be"):
        cropper.fit(PHOTOS)
    with pytest.raises(ValueError, match="must be"):
        cropper.transform(PHOTOS, boxes=BOXES)


# -- in pipelines --

SEEN = [ramp(160, 100)] * 40
# the class is where in the same picture the box lies
SIDE = np.arange(40) % 2
WHERE = np.array([[10 + 70 * side + i, 20, 60 + 70 * side + i, 70] for i, side in enumerate(SIDE)])


def model():
    return make_pipeline(BoundingBoxCropper(), Mean(), LogisticRegression())


@pytest.mark.slow
def test_columns_through_cross_validation():
    X = list(zip(SEEN, WHERE))
    assert cross_val_score(model(), X, SIDE, cv=4, scoring="balanced_accuracy").min() == 1
    grid = {"boundingboxcropper__enlarge": [1.0, 1.5], "logisticregression__C": [0.1, 1.0]}
    search = GridSearchCV(model(), grid, cv=2).fit(X, SIDE)
    assert search.best_score_ == 1 and search.score(X, SIDE) == 1


@pytest.mark.slow
def test_metadata_routing():
    with config_context(enable_metadata_routing=True):
        fitted = model().fit(SEEN, SIDE, boxes=WHERE)
        assert fitted.score(SEEN, SIDE, boxes=WHERE) == 1
        assert (fitted.predict(SEEN, boxes=WHERE[::-1]) == SIDE[::-1]).all()
        with pytest.raises(ImageError, match="no pair"):
            fitted.predict(SEEN)
        scorer = check_scoring(model())  # the default scorer of searches
        if not scorer.get_metadata_routing().consumes("score", ["boxes"]):
            pytest.skip("this version of scikit-learn passes searches' scorers no metadata")
        search = GridSearchCV(model(), {"boundingboxcropper__enlarge": [1.0, 1.5]}, cv=2)
        search.fit(SEEN, SIDE, boxes=WHERE)
        assert search.best_score_ == 1
        assert search.score(SEEN, SIDE, boxes=WHERE) == 1
        assert (search.best_estimator_.predict(SEEN, boxes=WHERE) == SIDE).all()


@pytest.mark.slow
def test_requests_can_be_changed():
    with config_context(enable_metadata_routing=True):
        renamed = BoundingBoxCropper().set_transform_request(boxes="birds")
        pipeline = make_pipeline(renamed, Mean(), LogisticRegression())
        assert pipeline.fit(SEEN, SIDE, birds=WHERE).score(SEEN, SIDE, birds=WHERE) == 1
        explicit = BoundingBoxCropper().set_transform_request(boxes=True)
        assert explicit.get_metadata_routing().transform.requests == {"boxes": True}
        off = make_pipeline(
            BoundingBoxCropper().set_transform_request(boxes=False), Mean(), LogisticRegression()
        )
        with pytest.raises(TypeError, match="boxes"):
            off.fit(SEEN, SIDE, boxes=WHERE)
        assert off.fit(list(zip(SEEN, WHERE)), SIDE).score(list(zip(SEEN, WHERE)), SIDE) == 1


def test_without_routing():
    pipeline = model()
    pipeline.fit(SEEN, SIDE, boundingboxcropper__boxes=WHERE)
    crops = pipeline[0].transform(SEEN, boxes=WHERE)
    assert pipeline[1:].score(crops, SIDE) == 1


@pytest.mark.slow
def test_before_the_network(tmp_path):
    """The features are those of the crops, whatever the number of threads; failures have names."""
    photos = [Image.fromarray(photo) for photo in PHOTOS]
    cropper = BoundingBoxCropper()
    network = DeCAFTransformer(5, weights="squeezenet1_1", n_jobs=2, batch_size=4)
    pipeline = make_pipeline(cropper, network)
    X = list(zip(photos, BOXES))
    expected = network.transform(list(cropper.transform(X)))
    assert np.array_equal(pipeline.fit_transform(X), expected)

    bad = [*X[:3], (str(tmp_path / "missing.jpg"), BOXES[3]), *X[4:]]
    with pytest.raises(ImageError, match=r"row 3.*missing.jpg.*no such file"):
        pipeline.transform(bad)
    pipeline.set_params(decaftransformer__on_error="nan")
    with pytest.warns(ImageWarning, match="1 of 6 images could not be read"):
        features = pipeline.transform(bad)
    assert np.isnan(features[3]).all()
    others = [0, 1, 2, 4, 5]
    assert np.array_equal(features[others], expected[others])


def test_clone_pickle_and_output():
    cropper = BoundingBoxCropper(2.0, 64, exif_transpose=False)
    for copy in (clone(cropper), pickle.loads(pickle.dumps(cropper))):
        assert copy.get_params() == cropper.get_params()
    assert sklearn_decaf.BoundingBoxCropper is BoundingBoxCropper
    pipeline = make_pipeline(cropper, DeCAFTransformer(5, weights="squeezenet1_1"))
    frame = pipeline.set_output(transform="pandas").transform(list(zip(PHOTOS, BOXES)))
    assert isinstance(frame, pd.DataFrame) and len(frame) == 6
    with config_context(transform_output="pandas"):
        assert cropper.fit_transform(PHOTOS, boxes=BOXES)[0].size == (64, 64)


@pytest.mark.slow
@parametrize_with_checks([BoundingBoxCropper()])
def test_sklearn_checks(estimator, check):
    check(estimator)
