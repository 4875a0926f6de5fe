"""Photographs to extract, and what has to come out."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.extractions import CHEAP, N_FEATURES
from PIL import Image
from sklearn.datasets import load_sample_image

from sklearn_decaf.images._folders import find_images


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Thirty photographs in two folders, one that is none and one that is hidden."""
    folder = tmp_path_factory.mktemp("photos")
    pair = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    for i in range(30):
        path = folder / ("b" if i % 2 else "a/inner") / f"{i}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pair[i % 2][4 * i : 4 * i + 60, 9 * i : 9 * i + 70]).save(path, "png")
    (folder / "b" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    (folder / "b" / ".hidden.jpg").write_bytes(b"")
    (folder / "b" / "readme.txt").write_text("no image")
    return folder


@pytest.fixture(scope="package")
def paths(folder):
    return list(find_images(str(folder)))


@pytest.fixture(scope="package")
def expected(folder, paths):
    """Features by the transformer; NaN for the broken one."""
    good = [str(folder / path) for path in paths if "broken" not in path]
    features = np.full((len(paths), N_FEATURES), np.nan, np.float32)
    features[["broken" not in path for path in paths]] = CHEAP.transform(good)
    return features
