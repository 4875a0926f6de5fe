"""Where the examples of these pages run: ``pytest --doctest-glob="*.rst" doc``.

In a temporary folder that has what the pages speak of: ``photos`` with one sub-folder per class,
``unsorted`` with photographs whose class nobody has said, and ``broken.jpg``.
"""

import warnings

import pytest

collect_ignore = ["_build", "_extensions", "api", "auto_examples", "generated", "conf.py"]


@pytest.fixture(scope="session")
def folder_of_photographs(tmp_path_factory):
    from PIL import Image

    from sklearn_decaf.datasets import load_sample_photos

    folder = tmp_path_factory.mktemp("pages")
    photos = load_sample_photos()
    for i, (image, target, split) in enumerate(zip(photos.images, photos.target, photos.split)):
        name = photos.target_names[target]
        if name not in ("cat", "coffee", "flower", "rocket"):
            continue
        place = folder / "photos" / name if split == "train" else folder / "unsorted"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}_{name}.jpg", quality=95)
    whole = (folder / "unsorted").glob("*.jpg")
    (folder / "broken.jpg").write_bytes(next(whole).read_bytes()[:500])
    return folder


@pytest.fixture(autouse=True)
def beside_the_photographs(folder_of_photographs, monkeypatch):
    monkeypatch.chdir(folder_of_photographs)
    with warnings.catch_warnings():
        yield
