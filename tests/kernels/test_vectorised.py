"""The machine code of the kernels: vectors in the inner loops, sums in registers, no Python.

It is read on x86-64 and on aarch64 Linux. On other machines these tests are skipped.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest
from oracles.kernel_values import needs_kernels

from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import MODULES, WINOGRAD_SIZES
from sklearn_decaf._kernels.tiles import TILES

INSTALLED = _kernels.installed_sets()
AVAILABLE = _kernels.available_sets()


class MachineCode(NamedTuple):
    """What `objdump` prints for instructions of one kind of machine: regular expressions."""

    # {operation: instruction}; "{t}" stands for the type of the numbers
    instructions: dict[str, str]
    types: dict[str, str]  # what "{t}" is, for each type
    vectors: dict[int, str]  # operands that are whole vectors, by bytes
    vector_bytes: dict[str, int]  # by kernel set
    jump: str  # its first group is the address
    call: str  # up to the name that is called
    store: str  # of a vector
    fused: tuple[str, ...]  # kernel sets that multiply and add in one instruction
    spilling: tuple[tuple[str, str], ...]  # (kernel set, precision): products beyond registers


# The instructions for a maximum and a minimum are one operation here: NEON's lose a NaN, so that a
# comparison and a choice stand for both.
_X86 = MachineCode(
    instructions={
        "multiply": r"v?(mul|fmadd\d*)p{t}",
        "multiply and add": r"vfmadd\d*p{t}",
        "add": r"v?addp{t}",
        "subtract": r"v?subp{t}",
        "any sum or product": r"v?(add|sub|mul|fn?m(add|sub)\d*)p{t}",
        "divide": r"v?divp{t}",
        "square root": r"v?sqrtp{t}",
        "compare": r"v?(max|min)p{t}",
        "convert from integer": r"v?cvtdq2p{t}",
    },
    types={"float32": "s", "float64": "d"},
    vectors={16: "%xmm", 32: "%ymm", 64: "%zmm"},
    vector_bytes={"base": 16, "v3": 32, "v4": 64},
    jump=r"\sj\w+\s+([0-9a-f]+) ",
    call=r"\s(call|jmp)q?\s+[0-9a-f]+ <",
    store=r"\sv?mov[ua]p[sd]\s+%[xyz]mm\d+,.*\(",
    fused=("v3", "v4"),
    spilling=(("base", "double"),),  # SSE2 has 16 registers of two numbers each
)
_AARCH64 = MachineCode(
    instructions={
        "multiply": r"(fmul|fmla)",
        "multiply and add": r"fmla",
        "add": r"fadd",
        "subtract": r"fsub",
        "any sum or product": r"(fadd|fsub|fmul|fmla|fmls)",
        "divide": r"fdiv",
        "square root": r"fsqrt",
        "compare": r"fcmg[te]",
        "convert from integer": r"[su]cvtf",
    },
    types={"float32": "4s", "float64": "2d"},
    vectors={16: r"v\d+\.{t}"},
    vector_bytes={"base": 16},
    jump=r"\s(?:b(?:\.\w+)?|cbn?z|tbn?z)\s+(?:.*, )?([0-9a-f]+) <",
    call=r"\sbl?\s+[0-9a-f]+ <",
    store=r"\sst(r|ur|p)\s+q\d+,",
    fused=("base",),
    spilling=(),
)
CODES = {"x86_64": _X86, "AMD64": _X86, "aarch64": _AARCH64}
CODE = CODES.get(platform.machine())

# Packed operations of full width that the inner loops of each compiled function must hold. Where
# a compiler gives up on a loop, these become scalar, three to ten times slower, with the same
# results.
PACKED = {
    "activations": {
        "leaky_relu": {"multiply": 1},
        "elu": {"any sum or product": 10},
        "sigmoid": {"any sum or product": 10, "divide": 1},
        "tanh": {"any sum or product": 10, "divide": 1},
        "silu": {"any sum or product": 10, "divide": 1},
        "hard_sigmoid": {"any sum or product": 1},
        "hard_swish": {"any sum or product": 2},
        "gelu": {"any sum or product": 18, "divide": 1},
        "gelu_tanh": {"any sum or product": 12, "divide": 1},
    },
    "channelwise": {
        "scale_and_shift": {"any sum or product": 1, "compare": 2},
        "prelu": {"multiply": 1},
        "multiply": {"multiply": 1},
        "multiply_pixels": {"multiply": 1},
        "move_channels": {},  # steps between channels, where vectors are of no use
    },
    "layer_norm": {"layer_norm": {"any sum or product": 4}},
    "pool": {"max_pool_any": {"compare": 1}, "average_pool": {"add": 1, "divide": 1}},
    "depthwise": {"depthwise": {"multiply": 1, "compare": 2}},
    "depthwise_double": {
        "depthwise_double": {"multiply": 1, "compare": 2},
        "depthwise_double_3x3_stride_1": {"multiply": 36, "compare": 8},
    },
    "elementwise": {
        "copy": {},  # for which there is memmove
        "fill": {},
        "clip": {"compare": 2},
        "add_and_clip": {"add": 1, "compare": 2},
    },
    "global_pool": {"average": {"add": 2, "divide": 1}, "maximum": {"compare": 1}},
    "lrn": {
        "lrn_5_075": {"square root": 2, "divide": 1},
        "lrn": {"multiply": 1, "add": 1},  # the power itself is that of the C library
    },
    "max_pool": {"max_pool_3": {"compare": 4}, "max_pool": {"compare": 2}},
    "patches": {"patches": {}, "patches_any": {}},  # copies, as above
    # for both types of pixels
    "preprocess": {"preprocess": {"convert from integer": 1, "subtract": 2, "divide": 2}},
}
for m, r in WINOGRAD_SIZES:
    n = m + r - 1
    PACKED |= {  # at the least, one sum for each number on each side
        f"winograd_input_{m}_{r}": {f"winograd_input_{m}_{r}": {"any sum or product": 2 * n * n}},
        f"winograd_output_{m}_{r}": {
            f"winograd_output_{m}_{r}": {"any sum or product": n * n + m * m, "compare": 2 * m * m}
        },
    }

# The same of the module of gradients, which is C++ and uses vectors by name where it can: what is
# left to the compiler.
PACKED_GRADIENTS = {
    "adam_step": {"any sum or product": 8, "divide": 1, "square root": 1},
    "elu_gradient": {"multiply": 1},
    "gelu_gradient": {"any sum or product": 18, "divide": 1},
    "gelu_tanh_gradient": {"any sum or product": 14, "divide": 1},
    "hard_sigmoid_gradient": {"multiply": 1},
    "hard_swish_gradient": {"any sum or product": 2},
    "leaky_relu_gradient": {"multiply": 1},
    "lrn_gradient": {"any sum or product": 16, "divide": 1, "square root": 2},
    "sgd_step": {"any sum or product": 5},
    "sigmoid_gradient": {"any sum or product": 3},
    "silu_gradient": {"any sum or product": 12, "divide": 1},
    "tanh_gradient": {"any sum or product": 2},
}
TILE_ROWS = {"base": 14 if CODE is _AARCH64 else 6, "v3": 6, "v4": 14}


@needs_kernels
def test_every_function_has_its_packed_operations_listed():
    assert {*PACKED, "gradients", "depthwise_windows"} == set(MODULES)
    for name, functions in PACKED.items():
        module = import_module(f"sklearn_decaf._kernels.{AVAILABLE[0]}.{name}")
        assert set(functions) == {key for key in vars(module) if not key.startswith("__")}


def disassembled(test):
    """Marks a test that reads machine code."""
    reason = f"the machine code of {platform.machine()} is not known here"
    test = pytest.mark.skipif(CODE is None, reason=reason)(test)
    missing = shutil.which("objdump") is None
    return pytest.mark.skipif(missing, reason="needs objdump, of GNU binutils")(test)


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


def runs_of(kernel_set, module):
    """The instructions of what runs bound calls of a module's kernels: {symbol: [line, ...]}."""
    path = find_spec(f"sklearn_decaf._kernels.{kernel_set}.{module}").origin
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
        jump = re.search(CODE.jump, line)
        if jump and jump[1] in places:
            loops.append((places[jump[1]], i))
    return [
        body[a : b + 1]
        for a, b in loops
        if not any(a <= c and d <= b for c, d in loops if (c, d) != (a, b))
    ]


def packed(operation, dtype, n_bytes):
    """What matches a line with this operation on whole vectors of so many bytes."""
    t = CODE.types[dtype]
    instruction = CODE.instructions[operation].replace("{t}", t)
    return re.compile(rf"\s{instruction}\s.*{CODE.vectors[n_bytes].replace('{t}', t)}")


def count_packed(kernel_set, module, function, operations, dtype, n_bytes):
    """How often each operation is there, on whole vectors: {operation: count}."""
    code = [line for body in bodies_of(kernel_set, module, function) for line in body]
    patterns = {name: packed(name, dtype, n_bytes) for name in operations}
    return {
        name: sum(bool(pattern.search(line)) for line in code) for name, pattern in patterns.items()
    }


@pytest.mark.slow
@disassembled
@pytest.mark.parametrize("module", PACKED)
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_loops_are_vectorised(kernel_set, module):
    dtype = "float64" if module == "depthwise_double" else "float32"
    n_bytes = CODE.vector_bytes[kernel_set]
    for function, wanted in PACKED[module].items():
        found = count_packed(kernel_set, module, function, wanted, dtype, n_bytes)
        for operation, count in wanted.items():
            assert found[operation] >= count, (
                f"{function} ({kernel_set}): {found[operation]} times {operation!r} on vectors of "
                f"{n_bytes} bytes, expected {count}: the compiler did not vectorise it"
            )


@disassembled
@pytest.mark.parametrize(
    ("kernel_set", "tile"), [(name, tile) for name in INSTALLED for tile in TILES[name]]
)
def test_products_are_vectorised(kernel_set, tile):
    """One multiplication and one addition for each sum, in the width of the tile."""
    operations = ("multiply and add",) if kernel_set in CODE.fused else ("multiply", "add")
    n_bytes = tile.lanes * np.dtype(tile.dtype).itemsize
    found = count_packed(kernel_set, tile.module, tile.module, operations, tile.dtype, n_bytes)
    for count in found.values():
        assert count >= tile.rows * tile.vectors


@disassembled
@pytest.mark.parametrize(
    ("kernel_set", "tile"),
    [
        (name, tile)
        for name in INSTALLED
        for tile in TILES[name]
        if CODE is None or (name, tile.real) not in CODE.spilling
    ],
)
def test_products_stay_in_registers(kernel_set, tile):
    """Within the loop over the depth nothing is stored: no sum, no weight is spilled."""
    multiply = packed("multiply", tile.dtype, tile.lanes * np.dtype(tile.dtype).itemsize)
    innermost = [
        loop
        for body in bodies_of(kernel_set, tile.module, tile.module)
        for loop in innermost_loops(body)
        if any(multiply.search(line) for line in loop)
    ]
    assert innermost
    for loop in innermost:
        assert not [line for line in loop if re.search(CODE.store, line)]


def gradients_of(kernel_set):
    """The instructions of the kernels of gradients, without what binds them: {symbol: [...]}."""
    path = find_spec(f"sklearn_decaf._kernels.{kernel_set}.gradients").origin
    own = re.compile(r"_ZN5decaf(12_GLOBAL__N_1)?\d+[a-z_]+(I.*E)?E")
    bound = re.compile(r"BoundFunction|bind_function|Argument")
    found = {
        name: body
        for name, body in disassemble(path).items()
        if own.match(name) and not bound.search(name)
    }
    if not found:
        pytest.skip(f"{path} has no symbols: it was stripped")
    return found


@disassembled
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_gradients_are_vectorised(kernel_set):
    n_bytes, found = CODE.vector_bytes[kernel_set], gradients_of(kernel_set)
    for function, wanted in PACKED_GRADIENTS.items():
        (body,) = (found[name] for name in found if f"{len(function)}{function}E" in name)
        for operation, count in wanted.items():
            pattern = packed(operation, "float32", n_bytes)
            operations = sum(bool(pattern.search(line)) for line in body)
            assert operations >= count, f"{function} ({kernel_set}): {operations} x {operation}"


@disassembled
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_transposed_products_stay_in_registers(kernel_set, vectors):
    """One multiplication for each sum of the largest tile; no sum is stored within the depth."""
    rows, found = TILE_ROWS[kernel_set], gradients_of(kernel_set)
    multiply = packed("multiply", "float32", CODE.vector_bytes[kernel_set])
    (body,) = (found[name] for name in found if f"4tileILi{rows}ELi{vectors}E" in name)
    loops = [[line for line in loop if multiply.search(line)] for loop in innermost_loops(body)]
    assert max(map(len, loops)) == rows * vectors
    for loop in innermost_loops(body):
        if any(multiply.search(line) for line in loop):
            assert not [line for line in loop if re.search(CODE.store, line)]


@disassembled
@pytest.mark.parametrize("kernel_set", INSTALLED)
def test_gradients_call_nothing_of_python(kernel_set):
    called = re.compile(rf"{CODE.call}_?Py")
    for body in gradients_of(kernel_set).values():
        assert not [line for line in body if called.search(line)]


@disassembled
@pytest.mark.parametrize(
    ("kernel_set", "module"),
    [
        (name, module)
        for name in INSTALLED
        for module in (*PACKED, *(tile.module for tile in TILES[name]))
    ],
)
def test_kernels_call_nothing_of_python(kernel_set, module):
    """They run without the interpreter's lock."""
    called = re.compile(rf"{CODE.call}_?Py")
    for body in runs_of(kernel_set, module).values():
        assert not [line for line in body if called.search(line)]
