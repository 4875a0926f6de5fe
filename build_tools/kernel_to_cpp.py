"""Translate a kernel source to C++ with Pythran: ``python kernel_to_cpp.py SOURCE OUTPUT``.

The innermost loops of the kernels run over channels, in a variable called ``ch``. Their
outputs never overlap another array at another position, but the compiler cannot know that
and would compare all pointers before every loop, which takes as long as the loop itself at 32
channels. So each such loop is marked free of dependencies.
"""

import re
import subprocess
import sys
from pathlib import Path

CHANNEL_LOOP = re.compile(r"^(?=\s*for \(long\s+ch_*\s*=)", flags=re.MULTILINE)


def main(source, output):
    command = [sys.executable, "-m", "pythran.run", "-E", source, "-o", output]
    subprocess.run(command, check=True)
    code, loops = CHANNEL_LOOP.subn("KERNEL_IVDEP\n", Path(output).read_text())
    if loops == 0:
        raise SystemExit(f"{source}: no loop over 'ch' found in what Pythran wrote")
    pragma = (
        "#if defined(__clang__)\n"
        '#define KERNEL_IVDEP _Pragma("clang loop vectorize(assume_safety)")\n'
        "#elif defined(__GNUC__)\n"
        '#define KERNEL_IVDEP _Pragma("GCC ivdep")\n'
        "#else\n#define KERNEL_IVDEP\n#endif\n"
    )
    Path(output).write_text(pragma + code)


if __name__ == "__main__":
    main(*sys.argv[1:])
