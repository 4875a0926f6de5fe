"""The docstrings of the fetchers are complete, although they share passages."""

import inspect

import pytest

from sklearn_decaf import datasets

FETCHERS = [name for name in datasets.__all__ if name.startswith("fetch_")]


@pytest.mark.parametrize("name", FETCHERS)
def test_every_parameter_is_described(name):
    fetcher = getattr(datasets, name)
    text = inspect.getdoc(fetcher)
    parameters = text[text.index("Parameters\n---") : text.index("Returns\n---")].split("\n")
    described = [line.split(" : ")[0] for line in parameters if " : " in line and line[0] != " "]
    assert described == list(inspect.signature(fetcher).parameters)
    assert "%(" not in text
    for error in ("FileNotFoundError", "DownloadError", "ValueError"):
        assert f"\n{error}\n    " in text[text.index("Raises\n---") :]
