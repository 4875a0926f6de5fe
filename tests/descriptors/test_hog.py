"""HOG: the histograms of scikit-image."""

from __future__ import annotations

import builtins
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sklearn_decaf.descriptors import HOGTransformer

SMALL_HOG = {"image_size": 32}


HAS_SKIMAGE = find_spec("skimage") is not None
needs_skimage = pytest.mark.skipif(not HAS_SKIMAGE, reason="needs scikit-image")


@needs_skimage
@pytest.mark.parametrize("parameters", [{}, {"orientations": 8, "block_norm": "L1"}])
def test_hog_is_scikit_images(photos, parameters):
    from skimage.feature import hog

    image = photos[0][0]
    resized = np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.BILINEAR))
    expected = hog(
        resized,
        orientations=parameters.get("orientations", 9),
        pixels_per_cell=(8, 8),
        cells_per_block=(2, 2),
        block_norm=parameters.get("block_norm", "L2-Hys"),
        channel_axis=-1,
    )
    assert_allclose(HOGTransformer(**parameters).transform([image])[0], expected, rtol=1e-6)


@needs_skimage
def test_hog_of_edges_in_one_direction():
    upright = np.tile((np.arange(128) % 16 < 8) * 1.0, (128, 1))
    features = HOGTransformer().transform(upright[None, ..., None]).reshape(15, 15, 2, 2, 9)
    assert_array_equal(features.mean(axis=(0, 1, 2, 3)).argsort()[-1], 0)


def test_hog_without_scikit_image(photos, monkeypatch):
    original = builtins.__import__

    def without_skimage(name, *args, **kwargs):
        if name.startswith("skimage"):
            raise ImportError(f"No module named {name!r}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_skimage)
    for call in (HOGTransformer().fit, HOGTransformer().transform):
        with pytest.raises(ImportError, match=r"sklearn-decaf\[descriptors\]"):
            call(photos[0])


@needs_skimage
def test_hog_without_room_for_a_block(photos):
    with pytest.raises(ValueError, match=r"image_size=15.*at least 16"):
        HOGTransformer(image_size=15).fit(photos[0])
