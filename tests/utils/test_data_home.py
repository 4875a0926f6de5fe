from pathlib import Path

from sklearn_decaf.datasets import get_data_home


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
