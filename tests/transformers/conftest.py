"""Photographs that the tests of transformers share."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image


@pytest.fixture(scope="package")
def photos():
    """Twelve crops of two photographs: list of arrays (h, w, 3), and their labels."""
    china, flower = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    images = []
    for i in range(6):
        for photo in (china, flower):
            images.append(np.ascontiguousarray(photo[30 * i : 30 * i + 200, 60 * i : 60 * i + 240]))
    return images, np.array(["china", "flower"] * 6)


@pytest.fixture(scope="package")
def files(photos, tmp_path_factory):
    """The same as PNG files: paths, and their labels."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for i, image in enumerate(photos[0]):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths, photos[1]
