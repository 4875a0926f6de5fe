"""Which set of compiled kernels is in use, and what is said where none is."""

from __future__ import annotations

import os
import platform
import shutil
import threading
import warnings
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from oracles.kernel_values import needs_kernels
from oracles.processes import run_python

import sklearn_decaf
from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import MODULES
from sklearn_decaf.exceptions import KernelWarning

REQUIRED = os.environ.get("SKLEARN_DECAF_REQUIRE_KERNELS") == "1"
INSTALLED = _kernels.installed_sets()
AVAILABLE = _kernels.available_sets()


def test_compiled_kernels_are_in_use():
    if not REQUIRED:
        if os.environ.get(_kernels.OVERRIDE_VARIABLE) == "none":
            pytest.skip(f"{_kernels.OVERRIDE_VARIABLE}=none")
        try:
            wheel = distribution("sklearn-decaf").read_text("WHEEL") or ""
        except PackageNotFoundError:
            pytest.skip("sklearn_decaf is not installed: a bare source tree has nothing compiled")
        if "Root-Is-Purelib: true" in wheel:
            pytest.skip("sklearn_decaf was installed without compiled kernels")
    assert _kernels.KERNEL_SET in AVAILABLE
    folder = f"{os.sep}{_kernels.KERNEL_SET}{os.sep}"
    for name in MODULES:
        path = getattr(_kernels.kernels, f"_{name}").__file__
        assert folder in path
        assert path.endswith((".so", ".pyd"))


@pytest.mark.skipif(not REQUIRED, reason="SKLEARN_DECAF_REQUIRE_KERNELS=1 is not set")
def test_all_sets_are_installed():
    expected = ("v4", "v3", "base") if platform.machine() in ("x86_64", "AMD64") else ("base",)
    assert expected == INSTALLED


@pytest.mark.parametrize("choice", [*AVAILABLE, "none"])
def test_override(choice):
    code = "from sklearn_decaf import _kernels as k; print(k.KERNEL_SET, k.kernels is None)"
    result = run_python(code, SKLEARN_DECAF_KERNELS=choice)
    assert result.returncode == 0, result.stderr
    expected = "None True" if choice == "none" else f"{choice} False"
    assert result.stdout.strip() == expected


@pytest.mark.parametrize("choice", ["v5", "V4", "avx2"])
def test_override_unknown(choice):
    result = run_python("import sklearn_decaf._kernels", SKLEARN_DECAF_KERNELS=choice)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        f"ValueError: SKLEARN_DECAF_KERNELS={choice!r} is not a kernel set: "
        "choose one of v4, v3, base, none, or unset it"
    )


@needs_kernels
def test_override_of_what_the_cpu_lacks(monkeypatch):
    monkeypatch.setattr(_kernels, "_cpu_features", {})
    assert _kernels.available_sets() == tuple(name for name in INSTALLED if name == "base")
    monkeypatch.setenv(_kernels.OVERRIDE_VARIABLE, "v4")
    with pytest.raises(ValueError, match=r"'v4' cannot be used: .*; available here: (base, )?none"):
        _kernels._choose_set()


def test_widest_set_is_chosen(monkeypatch):
    monkeypatch.delenv(_kernels.OVERRIDE_VARIABLE, raising=False)
    monkeypatch.setattr(_kernels, "installed_sets", lambda: ("v4", "v3", "base"))
    avx2 = {"AVX2": True, "FMA3": True, "F16C": True}
    for features, expected in (
        ({**avx2, "AVX512_SKX": True}, "v4"),
        ({**avx2, "AVX512_SKX": False, "AVX512F": True}, "v3"),
        ({"AVX2": True, "FMA3": False, "F16C": True}, "base"),
        ({}, "base"),
    ):
        monkeypatch.setattr(_kernels, "_cpu_features", features)
        assert _kernels._choose_set() == expected


def test_without_compiled_kernels(tmp_path):
    # the package as it is installed where there is no compiler
    package = Path(sklearn_decaf.__file__).parent
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "sources")
    shutil.copytree(package, tmp_path / "sklearn_decaf", ignore=compiled)
    code = f"""
import sys, warnings
sys.meta_path[:] = [f for f in sys.meta_path if "Mesonpy" not in type(f).__name__]  # editable
sys.path.insert(0, {str(tmp_path)!r})
from sklearn_decaf import _kernels
assert _kernels.__file__.startswith({str(tmp_path)!r}), _kernels.__file__
assert _kernels.KERNEL_SET is None and _kernels.available_sets() == (), _kernels.KERNEL_SET
assert _kernels.kernels is None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        _kernels.warn_if_missing()
print(*(w.category.__name__ for w in caught))
"""
    environment = {_kernels.OVERRIDE_VARIABLE: ""}
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "KernelWarning"


def test_one_warning_a_process(monkeypatch):
    monkeypatch.delenv(_kernels.OVERRIDE_VARIABLE, raising=False)
    monkeypatch.setattr(_kernels, "KERNEL_SET", None)
    monkeypatch.setattr(_kernels, "_warned", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=_kernels.warn_if_missing) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [w.category for w in caught] == [KernelWarning]
    assert "runs its networks on NumPy" in str(caught[0].message)


def test_no_warning_where_none_was_asked_for(monkeypatch):
    monkeypatch.setenv(_kernels.OVERRIDE_VARIABLE, "none")
    monkeypatch.setattr(_kernels, "KERNEL_SET", None)
    monkeypatch.setattr(_kernels, "_warned", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _kernels.warn_if_missing()


@needs_kernels
def test_no_warning_with_kernels(monkeypatch):
    monkeypatch.setattr(_kernels, "KERNEL_SET", AVAILABLE[0])
    monkeypatch.setattr(_kernels, "_warned", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _kernels.warn_if_missing()


def test_the_source_tree_is_told_from_a_missing_compiler(tmp_path):
    assert "Reinstall it with a C++ compiler" in _kernels._why_nothing_is_compiled(tmp_path)
    (tmp_path / "meson.build").touch()
    message = _kernels._why_nothing_is_compiled(tmp_path)
    assert str(tmp_path) in message and "another directory" in message
