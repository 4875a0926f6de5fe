"""What all tests share: the installed package, not the source tree, and the optional data sets.

``python -m pytest`` puts the repository first on the import path. There lies the source tree, in
which nothing is compiled: without the first part of this file, the tests of a wheel would run on
the slow NumPy path and pass.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from hypothesis import settings

# Threads of BLAS and OpenMP that have nothing to do wait in a busy loop before they sleep. Where
# other programs use the cores too, they take them from the threads that have something to do: t-SNE
# of twelve rows takes 20 seconds. NumPy and scikit-learn read these variables when they are loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2**4 rounds instead of 2**26
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# tests of it say where; all others leave the user's folder alone
os.environ.setdefault("SKLEARN_DECAF_PACKED_WEIGHTS", "none")

# No test asserts a time, and machines that run tests are busy. The same examples at every run, so
# that a change is not judged by luck; `--hypothesis-profile=search` draws others.
settings.register_profile("repeat", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("repeat")

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
SOURCE = REPOSITORY / "sklearn_decaf"


def _installation() -> str | None:
    """How the package is installed: "editable", "wheel", or None for not at all."""
    try:
        installed = distribution("sklearn-decaf")
    except PackageNotFoundError:
        return None
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return "editable" if origin.get("dir_info", {}).get("editable") else "wheel"


INSTALLATION = _installation()

if INSTALLATION == "wheel":
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != REPOSITORY]
if str(TESTS) not in sys.path:  # for tests/oracles
    sys.path.insert(0, str(TESTS))

import sklearn_decaf  # noqa: E402
from sklearn_decaf import _kernels  # noqa: E402

if INSTALLATION == "wheel" and Path(sklearn_decaf.__file__).resolve().parent == SOURCE:
    pytest.exit(
        f"sklearn_decaf is installed but was imported from the source tree {SOURCE}, where nothing "
        "is compiled: run pytest from another directory",
        returncode=4,
    )


def pytest_report_header(config):
    return (
        f"sklearn_decaf {sklearn_decaf.__version__} ({INSTALLATION or 'bare source tree'}) "
        f"from {Path(sklearn_decaf.__file__).parent}, kernels: {_kernels.KERNEL_SET}"
    )


class SharedData:
    """The folder of optional data sets; asking for what is not there skips the test.

    ``shared_data / "weights" / "a.npz"`` and ``shared_data("weights/a.npz")`` give a path.
    """

    def __init__(self):
        named = os.environ.get("SKLEARN_DECAF_TEST_DATA")
        self.root = Path(named) if named else REPOSITORY.parent / "shared" / "data"

    def __call__(self, *parts: str) -> Path:
        path = self.root.joinpath(*parts)
        if not path.exists():
            pytest.skip(
                f"needs {'/'.join(parts) or 'a data folder'}, which is not in {self.root}: "
                "name the folder in SKLEARN_DECAF_TEST_DATA"
            )
        return path

    def __truediv__(self, part: str) -> Path:
        return self(part)


@pytest.fixture(scope="session")
def shared_data() -> SharedData:
    """Real data sets and weights that are too large, or not free enough, for this repository."""
    return SharedData()


@pytest.fixture(scope="session")
def torch():
    """The package torch, an oracle for gradients and solvers."""
    from oracles.programs import oracle

    return oracle("torch", "torch, whose gradients and solvers are compared with, is not installed")


@pytest.fixture(scope="session")
def torch_layers(torch):
    """Layers and architectures computed by torch."""
    from oracles import torch_layers

    return torch_layers
