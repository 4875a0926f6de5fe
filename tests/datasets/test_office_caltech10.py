"""Office-Caltech10: a small copy made here, and the real one where it is."""

import csv
import hashlib
import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from oracles import collections as tiny
from oracles.file_server import FileServer, serve, status
from scipy.io import savemat

from sklearn_decaf.datasets import _office_caltech10_files as original
from sklearn_decaf.datasets import fetch_office_caltech10
from sklearn_decaf.exceptions import ArchiveError

fetch = partial(fetch_office_caltech10, download_if_missing=False)

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
    data = fetch(features="surf", domains=["dslr", "caltech"], data_home=home)
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
    surf = fetch(features="surf", data_home=home)
    images = fetch(data_home=home)
    assert images.X.tolist() == surf.filenames.tolist()
    assert np.array_equal(images.y, surf.y)
    assert np.array_equal(images.sample_domain, surf.sample_domain)
    assert set(images.sample_domain) == {1, 2, 3, -4}
    decaf = fetch(features="decaf6", domains=("dslr", "webcam"), data_home=str(home))
    assert decaf.X.shape == (22, 4096) and decaf.X.dtype == np.float32


def test_targets(home):
    def load(**params):
        return fetch(features="surf", data_home=home, **params).domain_names

    assert load(domains="amazon") == {1: "amazon"}
    assert load(domains="amazon", target="amazon") == {-1: "amazon"}
    assert load(domains=["amazon", "Webcam"], target="amazon") == {-1: "amazon", 4: "webcam"}
    assert load(target=["dslr", "webcam"]) == {
        1: "amazon", 2: "caltech10", -3: "dslr", -4: "webcam"
    }  # fmt: skip


def test_splits_of_the_pairs_that_are_there(home):
    data = fetch(features="surf", domains=["amazon", "caltech"], data_home=home)
    assert list(data.splits) == [("amazon", "caltech10")]
    ((train, test),) = data.splits["amazon", "caltech10"].split(
        data.X, sample_domain=data.sample_domain
    )
    assert train.tolist() == [0, 1, 20, 21] and test.tolist() == [22]
    turned = fetch(features="surf", domains=["caltech", "amazon"], data_home=home)
    assert turned.splits == {}


def test_arrays_only(home):
    X, y, sample_domain = fetch(
        features="surf", domains=["amazon", "dslr"], data_home=home, return_X_y=True
    )
    assert len(X) == len(y) == len(sample_domain) == 30


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"features": "sift"}, "features='sift': it must be 'images', 'surf' or 'decaf6'"),
        ({"features": "splits"}, "features='splits': it must be"),
        ({"domains": "office"}, "'office' is no domain; there are amazon, caltech10, dslr, webcam"),
        ({"domains": [3]}, r"domains=\[3\]: 3 is no domain"),
        ({"domains": []}, "one or more domains"),
        ({"domains": ["dslr", "dslr"]}, "each once"),
        ({"domains": ["dslr", "webcam"], "target": "amazon"}, "not among the chosen domains"),
    ],
)
def test_parameter_errors(home, params, words):
    with pytest.raises(ValueError, match=words):
        fetch(**{"features": "surf", "data_home": home, **params})


def test_missing_files_say_where_they_were_published(home):
    with pytest.raises(
        FileNotFoundError, match=r"amazon_decaf.mat.*Here are the domains dslr, web"
    ):
        fetch(features="decaf6", data_home=home)
    with pytest.raises(FileNotFoundError, match=r"elsewhere': it must be a folder"):
        fetch(data_home=home / "elsewhere")
    (home / "office_caltech10_images" / "images" / "dslr" / "3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"3.jpg is missing.*1 of 10 images are missing"):
        fetch(domains="dslr", data_home=home)
    fetch(domains="webcam", data_home=home)
    table = home / "office_caltech10_images" / "surf_row_to_image.csv"
    table.unlink()
    with pytest.raises(FileNotFoundError, match=r"SURF_L10_imgs.mat is missing.*github.*csv"):
        fetch(domains="webcam", data_home=home)
    assert fetch(features="surf", data_home=home).filenames is None


@pytest.mark.parametrize(
    "content", [b"", b"no matlab file" * 20, b"MATLAB 5.0 MAT-file" + b"\0" * 99]
)
def test_damaged_files_are_named(home, content):
    path = home / "office_caltech10_surf" / "dslr_SURF_L10.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"dslr_SURF_L10.mat"):
        fetch(features="surf", domains="dslr", data_home=home)


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
        fetch(features="surf", domains="dslr", data_home=home)


@pytest.mark.parametrize("line", ["dslr,1,x,,,a.jpg", "dslr,1,1,,,a.jpg", "mars,1,1,,,a.jpg"])
def test_damaged_table_is_named(home, line):
    with open(home / "office_caltech10_images" / "surf_row_to_image.csv", "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"surf_row_to_image\.csv"):
        fetch(domains="dslr", data_home=home)


def test_matlab_7_3_file(home):
    h5py = pytest.importorskip("h5py")
    path = home / "office_caltech10_decaf6" / "dslr_decaf.mat"
    X = np.random.default_rng(0).uniform(size=(10, 4096))
    with h5py.File(path, "w", userblock_size=512) as file:
        file["feas"], file["labels"] = X.T, np.arange(1, 11)[None]
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    data = fetch(features="decaf6", domains="dslr", data_home=home)
    assert np.allclose(data.X, X) and data.y.tolist() == list(range(10))


def test_the_real_one(shared_data):
    shared_data / "office_caltech10_images"
    data = fetch(data_home=shared_data.root)
    assert np.unique(data.sample_domain, return_counts=True)[1].tolist() == [295, 958, 1123, 157]
    assert set(data.splits) == {(s, "webcam") for s in ("amazon", "caltech10", "dslr")}
    surf = fetch(features="surf", data_home=shared_data.root)
    assert np.array_equal(surf.y, data.y) and surf.X.max() > 100


# -- downloads --


def image_names():
    """By domain as the features spell it: names as published, and where the images lie."""
    published = {
        "amazon": "amazon_back_pack_frame_0002 amazon_laptop_computer_frame_0001",
        "dslr": "dslr_bike_frame_0001 dslr_mug_frame_0003",
        "webcam": "webcam_bike_frame_0007 webcam_monitor_frame_0001",
        "Caltech10": "Caltech256_back_pack_003_0001 Caltech256_projector_238_0001",
    }
    paths = [
        *("amazon/backpack/frame_0002", "amazon/laptop/frame_0001"),
        *("caltech10/backpack/003_0001", "caltech10/projector/238_0001"),
        *("dslr/bike/frame_0001", "dslr/mug/frame_0003"),
        *("webcam/bike/frame_0007", "webcam/monitor/frame_0001"),
    ]
    return {name: names.split() for name, names in published.items()}, paths


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Everything as it was published, from a server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    published, paths = image_names()
    files = {}
    for name, names in published.items():
        column = np.empty((len(names), 1), dtype=object)
        column[:, 0] = names
        savemat(tmp_path / "x.mat", {"imgNames": column})
        files[f"{name}_SURF_L10_imgs.mat"] = (tmp_path / "x.mat").read_bytes()
        labels = np.array([[1], [2]])
        savemat(tmp_path / "x.mat", {"fts": np.ones((2, 800), dtype=np.uint8), "labels": labels})
        files[f"{name}_SURF_L10.mat"] = (tmp_path / "x.mat").read_bytes()
    (tmp_path / "x.mat").unlink()
    images = {f"images/{path}.jpg": tiny.jpeg(i) for i, path in enumerate(paths)}
    lines = sorted(f"{name}\0{hashlib.sha256(x).hexdigest()}" for name, x in images.items())
    digest = hashlib.sha256()
    for line in lines:
        name, _, sha256 = line.partition("\0")
        digest.update(f"{sha256}  {name}\n".encode())
    with FileServer() as server:
        for name, content in files.items():
            server(f"/{name}", serve(content))
        checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        url = server("/images.tar.gz", serve(tiny.tar_gz(images, "Office-0bcf683/")))
        root = url.removesuffix("images.tar.gz")
        for kind in ("surf", "decaf6", "splits"):
            source = replace(original.SOURCES[kind], url=root, sha256=checksums)
            monkeypatch.setitem(original.SOURCES, kind, source)
        (archive,) = original.IMAGES.archives
        archives = (replace(archive, urls=(url,)),)
        smaller = replace(original.IMAGES, archives=archives, sha256=digest.hexdigest())
        monkeypatch.setattr(original, "IMAGES", smaller)
        yield server


def test_everything_is_fetched_once(server, tmp_path):
    with pytest.warns(UserWarning, match="without the published splits of"):
        data = fetch_office_caltech10(data_home=tmp_path, n_retries=0)
    _, paths = image_names()
    root = tmp_path / "office_caltech10_images" / "images"
    assert data.filenames.tolist() == [f"{root}/{path}.jpg" for path in paths]
    assert data.y.tolist() == [0, 5, 0, 9, 1, 8, 1, 6]
    assert data.sample_domain.tolist() == [1, 1, 2, 2, 3, 3, -4, -4]
    assert data.splits == {}
    asked = [path for path, _ in server.requests]
    again = fetch(data_home=tmp_path)
    assert again.X.tolist() == data.X.tolist()
    surf = fetch_office_caltech10(features="surf", domains="dslr", data_home=tmp_path)
    assert surf.X.shape == (2, 800)
    assert [path for path, _ in server.requests] == [*asked, "/dslr_SURF_L10.mat"]
    (root / "dslr" / "bike" / "frame_0001.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 8 files of Office-Caltech10"):
        fetch(data_home=tmp_path)


def test_what_systems_leave_beside_images_counts_for_nothing(server, tmp_path):
    with pytest.warns(UserWarning, match="without the published splits of"):
        fetch_office_caltech10(data_home=tmp_path, n_retries=0)
    root = tmp_path / "office_caltech10_images"
    for name in ("Thumbs.db", "._frame_0001.jpg", "@eaDir"):
        (root / "images" / "dslr" / "bike" / name).write_bytes(b"")
    original.IMAGES.check(root)


def test_nothing_is_downloaded_to_a_local_copy(server, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"SURF_L10_imgs.mat is missing"):
        fetch_office_caltech10(local=tmp_path)
    assert server.requests == [] and list(tmp_path.iterdir()) == []


def test_other_images_than_expected(server, tmp_path):
    server("/images.tar.gz", serve(tiny.tar_gz({"x/images/dslr/bike/frame_0001.jpg": b""})))
    with pytest.raises(ArchiveError, match="its 1 images are not the 2533 expected"):
        fetch_office_caltech10(data_home=tmp_path)
    assert not (tmp_path / "office_caltech10_images").exists()


def test_features_without_the_list_of_images(server, tmp_path):
    for name in image_names()[0]:
        server(f"/{name}_SURF_L10_imgs.mat", status(404))
    data = fetch_office_caltech10(features="surf", domains="dslr", data_home=tmp_path, n_retries=0)
    assert data.filenames is None and data.X.shape == (2, 800)


def test_names_and_table_agree(shared_data, tmp_path):
    """The names of the images beside the SURF features are those of the table."""
    shared_data / "office_caltech10_surf"
    shared_data / "office_caltech10_images"
    for folder in ("office_caltech10_surf", "office_caltech10_images"):
        (tmp_path / folder).mkdir()
    (tmp_path / "office_caltech10_images" / "images").symlink_to(
        shared_data("office_caltech10_images", "images")
    )
    for path in shared_data("office_caltech10_surf").glob("*_imgs.mat"):
        (tmp_path / "office_caltech10_surf" / path.name).symlink_to(path)
    by_name, by_table = fetch(data_home=tmp_path), fetch(data_home=shared_data.root)
    assert [path.rpartition("images/")[2] for path in by_name.X] == [
        path.rpartition("images/")[2] for path in by_table.X
    ]
    assert np.array_equal(by_name.y, by_table.y)
    original.IMAGES.check(tmp_path / "office_caltech10_images")


def test_the_known_checksums(shared_data):
    for kind in ("surf", "decaf6", "splits"):
        source = original.SOURCES[kind]
        for path in shared_data(source.folder).glob("*.mat"):
            assert source.sha256[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
