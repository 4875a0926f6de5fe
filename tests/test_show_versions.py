"""The report of an installation names what it runs on."""

import numpy as np  # noqa: F401  (loads a BLAS library)
from threadpoolctl import threadpool_info

from sklearn_decaf import __version__, _kernels
from sklearn_decaf._show_versions import show_versions


def test_show_versions(capsys):
    show_versions()
    printed = capsys.readouterr().out
    assert f"sklearn_decaf: {__version__}" in printed
    for heading in ("System:", "Python packages:", "Compiled kernels:", "Threads:"):
        assert f"\n{heading}\n" in printed
    kernels = _kernels.KERNEL_SET or "none: networks run on NumPy"
    assert f"in use: {kernels}\n" in printed
    assert "scikit-learn: 1." in printed
    for library in threadpool_info():
        assert library["filepath"] in printed
        if "architecture" in library:
            assert library["architecture"] in printed


def test_override_is_shown(capsys, monkeypatch):
    monkeypatch.setenv(_kernels.OVERRIDE_VARIABLE, "none")
    show_versions()
    assert f"{_kernels.OVERRIDE_VARIABLE}: 'none'" in capsys.readouterr().out


def test_package_that_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr(
        "sklearn_decaf._show_versions.PACKAGES", ("scikit-learn", "no-such-package")
    )
    show_versions()
    assert "no-such-package: not installed" in capsys.readouterr().out
