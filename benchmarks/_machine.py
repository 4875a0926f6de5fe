"""What a measurement ran on, as lines of Markdown."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import threadpool_info

import sklearn_decaf
from sklearn_decaf import _kernels
from sklearn_decaf._show_versions import _cpu_name

PACKAGES = ("numpy", "scikit-learn", "pillow", "torch", "onnxruntime", "openvino")
_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")


def describe() -> dict[str, str]:
    """The machine, the kernels in use and the versions of what is compared."""
    facts = {"CPU": _cpu_name() + _family(), "instructions": _instructions(), "caches": _caches()}
    if hasattr(os, "sched_getaffinity"):
        facts["cores"] = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} for this process"
    else:
        facts["cores"] = str(os.cpu_count())
    facts["system"] = platform.platform()
    facts["kernel set"] = _kernels.KERNEL_SET or "none: NumPy"
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = (f"{one['internal_api']} {one.get('architecture', '')}".strip() for one in blas)
    facts["BLAS"] = ", ".join(dict.fromkeys(names))
    versions = [
        f"sklearn_decaf {sklearn_decaf.__version__}",
        f"Python {platform.python_version()}",
        *(f"{name} {_version(name)}" for name in PACKAGES),
    ]
    facts["versions"] = ", ".join(versions)
    return {key: value for key, value in facts.items() if value}


def markdown(facts: dict[str, str]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _family() -> str:
    facts = _cpuinfo()
    if "cpu family" not in facts:
        return ""
    return f" (family {facts['cpu family']}, model {facts.get('model', '?')})"


def _instructions() -> str:
    facts = _cpuinfo()
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return ", ".join(name for name in _INSTRUCTIONS if name in flags)


def _caches() -> str:
    """Of one core; what is shared counts as a whole."""
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (folder / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)
