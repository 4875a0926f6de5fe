"""Lets the tests of networks import the writers in ``tests/oracles``."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))


@pytest.fixture(autouse=True)
def data_home(tmp_path_factory, monkeypatch):
    """An empty folder for downloads, whatever lies in the user's own."""
    home = tmp_path_factory.mktemp("data_home")
    monkeypatch.setenv("SKLEARN_DECAF_DATA", str(home))
    return home


@pytest.fixture
def weight_file(tmp_path):
    """A function that writes bytes to a file and returns its path."""

    def write(content: bytes, name: str = "weights.bin"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write
