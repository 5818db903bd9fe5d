"""Kill searches with SIGKILL at random moments, start them again, and compare with searches left alone.

    python -m benchmarks.kills                    # 20 kills over the strategies, minutes
    python -m benchmarks.kills --kills 3 --only enas

Every search runs on the bundled digits through the command, with the same options. A search that was killed,
however often, must export the same architecture with the same score as the one that was left alone.
Writes benchmarks/results/kills.json.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.killing import finish, kill
from nastransfer_nni.base.files import write_json

RESULTS = Path(__file__).parent / "results"
SIZE = ["--width", "2", "--layers", "3", "--batch-size", "32", "--device", "cpu"]
SEARCHES = {
    "darts": ["darts", "--epochs", "3"],
    "gumbel": ["darts:relaxation=gumbel", "--epochs", "3"],
    "random_ws": ["random_ws:candidates=60,finalists=10,batches=4", "--epochs", "4"],
    "enas": ["enas:controller_steps=8,candidates=10", "--epochs", "4"],
    "random": ["random:candidates=12", "--epochs", "2"],
    "evolution": ["evolution:population=5,tournament=3,candidates=14", "--epochs", "2"],
    "nsga2": ["evolution:selection=nsga2,population=5,offspring=3,generations=3", "--epochs", "2"],
    "supernet": ["evolution:evaluate=supernet,population=6,tournament=3,candidates=60", "--epochs", "4"],
}


def command(name: str, out: Path) -> list[str]:
    """The search `name` with its run in `out`."""
    strategy, *options = SEARCHES[name]
    python = [sys.executable, "-m", "nastransfer_nni.search", "--strategy", strategy]
    return [*python, *options, *SIZE, "--out", str(out)]


def outcome(out: Path) -> dict[str, Any]:
    """The result of a finished search, without times."""
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    kept = ("top1", "genotype", "search_samples", "candidates", "epochs")
    front = [(member["top1"], member["mult_adds"]) for member in summary.get("front", [])]
    return {name: summary[name] for name in kept} | {"front": front}


def main() -> None:
    """Kill, resume and compare; exits with 1 when a resumed search differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", choices=SEARCHES, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draws = random.Random(options.seed)
    names = [options.only] if options.only else list(SEARCHES)
    share = {name: len(range(place, options.kills, len(names))) for place, name in enumerate(names)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kills in share.items():
            runs = Path(folder, name)
            runs.mkdir()
            seconds = finish(command(name, runs / "alone"))
            moments: list[float] = []
            killed: list[Path] = []
            hits = 0
            while hits < kills:
                if not killed or (killed[-1] / "summary.json").exists():
                    killed.append(runs / f"killed{len(killed)}")
                moments.append(draws.uniform(0.2, 0.8) * seconds)
                hits += kill(command(name, killed[-1]), moments[-1])
            for out in killed:
                finish(command(name, out))
            same = all(outcome(out) == outcome(runs / "alone") for out in killed)
            rows.append(
                {"search": name, "seconds": seconds, "killed_after": moments, "kills": hits, "same": same}
            )
            print(
                f"{name:>10}: {seconds:.0f} s alone; killed {hits} times (after "
                f"{', '.join(f'{moment:.1f}' for moment in moments)} s); "
                f"{'the same result' if same else 'ANOTHER RESULT'}",
                flush=True,
            )
    kills, same = (sum(row[name] for row in rows) for name in ("kills", "same"))
    print(f"{kills} kills; {same} of {len(rows)} searches the same")
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "kills.json", {"options": vars(options), "searches": rows})
    sys.exit(not all(row["same"] for row in rows))


if __name__ == "__main__":
    main()
