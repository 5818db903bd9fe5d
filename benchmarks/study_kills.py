"""Kill a study ten times on the way and compare its table with that of the study left alone.

    python -m benchmarks.study_kills                     # the digits study, some ten minutes
    python -m benchmarks.study_kills --kills 3 --study my_study.yml

What a clock has measured is left out of the comparison. Writes benchmarks/results/study_kills.json;
exit code 1 where the tables differ.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.killing import finish, kill
from nastransfer_nni.base.files import write_json
from nastransfer_nni.report.collect import collect

RESULTS = Path(__file__).parent / "results"
TIMES = ["search_seconds", "train_seconds"]


def table(root: Path) -> pd.DataFrame:
    """The results of a study, in a fixed order and without times."""
    return collect(root)[0].drop(columns=TIMES).sort_values("run").reset_index(drop=True)


def main() -> None:
    """Kill, resume and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--study", default="experiments/study_digits.yml")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draws = random.Random(options.seed)

    def command(root: Path) -> list[str]:
        run = [sys.executable, "-m", "nastransfer_nni.study", "run", options.study, "--out", str(root)]
        return [*run, "--concurrency", str(options.concurrency)]

    with tempfile.TemporaryDirectory() as folder:
        # Runs are named by their study's folder: it must have the same name in both places.
        alone, killed = (Path(folder, kind, "study") for kind in ("alone", "killed"))
        seconds = finish(command(alone))
        print(f"alone: {seconds:.0f} s, {len(table(alone))} rows", flush=True)
        moments: list[float] = []
        hits = 0
        while hits < options.kills:
            # What is done is kept: so many kills must fit into one study and the start-up of each.
            moments.append(draws.uniform(0.08, 0.25) * seconds)
            if not kill(command(killed), moments[-1]):
                break
            hits += 1
            print(f"kill {hits} after {moments[-1]:.1f} s", flush=True)
        finish(command(killed))
        same = table(alone).equals(table(killed))
        rows = len(table(killed))
    print(f"{hits} kills; {rows} rows, {'the same' if same else 'ANOTHER TABLE'}")
    RESULTS.mkdir(exist_ok=True)
    content = {"options": vars(options), "seconds_alone": seconds, "killed_after": moments}
    write_json(RESULTS / "study_kills.json", content | {"kills": hits, "rows": rows, "same": same})
    sys.exit(not same)


if __name__ == "__main__":
    main()
