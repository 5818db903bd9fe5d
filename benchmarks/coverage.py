"""Do the report's intervals cover, do its tests keep their level? On simulated studies with known truth.

    python -m benchmarks.coverage                      # 4000 studies a setting: half an hour of one core
    python -m benchmarks.coverage --studies 200 --only tails

Every setting is drawn many times with seeds that are fixed beforehand. The table says how often the 95%
interval covers the truth, how often a true null hypothesis is refused, how often the report refuses to test,
and how much wider the intervals are than coverage of 95% needs. Two one-sided binomial tests per setting,
with Holm's correction over the whole table, say which settings cover significantly less than 94% or find
significantly more than 5%. Writes benchmarks/results/coverage.json and coverage.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmarks import simulated
from benchmarks.simulated import Outcome
from nastransfer_nni.base.files import write_json, write_text
from nastransfer_nni.report.tables.text import markdown

RESULTS = Path(__file__).parent / "results"
LEAST_COVERAGE, MOST_FINDINGS, WIDE = 0.94, 0.05, 0.97
SLOW = 4
"""How many times fewer studies a setting has that takes over a minute."""

Setting = tuple[str, str, str, Callable[[int, np.random.Generator], Outcome], bool]
"""Group, setting and estimand, how its studies are drawn and analysed, and whether that is slow."""


def settings() -> list[Setting]:
    """Every row of the table."""
    s = simulated
    rows: list[Setting] = []
    for cells in (1, 3, 0):
        name = "8 distinct cells" if not cells else f"8 searches, {cells} cell{'s' * (cells > 1)}"
        for is_shared in (True, False):
            for noise in (True, False) if is_shared else (False,):
                seeds = "one training seed" if is_shared else "eight training seeds"
                known = f", noise {'known' if noise else 'unknown'}" if is_shared else ""
                draw = s.call(s.shared_trainings, cells=cells, is_shared=is_shared, has_noise=noise)
                rows.append(("units", f"{name}, {seeds}{known}", "mean", draw, True))
    rows.append(("units", "3 searches, 1 training", "mean", s.call(s.shared_trainings, cells=1, n=3), True))
    for n in (3, 5, 8, 20):
        for random in (8, 24):
            rows.append(("arms", f"{n} against {random}", "mean", s.call(s.plain, n=n, random=random), False))
    for rate in (0.05, 0.15):
        for random in (8, 24):
            name = f"{rate:.0%} collapse by 1.5 points, 8 against {random}"
            rows.append(("tails", name, "mean", s.call(s.plain, n=8, random=random, rate=rate), False))
    for rate in (0.0, 0.05, 0.15):
        for n, random in ((3, 24), (5, 24), (8, 8), (8, 24), (20, 24)):
            name = f"{rate:.0%} collapse by 1.5 points, {n} against {random}"
            draw = s.call(s.probability, n=n, random=random, rate=rate)
            rows.append(("tails", name, "probability", draw, True))
    for n, random, scale in ((8, 8, 8.0), (8, 24, 8.0), (5, 24, 1 / 8), (8, 24, 1 / 8)):
        name = f"{n} against {random}, {scale:g} times the deviation"
        rows.append(("spread", name, "mean", s.call(s.plain, n=n, random=random, scale=scale), False))
    name = "20 against 24, 8 times the deviation"
    rows.append(("spread", name, "probability", s.call(s.probability, n=20, random=24, scale=8.0), True))
    for draws, searches in ((1, 8), (2, 4), (4, 2), (12, 2)):
        for share in (0.0, 0.3, 0.6):
            name = f"{draws} draw{'s' * (draws > 1)} x {searches} searches, {share:g} of the variance"
            draw = s.call(s.nested, draws=draws, searches=searches, share=share)
            rows.append(("draws", name, "mean" if draws > 1 else "mean on this draw", draw, False))
    for draws, searches in ((3, 3), (4, 2), (12, 1)):
        name = f"{draws} shared draws x {searches} searches, two strategies"
        draw = s.call(s.paired, draws=draws, searches=searches)
        rows.append(("draws", name, "difference of strategies", draw, False))
    for looks in (1, 5):
        name = f"{looks} look{'s' * (looks > 1)}, 10 against 20"
        rows.append(("looks", name, "mean", s.call(s.looked_at, looks=looks, arms=1), False))
        rows.append(("looks", f"{name}, any of 6", "mean", s.call(s.looked_at, looks=looks, arms=6), False))
    for unit in ("sd", "%"):
        for n, random in ((8, 24), (24, 24), (60, 60)):
            draw = s.call(s.equivalence, n=n, random=random, unit=unit)
            rows.append(("margin", f"{n} against {random}, at 0.5{unit}", "equivalence", draw, True))
    for draws, searches in ((1, 5), (4, 2)):
        for effect in ("proxy", "interaction"):
            name = f"{draws} draw{'s' * (draws > 1)} x {searches} searches, 5 strategies on 3 proxies"
            draw = s.call(s.two_way, effect=effect, draws=draws, searches=searches)
            rows.append(("two-way", name, f"any {effect}", draw, True))
    for share in (0.0, 0.3, 0.6):
        for rho in (0.0, 0.6):
            name = f"6 strategies x 8 cells, intraclass correlation {share:g}, true r {rho:g}"
            rows.append(("correlation", name, "tau", s.call(s.correlation, share=share, rho=rho), True))
    for spread in (0.5, 1.0, 2.0):
        name = f"6 strategies x 8 searches, means vary {spread:g} times as much as searches"
        rows.append(("rankings", name, "same ranking", s.call(s.rankings, spread=spread), True))
    return rows


def run(setting: Setting, studies: int, seed: int) -> dict[str, Any]:
    """One row of the table."""
    group, name, estimand, draw, is_slow = setting
    rng = np.random.default_rng([seed, zlib.crc32(f"{group} {name} {estimand}".encode())])
    count = studies // SLOW if is_slow else studies
    began = time.perf_counter()
    outcome = draw(count, rng)
    tested = len(outcome.found)
    row: dict[str, Any] = {
        "group": group,
        "setting": name,
        "estimand": estimand,
        "studies": count,
        "refused": 1 - tested / count,
        "seconds": time.perf_counter() - began,
    }
    if tested:
        found = int(np.sum(outcome.found))
        row |= {
            "findings": found / tested,
            "p_findings": float(stats.binom.sf(found - 1, tested, MOST_FINDINGS)),
        }
    if len(outcome.ratios):
        covered = int(np.sum(outcome.ratios <= 1))
        row |= {
            "coverage": covered / len(outcome.ratios),
            "p_coverage": float(stats.binom.cdf(covered, len(outcome.ratios), LEAST_COVERAGE)),
            "excess_width": float(1 / np.quantile(outcome.ratios, 0.95) - 1),
        }
    return row | outcome.more


def judge(rows: list[dict[str, Any]]) -> None:
    """Add to each row whether it covers too little or finds too much, by Holm's method over the table."""
    tests = [(row, name) for row in rows for name in ("p_findings", "p_coverage") if name in row]
    corrected = multipletests([row[name] for row, name in tests], method="holm")[1]
    for row in rows:
        row["fails"] = []
    for (row, name), p in zip(tests, corrected, strict=True):
        if p < 0.05:
            row["fails"].append(name.removeprefix("p_"))


def text(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table as text."""

    def share(row: dict[str, Any], name: str) -> str:
        return f"{100 * row[name]:.1f}" if name in row else ""

    return pd.DataFrame(
        [
            {
                "Setting": row["setting"],
                "Estimand": row["estimand"],
                "Coverage %": share(row, "coverage"),
                "False findings %": share(row, "findings"),
                "Refused %": share(row, "refused") if row["refused"] else "",
                "Tail seen %": share(row, "tail_seen"),
                "Naive findings %": share(row, "naive"),
                "Width": f"+{100 * row['excess_width']:.0f}%" if row.get("coverage", 0) > WIDE else "",
                "Fails": ", ".join(row["fails"]),
            }
            for row in rows
        ]
    )


def main(argv: list[str] | None = None) -> None:
    """Draw every setting, print the table, write it to benchmarks/results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=4000, help="studies drawn per setting")
    parser.add_argument("--seed", type=int, default=0)
    groups = list(dict.fromkeys(group for group, *_ in settings()))
    parser.add_argument(
        "--only", choices=groups, help="group of settings to run; the others stay as they are in the file"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "coverage.json")
    asked = parser.parse_args(argv)
    gc.freeze()  # statsmodels collects garbage at every correction
    known = json.loads(asked.out.read_text("utf-8"))["settings"] if asked.only else []
    rows = []
    for setting in settings():
        if asked.only not in (None, setting[0]):
            rows += [row for row in known if (row["group"], row["setting"], row["estimand"]) == setting[:3]]
        else:
            rows.append(run(setting, asked.studies, asked.seed))
            shown = {name: value for name, value in rows[-1].items() if name not in ("group", "estimand")}
            values = {k: round(v, 4) if isinstance(v, float) else v for k, v in shown.items()}
            print(setting[2], values, flush=True)
    judge(rows)
    print(text(rows).to_string(index=False))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"studies": asked.studies, "seed": asked.seed, "settings": rows}
    write_json(asked.out, content)
    write_text(asked.out.with_suffix(".md"), markdown(text(rows)))


if __name__ == "__main__":
    main()
