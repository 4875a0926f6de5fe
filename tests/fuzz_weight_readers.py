"""Fuzz the readers of weight files for a given time each.

    python tests/fuzz_weight_readers.py --seconds 600
    python tests/fuzz_weight_readers.py --seconds 60 --only npz torch

Each format's small valid file is damaged at random, and graphs are drawn at random. A reader may
return a result or raise WeightsError. Another exception, more than ten seconds for one file, or
more than 2 GB of memory stops the run, and the file is kept.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from oracles.weight_seeds import DRAWN, SEEDS

from sklearn_decaf.exceptions import WeightsError

CASES = [*SEEDS, *DRAWN]
NUMBERS = [
    b"\0",
    b"\1",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff",
    b"\0\0\0\x80",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff",
    b"\xff" * 8,
    b"\xff" * 7 + b"\x7f",
    b"\0" * 8,
    b"-1",
    b"999999999999",
    b"1e999",
]


def damage(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """One to six changes of a file; some come from a file of another format."""
    out = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(7):
            case 0 if at < len(out):
                out[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(out):
                out[at] = chance.randrange(256)
            case 2:
                number = chance.choice(NUMBERS)
                out[at : at + len(number)] = number
            case 3:
                out[at:at] = chance.choice(NUMBERS)
            case 4:
                del out[at : at + chance.randint(1, 16)]
            case 5:
                start, length = chance.randrange(len(out) + 1), chance.randint(1, 64)
                out[at:at] = out[start : start + length]
            case 6:
                start = chance.randrange(len(other))
                out[at:at] = other[start : start + chance.randint(1, 32)]
    return bytes(out)


def too_long(*_):
    raise TimeoutError("more than ten seconds")


def fuzz(case: str, seconds: float, seed: int) -> int:
    """How many files were tried."""
    read, content = {**SEEDS, **DRAWN}[case]
    chance = random.Random(f"{case} {seed}")
    others = [one for _, one in SEEDS.values()]
    tried, read_in_full, end = 0, 0, time.monotonic() + seconds
    changed = b""
    try:
        while time.monotonic() < end:
            if isinstance(content, bytes):
                changed = damage(content, chance.choice(others), chance)
            else:
                changed = content(chance)
            tried += 1
            signal.alarm(10)
            try:
                read(memoryview(changed))
                read_in_full += 1
            except WeightsError:
                pass
            signal.alarm(0)
    except Exception:
        signal.alarm(0)
        name = f"fuzz-{case.replace(' ', '-')}-{seed}-{tried}.bin"
        kept = Path(tempfile.gettempdir(), name)
        kept.write_bytes(changed)
        print(f"{case}: file {tried}, kept as {kept}", flush=True)
        raise
    print(f"{case}: {tried} files in {seconds:g} s, {read_in_full} of them read", flush=True)
    return tried


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="for each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=CASES, default=CASES)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    failed = 0
    for case in options.only:
        try:
            fuzz(case, options.seconds, options.seed)
        except Exception:
            traceback.print_exc()
            failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
