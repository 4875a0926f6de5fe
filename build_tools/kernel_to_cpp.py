"""Translate a kernel source to C++ with Pythran: ``python kernel_to_cpp.py SOURCE OUTPUT``.

What Pythran writes is right but too careful for the compiler to turn into vectors. Four things
are known of all kernels here, and told:

- No index is negative: the functions that call kernels check all shapes. Pythran proves it in
  simple cases only, and elsewhere adds a branch to every access.
- Loops over channels (variables called ``ch``) and over the lanes of a vector (``lane``) have
  independent iterations: no output overlaps another array at another position. The compiler
  would compare all pointers before every loop, which takes as long as a loop over 32 channels.
- Loops over the depth of a product (``k``) run at least once.
- ``np.ldexp(np.float32(1), n)`` asks for a power of two that is a normal number.

Calling a function of the module does not compute: it returns the call, bound to its arguments, for
`runner.cpp` to run as often as wanted, without Python (see `bind_kernel.hpp`).
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

PRAGMAS = """\
#if defined(__clang__)
#define KERNEL_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#define KERNEL_LANES KERNEL_IVDEP
#elif defined(__GNUC__)
#define KERNEL_IVDEP _Pragma("GCC ivdep")
#define KERNEL_LANES _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#else
#define KERNEL_IVDEP
#define KERNEL_LANES
#endif
#include <cstdint>
#include <cstring>
// 2^n for -127 < n < 128: what ldexp(1, n) is, without a call that would keep a loop from vectors
static inline float kernel_power_of_two(std::int32_t n) {
  const std::int32_t bits = (n + 127) * (1 << 23);
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return power;
}
"""
POWER_OF_TWO = re.compile(
    r"pythonic::numpy::functor::ldexp\{\}\(pythonic::numpy::functor::float32\{\}\(1L\), "
    r"(pythonic::numpy::functor::int32\{\}\(\w+\))\)"
)
CHANNEL_LOOP = re.compile(r"^(?=\s*for \(long\s+ch_*\s*=)", flags=re.MULTILINE)
LANE_LOOP = re.compile(r"^(?=\s*for \(long\s+lane_*\s*=)", flags=re.MULTILINE)
# what the wrapper of an exported function does with its converted arguments
CONVERT_AND_CALL = re.compile(r"return to_python\((\w+)\d\((from_python.*)\)\);$", re.MULTILINE)
AFTER_KERNELS = "#include <pythonic/python/exception_handler.hpp>"
DEPTH_LOOP = re.compile(r"^(?=\s*for \(long\s+k_*=0L; k_* < (\w+);)", flags=re.MULTILINE)


def main(source, output):
    command = [sys.executable, "-m", "pythran.run", "-E", source, "-o", output]
    subprocess.run(command, check=True)
    code = Path(output).read_text()
    code, channel_loops = CHANNEL_LOOP.subn("KERNEL_IVDEP\n", code)
    code = POWER_OF_TWO.sub(r"kernel_power_of_two(\1)", code)
    code, lane_loops = LANE_LOOP.subn("KERNEL_LANES\n", code)
    if channel_loops + lane_loops == 0:
        raise SystemExit(f"{source}: no loop over 'ch' or 'lane' found in what Pythran wrote")
    code = DEPTH_LOOP.sub(r"if (\1 <= 0) __builtin_unreachable();\n", code)
    code, calls = CONVERT_AND_CALL.subn(
        rf"return decaf::bind<__pythran_{Path(source).stem}::\1>(\2);", code
    )
    if calls == 0:
        raise SystemExit(f"{source}: no wrapper found that converts arguments and calls")
    code = code.replace(AFTER_KERNELS, f'#include "bind_kernel.hpp"\n{AFTER_KERNELS}', 1)
    Path(output).write_text(PRAGMAS + unchecked(code, arguments(Path(source).read_text())))


def arguments(source: str) -> set[str]:
    """Names of the arguments of all functions: the arrays among them are indexed."""
    return {
        argument.arg
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        for argument in node.args.args
    }


def unchecked(code: str, names: set[str]) -> str:
    """Write ``a[i]`` as ``a.fast(i)``, which takes every index as it is, for the named arrays."""
    any_name = "|".join(sorted(names))
    subscript = re.compile(rf"(pythonic::types::as_const\((?:{any_name})\)|\b(?:{any_name}))\[")
    position = 0
    while match := subscript.search(code, position):
        end, depth = match.end(), 1
        while depth:
            depth += {"[": 1, "]": -1}.get(code[end], 0)
            end += 1
        inside = code[match.end() : end - 1]
        code = f"{code[: match.start()]}{match[1]}.fast({inside}){code[end:]}"
        position = match.start() + len(match[1])  # what is inside is looked at next
    return code


if __name__ == "__main__":
    main(*sys.argv[1:])
