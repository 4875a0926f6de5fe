"""The folder for downloads, and users without a home directory."""

from pathlib import Path

import numpy as np
import pytest

import sklearn_decaf
from sklearn_decaf import ActivationCache, DeCAFTransformer, extract, show_versions
from sklearn_decaf._utils.data_home import expand_user, find_data_home
from sklearn_decaf._utils.download import download
from sklearn_decaf.datasets import fetch_caltech101, get_data_home
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import disk_cache, fetch_weights, list_weights, load_weights
from sklearn_decaf.networks.weights import save_weights


def test_data_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SKLEARN_DECAF_DATA", raising=False)
    assert get_data_home() == tmp_path / "sklearn_decaf_data"
    assert get_data_home("~/x") == tmp_path / "x"
    monkeypatch.setenv("SKLEARN_DECAF_DATA", "~/y")
    assert get_data_home() == tmp_path / "y"
    assert get_data_home(tmp_path / "z") == tmp_path / "z"
    monkeypatch.setenv("SKLEARN_DECAF_DATA", "")
    assert get_data_home() == tmp_path / "sklearn_decaf_data"
    monkeypatch.chdir(tmp_path)
    assert get_data_home("here") == Path.cwd() / "here"
    assert list(tmp_path.iterdir()) == []  # nothing was made


# A user without a home directory --------------------------------------------------------------


@pytest.fixture
def no_home(monkeypatch):
    """As in a container that runs under a number which is no user's."""
    for name in ("HOME", "SKLEARN_DECAF_DATA", "SKLEARN_DECAF_PACKED_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])  # a KeyError


def test_no_home(no_home):
    with pytest.raises(FileNotFoundError, match=r"'~/sklearn_decaf_data'.*SKLEARN_DECAF_DATA"):
        get_data_home()
    assert find_data_home() is None
    assert disk_cache.cache_folder() is None
    for home in ("~", "~/x"):
        with pytest.raises(FileNotFoundError, match="this user has none"):
            expand_user(home)
    for path in ("/a/b", "a/~", "~no-such-user/x", "~draft.npz"):
        assert expand_user(path) == path


def test_folders_that_are_named_do_without_a_home(no_home, tmp_path, monkeypatch):
    assert get_data_home(tmp_path) == find_data_home(tmp_path) == tmp_path
    monkeypatch.setenv("SKLEARN_DECAF_DATA", str(tmp_path))
    assert get_data_home() == tmp_path
    assert disk_cache.cache_folder() == tmp_path / "packed_weights"
    monkeypatch.setenv("SKLEARN_DECAF_PACKED_WEIGHTS", str(tmp_path / "packed"))
    assert disk_cache.cache_folder() == tmp_path / "packed"


def test_no_folder_is_called_tilde(no_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = load_weights("squeezenet1_1")
    for write in (
        lambda: ActivationCache("~/cache"),
        lambda: extract(["a.jpg"], "~/features", verbose=False),
        lambda: save_weights(weights, "~/weights.safetensors"),
        lambda: download("http://127.0.0.1:9/x", "~/x"),
        lambda: DeCAFTransformer(cache="~/cache").transform([np.zeros((8, 8, 3), np.uint8)]),
    ):
        with pytest.raises(FileNotFoundError, match="this user has none"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_only_downloads_want_a_home(no_home, tmp_path, capsys):
    listed = {weights["name"]: weights["path"] for weights in list_weights()}
    assert listed["squeezenet1_1"] is not None and listed["alexnet"] is None
    photo = np.zeros((8, 8, 3), np.uint8)
    for name in ("squeezenet1_1", "efficientnet_lite0"):
        assert fetch_weights(name).is_file()
        transformer = DeCAFTransformer(weights=name, cache=tmp_path / "cache")
        assert transformer.fit_transform([photo]).shape[0] == 1
    for fails in (
        lambda: fetch_weights("caffenet"),
        lambda: load_weights("caffenet", download_if_missing=True),
        lambda: DeCAFTransformer(weights="caffenet").fit([photo]),
    ):
        with pytest.raises(WeightsError, match=r"bvlc.*SKLEARN_DECAF_DATA.*this user has none"):
            fails()
    show_versions()
    assert "kernels" in capsys.readouterr().out


def test_a_copy_of_a_data_set_needs_no_home(no_home, tmp_path, shared_data):
    folder = shared_data("caltech101_20x60")
    assert len(fetch_caltech101(local=folder, allow_incomplete=True).filenames) > 0
    with pytest.raises(FileNotFoundError, match="SKLEARN_DECAF_DATA"):
        fetch_caltech101()
    with pytest.raises(FileNotFoundError, match="download_if_missing is False"):
        fetch_caltech101(data_home=tmp_path, download_if_missing=False)


def test_home_directories_are_looked_for_in_one_place():
    package = Path(sklearn_decaf.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if ".expanduser(" in path.read_text(encoding="utf-8")
    }
    # the second only tells its users to call it
    assert users <= {"_utils/data_home.py", "images/_files.py"}
