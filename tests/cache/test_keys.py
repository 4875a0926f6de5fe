"""Cache keys: all that decides the bits of a feature is part of them, the code above all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.import_graph import imports_of_package, modules

import sklearn_decaf
from sklearn_decaf import DeCAFTransformer, _kernels
from sklearn_decaf._cache import keys
from sklearn_decaf._utils.code_digest import code_digest

PACKAGE = Path(sklearn_decaf.__file__).parent
CHEAP = DeCAFTransformer("pool1", weights="squeezenet1_1", pooling="avg")

# On the way, but not in the key: they hold no arithmetic.
ERRORS_AND_NAMES = {"exceptions.py", "__init__.py"}
# Around the look-up: parameters become a recipe, which is in the key, before it; dropout comes
# after it.
AROUND = {"transformers.py"}


def test_what_is_not_the_image_is_part_of_the_key():
    recipe = CHEAP._recipe()
    digest = keys.recipe_digest(recipe)
    assert keys.recipe_digest(recipe) == digest
    assert keys.recipe_digest(recipe, code=keys._CODE, machine=keys._machine()) == digest
    options = [
        *({"ten_crop": True}, {"resize": "crop"}, {"exact": True}, {"draft": True}),
        {"exif_transpose": False},
    ]
    others = [
        keys.recipe_digest(recipe, code="other"),
        keys.recipe_digest(recipe, machine={**keys._machine(), "kernels": "other"}),
        keys.recipe_digest(recipe, machine={**keys._machine(), "cpu": []}),
        *(keys.recipe_digest(replace(recipe, **option)) for option in options),
    ]
    assert len({digest, *others}) == 9
    entries = [keys.entry_key(b"image", recipe, "output") for recipe in (digest, *others)]
    assert len(set(entries)) == 9


def test_the_code_of_the_package_is_known():
    """Sources of the networks, and compiled kernels where they are in use."""
    assert len(keys._CODE) == 64
    assert code_digest(keys._own_code()) == keys._CODE
    assert keys._machine()["kernels"] == _kernels.KERNEL_SET
    assert keys._machine()["blas"] or not _kernels.KERNEL_SET


# The modules on the way from pixels to features ---------------------------------------------------


def imported_from(start: str) -> set[str]:
    """Files of all modules that a module imports, and these in turn, wherever in a function."""
    paths = modules(PACKAGE)
    imported: dict[str, set[str]] = {}
    for found in imports_of_package(PACKAGE):
        if not found.for_types:
            imported.setdefault(found.importer, set()).add(found.imported)
    reached, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name and name not in reached:  # the package itself names everything
            reached.add(name)
            waiting += imported.get(name, ())
    return {paths[name].relative_to(PACKAGE).as_posix() for name in reached}


def test_every_module_that_can_be_on_the_way_is_part_of_the_key():
    """What the computation behind the cache imports, directly or not, is in the digest."""
    reached = imported_from("_cache.cached_rows")
    assert {"images/_reading.py", "networks/engine/plan.py", "_kernels/calls.py"} <= reached
    uncovered = {name for name in reached if Path(name).name not in ERRORS_AND_NAMES}
    assert uncovered - set(keys._own_code()) == set()


def test_the_test_before_would_notice():
    """A folder that is taken off the list of sources leaves modules uncovered."""
    own = set(keys._own_code())
    reached = imported_from("_cache.cached_rows")
    for folder in ("images", "_features", "_utils", "networks", "_kernels", "_cache"):
        rest = {name for name in own if not name.startswith(f"{folder}/")}
        assert {name for name in reached if name.startswith(f"{folder}/")} - rest


TRACE = """
    import json, sys, threading
    from pathlib import Path
    import numpy as np
    from PIL import Image
    import sklearn_decaf
    from sklearn_decaf import DeCAFTransformer

    package, folder, weights = str(Path(sklearn_decaf.__file__).parent), *sys.argv[1:]
    called = set()

    def note(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package):
            called.add((code.co_filename[len(package) + 1:], code.co_name))

    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(f"{folder}/a.jpg")
    Image.fromarray(pixels[::2]).save(f"{folder}/b.png")
    images = [f"{folder}/a.jpg", f"{folder}/b.png", pixels, Image.fromarray(pixels[:200])]
    transformer = DeCAFTransformer((5, 6, 7), weights=weights, cache=f"{folder}/cache", n_jobs=2)
    threading.setprofile(note)
    sys.setprofile(note)
    transformer.fit_transform(images)
    sys.setprofile(None)
    threading.setprofile(None)
    called = {name for name, function in called if function != "<module>"}
    compiled = [
        module.__file__ for name, module in sys.modules.items()
        if name.startswith("sklearn_decaf._kernels.") and not module.__file__.endswith(".py")
    ]
    print(json.dumps({"called": sorted(called), "compiled": compiled}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["squeezenet1_1", "efficientnet_lite0"])
def test_every_module_that_was_on_the_way_is_part_of_the_key(tmp_path, weights):
    """As a profile of all threads saw it: whatever way a module comes to be called."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRACE), str(tmp_path), weights],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    called = {Path(name).as_posix() for name in seen["called"]}
    assert {"images/_reading.py", "networks/engine/plan.py", "_features/recipe.py"} <= called
    own = keys._own_code()
    uncovered = {name for name in called if Path(name).name not in ERRORS_AND_NAMES}
    assert uncovered - set(own) - AROUND == set()
    assert set(map(Path, seen["compiled"])) <= set(own.values())
    assert bool(seen["compiled"]) == (_kernels.KERNEL_SET is not None)
