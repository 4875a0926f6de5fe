"""The compiled kernels, for the widest instruction set that this machine has.

Every kernel is compiled for several sets: ``base`` (any machine), ``v3`` (x86-64-v3: AVX2) and
``v4`` (x86-64-v4: AVX-512). One is chosen when this module is imported; the environment variable
``SKLEARN_DECAF_KERNELS`` forces another (``v4``, ``v3``, ``base``) or ``none``. `KERNEL_SET` names
the one in use. It is None, and so is `kernels`, where nothing is compiled or ``none`` was
asked for: the network then runs on NumPy. `kernels` holds the functions, see
:class:`._functions.Kernels`.
"""

from __future__ import annotations

import os
import platform
import warnings
from importlib.util import find_spec
from pathlib import Path

from numpy._core._multiarray_umath import __cpu_features__ as _cpu_features

from .._utils.locks import Lock
from ..exceptions import KernelWarning
from ._functions import MODULES, Kernels

OVERRIDE_VARIABLE = "SKLEARN_DECAF_KERNELS"

# What numpy calls the features of each set, the widest set first. It knows the levels as such
# from 2.4 on; before, AVX512_SKX stands for all of v4, and every CPU with these three for v3.
_CPU_FEATURES = {
    "v4": ("AVX512_SKX", "AVX2", "FMA3"),
    "v3": ("AVX2", "FMA3", "F16C"),
    "base": (),
}


def installed_sets() -> tuple[str, ...]:
    """Names of the sets that were compiled when the package was installed, the widest first."""
    return tuple(
        name for name in _CPU_FEATURES if find_spec(f"{__name__}.{name}.{MODULES[0]}") is not None
    )


def available_sets() -> tuple[str, ...]:
    """Names of the installed sets that this CPU can run, the widest first."""
    return tuple(
        name
        for name in installed_sets()
        if all(_cpu_features.get(feature, False) for feature in _CPU_FEATURES[name])
    )


def _choose_set() -> str | None:
    wanted = os.environ.get(OVERRIDE_VARIABLE, "")
    if wanted == "none":
        return None
    available = available_sets()
    if not wanted:
        return available[0] if available else None
    if wanted not in _CPU_FEATURES:
        raise ValueError(
            f"{OVERRIDE_VARIABLE}={wanted!r} is not a kernel set: "
            f"choose one of {', '.join(_CPU_FEATURES)}, none, or unset it"
        )
    if wanted not in available:
        reason = (
            "this CPU does not have its instructions"
            if wanted in installed_sets()
            else "it was not compiled when the package was installed"
        )
        raise ValueError(
            f"{OVERRIDE_VARIABLE}={wanted!r} cannot be used: {reason}; "
            f"available here: {', '.join((*available, 'none'))}"
        )
    return wanted


KERNEL_SET: str | None = _choose_set()

if KERNEL_SET is not None:
    kernels: Kernels | None = Kernels(KERNEL_SET)
else:
    kernels = None

# Sets whose rows have the same bits: both multiply and add in one operation.
_SAME_BITS = {"v4": "v3"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # by their other names


def in_use() -> str:
    """The kernel set and the kind of machine, which decide the last bits of a row."""
    machine = platform.machine().lower()
    return f"{KERNEL_SET or 'none'} ({_MACHINES.get(machine, machine)})"


def same_bits(one: str, other: str) -> bool:
    """Whether rows have the same bits under both, given as `in_use` says them.

    Examples
    --------
    >>> from sklearn_decaf._kernels import same_bits
    >>> same_bits("v3 (x86_64)", "v4 (x86_64)"), same_bits("base (x86_64)", "v4 (x86_64)")
    (True, False)
    """
    (set_of_one, machine), (set_of_other, another) = one.split(" ", 1), other.split(" ", 1)
    pair = {_SAME_BITS.get(name, name) for name in (set_of_one, set_of_other)}
    return machine == another and len(pair) == 1


_warning_lock = Lock()
_warned = False


def _why_nothing_is_compiled(parent: Path) -> str:
    """Advise on missing kernels; `parent` is the folder that the package lies in."""
    if (parent / "meson.build").exists():  # Python looks into the current directory first
        return (
            f"sklearn_decaf was imported from its source tree {str(parent)!r}, in which nothing is "
            "compiled, and runs its networks on NumPy, several times slower. Start Python in "
            "another directory, or with PYTHONSAFEPATH=1, to use the installed package."
        )
    return (
        "sklearn_decaf was installed without compiled kernels and runs its networks on NumPy, "
        "several times slower. Reinstall it with a C++ compiler at hand."
    )


def warn_if_missing() -> None:
    """Warn, once a process, that no compiled kernels are in use; not if that was asked for."""
    global _warned
    if KERNEL_SET is not None or os.environ.get(OVERRIDE_VARIABLE) == "none":
        return
    with _warning_lock:
        if _warned:
            return
        _warned = True
    warnings.warn(
        f"{_why_nothing_is_compiled(Path(__file__).parents[2])} Or set {OVERRIDE_VARIABLE}=none to "
        "accept this silently.",
        KernelWarning,
        stacklevel=3,
    )
