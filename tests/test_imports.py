"""Imports between the parts of the package go one way, from what uses to what is used.

The rules are checked in the source, so that an import within a function counts as well. Imports
for type checkers alone do not: they cost nothing and cannot be circular.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from oracles.import_graph import (
    Import,
    find_circle,
    imports_of_file,
    imports_of_package,
    modules,
)

import sklearn_decaf

PACKAGE = Path(sklearn_decaf.__file__).parent

# The parts of the package, from the ground up. A part may import those of lower floors; parts on
# one floor do not know each other.
FLOORS = (
    ("exceptions",),
    ("_utils",),
    ("_kernels",),
    ("images", "networks", "_adaptation"),
    ("_features", "_descriptors", "_model_selection", "_show_versions"),
    ("_cache", "descriptors", "adaptation", "model_selection", "metrics"),
    ("transformers", "datasets"),
    ("training",),
    ("_extraction", "inspection"),
    ("__main__",),
)
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}

# What these parts must not import, although it stands on a lower floor.
FORBIDDEN = {
    **dict.fromkeys(
        ("_adaptation", "adaptation", "_model_selection", "model_selection", "metrics", "datasets"),
        ("networks", "_kernels", "_features", "_descriptors", "_cache", "transformers"),
    ),
    "images": ("_kernels",),
    "_descriptors": ("networks", "_kernels"),
}

# Within `networks`: what a network is; weight files; the engine; and at last what uses all three.
NETWORK_FLOORS = (
    (
        *("layers", "mean_image", "imagenet", "architecture", "architecture_data"),
        *("architectures", "reference", "gradients", "flops"),
    ),
    ("formats",),
    ("weights",),
    ("engine",),
    ("features",),
)


def explain(found: Import, rule: str) -> str:
    return f"{found.path.as_posix()}:{found.line}: `{found.text}`: {rule}"


def part_of(module: str) -> str:
    return module.split(".")[0]


def offences(imports: list[Import]) -> list[str]:
    """Imports between parts that run the wrong way."""
    wrong = []
    for found in imports:
        start, end = part_of(found.importer), part_of(found.imported)
        if found.for_types or start == end or "" in (start, end):  # its version is for everybody
            continue
        if FLOOR_OF[end] >= FLOOR_OF[start]:
            wrong.append(explain(found, f"{start} must not import {end}, which is not below it"))
        elif end in FORBIDDEN.get(start, ()):
            wrong.append(explain(found, f"{start} must know nothing of {end}"))
    return wrong


def offences_within_networks(imports: list[Import]) -> list[str]:
    """The same within `networks`; modules that are in no list may import, and be imported."""
    floor_of = {name: floor for floor, names in enumerate(NETWORK_FLOORS) for name in names}
    wrong = []
    for found in imports:
        ends = [module.split(".") for module in (found.importer, found.imported)]
        if found.for_types or any(parts[0] != "networks" or len(parts) < 2 for parts in ends):
            continue
        start, end = (parts[1] for parts in ends)
        if floor_of.get(end, -1) > floor_of.get(start, len(floor_of)):
            wrong.append(explain(found, f"networks.{start} must not import networks.{end}"))
    return wrong


def offences_of_images(imports: list[Import]) -> list[str]:
    """Modules of estimators that ``import sklearn_decaf.images`` would bring along."""
    at_import = [found for found in imports if not found.for_types]
    reached, new, wrong = {"images"}, ["images"], []
    while new:
        module = new.pop()
        for found in at_import:
            if found.importer == module and found.imported not in reached:
                reached.add(found.imported)
                new.append(found.imported)
                if found.imported in ("images._estimator", "images._bounding_boxes"):
                    wrong.append(explain(found, "images must not import its estimators"))
    return wrong


RULES = (offences, offences_within_networks, offences_of_images)


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return imports_of_package(PACKAGE)


def test_every_part_has_its_floor():
    parts = {part_of(name) for name in modules(PACKAGE)} - {""}
    assert parts == set(FLOOR_OF), "add new parts of the package to FLOORS, remove old ones"


@pytest.mark.parametrize("rule", RULES)
def test_imports_go_one_way(imports, rule):
    wrong = rule(imports)
    assert not wrong, "\n" + "\n".join(wrong)


def test_parts_have_no_circle(imports):
    arrows = {
        (part_of(found.importer), part_of(found.imported))
        for found in imports
        if not found.for_types
    }
    assert find_circle({(start, end) for start, end in arrows if start != end and end}) is None


@pytest.mark.parametrize(
    ("file", "line", "rule", "message"),
    [
        ("_utils/progress.py", "from ..images import read_image", 0, "_utils must not import imag"),
        (
            "networks/architecture.py",
            "from .. import transformers",
            0,
            "must not import transformers",
        ),
        ("networks/architecture.py", "import sklearn_decaf.images", 0, "must not import images"),
        ("datasets/_sun397.py", "from ..networks import load_weights", 0, "datasets must know not"),
        ("metrics.py", "from sklearn_decaf.transformers import x", 0, "must not import transfor"),
        ("_cache/keys.py", "def f():\n    from ..inspection import x", 0, "must not import inspec"),
        ("networks/formats/npz.py", "from ..weights.loading import load", 1, "networks.weights"),
        (
            "networks/architecture.py",
            "from .engine.plan import Plan",
            1,
            "must not import networks.eng",
        ),
        ("networks/weights/loading.py", "from ..engine import Plan", 1, "networks.engine"),
        ("networks/gradients.py", "from .engine import Plan", 1, "networks.engine"),
        ("networks/features.py", "from ..training import x", 0, "must not import training"),
        ("training/_losses.py", "from ..inspection import x", 0, "must not import inspection"),
        ("images/_batches.py", "from . import _bounding_boxes", 2, "must not import its estimat"),
    ],
)
def test_an_import_that_runs_back_is_named(imports, file, line, rule, message):
    """The rules on a file with one line more."""
    source = f"{(PACKAGE / file).read_text(encoding='utf-8')}\n{line}\n"
    changed = imports_of_file(PACKAGE, PACKAGE / file, source, modules(PACKAGE))
    others = [found for found in imports if found.path != Path(PACKAGE.name, file)]
    (found,) = RULES[rule]([*others, *changed])
    assert message in found
    assert found.startswith(f"sklearn_decaf/{file}:") and line.splitlines()[-1].strip() in found


def test_imports_for_type_checkers_do_not_count(tmp_path):
    copy = tmp_path / "sklearn_decaf"
    (copy / "_utils").mkdir(parents=True)
    (copy / "images.py").touch()
    source = "if TYPE_CHECKING:\n    from ..images import read_image\n"
    (copy / "_utils" / "a.py").write_text(source)
    (found,) = imports_of_package(copy)
    assert found.for_types and offences([found]) == []


def test_the_package_alone_imports_next_to_nothing():
    program = (
        "import sys, sklearn_decaf\n"
        "print(*({'numpy', 'scipy', 'sklearn', 'PIL', 'joblib', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert done.stdout.strip() == ""
