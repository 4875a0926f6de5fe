"""A disk that is really full, or really read-only, for a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


def in_small_file_system(program, tmp_path, size="1m"):
    """Run a program with a small file system of its own, mounted at ``sys.argv[1]``.

    Skips the test where that is not allowed.
    """
    mount = tmp_path / "mount"
    mount.mkdir()
    command = f'mount -t tmpfs -o size={size} tmpfs "$1" && exec "$2" -c "$3" "$1"'
    for prefix in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        check = subprocess.run(
            [*prefix, "mount", "-t", "tmpfs", "tmpfs", str(mount)], capture_output=True
        )
        if check.returncode == 0:
            break
    else:
        pytest.skip("needs the right to mount a file system, with unshare and mount")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*prefix, "sh", "-c", command, "sh", str(mount), sys.executable, textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=tmp_path,  # not the source tree, where nothing is compiled
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
