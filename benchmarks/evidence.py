"""What is known, on every body of evidence at hand: three questions, tables, pictures and their checks.

    NASTRANSFER_DATA=data python -m benchmarks.evidence                     # half an hour of one core
    NASTRANSFER_DATA=data python -m benchmarks.evidence table_deepnets1m    # one body and the page
    python -m benchmarks.evidence --page                        # only the page, from stored figures

The bodies are the tabular studies of experiments/, the runs of Yang et al. (ICLR 2020) and our own studies in
results/. Each is analysed as a report does; its figures go to results/evidence/<body>.json, its tables to
results/evidence/<body>/. Then the tables of results/README.md and the pictures in results/figures are made
anew from all stored figures. A body whose table is not on this machine keeps the figures that it has.

Two checks run on the results of every body. The names of each strategy and of the random networks that it is
compared with are shuffled 100 times: the share of these comparisons that find something at the 5% level; and
the share that does where the first arm is made better by one standard deviation of random networks.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import evidence_page
from nastransfer_nni.base.files import write_json, write_text
from nastransfer_nni.data.sources import data_folder
from nastransfer_nni.report.names import Names, names_of
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.comparison import Comparison, difference
from nastransfer_nni.report.statistics.correlation import Correlation
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.margin import deviation
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.units import Arm, arm
from nastransfer_nni.report.tables import TABLES
from nastransfer_nni.report.tables.text import markdown
from nastransfer_nni.tabular import run as tabular
from nastransfer_nni.tracking.journal import FileJournal
from search_spaces.errors import UserError, unknown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
SHUFFLES = 100
"""Shuffles of each comparison."""
ALPHA = 0.05
NULL = ("parameters", "labels:random", "pixels:noise")
"""What the names of null proxies have: the size of the network, random labels, or noise for images."""


@dataclass(frozen=True)
class Body:
    """A body of evidence.

    Attributes:
        name: name of its file of results; that of its study file in experiments, if it is a tabular study.
        title: what it is.
        limit: what it cannot say, in a few words.
        results: CSV file with its results table; empty for a tabular study.
    """

    name: str
    title: str
    limit: str
    results: str = ""


BODIES = (
    Body("table_nas_bench_201", "NAS-Bench-201, 12 epochs", "one training a cell, of 12 epochs"),
    Body("table_nas_bench_201_200", "NAS-Bench-201, 200 epochs", "small space; few distinct cells found"),
    Body("table_nas_bench_mr", "NAS-Bench-MR, subsets of ImageNet", "another space; one training each"),
    Body("table_nas_bench_mr_tasks", "NAS-Bench-MR, other tasks", "another space; one training each"),
    Body("table_deepnets1m", "DeepNets-1M", "one epoch on ImageNet, top-5; one training each"),
    Body("table_robust_darts", "RobustDARTS", "settings of one strategy, 35 of them"),
    Body("table_darts_cells", "DARTS cells, 600 epochs", "one data set: proxies are fewer epochs"),
    Body("yang", "Yang et al., 600 epochs", "8 networks an arm; no proxies", "nas_evaluation/runs.csv"),
    Body(
        "study_evidence",
        "Our study",
        "networks of width 8, 4 epochs on 7,500 images",
        "study_evidence/results.csv",
    ),
    Body(
        "study_cifar10_small",
        "Our small study",
        "toy scale; 3 searches an arm",
        "study_cifar10_small/results.csv",
    ),
)


def findings(body: Body) -> Findings:
    """The statistics of a body of evidence.

    Raises:
        UserError: the table is not on this machine.
    """
    options = AnalysisOptions()
    if body.results:
        path = next((path for path in _places(body.results) if path.exists()), None)
        if path is None:
            raise UserError(f"{body.results} is not in NASTRANSFER_DATA")
        return Findings(reading.read(path)[0], options)
    opened = tabular.Opened.read(ROOT / "experiments" / f"{body.name}.yml")
    folder = tabular.runs_folder() / opened.study.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = tabular.Rows(opened.study, opened.networks)
    results = tabular.results(opened, rows, FileJournal(folder / tabular.SEARCHES))
    return Findings(results, options, rows.table())


def _places(name: str) -> list[Path]:
    data = data_folder()
    return [RESULTS / name, *([data / name] if data else [])]


def figures(body: Body, found: Findings) -> dict[str, Any]:
    """Everything that the page says of a body, for each of its targets."""
    return {
        "title": body.title,
        "limit": body.limit,
        "targets": [_target(found, setting) for setting in found.settings],
        "checks": checks(found, np.random.default_rng(0)),
    }


def _target(found: Findings, setting: str) -> dict[str, Any]:
    members = [each for each in found.comparisons if str(each.setting) == setting]
    pool, names = members[0].pool, names_of(found)
    arms = [arm for each in members for arm in (each.searched,) if arm]
    places = dict.fromkeys(each.place for each in members)
    return {
        "target": setting,
        "random": {
            "mean": _number(pool["top1"].mean()),
            "sd": _number(deviation(pool, "top1").mean),
            "cells": members[0].random.cells if members[0].random else 0,
        },
        "null": [names.text(place) for place in places if any(part in place for part in NULL)],
        "searches": sum(arm.searches for arm in arms),
        "cells": _distinct(pd.concat([each.rows for each in members])),
        "answers": {
            answer.question: {"verdict": answer.verdict, "sentence": answer.sentence}
            for answer in found.answers
            if answer.setting == setting
        },
        "improvement": [
            _improvement(row, each, names)
            for each, row in zip(found.comparisons, found.improvement.to_dict("records"), strict=True)
            if row["setting"] == setting
        ],
        "proxies": [
            {
                "a": names.text(row["a"]),
                "b": names.text(row["b"]),
                "points": _interval(row["estimate"], row["ci_low"], row["ci_high"]),
                "p": _number(row["p_holm"]),
                "verdict": row["verdict"],
            }
            for row in _rows(found.two_way, setting)
            if row["effect"] == "proxy"
        ],
        "correlation": [_correlation(each) for each in found.correlations if str(each.setting) == setting],
    }


def _distinct(rows: pd.DataFrame) -> int | None:
    return int(rows["genotype"].nunique()) if (rows["genotype"] != "").all() else None


def _rows(frame: pd.DataFrame, setting: str) -> list[dict[Any, Any]]:
    return frame[frame["setting"] == setting].to_dict("records") if len(frame) else []


def _improvement(row: dict[Any, Any], comparison: Comparison, names: Names) -> dict[str, Any]:
    sd = deviation(comparison.pool, "top1").mean if len(comparison.pool) else float("nan")
    points = [row["difference"], row["difference_low"], row["difference_high"]]
    return {
        "who": names.of(row).replace("candidates=", ""),
        "percent": _interval(row["relative_improvement"], row["ci_low"], row["ci_high"]),
        "points": _interval(*points),
        "sds": _interval(*(value / sd for value in points)),
        "p": _number(row["p_holm"]),
        "searches": int(row["searches"]),
        "cells": int(row["cells"]),
        "random_cells": int(row["cells_random"]),
        "finding": row["verdict"].text(AnalysisOptions.margin),
    }


def _correlation(each: Correlation) -> dict[str, Any]:
    return {
        "source": each.source,
        "cells": len(each.cells),
        "tau": _interval(*each.coefficients["Kendall's tau-b"]),
        "best_tenth": _interval(*each.best_tenth) if each.best_tenth else None,
        "ceiling": _interval(*each.ceiling) if each.ceiling else None,
        "params": _interval(*size)
        if (size := each.alone.get("params") or each.alone.get("mult_adds"))
        else None,
        "recall": {str(k): value for k, value in each.recall.items()},
        "regret": each.regret,
    }


def _number(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 6)


def _interval(*values: float) -> list[float | None]:
    return [_number(value) for value in values]


def checks(found: Findings, rng: np.random.Generator) -> dict[str, Any]:
    """False findings under shuffled names, and findings of a planted effect of one standard deviation."""
    counts = {"comparisons": 0, "false": 0, "found": 0}
    for each in found.comparisons:
        if each.reason:
            continue
        sd = deviation(each.pool, "top1").mean
        for _ in range(SHUFFLES):
            searched, random = shuffled(each, rng)
            if searched.reason or random.reason:
                continue
            gap = difference(searched, random, shares_draws=False)
            planted = gap + sd
            counts["comparisons"] += 1
            counts["false"] += bool(gap.p_value() < ALPHA)
            counts["found"] += bool(planted.p_value() < ALPHA and planted.mean > 0)
    return counts


def shuffled(comparison: Comparison, rng: np.random.Generator) -> tuple[Arm, Arm]:
    """The two arms of a comparison, with their searches and random networks shuffled.

    Args:
        comparison: a strategy on a proxy, and the random networks that it is compared with.
        rng: random stream.
    """
    rows = pd.concat([comparison.pool, comparison.rows], ignore_index=True)
    is_random = np.arange(len(rows)) < len(comparison.pool)
    searches = rows.groupby([is_random, "proxy_seed", "search_seed"], sort=False).ngroup().to_numpy()
    count = searches[is_random].max() + 1
    mixed = rng.permutation(searches.max() + 1)[searches]
    # what draws a proxy had would tell the arms apart again
    rows = rows.assign(search_seed=mixed.astype(str), proxy_seed="", proxy_fingerprint="")
    chosen = mixed < count
    noise = comparison.noise
    return arm(rows[~chosen], noise=noise), arm(rows[chosen], noise=noise, is_random=True)


def write(body: Body, found: Findings) -> None:
    """Write the figures and tables of a body."""
    folder = RESULTS / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{body.name}.json", figures(body, found))
    lines = [f"# {body.title}\n", f"The tables of `python -m benchmarks.evidence {body.name}`.\n"]
    for table in TABLES:
        frame = table.compute(found)
        for setting in found.settings if len(frame) else ():
            rows = frame[frame["setting"] == setting]
            if table.name != "results" and len(rows):
                lines.append(f"## {table.title}: {setting}\n\n{markdown(table.text(rows, found.options))}")
    write_text(folder / f"{body.name}.md", "\n".join(lines))


def main() -> None:
    """Analyse the bodies whose tables are here, then make the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bodies", nargs="*", help="names of bodies; none: all")
    parser.add_argument("--page", action="store_true", help="only the page, from stored results")
    arguments = parser.parse_args()
    names = [body.name for body in BODIES]
    for name in arguments.bodies:
        if name not in names:
            raise SystemExit(f"error: {unknown('body of evidence', name, names)}")
    for body in BODIES:
        if not arguments.page and body.name in (arguments.bodies or names):
            try:
                found = findings(body)
            except UserError as error:
                print(f"{body.name}: left as it is ({error})")
                continue
            write(body, found)
            print(f"{body.name}: {len(found.table)} rows", flush=True)
    evidence_page.write(RESULTS, names)


if __name__ == "__main__":
    main()
