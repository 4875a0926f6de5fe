"""Every kernel, in every compiled set that this CPU can run, against float64 references."""

from __future__ import annotations

import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sklearn_decaf
from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import DEPTHWISE_SIZES, MODULES, WINOGRAD_SIZES, Kernels
from sklearn_decaf._kernels.cook_toom import cook_toom
from sklearn_decaf._kernels.tiles import TILES
from sklearn_decaf.exceptions import KernelWarning

REQUIRED = os.environ.get("SKLEARN_DECAF_REQUIRE_KERNELS") == "1"
INSTALLED = _kernels.installed_sets()
AVAILABLE = _kernels.available_sets()
needs_kernels = pytest.mark.skipif(
    not AVAILABLE, reason="no compiled kernels: install the package with a C++ compiler"
)


@pytest.fixture(scope="module", params=AVAILABLE)
def kernels(request):
    return Kernels(request.param)


# --- a compiled kernel is in use ----------------------------------------------------------------


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


def run_python(code, **environment):
    environment = {**os.environ, **environment}
    try:
        distribution("sklearn-decaf")
    except PackageNotFoundError:  # a bare source tree
        environment["PYTHONPATH"] = str(Path(sklearn_decaf.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(sys.executable).parent,  # not the repository
        capture_output=True,
        text=True,
        timeout=120,
    )


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


# --- vectorised ---------------------------------------------------------------------------------

# Packed instructions of full width that the inner loops of each compiled function must hold.
# Where a compiler gives up on a loop, these become scalar (mulss for mulps), three to ten times
# slower, with the same results.
ARITHMETIC = r"(add|sub|mul|fn?m(add|sub)\d*)ps"
PACKED = {
    "depthwise": {"depthwise": {r"(mul|fmadd\d*)ps": 1, r"maxps": 1}},
    "depthwise_double": {
        "depthwise_double": {r"(mul|fmadd\d*)pd": 1, r"maxpd": 1},
        "depthwise_double_3x3_stride_1": {r"(mul|fmadd\d*)pd": 36, r"maxpd": 4},
    },
    "elementwise": {
        "copy": {},  # for which there is memmove
        "fill": {},
        "clip": {"maxps": 1, "minps": 1},
        "add_and_clip": {"addps": 1, "maxps": 1, "minps": 1},
    },
    "global_pool": {"average": {"addps": 2, "divps": 1}, "maximum": {"maxps": 1}},
    "lrn": {
        "lrn_5_075": {r"sqrtps": 2, r"divps": 1},
        "lrn": {r"mulps": 1, r"addps": 1},  # the power itself is that of the C library
    },
    "max_pool": {"max_pool_3": {r"maxps": 4}, "max_pool": {r"maxps": 2}},
    "patches": {"patches": {}, "patches_of_group": {}},  # copies, as above
    # for both types of pixels
    "preprocess": {"preprocess": {"cvtdq2ps": 1, "subps": 2, "divps": 2}},
}
for size, stride, outputs in DEPTHWISE_SIZES:
    name = f"depthwise_{size}x{size}_stride_{stride}_by_{outputs}"
    taps = size * size * outputs
    PACKED[name] = {name: {r"(mul|fmadd\d*)ps": taps, r"maxps": outputs, r"minps": outputs}}
for m, r in WINOGRAD_SIZES:
    n = m + r - 1
    PACKED |= {  # at the least, one sum for each number on each side
        f"winograd_input_{m}_{r}": {f"winograd_input_{m}_{r}": {ARITHMETIC: 2 * n * n}},
        f"winograd_output_{m}_{r}": {
            f"winograd_output_{m}_{r}": {ARITHMETIC: n * n + m * m, "maxps": m * m, "minps": m * m}
        },
    }
REGISTERS = {"base": "%xmm", "v3": "%ymm", "v4": "%zmm"}
REGISTER_OF_BYTES = {16: "%xmm", 32: "%ymm", 64: "%zmm"}


@needs_kernels
def test_every_function_has_its_packed_instructions_listed():
    assert set(PACKED) == set(MODULES)
    for name, functions in PACKED.items():
        module = import_module(f"sklearn_decaf._kernels.{AVAILABLE[0]}.{name}")
        assert set(functions) == {key for key in vars(module) if not key.startswith("__")}


def disassemble(path):
    """The instructions of each function of a shared library: {symbol: [line, ...]}."""
    listing = subprocess.run(
        ["objdump", "--disassemble", "--no-show-raw-insn", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    functions, lines = {}, None
    for line in listing.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            lines = functions.setdefault(header[1], [])
        elif lines is not None:
            lines.append(line)
    return functions


def path_of(kernel_set, module):
    return find_spec(f"sklearn_decaf._kernels.{kernel_set}.{module}").origin


def runs_of(kernel_set, module):
    """The instructions of what runs bound calls of a module's kernels: {symbol: [line, ...]}."""
    path = path_of(kernel_set, module)
    runs = {name: body for name, body in disassemble(path).items() if "run_kernel" in name}
    if not runs:
        pytest.skip(f"{path} has no symbols: it was stripped")
    return runs


def bodies_of(kernel_set, module, function):
    """The instructions of a kernel, which is inlined into what runs a bound call of it.

    One list for each combination of types that it is compiled for.
    """
    runs = runs_of(kernel_set, module)
    symbol = re.compile(rf"5BoundI.*__pythran_{module}{len(function)}{function}E.*10run_kernelE")
    bodies = [body for name, body in runs.items() if symbol.search(name)]
    assert bodies, f"no bound call runs {function}, only {', '.join(runs)}"
    return bodies


def innermost_loops(body):
    """The instructions that a jump back repeats, where no other loop is inside."""
    places, loops = {}, []
    for i, line in enumerate(body):
        if place := re.match(r"\s+([0-9a-f]+):", line):
            places[place[1]] = i
        jump = re.search(r"\sj\w+\s+([0-9a-f]+) ", line)
        if jump and jump[1] in places:
            loops.append((places[jump[1]], i))
    return [
        body[a : b + 1]
        for a, b in loops
        if not any(a <= c and d <= b for c, d in loops if (c, d) != (a, b))
    ]


def count_packed(kernel_set, module, function, register, instructions):
    """How often each instruction is there, on one kind of register: {instruction: count}."""
    code = [line for body in bodies_of(kernel_set, module, function) for line in body]
    wide = [line for line in code if register in line]
    return {
        instruction: sum(bool(re.search(rf"\sv?{instruction}\s", line)) for line in wide)
        for instruction in instructions
    }


def disassembled(test):
    """Marks a test that reads machine code."""
    machine = platform.machine() in ("x86_64", "AMD64")
    test = pytest.mark.skipif(not machine, reason="not an x86-64 machine")(test)
    missing = shutil.which("objdump") is None
    return pytest.mark.skipif(missing, reason="needs objdump, of GNU binutils")(test)


@disassembled
@pytest.mark.parametrize("module", PACKED)
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_loops_are_vectorised(kernel_set, module):
    register = REGISTERS[kernel_set]
    for function, wanted in PACKED[module].items():
        found = count_packed(kernel_set, module, function, register, wanted)
        for instruction, count in wanted.items():
            assert found[instruction] >= count, (
                f"{function} ({kernel_set}): {found[instruction]} packed {instruction} with "
                f"{register}, expected {count}: the compiler did not vectorise it"
            )


@disassembled
@pytest.mark.parametrize(
    ("kernel_set", "tile"), [(name, tile) for name in INSTALLED for tile in TILES[name]]
)
def test_products_are_vectorised(kernel_set, tile):
    """One multiplication and one addition for each sum, in the width of the tile."""
    dtype = np.dtype(tile.dtype)
    register = REGISTER_OF_BYTES[tile.lanes * dtype.itemsize]
    suffix = "ps" if dtype == np.float32 else "pd"
    fused = kernel_set != "base"
    wanted = (rf"fmadd\d*{suffix}",) if fused else (f"mul{suffix}", f"add{suffix}")
    found = count_packed(kernel_set, tile.module, tile.module, register, wanted)
    for count in found.values():
        assert count >= tile.rows * tile.vectors


@disassembled
@pytest.mark.parametrize(
    ("kernel_set", "tile"),
    [
        (name, tile)
        for name in INSTALLED
        for tile in TILES[name]
        if (name, tile.real) != ("base", "double")
    ],
)
def test_products_stay_in_registers(kernel_set, tile):
    """Within the loop over the depth nothing is stored: no sum, no weight is spilled."""
    multiply = re.compile(r"\s(mulp[sd]|vfmadd\d*p[sd])\s")
    store = re.compile(r"\sv?mov[ua]p[sd]\s+%[xyz]mm\d+,.*\(")
    innermost = [
        loop
        for body in bodies_of(kernel_set, tile.module, tile.module)
        for loop in innermost_loops(body)
        if any(multiply.search(line) for line in loop)
    ]
    assert innermost
    for loop in innermost:
        assert not [line for line in loop if store.search(line)]


@disassembled
@pytest.mark.parametrize(
    ("kernel_set", "module"),
    [
        (name, module)
        for name in INSTALLED
        for module in (*MODULES, *(tile.module for tile in TILES[name]))
    ],
)
def test_kernels_call_nothing_of_python(kernel_set, module):
    """They run without the interpreter's lock."""
    called = re.compile(r"\s(call|jmp)q?\s+[0-9a-f]+ <_?Py")
    for body in runs_of(kernel_set, module).values():
        assert not [line for line in body if called.search(line)]


# --- results ------------------------------------------------------------------------------------

EPSILON = float(np.finfo(np.float32).eps)
sizes = st.integers(1, 40)
channel_counts = st.one_of(st.integers(1, 70), st.sampled_from([96, 128, 200]))
seeds = st.integers(0, 2**32 - 1)
# NaN, both infinities, zeros of both signs, numbers near the ends of the range
odd_values = st.lists(
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 3e38, -3e38]), max_size=4
)
bounds = st.sampled_from([(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0), (-1.0, 0.5)])


def run(kernels, name, *arguments, **options):
    """Bind a kernel to its arguments, and run it."""
    getattr(kernels, f"bind_{name}")(*arguments, **options)()


def normal(rng, *shape, odd=()):
    x = rng.standard_normal(shape, dtype=np.float32)
    if odd:
        x.flat[rng.integers(0, x.size, len(odd))] = odd
    return x


def assert_close(actual, reference, tolerance):
    """Compare with a float64 reference within absolute tolerances; NaN and inf must be equal."""
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(actual[~finite], reference[~finite])
    error = np.abs(actual[finite] - reference[finite])
    assert (error <= tolerance[finite]).all()


def windows_of(x, height, width, stride, rows, columns):
    """All windows of a map: (rows, columns, height, width, c)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(0, 1))
    windows = windows[::stride, ::stride][:rows, :columns]  # (rows, columns, c, height, width)
    return np.moveaxis(windows, 2, -1)


@settings(max_examples=150)
@given(
    kernel=st.one_of(
        st.sampled_from([(3, 3), (5, 5)]), st.tuples(st.integers(1, 7), st.integers(1, 7))
    ),
    stride=st.sampled_from([1, 1, 2, 2, 3]),
    out=st.tuples(st.integers(1, 9), st.integers(1, 13)),
    spare=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    channels=channel_counts,
    bound=bounds,
    seed=seeds,
    odd=odd_values,
    name=st.sampled_from(["depthwise", "depthwise_double"]),
)
def test_depthwise(kernels, kernel, stride, out, spare, channels, bound, seed, odd, name):
    rng = np.random.default_rng(seed)
    shape = [(o - 1) * stride + k + s for o, k, s in zip(out, kernel, spare)]
    x = normal(rng, *shape, channels, odd=[value for value in odd if abs(value) != 3e38])
    taps, bias = normal(rng, *kernel, channels), normal(rng, channels)
    windows = windows_of(x.astype(np.float64), *kernel, stride, *out)
    with np.errstate(invalid="ignore"):
        products = windows * taps
        expected = np.clip(products.sum(axis=(2, 3)) + bias, *bound)
        magnitude = np.abs(products).sum(axis=(2, 3)) + np.abs(bias)
        rounded = 1 if name == "depthwise_double" else kernel[0] * kernel[1] + 1
        tolerance = rounded * EPSILON * magnitude
    result = np.full((*out, channels), 99, np.float32)
    run(kernels, name, x, taps, bias, stride, *bound, result)
    assert_close(result, expected, tolerance)


@needs_kernels
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_depthwise_gives_the_same_bits_whatever_the_width(kernels, size, stride):
    """Kernels for one, four and seven outputs at a time add up alike."""
    rng = np.random.default_rng(0)
    x, taps = normal(rng, size, 20 * stride + size, 37), normal(rng, size, size, 37)
    bias, wide = normal(rng, 37), np.empty((1, 21, 37), np.float32)
    run(kernels, "depthwise", x, taps, bias, stride, 0, 6, wide)
    for columns in (1, 2, 3, 4, 5, 7, 8, 11, 14):
        out = np.empty((1, columns, 37), np.float32)
        part = np.ascontiguousarray(x[:, : (columns - 1) * stride + size])
        run(kernels, "depthwise", part, taps, bias, stride, 0, 6, out)
        np.testing.assert_array_equal(out, wide[:, :columns])


@needs_kernels
def test_depthwise_double_rounds_once(kernels):
    # the large terms cancel: in float32 nothing would be left of the small one
    x = np.zeros((3, 6, 8), np.float32)
    x[0], x[1, 1:5], x[2] = 1e6, 1e-3, -1e6
    for stride, columns in ((1, 4), (2, 2), (3, 2)):
        out = np.empty((1, columns, 8), np.float32)
        taps = np.ones((3, 3, 8), np.float32)
        run(
            kernels,
            "depthwise_double",
            x,
            taps,
            np.zeros(8, np.float32),
            stride,
            -np.inf,
            np.inf,
            out,
        )
        taken = [
            x[1, v * stride : v * stride + 3, 0].astype(np.float64).sum() for v in range(columns)
        ]
        np.testing.assert_allclose(out[0, :, 0], taken, rtol=2e-7)


@settings(max_examples=150)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.sampled_from([1, 2, 3, 3, 3, 4, 5, 7]),
    stride=st.integers(1, 4),
    ceil=st.booleans(),
    channels=channel_counts,
    beside=st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    seed=seeds,
    odd=odd_values,
)
def test_max_pool(kernels, shape, size, stride, ceil, channels, beside, seed, odd):
    rng = np.random.default_rng(seed)
    x = normal(rng, *shape, channels, odd=odd * 5)
    if ceil:  # every window that starts inside, clipped to the map
        out = [-(-side // stride) for side in shape]
    else:
        out = [max(side - size, 0) // stride + 1 for side in shape]
    expected = np.empty((*out, channels), np.float32)
    for y in range(out[0]):
        for u in range(out[1]):
            top, left = y * stride, u * stride
            expected[y, u] = x[top : top + size, left : left + size].max(axis=(0, 1))
    left, right = beside or (0, 0)
    expected = np.pad(expected, ((0, 0), (left, right), (0, 0)), constant_values=99)
    result = np.full_like(expected, 99)
    place = {} if beside is None else {"left": left, "columns": out[1]}
    run(kernels, "max_pool", x, size, stride, result, **place)
    np.testing.assert_array_equal(result, expected)


@needs_kernels
@pytest.mark.parametrize("size", [2, 3])
def test_max_pool_keeps_nan_at_every_place_of_the_window(kernels, size):
    for i in range(size):
        for j in range(size):
            x = np.ones((size, size, 33), np.float32)
            x[i, j, ::2] = np.nan
            out = np.empty((1, 1, 33), np.float32)
            run(kernels, "max_pool", x, size, 2, out)
            np.testing.assert_array_equal(np.isnan(out[0, 0]), np.arange(33) % 2 == 0)


@needs_kernels
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_max_pool_is_a_rank_filter(kernels, size):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = normal(np.random.default_rng(0), 17, 12, 19)
    out = np.empty_like(x)
    run(kernels, "max_pool", x, size, 1, out)
    filtered = ndimage.maximum_filter(
        x, size=(size, size, 1), mode="nearest", origin=(-((size - 1) // 2), -((size - 1) // 2), 0)
    )
    if size % 2:  # scipy centres even windows differently
        np.testing.assert_array_equal(out, filtered)
    np.testing.assert_array_equal(
        out[: 18 - size, : 13 - size],
        np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1)).max(axis=(3, 4)),
    )


@settings(max_examples=150)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    beside=st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    channels=channel_counts,
    size=st.sampled_from([5, 5, 1, 3, 7, 9]),
    alpha=st.sampled_from([1e-4, 1.0, 0.3]),
    beta=st.sampled_from([0.75, 0.75, 0.5, 1.0, 0.6]),
    k=st.sampled_from([1.0, 2.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=seeds,
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-40]), max_size=3),
)
def test_lrn(kernels, shape, beside, channels, size, alpha, beta, k, scale, seed, odd):
    rng = np.random.default_rng(seed)
    x = normal(rng, *shape, channels, odd=odd) * np.float32(scale)
    wide = x.astype(np.float64)
    expected = np.empty_like(wide)
    with np.errstate(invalid="ignore"):
        for ch in range(channels):
            first, last = max(ch - size // 2, 0), min(ch + size // 2, channels - 1)
            total = (wide[..., first : last + 1] ** 2).sum(axis=-1)
            expected[..., ch] = wide[..., ch] / (k + alpha / size * total) ** beta
    left, right = beside or (0, 0)
    out = np.full((shape[0], left + shape[1] + right, channels), 99, np.float32)
    run(kernels, "lrn", x, size, alpha, beta, k, out, **({} if beside is None else {"left": left}))
    within = slice(left, left + shape[1])
    assert (np.delete(out, np.r_[within], axis=1) == 99).all()
    with np.errstate(invalid="ignore"):
        assert_close(out[:, within], expected, 16 * EPSILON * np.abs(expected) + 1e-44)


@needs_kernels
def test_lrn_is_that_of_the_onnx_specification(kernels):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    # as many images as channels: onnx 1.23's evaluator loops over one for the other
    channels = 40
    shape = [channels, channels, 1, 1]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("LRN", ["x"], ["y"], size=5, alpha=1e-4, beta=0.75, bias=2.0)],
        "lrn",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    x = normal(np.random.default_rng(0), channels, channels) * np.float32(100)
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph))
    (expected,) = evaluator.run(None, {"x": x.reshape(shape)})
    out = np.empty((1, *x.shape), np.float32)
    run(kernels, "lrn", x[np.newaxis], 5, 1e-4, 0.75, 2.0, out)
    np.testing.assert_allclose(out[0], expected.reshape(x.shape), rtol=2e-6)


# --- matrix products ----------------------------------------------------------------------------


def rows_of(x, start, row_step, column_step, depth, groups, rows, columns):
    """The left matrices of a product, (groups, rows, columns, depth)."""
    g, y, u, k = np.ogrid[:groups, :rows, :columns, :depth]
    return x.reshape(-1)[start + (g * rows + y) * row_step + u * column_step + k]


def width_of(packed):
    first, panels = packed[-1]
    return first + panels.shape[1] * panels.shape[3] * panels.shape[4]


def multiply(kernels, *arguments, **options):
    for call in kernels.bind_matmul(*arguments, **options):
        call()


@settings(max_examples=200, deadline=None)
@given(
    groups=st.integers(1, 3),
    depth=st.one_of(st.integers(1, 20), st.sampled_from([64, 147])),
    width=st.one_of(st.integers(1, 80), st.sampled_from([96, 128, 200])),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 40)),
    start=st.integers(0, 9),
    steps=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    spare=st.tuples(*[st.integers(0, 3)] * 6),
    then=st.sampled_from(["nothing", "bias", "residual"]),
    bound=bounds,
    dtype=st.sampled_from([np.float32, np.float32, np.float64]),
    seed=seeds,
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40]), max_size=3),
)
def test_matmul(
    kernels, groups, depth, width, shape, start, steps, spare, then, bound, dtype, seed, odd
):
    rng = np.random.default_rng(seed)
    (rows, columns), (row_step, column_step) = shape, steps
    last = (groups * rows - 1) * row_step + (columns - 1) * column_step
    if dtype == np.float64 and then == "nothing":
        then = "bias"
    x = normal(rng, start + last + depth, odd=odd).astype(dtype)
    matrix = normal(rng, groups, depth, width).astype(dtype)
    packed = kernels.pack_matrix(matrix)
    full = width_of(packed)
    assert full == -(-width // 8) * 8
    filled = np.pad(matrix, ((0, 0), (0, 0), (0, full - width)))
    top, below, left, right, offset, after = spare
    out_shape = (top + groups * rows + below, left + columns + right, offset + full + after)
    bias = None if then == "nothing" else normal(rng, full).astype(dtype)
    residual = normal(rng, *out_shape) if then == "residual" else None
    place = np.s_[top : top + groups * rows, left : left + columns, offset : offset + full]

    lefts = rows_of(x, start, row_step, column_step, depth, groups, rows, columns)
    with np.errstate(invalid="ignore"):
        wide = np.einsum("gyuk,gkn->gyun", lefts.astype(np.float64), filled)
        magnitude = np.einsum("gyuk,gkn->gyun", np.abs(lefts).astype(np.float64), np.abs(filled))
        wide = wide.reshape(groups * rows, columns, full)
        magnitude = magnitude.reshape(wide.shape)
        if bias is not None:
            wide, magnitude = wide + bias, magnitude + np.abs(bias)
        if residual is not None:
            wide = wide + residual[place]
            magnitude = magnitude + np.abs(residual[place])
        if bias is not None:
            wide = np.clip(wide, *bound)

    out = np.full(out_shape, 99, np.float32)
    multiply(
        kernels, x, start, row_step, column_step, packed, bias, *bound, out, (top, left, offset),
        shape, residual,
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        tolerance = (depth + 2) * np.finfo(dtype).eps * magnitude + depth * 1e-44
        if dtype == np.float64:  # and rounded once
            tolerance += EPSILON / 2 * np.abs(wide)
        assert_close(out[place], wide, tolerance)
    untouched = np.ones(out_shape, bool)
    untouched[place] = False
    assert (out[untouched] == 99).all()

    # any row alone has the same bits
    g, y, u = (int(rng.integers(size)) for size in (groups, rows, columns))
    alone = np.full((1, 1, full), 99, np.float32)
    at = np.s_[top + g * rows + y, left + u, offset : offset + full]
    own = None if residual is None else np.ascontiguousarray(residual[at]).reshape(1, 1, full)
    multiply(
        kernels, x, start + (g * rows + y) * row_step + u * column_step, 0, 0,
        [(first, panels[g : g + 1]) for first, panels in packed], bias, *bound, alone, (0, 0, 0),
        (1, 1), own,
    )  # fmt: skip
    np.testing.assert_array_equal(alone[0, 0], out[at])


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("then", ["nothing", "bias", "residual"])
def test_every_tile_gives_the_same_bits(kernels, then, dtype, monkeypatch):
    """Whatever height of a tile is chosen, for rows that it divides and that it does not."""
    if dtype == "float64" and then == "nothing":
        pytest.skip("sums in double precision always get a bias")
    rng = np.random.default_rng(0)
    depth, most = 37, 45
    every = [tile for tile in TILES[kernels.kernel_set] if tile.dtype == dtype]
    tried = set()
    for width in {tile.width for tile in every}:
        x = normal(rng, most * depth).astype(dtype)
        matrix = normal(rng, 1, depth, 2 * width).astype(dtype)
        bias = None if then == "nothing" else normal(rng, 2 * width).astype(dtype)
        residuals = normal(rng, 1, most, 2 * width)
        results = []
        for tile in every:
            if tile.width != width:
                continue
            folder = f"sklearn_decaf._kernels.{kernels.kernel_set}"
            function = getattr(import_module(f"{folder}.{tile.module}"), tile.module)
            only = {np.dtype(dtype): {width: [(tile, function)]}}
            monkeypatch.setattr(kernels, "_matmuls", only)
            packed = kernels.pack_matrix(matrix)
            for columns in (tile.rows, 2 * tile.rows, 2 * tile.rows + 1, most):
                residual = np.ascontiguousarray(residuals[:, :columns])
                out = np.empty((1, columns, 2 * width), np.float32)
                multiply(
                    kernels, x, 0, 0, depth, packed, bias, -1.0, 1e4, out, (0, 0, 0),
                    (1, columns), residual if then == "residual" else None,
                )  # fmt: skip
                results.append(out)
            tried.add(tile)
        for out in results:
            np.testing.assert_array_equal(out, results[-1][:, : out.shape[1]])
    assert tried == set(every)


@needs_kernels
def test_packed_panels_begin_at_cache_lines_and_hold_the_matrix(kernels):
    rng = np.random.default_rng(0)
    for columns in (1, 8, 15, 16, 24, 31, 33, 40, 72):
        matrix = normal(rng, 2, 5, columns)
        parts = []
        for first, panels in kernels.pack_matrix(matrix):
            assert panels.ctypes.data % 64 == 0
            assert first == sum(part.shape[-1] for part in parts)
            groups, _, depth, _, _ = panels.shape
            flat = panels.transpose(0, 2, 1, 3, 4).reshape(groups, depth, -1)
            parts.append(flat)
        whole = np.concatenate(parts, axis=-1)
        np.testing.assert_array_equal(whole[..., :columns], matrix)
        assert not whole[..., columns:].any()
        assert whole.shape[-1] == -(-columns // 8) * 8


@needs_kernels
def test_products_of_denormal_numbers(kernels):
    x = np.full((1, 9, 4), 1e-40, np.float32)
    packed = kernels.pack_matrix(np.ones((1, 4, 8), np.float32))
    out = np.empty((1, 9, 8), np.float32)
    multiply(kernels, x, 0, 0, 4, packed, None, 0, 0, out, (0, 0, 0), (1, 9))
    assert (out == np.float32(1e-40) * 4).all()


# --- windows ------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 6),
    stride=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 7)),
    spare=st.tuples(*[st.integers(0, 3)] * 3),
    channels=st.integers(1, 20),
    part=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    seed=seeds,
    odd=odd_values,
)
def test_patches(kernels, size, stride, shape, spare, channels, part, seed, odd):
    rng = np.random.default_rng(seed)
    (rows, columns), (first, below, right) = shape, spare
    before, after = part
    hp, wp = (first + rows - 1) * stride + size + below, (columns - 1) * stride + size + right
    x = normal(rng, hp, wp, before + channels + after, odd=odd)
    windows = windows_of(x, size, size, stride, first + rows, columns)[first:]
    expected = windows[..., before : before + channels].reshape(
        rows, columns, size, size * channels
    )
    out = np.full((rows + 1, columns, size, size * channels), 99, np.float32)
    run(kernels, "patches", x, size, stride, first, rows, before, channels, out)
    np.testing.assert_array_equal(out[:rows], expected)
    assert (out[rows] == 99).all()


# --- Winograd -----------------------------------------------------------------------------------


def matrices(m, r):
    """AT, G and BT of F(m, r), float64."""
    return [np.array(matrix, dtype=object).astype(np.float64) for matrix in cook_toom(m, r)]


def places_of_tiles(size, m):
    """The first row and column of each tile; the last ones end with the map."""
    return [
        (min(row * m, size[0] - m), min(column * m, size[1] - m))
        for row in range(-(-size[0] // m))
        for column in range(-(-size[1] // m))
    ]


winograd_sizes = st.sampled_from(WINOGRAD_SIZES)
extra = st.integers(0, 13)  # pixels of a map beyond one tile


def strips_of(down, rng):
    """Rows of tiles cut anywhere: [(first, rows), ...]"""
    cuts = sorted({0, down, *rng.integers(0, down + 1, rng.integers(0, 3)).tolist()})
    return [(a, b - a) for a, b in itertools.pairwise(cuts)]


@settings(max_examples=100, deadline=None)
@given(winograd_sizes, st.tuples(extra, extra), channel_counts, st.integers(0, 3), seeds)
def test_winograd_input(kernels, sizes_, beyond, channels, start, seed):
    (m, r), rng = sizes_, np.random.default_rng(seed)
    n = m + r - 1
    h, w = (m + more for more in beyond)
    x = normal(rng, h + r - 1, w + r - 1, channels)
    _, _, transform = matrices(m, r)
    places = places_of_tiles((h, w), m)
    across, down = -(-w // m), -(-h // m)
    taken = np.stack([x[y : y + n, u : u + n] for y, u in places]).astype(np.float64)
    expected = np.einsum("iy,tyuc,ju->ijtc", transform, taken, transform)
    magnitude = np.einsum("iy,tyuc,ju->ijtc", abs(transform), abs(taken), abs(transform))
    tiles = np.full((n * n, start + len(places) + 1, channels), 99, np.float32)
    for first, rows in strips_of(down, rng):
        base = int(rng.integers(0, min(first * m, h - m) + 1))
        end = min((first + rows) * m, h) + r - 1
        end = int(rng.integers(end, h + r))
        window = np.ascontiguousarray(x[base:end])
        kernels.bind_winograd_input(
            m, r, window, (h, w), base, first, rows, start + first * across, tiles
        )()
    values = tiles[:, start : start + len(places)].reshape(expected.shape)
    assert_close(values, expected, 2 * n * EPSILON * magnitude)
    assert (tiles[:, :start] == 99).all()
    assert (tiles[:, -1] == 99).all()


@settings(max_examples=100, deadline=None)
@given(
    winograd_sizes,
    st.tuples(extra, extra),
    channel_counts,
    st.tuples(*[st.integers(0, 3)] * 6),
    bounds,
    seeds,
)
def test_winograd_output(kernels, sizes_, beyond, filters, spare, bound, seed):
    (m, r), rng = sizes_, np.random.default_rng(seed)
    n = m + r - 1
    h, w = (m + more for more in beyond)
    transform, _, _ = matrices(m, r)
    across, down = -(-w // m), -(-h // m)
    start, top, left, right, offset, after = spare
    products = normal(rng, n * n, start + across * down, filters)
    bias = normal(rng, filters)
    square = products[:, start:].reshape(n, n, -1, filters).astype(np.float64)
    made = np.einsum("yi,ijtc,uj->tyuc", transform, square, transform) + bias
    magnitude = np.einsum("yi,ijtc,uj->tyuc", abs(transform), abs(square), abs(transform))
    expected, tolerance = np.empty((2, h, w, filters))
    for t, (y, u) in enumerate(places_of_tiles((h, w), m)):  # later ones win
        expected[y : y + m, u : u + m] = np.clip(made[t], *bound)
        tolerance[y : y + m, u : u + m] = 2 * n * EPSILON * (magnitude[t] + np.abs(bias))
    shape = (top + h + 1, left + w + right, offset + filters + after)
    out = np.full(shape, 99, np.float32)
    for first, rows in strips_of(down, rng):
        kernels.bind_winograd_output(
            m, r, products, first, rows, start + first * across, (h, w), bias, *bound, out,
            (top, left, offset),
        )()  # fmt: skip
    place = np.s_[top : top + h, left : left + w, offset : offset + filters]
    assert_close(out[place], expected, tolerance)
    untouched = np.ones(shape, bool)
    untouched[place] = False
    assert (out[untouched] == 99).all()

    # with a negative row, the map's first rows are not there
    first = int(rng.integers(0, down))
    away = int(rng.integers(0, min(first * m, h - m) + 1))
    rest = np.full((h - away, w, filters), 99, np.float32)
    kernels.bind_winograd_output(
        m, r, products, first, down - first, start + first * across, (h, w), bias, *bound, rest,
        (-away, 0, 0),
    )()  # fmt: skip
    begin = min(first * m, h - m)
    np.testing.assert_array_equal(rest[begin - away :], out[place][begin:])


def winograd(kernels, m, r, x, kernel, bias, low=-np.inf, high=np.inf):
    """A convolution of a padded map (h + r - 1, w + r - 1, c) by F(m, r)."""
    h, w = (side - r + 1 for side in x.shape[:2])
    n, c, filters = m + r - 1, *kernel.shape[2:]
    _, transform, _ = matrices(m, r)
    weights = np.einsum("iy,yucf,ju->ijcf", transform, kernel.astype(np.float64), transform)
    weights = weights.reshape(n * n, c, filters).astype(np.float32)
    down, t = -(-h // m), -(-h // m) * -(-w // m)
    tiles, products = np.empty((n * n, t, c), np.float32), np.empty((n * n, t, filters), np.float32)
    kernels.bind_winograd_input(m, r, x, (h, w), 0, 0, down, 0, tiles)()
    multiply(
        kernels, tiles, 0, t * c, c, kernels.pack_matrix(weights), None, 0, 0, products,
        (0, 0, 0), (1, t),
    )  # fmt: skip
    out = np.full((h, w, filters), 99, np.float32)
    kernels.bind_winograd_output(
        m, r, products, 0, down, 0, (h, w), bias, low, high, out, (0, 0, 0)
    )()
    return out


@settings(max_examples=40, deadline=None)
@given(winograd_sizes, st.tuples(extra, extra), st.integers(1, 12), bounds, seeds)
def test_winograd_is_a_correlation(kernels, sizes_, beyond, channels, bound, seed):
    signal = pytest.importorskip("scipy.signal")
    (m, r), rng = sizes_, np.random.default_rng(seed)
    x = normal(rng, *(m + more + r - 1 for more in beyond), channels)
    kernel, bias = normal(rng, r, r, channels, 8), normal(rng, 8)
    wide, taps = x.astype(np.float64), kernel.astype(np.float64)
    expected = np.stack(
        [
            sum(
                signal.correlate2d(wide[..., c], taps[:, :, c, f], "valid") for c in range(channels)
            )
            for f in range(8)
        ],
        axis=-1,
    )
    actual = winograd(kernels, m, r, x, kernel, bias, *bound)
    scale = np.abs(x).max() * np.abs(kernel).sum(axis=(0, 1, 2)).max()
    np.testing.assert_allclose(actual, np.clip(expected + bias, *bound), rtol=0, atol=3e-6 * scale)


@needs_kernels
@pytest.mark.parametrize(("m", "r"), WINOGRAD_SIZES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_winograd_keeps_what_is_not_a_number(kernels, m, r, value):
    """Windows with it give NaN or infinity, and it goes no further than its tiles."""
    rng = np.random.default_rng(0)
    h = w = 4 * m
    x, kernel = normal(rng, h + r - 1, w + r - 1, 3), normal(rng, r, r, 3, 8)
    y, u = m + r, 2 * m + r
    x[y, u, 1] = value
    out = winograd(kernels, m, r, x, kernel, np.zeros(8, np.float32))
    wrong = ~np.isfinite(out)
    assert wrong[y - r + 1 : y + 1, u - r + 1 : u + 1].all()
    tiles = wrong.reshape(4, m, 4, m, 8).any(axis=(1, 3, 4))
    reached = [
        (row, column)
        for row in range(4)
        for column in range(4)
        if row * m <= y < (row + 1) * m + r - 1 and column * m <= u < (column + 1) * m + r - 1
    ]
    assert {tuple(place) for place in np.argwhere(tiles).tolist()} == set(reached)


# --- bound --------------------------------------------------------------------------------------


@needs_kernels
def test_binding_computes_nothing_and_a_call_may_run_again(kernels):
    """A call reads its arrays when it runs: not as they were before."""
    rng = np.random.default_rng(0)
    x, taps, out = normal(rng, 5, 9, 6), normal(rng, 3, 3, 6), np.full((3, 7, 6), 99, np.float32)
    bias = normal(rng, 6)
    call = kernels.bind_depthwise(x, taps, bias, 1, -np.inf, np.inf, out)
    assert (out == 99).all()
    for array in (x, x, taps, bias):
        windows = windows_of(x, 3, 3, 1, 3, 7)
        expected = (windows * taps).sum(axis=(2, 3)) + bias
        assert call() is None
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)
        array[...] = normal(rng, *array.shape)


# --- refused ------------------------------------------------------------------------------------


def f32(*shape):
    return np.zeros(shape, np.float32)


@needs_kernels
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(3, 6, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 7, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 6), f32(5), 1, 0, 1, f32(2, 6, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(4), 1, 0, 1, f32(2, 6, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 0, 0, 1, f32(2, 6, 5))),
        ("depthwise_double", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 7, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(3, 4, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 5, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 4, 6))),
        ("max_pool", (f32(4, 8, 5), 0, 2, f32(2, 4, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 0, f32(2, 4, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 4, 5), 1, 4)),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 4, 5), -1, 4)),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 9, 5), 1)),
        ("lrn", (f32(1, 4, 8), 4, 1.0, 0.75, 1.0, f32(1, 4, 8))),
        ("lrn", (f32(1, 4, 8), -1, 1.0, 0.75, 1.0, f32(1, 4, 8))),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(1, 4, 9))),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(2, 4, 8))),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(1, 4, 8), 1)),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(1, 5, 8), -1)),
        ("patches", (f32(5, 7, 3), 3, 2, 0, 3, 0, 3, f32(3, 3, 3, 9))),  # rows
        ("patches", (f32(5, 7, 3), 3, 2, 1, 2, 0, 3, f32(2, 3, 3, 9))),
        ("patches", (f32(5, 7, 3), 3, 2, 0, 2, 0, 3, f32(2, 4, 3, 9))),  # columns
        ("patches", (f32(5, 7, 3), 3, 2, 0, 2, 1, 3, f32(2, 3, 3, 9))),  # channels
        ("patches", (f32(5, 7, 3), 3, 2, 0, 2, -1, 2, f32(2, 3, 3, 6))),
        ("patches", (f32(5, 7, 3), 3, 2, 0, 2, 0, 3, f32(1, 3, 3, 9))),  # out
        ("patches", (f32(5, 7, 3), 3, 2, 0, 2, 0, 3, f32(2, 3, 3, 8))),
        ("patches", (f32(5, 7, 3), 3, 2, -1, 2, 0, 3, f32(2, 3, 3, 9))),
        # F(4, 3) of a map of 4 x 9 with 5 channels: 1 x 3 tiles
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 0, 0, 1, 0, f32(36, 2, 5))),  # few tiles
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 0, 0, 1, 1, f32(36, 3, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 0, 0, 2, 0, f32(36, 6, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 0, 1, 1, 0, f32(36, 3, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 1, 0, 1, 0, f32(36, 3, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), -1, 0, 1, 0, f32(36, 3, 5))),
        ("winograd_input", (4, 3, f32(5, 11, 5), (4, 9), 0, 0, 1, 0, f32(36, 3, 5))),  # small map
        ("winograd_input", (4, 3, f32(6, 10, 5), (4, 9), 0, 0, 1, 0, f32(36, 3, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (3, 9), 0, 0, 1, 0, f32(36, 3, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 0, 0, 1, 0, f32(35, 3, 5))),
        ("winograd_input", (4, 3, f32(6, 11, 5), (4, 9), 0, 0, 1, 0, f32(36, 3, 4))),
        ("winograd_input", (3, 3, f32(6, 11, 5), (4, 9), 0, 0, 1, 0, f32(25, 3, 5))),  # no F(3, 3)
        (
            "winograd_output",
            (4, 3, f32(36, 2, 5), 0, 1, 0, (4, 9), f32(5), 0, 1, f32(4, 9, 5)),
        ),
        (
            "winograd_output",
            (4, 3, f32(36, 3, 5), 0, 1, 0, (4, 9), f32(4), 0, 1, f32(4, 9, 5)),
        ),
        (
            "winograd_output",
            (4, 3, f32(36, 3, 5), 0, 1, 0, (4, 9), f32(5), 0, 1, f32(3, 9, 5)),
        ),
        (
            "winograd_output",
            (4, 3, f32(36, 3, 5), 0, 1, 0, (4, 9), f32(5), 0, 1, f32(4, 8, 5)),
        ),
        (
            "winograd_output",
            (4, 3, f32(36, 3, 5), 0, 1, 0, (4, 9), f32(5), 0, 1, f32(4, 9, 4)),
        ),
        *(
            (
                "winograd_output",
                (4, 3, f32(36, 3, 5), 0, 1, 0, (4, 9), f32(5), 0, 1, f32(4, 9, 5), at),
            )
            for at in [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
        ),
    ],
)
def test_shapes_that_do_not_fit(kernels, name, arguments):
    bind = getattr(kernels, f"bind_{name}")
    with pytest.raises(ValueError, match=rf"^{name}: the shapes do not belong together: "):
        bind(*arguments)


MATMUL = {
    "x": f32(2, 3, 5),
    "start": 0,
    "row_step": 15,
    "column_step": 5,
    "bias": f32(8),
    "low": 0.0,
    "high": 1.0,
    "out": f32(2, 3, 8),
    "at": (0, 0, 0),
    "shape": (2, 3),
    "residual": None,
}


@needs_kernels
@pytest.mark.parametrize(
    "changed",
    [
        {"x": f32(29)},
        {"start": 1},
        {"start": -1},
        {"row_step": 16},
        {"row_step": -15},
        {"column_step": 6},
        {"column_step": -5},
        {"bias": f32(7)},
        {"bias": f32(9)},
        {"out": f32(1, 3, 8)},
        {"out": f32(2, 2, 8)},
        {"out": f32(2, 3, 7)},
        {"at": (1, 0, 0)},
        {"at": (0, 1, 0)},
        {"at": (0, 0, 1)},
        {"at": (-1, 0, 0)},
        {"at": (0, -1, 0)},
        {"at": (0, 0, -1)},
        {"shape": (3, 3)},
        {"shape": (2, 4)},
        {"shape": (0, 3)},
        {"shape": (2, 0)},
        {"residual": f32(2, 3, 7)},
        {"residual": f32(2, 4, 8)},
    ],
    ids=str,
)
def test_products_that_do_not_fit(kernels, changed):
    given_ = {**MATMUL, "packed": kernels.pack_matrix(f32(1, 5, 8)), **changed}
    with pytest.raises(ValueError, match=r"^matmul: the shapes do not belong together: "):
        kernels.bind_matmul(**given_)


def unsupported(shape):
    """Arrays of a shape that no kernel takes, by what is wrong with them."""
    return {
        "float64": np.zeros(shape),
        "float16": np.zeros(shape, np.float16),
        "int32": np.zeros(shape, np.int32),
        "strided": np.zeros((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2],
        "reversed": np.zeros(shape, np.float32)[::-1],
        "Fortran": np.zeros(shape, np.float32, order="F"),
    }


CALLS = {
    "depthwise": (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 6, 5)),
    "depthwise_double": (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 6, 5)),
    "max_pool": (f32(4, 8, 5), 3, 2, f32(2, 4, 5)),
    "patches": (f32(5, 7, 3), 3, 2, 0, 2, 0, 3, f32(2, 3, 3, 9)),
    "lrn": (f32(2, 4, 8), 5, 1.0, 0.75, 1.0, f32(2, 4, 8)),
    "winograd_input": (4, 3, f32(10, 11, 5), (8, 9), 0, 0, 2, 0, f32(36, 6, 5)),
    "winograd_output": (*(4, 3, f32(36, 6, 5), 0, 2, 0, (8, 9), f32(5), 0.0, 1.0, f32(8, 9, 5)),),
}
KINDS = tuple(unsupported((2, 2)))


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "place"),
    [
        (name, place)
        for name, arguments in CALLS.items()
        for place, value in enumerate(arguments)
        if isinstance(value, np.ndarray)
    ],
)
def test_arrays_that_are_not_supported(kernels, name, place, kind):
    """They are refused: nothing is computed from a copy, or into one."""
    arguments = list(CALLS[name])
    arguments[place] = wrong = unsupported(arguments[place].shape)[kind]
    if (name, place, kind) == ("patches", 7, "float64"):
        pytest.skip("patches may be float64")
    if wrong.dtype == np.float32 and wrong.flags.c_contiguous:
        pytest.skip("a vector is as it should be in any order")
    with pytest.raises((TypeError, ValueError), match=name):
        getattr(kernels, f"bind_{name}")(*arguments)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "bias", "out", "residual"])
def test_products_of_arrays_that_are_not_supported(kernels, name, kind):
    given_ = {**MATMUL, "packed": kernels.pack_matrix(f32(1, 5, 8)), "residual": f32(2, 3, 8)}
    wrong = unsupported(given_[name].shape)[kind]
    if wrong.dtype == np.float32 and wrong.flags.c_contiguous:
        pytest.skip("a vector is as it should be in any order")
    with pytest.raises((TypeError, ValueError), match="matmul"):
        multiply(kernels, **{**given_, name: wrong})


@needs_kernels
@pytest.mark.parametrize("kind", ["strided", "reversed", "Fortran"])
@pytest.mark.parametrize("channels", [2, 3])
def test_patches_into_arrays_that_are_not_supported(kernels, kind, channels):
    out = unsupported((2, 3, 3, 3 * channels))[kind]
    with pytest.raises(ValueError, match="patches"):
        run(kernels, "patches", f32(5, 7, 3), 3, 2, 0, 2, 0, channels, out)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [2, 3])
def test_patches_of_maps_that_are_not_supported(kernels, kind, channels):
    x = unsupported((5, 7, 3))[kind]
    with pytest.raises((TypeError, ValueError), match="patches"):
        kernels.bind_patches(x, 3, 2, 0, 2, 0, channels, f32(2, 3, 3, 3 * channels))


@needs_kernels
@pytest.mark.parametrize("channels", [2, 3])
def test_patches_in_double_precision(kernels, channels):
    x = normal(np.random.default_rng(0), 5, 7, 3)
    out = np.empty((2, 3, 3, 3 * channels))
    run(kernels, "patches", x, 3, 2, 0, 2, 0, channels, out)
    windows = windows_of(x, 3, 3, 2, 2, 3)[..., :channels]
    np.testing.assert_array_equal(out, windows.reshape(out.shape))


@needs_kernels
def test_read_only_inputs(kernels):
    # weights are memory-mapped read-only
    x, bias, taps, packed = f32(3, 8, 5), f32(5), f32(3, 3, 5), kernels.pack_matrix(f32(1, 5, 8))
    filled = f32(8)
    for array in (x, bias, taps, filled, *(panels for _, panels in packed)):
        array.flags.writeable = False
    run(kernels, "depthwise", x, taps, bias, 1, 0, 6, f32(1, 6, 5))
    run(kernels, "max_pool", x, 3, 2, f32(1, 3, 5))
    run(kernels, "lrn", x, 5, 1e-4, 0.75, 1.0, f32(3, 8, 5))
    run(kernels, "patches", x, 3, 2, 0, 1, 0, 5, f32(1, 3, 3, 15))
    residual = f32(3, 8, 8)
    residual.flags.writeable = False
    out = f32(3, 8, 8)
    multiply(kernels, x, 0, 40, 5, packed, filled, 0, 1, out, (0, 0, 0), (3, 8), residual)


def test_the_source_tree_is_told_from_a_missing_compiler(tmp_path):
    assert "Reinstall it with a C++ compiler" in _kernels._why_nothing_is_compiled(tmp_path)
    (tmp_path / "meson.build").touch()
    message = _kernels._why_nothing_is_compiled(tmp_path)
    assert str(tmp_path) in message and "another directory" in message
