"""Weight files as people have them."""

import pytest
from oracles.odd_weights import ODD_WEIGHTS, OTHER_FILES

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import load_weights

CASES = {case.name: case for case in ODD_WEIGHTS if case.name not in OTHER_FILES}


@pytest.mark.parametrize("name", CASES)
def test_odd_weights(name, tmp_path):
    case = CASES[name]
    files, options = case.files(), dict(case.options)
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    if "mean" in options:
        options["mean"] = tmp_path / options["mean"]
    path = tmp_path / next(iter(files))
    if not case.refused:
        assert case.words in load_weights(path, **options).evidence
        return
    with pytest.raises(WeightsError) as caught:
        load_weights(path, **options)
    assert str(caught.value).startswith(f"{path}: ") and case.words in str(caught.value)
