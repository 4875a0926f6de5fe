"""The machine code of the kernels: packed instructions, and sums that stay in registers."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from oracles.kernel_values import needs_kernels

from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import DEPTHWISE_SIZES, MODULES, WINOGRAD_SIZES
from sklearn_decaf._kernels.tiles import TILES

INSTALLED = _kernels.installed_sets()
AVAILABLE = _kernels.available_sets()

# Packed instructions of full width that the inner loops of each compiled function must hold.
# Where a compiler gives up on a loop, these become scalar (mulss for mulps), three to ten times
# slower, with the same results.
ARITHMETIC = r"(add|sub|mul|fn?m(add|sub)\d*)ps"
PACKED = {
    "activations": {
        "leaky_relu": {"mulps": 1},
        "elu": {ARITHMETIC: 10},
        "sigmoid": {ARITHMETIC: 10, "divps": 1},
        "tanh": {ARITHMETIC: 10, "divps": 1},
        "silu": {ARITHMETIC: 10, "divps": 1},
        "hard_sigmoid": {ARITHMETIC: 1},
        "hard_swish": {ARITHMETIC: 2},
        "gelu": {ARITHMETIC: 18, "divps": 1},
        "gelu_tanh": {ARITHMETIC: 12, "divps": 1},
    },
    "channelwise": {
        "scale_and_shift": {ARITHMETIC: 1, "maxps": 1, "minps": 1},
        "prelu": {"mulps": 1},
        "multiply": {"mulps": 1},
        "multiply_pixels": {"mulps": 1},
        "move_channels": {},  # steps between channels, where vectors are of no use
    },
    "layer_norm": {"layer_norm": {ARITHMETIC: 4}},
    "pool": {"max_pool_any": {"maxps": 1}, "average_pool": {"addps": 1, "divps": 1}},
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
    "patches": {"patches": {}, "patches_any": {}},  # copies, as above
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
