"""The embedded photographs: what is cut from where, and that nothing leaks or is random."""

import pickle
from importlib import resources
from itertools import product

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.datasets._sample_photos import _PHOTOGRAPHS, _read_photograph

N_CLASSES, N_TRAIN, N_TEST = 14, 12, 8


def test_sizes_types_and_counts():
    photos = load_sample_photos()
    n = N_CLASSES * (N_TRAIN + N_TEST)
    assert len(photos.images) == len(photos.target) == len(photos.split) == len(photos.boxes) == n
    assert all(image.dtype == np.uint8 and image.ndim == 3 for image in photos.images)
    assert {image.shape[2] for image in photos.images} == {3}
    sides = {side for image in photos.images for side in image.shape[:2]}
    assert (min(sides), max(sides)) == (88, 258)  # as documented
    assert photos.target.dtype == np.intp
    assert list(photos.target_names) == sorted(photos.target_names)
    for split, per_class in (("train", N_TRAIN), ("test", N_TEST)):
        counts = np.bincount(photos.target[photos.split == split])
        np.testing.assert_array_equal(counts, [per_class] * N_CLASSES)


def test_every_image_is_the_named_box_of_its_photograph():
    photos = load_sample_photos()
    photographs = [_read_photograph(photo.file) for photo in _PHOTOGRAPHS.values()]
    for image, target, (left, upper, right, lower) in zip(
        photos.images, photos.target, photos.boxes
    ):
        assert 0 <= left < right <= photographs[target].shape[1]
        assert 0 <= upper < lower <= photographs[target].shape[0]
        np.testing.assert_array_equal(image, photographs[target][upper:lower, left:right])


def test_no_training_box_meets_a_test_box():
    photos = load_sample_photos()
    is_train = photos.split == "train"
    for label in range(N_CLASSES):
        train = photos.boxes[is_train & (photos.target == label)]
        test = photos.boxes[~is_train & (photos.target == label)]
        for a, b in product(train, test):
            # apart by more than a 16-pixel JPEG block and the reduction filter's support
            assert b[0] - a[2] >= 32 or a[0] - b[2] >= 32


def test_no_two_images_are_the_same():
    photos = load_sample_photos()
    assert len({(image.shape, image.tobytes()) for image in photos.images}) == len(photos.images)


def test_subsets_are_the_parts_of_all():
    photos = load_sample_photos(subset="all")
    for subset in ("train", "test"):
        part = load_sample_photos(subset=subset)
        rows = photos.split == subset
        assert set(part.split) == {subset}
        np.testing.assert_array_equal(part.target, photos.target[rows])
        np.testing.assert_array_equal(part.boxes, photos.boxes[rows])
        for a, b in zip(part.images, photos.images[rows], strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_same_at_every_call_and_everywhere():
    first, second = load_sample_photos(), load_sample_photos()
    assert all(map(np.array_equal, first.images, second.images))
    np.testing.assert_array_equal(first.boxes, second.boxes)
    tests_of_flower = (first.split == "test") & (first.target == list(_PHOTOGRAPHS).index("flower"))
    np.testing.assert_array_equal(
        first.boxes[tests_of_flower],
        [
            *([336, 0, 488, 152], [488, 0, 640, 152], [336, 275, 488, 427], [488, 275, 640, 427]),
            *([389, 0, 586, 197], [389, 230, 586, 427]),
            *([359, 0, 617, 258], [359, 169, 617, 427]),
        ],
    )


def test_images_do_not_share_memory_with_each_other_or_between_calls():
    first, second = load_sample_photos(subset="test"), load_sample_photos(subset="test")
    first.images[0][:] = 7
    assert not np.array_equal(first.images[0], second.images[0])
    assert all(image.base is None for image in second.images)


def test_return_X_y():
    images, target = load_sample_photos(subset="train", return_X_y=True)
    photos = load_sample_photos(subset="train")
    assert all(map(np.array_equal, images, photos.images))
    np.testing.assert_array_equal(target, photos.target)


@pytest.mark.parametrize("subset", ["validation", None, ["train"]])
def test_unknown_subset(subset):
    with pytest.raises(ValueError, match="it must be 'all', 'train' or 'test'"):
        load_sample_photos(subset=subset)


def test_photographs_of_scikit_learn_are_read_from_it():
    for name, file in (("pagoda", "china.jpg"), ("flower", "flower.jpg")):
        assert _PHOTOGRAPHS[name].file == file
        np.testing.assert_array_equal(_read_photograph(file), load_sample_image(file))


def test_embedded_photographs_are_small_listed_and_credited():
    folder = resources.files("sklearn_decaf.datasets") / "photos"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".jpg"}
    used = {photo.file for photo in _PHOTOGRAPHS.values()} - {"china.jpg", "flower.jpg"}
    assert set(files) == used
    assert max(map(len, files.values())) < 80_000
    assert sum(map(len, files.values())) < 700_000
    credits = (folder / "README.txt").read_text(encoding="utf-8")
    descr = load_sample_photos(subset="test").DESCR
    for name, photo in _PHOTOGRAPHS.items():
        assert photo.file in credits
        assert f"- {name}: " in descr and photo.credit in descr


@pytest.mark.parametrize("name", ["astronaut", "brick", "coffee", "rocket"])
def test_embedded_photographs_show_what_scikit_image_shows(name):
    data = pytest.importorskip("skimage.data", reason="scikit-image has the originals")
    original = Image.fromarray(getattr(data, name)()).convert("RGB")
    copy = _read_photograph(f"{name}.jpg")
    original = np.asarray(original.resize(copy.shape[1::-1], Image.Resampling.LANCZOS))
    assert np.abs(original.astype(float) - copy).mean() < 5


def _mean_colours(images):
    return np.array([image.mean(axis=(0, 1)) for image in images])


def test_a_grid_search_over_the_given_split_learns_something_but_not_everything():
    photos = load_sample_photos()
    cv = PredefinedSplit(np.where(photos.split == "test", 0, -1))
    pipeline = make_pipeline(FunctionTransformer(_mean_colours), KNeighborsClassifier())
    search = GridSearchCV(pipeline, {"kneighborsclassifier__n_neighbors": [1, 3]}, cv=cv)
    search.fit(photos.images, photos.target)
    assert 3 / N_CLASSES < search.best_score_ < 0.8


def test_pickle_and_clone_of_a_pipeline_fitted_on_it():
    photos = load_sample_photos(subset="train")
    pipeline = make_pipeline(FunctionTransformer(_mean_colours), KNeighborsClassifier())
    pipeline = clone(pipeline).fit(photos.images, photos.target)
    again = pickle.loads(pickle.dumps((pipeline, photos)))
    np.testing.assert_array_equal(
        again[0].predict(again[1].images), pipeline.predict(photos.images)
    )
