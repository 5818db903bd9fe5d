"""Relative improvement over random, with intervals, Holm's correction and equivalence tests.

RI = 100 * (mean searched - mean random) / mean random (Yang, Esperanca & Carlucci, ICLR 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics.bootstrap import Arm, Floats, arm
from nastransfer_nni.report.statistics.table import (
    BASELINE,
    Setting,
    baseline_of,
    is_baseline,
    label,
    settings,
)

VERDICTS = (
    "better",
    "worse",
    "equivalent",
    "undecided",
    "insufficient",
    "no searched runs",
    "no random runs",
)


@dataclass(frozen=True)
class Options:
    """How the statistics are made.

    Attributes:
        margin: relative improvements of less than this, in percent, count as equivalent.
        samples: bootstrap samples.
        seed: of the bootstrap.
        confidence: of the intervals; 1 - confidence is the level of the tests.
    """

    margin: float = 0.5
    samples: int = 10_000
    seed: int = 0
    confidence: float = 0.95

    @property
    def alpha(self) -> float:
        """The level of the tests."""
        return 1 - self.confidence

    @property
    def tails(self) -> tuple[float, float]:
        """The quantiles at which intervals end."""
        return self.alpha / 2, 1 - self.alpha / 2


@dataclass(frozen=True)
class Comparison:
    """A strategy on a proxy, beside the random cells of the same target and protocol.

    Attributes:
        setting: target and protocol.
        source: the data set searched on, may be empty.
        proxy: the part of it, may be empty.
        strategy: with its non-default options.
        rows: the strategy's rows.
        pool: the random rows that it is compared with.
        searched: its arm; None without searched runs.
        random: the random arm; None without random runs.
    """

    setting: Setting
    source: str
    proxy: str
    strategy: str
    rows: pd.DataFrame
    pool: pd.DataFrame
    searched: Arm | None
    random: Arm | None

    @property
    def where(self) -> str:
        """Source and proxy in one name."""
        return " / ".join(filter(None, (self.source, self.proxy)))

    @property
    def is_sufficient(self) -> bool:
        """Whether both arms have the runs that a finding needs."""
        return all(side is not None and side.is_sufficient for side in (self.searched, self.random))

    @property
    def relative_improvement(self) -> float:
        """RI in percent; NaN without one of the arms."""
        if self.searched is None or self.random is None or self.random.mean <= 0:
            return float("nan")
        return 100 * (self.searched.mean / self.random.mean - 1)

    @property
    def draws(self) -> Floats:
        """[samples] RI as far as the runs tell it; empty where an arm has a single unit or none."""
        if np.isnan(self.relative_improvement) or self.searched is None or self.random is None:
            return np.empty(0)
        if min(self.searched.units, self.random.units) < 2:
            return np.empty(0)
        return 100 * (self.searched.draws / self.random.draws - 1)

    def probability_below(self, improvement: float) -> float:
        """Probability that RI is below `improvement` (percent); needs two units an arm."""
        assert self.searched is not None and self.random is not None
        return self.searched.probability_below(self.random.draws * (1 + improvement / 100))


def compare(table: pd.DataFrame, options: Options) -> list[Comparison]:
    """Every strategy on every source and proxy, beside its random cells, setting by setting.

    Args:
        table: the results table, checked.
        options: how to resample.
    """
    found = []
    for setting, rows in settings(table):
        baselines: dict[str, pd.DataFrame] = {}
        pools: dict[tuple[int, ...], Arm | None] = {}
        for source, proxy, strategy, options_text, part in _groups(rows):
            if strategy not in baselines:
                baselines[strategy] = baseline_of(rows, strategy)
            pool = baselines[strategy]
            key = tuple(pool.index)
            if key not in pools:
                pools[key] = arm(pool, "top1", options.samples, options.seed, is_random=True) if key else None
            searched = arm(part, "top1", options.samples, options.seed) if len(part) else None
            name = label(strategy, options_text)
            found.append(Comparison(setting, source, proxy, name, part, pool, searched, pools[key]))
    return found


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, str, str, str, pd.DataFrame]]:
    """The searched rows by source, proxy and strategy; random rows that stand alone get empty ones."""
    searched = rows[~is_baseline(rows)]
    columns = ["source", "proxy", "strategy", "strategy_options"]
    for (source, proxy, strategy, options), part in searched.groupby(columns, sort=False):
        yield str(source), str(proxy), str(strategy), str(options), part
    for text in rows.loc[is_baseline(rows), "strategy_options"].unique():
        space = text.removeprefix('{"space":"').removesuffix('"}')
        if space not in set(searched["strategy"]) and (space or searched.empty):
            yield "", "", space or BASELINE, "", searched.iloc[:0]


def relative_improvement(comparisons: list[Comparison], options: Options) -> pd.DataFrame:
    """One row a comparison: RI in percent with its interval, p-values and what they amount to.

    The p-value is of no difference from random; `p_equivalent` of a difference beyond the margin (two
    one-sided tests). Both are corrected by Holm within one target and protocol. A comparison with too few
    runs has an interval, but neither p-value nor place in the family.
    """
    rows = [_row(comparison, options) for comparison in comparisons]
    frame = pd.DataFrame(rows)
    for column, holm in (("p_value", "p_holm"), ("p_equivalent", "p_equivalent_holm")):
        frame[holm] = float("nan")
        for _, family in frame[frame[column].notna()].groupby("setting", sort=False):
            frame.loc[family.index, holm] = multipletests(family[column], method="holm")[1]
    frame["verdict"] = [_verdict(row, options) for row in frame.to_dict("records")]
    return frame


def _row(comparison: Comparison, options: Options) -> dict[str, object]:
    searched, random = comparison.searched, comparison.random
    nan = float("nan")
    low = high = p_value = p_equivalent = better = nan
    draws = comparison.draws
    if len(draws):
        low, high = map(float, np.quantile(draws, options.tails))
        below = comparison.probability_below(0)
        better = 1 - below
        if comparison.is_sufficient:
            p_value = 2 * min(below, better)
            p_equivalent = max(
                comparison.probability_below(-options.margin),
                1 - comparison.probability_below(options.margin),
            )
    return {
        "setting": str(comparison.setting),
        "source": comparison.source,
        "proxy": comparison.proxy,
        "strategy": comparison.strategy,
        "mean": searched.mean if searched else nan,
        "random_mean": random.mean if random else nan,
        "relative_improvement": comparison.relative_improvement,
        "ci_low": low,
        "ci_high": high,
        "probability_better": better,
        "p_value": p_value,
        "p_equivalent": p_equivalent,
        "n": searched.n if searched else 0,
        "n_random": random.n if random else 0,
        "searches": searched.searches if searched else 0,
        "units": searched.units if searched else 0,
        "level": searched.level if searched else "",
        "sufficient": comparison.is_sufficient,
    }


def _verdict(row: dict[Any, Any], options: Options) -> str:
    if not row["n"]:
        return "no searched runs"
    if not row["n_random"]:
        return "no random runs"
    if not row["sufficient"]:
        return "insufficient"
    if row["p_holm"] < options.alpha:
        return "better" if row["relative_improvement"] > 0 else "worse"
    if row["p_equivalent_holm"] < options.alpha:
        return "equivalent"
    return "undecided"
