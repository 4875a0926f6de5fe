"""Office-Caltech10: a small copy made here, and the real one where it is."""

import csv
import pickle

import numpy as np
import pytest
from scipy.io import savemat

from sklearn_decaf.datasets import fetch_office_caltech10

SIZES = {"amazon": 20, "Caltech10": 30, "dslr": 10, "webcam": 12}


@pytest.fixture
def home(tmp_path):
    """Every folder in its published layout, with a few rows a domain."""
    rng = np.random.default_rng(0)
    (tmp_path / "office_caltech10_surf").mkdir()
    (tmp_path / "office_caltech10_decaf6").mkdir()
    (tmp_path / "office_caltech10_mmdt_splits").mkdir()
    table = [("domain", "surf_row_1based", "label", "class", "imgName", "path")]
    for name, size in SIZES.items():
        labels = np.arange(size)[:, None] % 10 + 1
        savemat(
            tmp_path / "office_caltech10_surf" / f"{name}_SURF_L10.mat",
            {"fts": rng.integers(0, 256, (size, 800), dtype=np.uint8), "labels": labels},
        )
        if name in ("dslr", "webcam"):
            savemat(
                tmp_path / "office_caltech10_decaf6" / f"{name}_decaf.mat",
                {"feas": rng.uniform(size=(size, 4096)), "labels": labels},
            )
        folder = tmp_path / "office_caltech10_images" / "images" / name.lower()
        folder.mkdir(parents=True)
        for row in range(size):
            (folder / f"{row}.jpg").write_bytes(b"")
            table.append(
                (name.lower(), row + 1, labels[row, 0], "", "", f"images/{name.lower()}/{row}.jpg")
            )
    with open(tmp_path / "office_caltech10_images" / "surf_row_to_image.csv", "w") as file:
        csv.writer(file).writerows([table[0], *table[:0:-1]])  # the order of its lines is free
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = np.array([[1, 2]])
    others = np.empty((1, 1), dtype=object)
    others[0, 0] = np.array([[3]])
    savemat(
        tmp_path / "office_caltech10_mmdt_splits"
        / "SameCategory_amazon-caltech_20RandomTrials_10Categories.mat",
        {"train": {"source": cells, "target": cells}, "test": {"target": others}},
    )  # fmt: skip
    return tmp_path


def test_rows_labels_domains_and_names(home):
    data = fetch_office_caltech10(features="surf", domains=["dslr", "caltech"], data_home=home)
    assert data.X.shape == (40, 800) and data.X.dtype == np.float64
    assert data.y.tolist() == [i % 10 for i in range(10)] + [i % 10 for i in range(30)]
    assert data.sample_domain.tolist() == [3] * 10 + [-2] * 30
    assert data.domain_names == {3: "dslr", -2: "caltech10"}
    assert data.target_names[[0, 9]].tolist() == ["back_pack", "projector"]
    assert data.filenames[0].endswith("dslr/0.jpg") and data.filenames[-1].endswith("29.jpg")
    assert data.data is data.X and data.target is data.y
    assert "ECCV 2010" in data.DESCR and "Licence" in data.DESCR
    assert np.array_equal(pickle.loads(pickle.dumps(data)).X, data.X)


def test_features_of_one_image_are_in_the_same_row(home):
    surf = fetch_office_caltech10(features="surf", data_home=home)
    images = fetch_office_caltech10(data_home=home)
    assert images.X.tolist() == surf.filenames.tolist()
    assert np.array_equal(images.y, surf.y)
    assert np.array_equal(images.sample_domain, surf.sample_domain)
    assert set(images.sample_domain) == {1, 2, 3, -4}
    decaf = fetch_office_caltech10(
        features="decaf6", domains=("dslr", "webcam"), data_home=str(home)
    )
    assert decaf.X.shape == (22, 4096) and decaf.X.dtype == np.float32


def test_targets(home):
    def load(**params):
        return fetch_office_caltech10(features="surf", data_home=home, **params).domain_names

    assert load(domains="amazon") == {1: "amazon"}
    assert load(domains="amazon", target="amazon") == {-1: "amazon"}
    assert load(domains=["amazon", "Webcam"], target="amazon") == {-1: "amazon", 4: "webcam"}
    assert load(target=["dslr", "webcam"]) == {
        1: "amazon", 2: "caltech10", -3: "dslr", -4: "webcam"
    }  # fmt: skip


def test_splits_of_the_pairs_that_are_there(home):
    data = fetch_office_caltech10(features="surf", domains=["amazon", "caltech"], data_home=home)
    assert list(data.splits) == [("amazon", "caltech10")]
    ((train, test),) = data.splits["amazon", "caltech10"].split(
        data.X, sample_domain=data.sample_domain
    )
    assert train.tolist() == [0, 1, 20, 21] and test.tolist() == [22]
    turned = fetch_office_caltech10(features="surf", domains=["caltech", "amazon"], data_home=home)
    assert turned.splits == {}


def test_arrays_only(home):
    X, y, sample_domain = fetch_office_caltech10(
        features="surf", domains=["amazon", "dslr"], data_home=home, return_X_y=True
    )
    assert len(X) == len(y) == len(sample_domain) == 30


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"features": "sift"}, "features must be"),
        ({"features": "splits"}, "features must be"),
        ({"domains": "office"}, "domains must be among amazon, caltech10, dslr, webcam"),
        ({"domains": [3]}, "got 3"),
        ({"domains": []}, "one or more domains"),
        ({"domains": ["dslr", "dslr"]}, "each once"),
        ({"domains": ["dslr", "webcam"], "target": "amazon"}, "not among the domains"),
    ],
)
def test_parameter_errors(home, params, words):
    with pytest.raises(ValueError, match=words):
        fetch_office_caltech10(**{"features": "surf", "data_home": home, **params})


def test_missing_files_say_where_they_were_published(home):
    with pytest.raises(
        FileNotFoundError, match=r"amazon_decaf.mat.*Here are the domains dslr, web"
    ):
        fetch_office_caltech10(features="decaf6", data_home=home)
    with pytest.raises(FileNotFoundError, match=r"is not a folder"):
        fetch_office_caltech10(data_home=home / "elsewhere")
    (home / "office_caltech10_images" / "images" / "dslr" / "3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"3.jpg is missing.*1 of 10 images are missing"):
        fetch_office_caltech10(domains="dslr", data_home=home)
    fetch_office_caltech10(domains="webcam", data_home=home)
    table = home / "office_caltech10_images" / "surf_row_to_image.csv"
    table.unlink()
    with pytest.raises(FileNotFoundError, match=r"surf_row_to_image.csv is missing.*github"):
        fetch_office_caltech10(domains="webcam", data_home=home)
    assert fetch_office_caltech10(features="surf", data_home=home).filenames is None


@pytest.mark.parametrize(
    "content", [b"", b"no matlab file" * 20, b"MATLAB 5.0 MAT-file" + b"\0" * 99]
)
def test_damaged_files_are_named(home, content):
    path = home / "office_caltech10_surf" / "dslr_SURF_L10.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"dslr_SURF_L10.mat"):
        fetch_office_caltech10(features="surf", domains="dslr", data_home=home)


@pytest.mark.parametrize(
    "content",
    [
        {"labels": np.ones((3, 1))},
        {"fts": np.ones((3, 800)), "labels": np.ones((4, 1))},
        {"fts": np.ones((3, 800)), "labels": np.array([0, 1, 2])},
        {"fts": np.ones((3, 7)), "labels": np.ones((3, 1))},
    ],
)
def test_wrong_contents_are_named(home, content):
    savemat(home / "office_caltech10_surf" / "dslr_SURF_L10.mat", content)
    with pytest.raises(ValueError, match=r"dslr_SURF_L10.mat (has no variable|should hold)"):
        fetch_office_caltech10(features="surf", domains="dslr", data_home=home)


@pytest.mark.parametrize("line", ["dslr,1,x,,,a.jpg", "dslr,1,1,,,a.jpg", "mars,1,1,,,a.jpg"])
def test_damaged_table_is_named(home, line):
    with open(home / "office_caltech10_images" / "surf_row_to_image.csv", "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"surf_row_to_image\.csv"):
        fetch_office_caltech10(domains="dslr", data_home=home)


def test_matlab_7_3_file(home):
    h5py = pytest.importorskip("h5py")
    path = home / "office_caltech10_decaf6" / "dslr_decaf.mat"
    X = np.random.default_rng(0).uniform(size=(10, 4096))
    with h5py.File(path, "w", userblock_size=512) as file:
        file["feas"], file["labels"] = X.T, np.arange(1, 11)[None]
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    data = fetch_office_caltech10(features="decaf6", domains="dslr", data_home=home)
    assert np.allclose(data.X, X) and data.y.tolist() == list(range(10))


def test_the_real_one(shared_data):
    shared_data / "office_caltech10_images"
    data = fetch_office_caltech10(data_home=shared_data.root)
    assert np.unique(data.sample_domain, return_counts=True)[1].tolist() == [295, 958, 1123, 157]
    assert set(data.splits) == {(s, "webcam") for s in ("amazon", "caltech10", "dslr")}
    surf = fetch_office_caltech10(features="surf", data_home=shared_data.root)
    assert np.array_equal(surf.y, data.y) and surf.X.max() > 100
