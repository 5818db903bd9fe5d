"""A whole study without any training, on NAS-Bench-201's table: does a cheap source choose for the target?

    NASTRANSFER_DATA=data python -m benchmarks.tabular_study              # 200 seeds, minutes
    NASTRANSFER_DATA=data python -m benchmarks.tabular_study --seeds 20
    python -m benchmarks.tabular_study --report                     # only the report of stored searches

Random search, regularized evolution and nsga2 search on CIFAR-10 and on CIFAR-100 by validation accuracy, 300
evaluations each; what they find is looked up on ImageNet16-120, beside cells drawn without search. The table
has one training of 12 epochs a cell: searches that found the same cell share its training, so that they are
one measurement in the report's statistics. Writes the results table and its report to
benchmarks/results/tabular_study/.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.nas_bench_201 import DATA_SETS, RESULTS, Lookup, found, mult_adds, search, table
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run import report
from strategies import parse

EVALUATIONS = 300
STRATEGIES = {
    "random": "random",
    f"random:candidates={EVALUATIONS}": "random",
    f"evolution:candidates={EVALUATIONS}": "evolution",
    "evolution:selection=nsga2,generations=13": "evolution",  # 40 + 13 * 20 evaluations
}
*SOURCES, TARGET = DATA_SETS


def rows(seeds: int) -> Iterator[dict[str, Any]]:
    """A row of the results table for every search; the random pool is one for all sources."""
    for text in STRATEGIES:
        baseline = text == "random"
        for source in SOURCES[:1] if baseline else SOURCES:
            for seed in range(seeds):
                began = time.perf_counter()
                strategy = search(text, source, seed, counts="nsga2" in text)
                yield _row(text, source, seed, strategy, time.perf_counter() - began)


def _row(text: str, source: str, seed: int, strategy: Any, seconds: float) -> dict[str, Any]:
    name, options = parse(text)
    chosen = found(strategy)
    accuracies = table().loc[chosen]
    return {
        "target": TARGET,
        "protocol": "nas-bench-201",
        "strategy": name,
        "strategy_options": "" if text == "random" else json.dumps(options.changed(), sort_keys=True),
        "source": "" if text == "random" else source,
        "proxy": "" if text == "random" else "all",
        "search_seed": seed,
        "genotype": chosen,
        "search_score": accuracies[f"{source}_val"] if text != "random" else "",
        "source_top1": accuracies[f"{source}_test"],
        "top1": accuracies[f"{TARGET}_test"],
        "mult_adds": mult_adds(chosen),
        "search_seconds": seconds,
        "search_samples": 0 if text == "random" else EVALUATIONS * Lookup.samples,
    }


def main() -> None:
    """Search, look up and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--report", action="store_true", help="only the report, from the stored searches")
    arguments = parser.parse_args()
    folder = RESULTS / "tabular_study"
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.report:
        made = list(rows(arguments.seeds))
        with (folder / "searches.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, made[0].keys())
            writer.writeheader()
            writer.writerows(made)
    report(ReportConfig(input=str(folder / "searches.csv"), out=str(folder)))


if __name__ == "__main__":
    main()
