"""The link to its documentation in the HTML representation of each public estimator."""

import os
import subprocess
import sys

import pytest
from oracles.public_api import public_estimators

import sklearn_decaf
from sklearn_decaf._utils.doc_link import doc_link_template

PROGRAM = """
import sys
from importlib import import_module

for name in sys.argv[1:]:
    module, _, attribute = name.rpartition(".")
    cls = getattr(import_module(module), attribute)
    print(name, cls.__new__(cls)._get_doc_link())
"""


def links(**environment):
    """The link of each public estimator, as a process with these variables gives it."""
    clean = {k: v for k, v in os.environ.items() if k != "SKLEARN_DECAF_DOC_URL"}
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(name for name, _ in public_estimators())],
        env={**clean, **environment},
        cwd=os.path.dirname(os.path.dirname(sklearn_decaf.__file__)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split(" ", 1) for line in printed.splitlines())


@pytest.mark.slow
def test_there_is_no_link_unless_an_address_is_given():
    assert {name: "" for name, _ in public_estimators()} == links()


@pytest.mark.parametrize("url", ["https://docs.example.org/decaf", "file:///home/me/decaf/html/"])
def test_the_template_of_an_address(url, monkeypatch):
    monkeypatch.setenv("SKLEARN_DECAF_DOC_URL", url)
    template = doc_link_template("sklearn_decaf.images")
    assert template == f"{url.rstrip('/')}/generated/sklearn_decaf.images.{{estimator_name}}.html"


@pytest.mark.slow
def test_the_link_leads_to_the_page_of_the_public_name():
    url = "file:///home/me/{html}/"
    found = links(SKLEARN_DECAF_DOC_URL=url)
    assert found.pop("sklearn_decaf.metrics.TargetScorer") == ""  # never part of a diagram
    assert "sklearn_decaf.DeCAFTransformer" in found
    assert "sklearn_decaf.adaptation.MMDTClassifier" in found
    for name in found:
        assert found[name] == f"{url.rstrip('/')}/generated/{name}.html"


@pytest.mark.slow
def test_the_diagram_has_no_dead_link():
    html = sklearn_decaf.DeCAFTransformer()._repr_html_()
    assert "readthedocs" not in html
    assert "Documentation for DeCAFTransformer" not in html
