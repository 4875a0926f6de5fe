"""Kill a training at random moments, let it go on, and compare what it learned.

Each of the processes is killed with SIGKILL after it has written its checkpoint anew, in the middle
of a step or of the writing of the next one; the last one ends. What it learned has to have the
same bytes as in a process that was left alone. Checkpoints are written after every step here, which
no other training does.

    python benchmarks/killed_training.py --kills 100
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from oracles.killed_training import kill_until_done, learn_undisturbed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills = trainings = same = 0
    with tempfile.TemporaryDirectory() as folder:
        expected = learn_undisturbed(Path(folder, "whole"))
        while kills < options.kills:
            trainings += 1
            killed, found = kill_until_done(
                Path(folder, str(trainings)), rng, min(20, options.kills - kills)
            )
            kills += killed
            same += found == expected
    print("| kills | trainings | with the same bytes |\n|---|---|---|")
    print(f"| {kills} | {trainings} | {same} |")
    if same < trainings:
        sys.exit("some trainings ended with other bytes")


if __name__ == "__main__":
    main()
