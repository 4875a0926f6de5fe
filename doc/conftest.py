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
    for name in ("cat", "coffee", "flower", "rocket"):
        of_class = photos.target_names[photos.target] == name
        for split, pattern in (
            ("train", f"photos/{name}/{{}}.jpg"),
            ("test", f"unsorted/{name}_{{}}.jpg"),
        ):
            for i, image in enumerate(photos.images[of_class & (photos.split == split)], start=1):
                path = folder / pattern.format(i)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path, quality=95)
    whole = folder / "unsorted" / "cat_1.jpg"
    (folder / "broken.jpg").write_bytes(whole.read_bytes()[:500])
    return folder


@pytest.fixture(autouse=True)
def beside_the_photographs(folder_of_photographs, monkeypatch):
    monkeypatch.chdir(folder_of_photographs)
    with warnings.catch_warnings():
        yield
