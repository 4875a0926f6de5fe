"""Describe a Debian root of another machine to Meson: ``python cross_files.py ROOT``.

Writes ``ROOT/cross.ini``, a cross file for Debian's cross compiler, and ``ROOT/build-details.json``
(PEP 739), which says how the Python in that root wants extension modules to be built and named.
Nothing of the root is run. CONTRIBUTING.md, "Other machines", shows the use.
"""

import importlib.util
import json
import sys
from pathlib import Path

CROSS_FILE = """\
[binaries]
cpp = '{triplet}-g++'
strip = '{triplet}-strip'
exe_wrapper = ['qemu-{machine}-static', '-L', '/usr/{triplet}']

[host_machine]
system = 'linux'
cpu_family = '{machine}'
cpu = '{machine}'
endian = 'little'

[built-in options]
python.build_config = '{details}'
# The compiler has its own C library; Debian's pyconfig.h is looked for after that.
cpp_args = ['-idirafter', '{root}/usr/include']
"""


def main(root):
    root = Path(root).absolute()
    data = sorted(root.glob("usr/lib/python3*/_sysconfigdata_*.py"))
    if not data:
        raise SystemExit(f"{root} holds no Python with headers: add the package libpython3-dev")
    spec = importlib.util.spec_from_file_location("target_sysconfig", data[-1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    variables = module.build_time_vars
    triplet = variables["MULTIARCH"]  # aarch64-linux-gnu
    machine = triplet.split("-")[0]
    details = root / "build-details.json"
    details.write_text(json.dumps(build_details(root, variables, machine), indent=2) + "\n")
    cross_file = root / "cross.ini"
    cross_file.write_text(
        CROSS_FILE.format(triplet=triplet, machine=machine, details=details, root=root)
    )
    print(cross_file)


def build_details(root: Path, variables: dict, machine: str) -> dict:
    """What Python 3.14 and newer install as build-details.json, for an older one."""
    version = variables["VERSION"]  # 3.11
    tag = f"cpython-{version.replace('.', '')}"
    return {
        "schema_version": "1.0",
        "base_prefix": str(root / "usr"),
        "platform": f"linux-{machine}",
        "language": {"version": version},
        "implementation": {"name": "cpython", "cache_tag": tag},
        "abi": {
            "flags": list(variables["ABIFLAGS"]),
            "extension_suffix": variables["EXT_SUFFIX"],
            "stable_abi_suffix": ".abi3.so",
        },
        # extension modules on Linux leave Python's symbols to the interpreter
        "libpython": {"link_extensions": False},
        "c_api": {"headers": f"include/python{version}"},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
