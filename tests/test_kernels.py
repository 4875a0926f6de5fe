"""Every kernel, in every compiled set that this CPU can run, against float64 references."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import warnings
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sklearn_decaf
from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import MODULES, Kernels
from sklearn_decaf.exceptions import KernelWarning

REQUIRED = os.environ.get("SKLEARN_DECAF_REQUIRE_KERNELS") == "1"
INSTALLED = _kernels.installed_sets()
AVAILABLE = _kernels.available_sets()
FUNCTIONS = (
    "bias_clip",
    "bias_add_clip",
    "bias_clip_into",
    "depthwise",
    "depthwise_double",
    "lrn",
    "max_pool",
)

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
    for name in FUNCTIONS:
        assert getattr(_kernels, name) is not None
    folder = f"{os.sep}{_kernels.KERNEL_SET}{os.sep}"
    for name in MODULES:
        path = getattr(_kernels._kernels, f"_{name}").__file__
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
    code = "from sklearn_decaf import _kernels as k; print(k.KERNEL_SET, k.lrn is None)"
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
assert all(getattr(_kernels, name) is None for name in {FUNCTIONS!r})
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
    assert "C++ compiler" in str(caught[0].message)


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
PACKED = {
    "bias_clip": {
        "bias_clip": {r"maxps": 1, r"minps": 1},
        "bias_add_clip": {r"maxps": 1, r"minps": 1},
        "bias_clip_into": {r"maxps": 1, r"minps": 1},
    },
    "depthwise": {"depthwise": {r"(mul|fmadd\d*)ps": 1, r"maxps": 1}},
    "depthwise_3x3": {
        "depthwise_3x3_stride_1": {r"(mul|fmadd\d*)ps": 36, r"maxps": 4},
        "depthwise_3x3_stride_2": {r"(mul|fmadd\d*)ps": 36, r"maxps": 4},
    },
    "depthwise_5x5": {
        "depthwise_5x5_stride_1": {r"(mul|fmadd\d*)ps": 20, r"maxps": 1},
        "depthwise_5x5_stride_2": {r"(mul|fmadd\d*)ps": 20, r"maxps": 1},
    },
    "depthwise_double": {
        "depthwise_double": {r"(mul|fmadd\d*)pd": 1, r"maxpd": 1},
        "depthwise_double_3x3_stride_1": {r"(mul|fmadd\d*)pd": 36, r"maxpd": 4},
    },
    "lrn": {
        "lrn_5_075": {r"sqrtps": 2, r"divps": 1},
        "lrn_denominators": {r"(mul|fmadd\d*)ps": 2, r"addps": 1},
    },
    "max_pool": {"max_pool_3": {r"maxps": 4}, "max_pool": {r"maxps": 2}},
}
REGISTERS = {"base": "%xmm", "v3": "%ymm", "v4": "%zmm"}


def test_every_module_has_its_packed_instructions_listed():
    assert set(PACKED) == set(MODULES)


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


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not an x86-64 machine")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump, of GNU binutils")
@pytest.mark.parametrize("module", PACKED)
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_loops_are_vectorised(kernel_set, module):
    path = find_spec(f"sklearn_decaf._kernels.{kernel_set}.{module}").origin
    disassembly = disassemble(path)
    for function, wanted in PACKED[module].items():
        # Pythran's wrapper, into which the function itself is inlined
        symbol = re.compile(rf"__pythran_wrap(all)?_{function}0?P")
        code = [line for name, body in disassembly.items() if symbol.search(name) for line in body]
        if not code:
            pytest.skip(f"{path} has no symbol of {function}: it was stripped")
        wide = [line for line in code if REGISTERS[kernel_set] in line]
        for instruction, count in wanted.items():
            found = sum(bool(re.search(rf"\sv?{instruction}\s", line)) for line in wide)
            assert found >= count, (
                f"{function} ({kernel_set}): {found} packed {instruction} with "
                f"{REGISTERS[kernel_set]}, expected {count}: the compiler did not vectorise it"
            )


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_interpreter_lock_is_released(kernel_set, module):
    path = find_spec(f"sklearn_decaf._kernels.{kernel_set}.{module}").origin
    assert b"PyEval_SaveThread" in Path(path).read_bytes()


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


@given(sizes, channel_counts, bounds, seeds, odd_values)
def test_bias_clip(kernels, rows, channels, bound, seed, odd):
    rng = np.random.default_rng(seed)
    x, bias = normal(rng, rows, channels, odd=odd), normal(rng, channels)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.clip(x + bias, *bound).astype(np.float32)
    kernels.bias_clip(x, bias, *bound)
    np.testing.assert_array_equal(x, expected)


@given(sizes, channel_counts, bounds, seeds, odd_values)
def test_bias_add_clip(kernels, rows, channels, bound, seed, odd):
    rng = np.random.default_rng(seed)
    x, bias = normal(rng, rows, channels, odd=odd), normal(rng, channels)
    residual = normal(rng, rows, channels, odd=odd[::-1])
    before = residual.copy()
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.clip(x + bias + residual, *bound).astype(np.float32)
    kernels.bias_add_clip(x, bias, residual, *bound)
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(residual, before)


@given(sizes, channel_counts, st.integers(0, 9), st.integers(0, 9), bounds, seeds, odd_values)
def test_bias_clip_into(kernels, rows, channels, left, right, bound, seed, odd):
    rng = np.random.default_rng(seed)
    x, bias = normal(rng, rows, channels, odd=odd), normal(rng, channels)
    out = normal(rng, rows, left + channels + right)
    expected = out.copy()
    with np.errstate(invalid="ignore", over="ignore"):
        expected[:, left : left + channels] = np.clip(x + bias, *bound)
    kernels.bias_clip_into(x, bias, *bound, out, left)
    np.testing.assert_array_equal(out, expected)


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
    getattr(kernels, name)(x, taps, bias, stride, *bound, result)
    assert_close(result, expected, tolerance)


@needs_kernels
def test_depthwise_double_rounds_once(kernels):
    # the large terms cancel: in float32 nothing would be left of the small one
    x = np.zeros((3, 6, 8), np.float32)
    x[0], x[1, 1:5], x[2] = 1e6, 1e-3, -1e6
    for stride, columns in ((1, 4), (2, 2), (3, 2)):
        out = np.empty((1, columns, 8), np.float32)
        taps = np.ones((3, 3, 8), np.float32)
        kernels.depthwise_double(x, taps, np.zeros(8, np.float32), stride, -np.inf, np.inf, out)
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
    seed=seeds,
    odd=odd_values,
)
def test_max_pool(kernels, shape, size, stride, ceil, channels, seed, odd):
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
    result = np.full_like(expected, 99)
    kernels.max_pool(x, size, stride, result)
    np.testing.assert_array_equal(result, expected)


@needs_kernels
@pytest.mark.parametrize("size", [2, 3])
def test_max_pool_keeps_nan_at_every_place_of_the_window(kernels, size):
    for i in range(size):
        for j in range(size):
            x = np.ones((size, size, 33), np.float32)
            x[i, j, ::2] = np.nan
            out = np.empty((1, 1, 33), np.float32)
            kernels.max_pool(x, size, 2, out)
            np.testing.assert_array_equal(np.isnan(out[0, 0]), np.arange(33) % 2 == 0)


@needs_kernels
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_max_pool_is_a_rank_filter(kernels, size):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = normal(np.random.default_rng(0), 17, 12, 19)
    out = np.empty_like(x)
    kernels.max_pool(x, size, 1, out)
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
    rows=sizes,
    channels=channel_counts,
    size=st.sampled_from([5, 5, 1, 3, 7, 9]),
    alpha=st.sampled_from([1e-4, 1.0, 0.3]),
    beta=st.sampled_from([0.75, 0.75, 0.5, 1.0, 0.6]),
    k=st.sampled_from([1.0, 2.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=seeds,
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-40]), max_size=3),
)
def test_lrn(kernels, rows, channels, size, alpha, beta, k, scale, seed, odd):
    rng = np.random.default_rng(seed)
    x = normal(rng, rows, channels, odd=odd) * np.float32(scale)
    wide = x.astype(np.float64)
    expected = np.empty_like(wide)
    with np.errstate(invalid="ignore"):
        for ch in range(channels):
            first, last = max(ch - size // 2, 0), min(ch + size // 2, channels - 1)
            total = (wide[:, first : last + 1] ** 2).sum(axis=1)
            expected[:, ch] = wide[:, ch] / (k + alpha / size * total) ** beta
    out = np.full_like(x, 99)
    kernels.lrn(x, size, alpha, beta, k, out)
    with np.errstate(invalid="ignore"):
        assert_close(out, expected, 16 * EPSILON * np.abs(expected) + 1e-44)


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
    out = np.empty_like(x)
    kernels.lrn(x, 5, 1e-4, 0.75, 2.0, out)
    np.testing.assert_allclose(out, expected.reshape(x.shape), rtol=2e-6)


# --- refused ------------------------------------------------------------------------------------


def f32(*shape):
    return np.zeros(shape, np.float32)


@needs_kernels
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("bias_clip", (f32(4, 8), f32(7))),
        ("bias_clip", (f32(4, 8), f32(9))),
        ("bias_add_clip", (f32(4, 8), f32(8), f32(3, 8))),
        ("bias_clip_into", (f32(4, 8), f32(8), 0, 1, f32(4, 8), 1)),
        ("bias_clip_into", (f32(4, 8), f32(8), 0, 1, f32(4, 9), -1)),
        ("bias_clip_into", (f32(4, 8), f32(8), 0, 1, f32(3, 9), 0)),
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
        ("lrn", (f32(4, 8), 4, 1.0, 0.75, 1.0, f32(4, 8))),
        ("lrn", (f32(4, 8), -1, 1.0, 0.75, 1.0, f32(4, 8))),
        ("lrn", (f32(4, 8), 5, 1.0, 0.75, 1.0, f32(4, 9))),
    ],
)
def test_shapes_that_do_not_fit(kernels, name, arguments):
    with pytest.raises(ValueError, match=rf"^{name}: the shapes do not belong together: "):
        getattr(kernels, name)(*arguments)


@needs_kernels
@pytest.mark.parametrize(
    "x",
    [np.zeros((4, 8)), np.zeros((4, 16), np.float32)[:, ::2], np.zeros((8, 4), np.float32).T],
    ids=["float64", "strided", "transposed"],
)
def test_layouts_that_are_not_supported(kernels, x):
    with pytest.raises(TypeError, match="bias_clip"):
        kernels.bias_clip(x, np.zeros(8, np.float32))


@needs_kernels
def test_read_only_inputs(kernels):
    # weights are memory-mapped read-only
    x, bias, taps = f32(3, 8, 5), f32(5), f32(3, 3, 5)
    for array in (x, bias, taps):
        array.flags.writeable = False
    kernels.depthwise(x, taps, bias, 1, 0, 6, f32(1, 6, 5))
    kernels.max_pool(x, 3, 2, f32(1, 3, 5))
    kernels.bias_clip_into(x.reshape(24, 5), bias, 0, 6, f32(24, 5), 0)
