"""Relative improvement over random cells: intervals, tests with Holm's correction, equivalence tests.

RI = 100 * (mean searched - mean random) / mean random (Yang, Esperanca & Carlucci, ICLR 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics.bootstrap import Arm, Floats, arm
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import (
    BASELINE,
    Setting,
    baseline_of,
    is_baseline,
    label,
    place_name,
    settings,
    space_of,
    target_names,
)


class Verdict(Enum):
    """Conclusion of a comparison with random cells; the value is its wording in reports."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent within {margin:g}%"
    INCONCLUSIVE = "inconclusive"
    INSUFFICIENT = "insufficient: too few runs"
    NO_SEARCHED_RUNS = "no searched runs"
    NO_RANDOM_RUNS = "no random runs"

    def text(self, margin: float, is_within_margin: bool = False) -> str:
        """The wording.

        Args:
            margin: margin of equivalence in percent.
            is_within_margin: whether a difference that was found is also shown to be smaller than the margin.
        """
        is_small = is_within_margin and self in (Verdict.BETTER, Verdict.WORSE)
        return self.value.format(margin=margin) + (f", by less than {margin:g}%" if is_small else "")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A strategy on a proxy, compared with the random cells of the same target and training protocol.

    Attributes:
        setting: target and training protocol.
        source: data set that was searched on; may be empty.
        proxy: subset of the source that was searched on; may be empty.
        strategy: name of the strategy with its non-default options.
        rows: rows of the strategy in the results table.
        pool: random rows that the strategy is compared with.
        searched: the strategy's arm; None without searched runs.
        random: arm of the random pool; None without random runs.
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
    def place(self) -> str:
        """Source and proxy in one name."""
        return place_name(self.source, self.proxy)

    @property
    def is_sufficient(self) -> bool:
        """Whether both arms have enough runs to conclude anything."""
        return all(side is not None and side.is_sufficient for side in (self.searched, self.random))

    @property
    def relative_improvement(self) -> float:
        """RI in percent; NaN if an arm is missing."""
        if self.searched is None or self.random is None or self.random.mean <= 0:
            return float("nan")
        return 100 * (self.searched.mean / self.random.mean - 1)

    @property
    def replicates(self) -> Floats:
        """Bootstrap replicates of RI in percent, [replicates]; empty if an arm has one unit or none."""
        if np.isnan(self.relative_improvement) or self.searched is None or self.random is None:
            return np.empty(0)
        if min(self.searched.units, self.random.units) < 2:
            return np.empty(0)
        return 100 * (self.searched.replicates / self.random.replicates - 1)

    def probability_below(self, improvement: float) -> float:
        """Probability that RI is below `improvement` (percent); each arm must have two units or more."""
        assert self.searched is not None and self.random is not None
        return self.searched.probability_below(self.random.replicates * (1 + improvement / 100))


def compare(table: pd.DataFrame, options: AnalysisOptions) -> list[Comparison]:
    """Compare every strategy on every source and proxy with the random cells of its setting.

    Args:
        table: results table, as `table.check` returns it.
        options: replicates and seed of the bootstrap.

    Returns:
        The comparisons, grouped by setting, in the order of the table.
    """
    found = []
    for setting, rows in settings(table):
        baselines: dict[str, pd.DataFrame] = {}
        random_arms: dict[tuple[int, ...], Arm | None] = {}
        for source, proxy, strategy, strategy_options, part in _groups(rows):
            if strategy not in baselines:
                baselines[strategy] = baseline_of(rows, strategy)
            pool = baselines[strategy]
            key = tuple(pool.index)
            if key not in random_arms:
                random_arms[key] = _arm(pool, options, is_random=True)
            found.append(
                Comparison(
                    setting=setting,
                    source=source,
                    proxy=proxy,
                    strategy=label(strategy, strategy_options),
                    rows=part,
                    pool=pool,
                    searched=_arm(part, options),
                    random=random_arms[key],
                )
            )
    return found


def random_pools(comparisons: list[Comparison]) -> Iterator[tuple[str, Comparison]]:
    """Each distinct pool of random cells once: its name and the first comparison that uses it."""
    seen = set()
    for comparison in comparisons:
        key = (comparison.setting, *comparison.pool.index)
        if comparison.random and key not in seen:
            seen.add(key)
            yield label(BASELINE, comparison.pool["strategy_options"].iloc[0]), comparison


def relative_improvement(comparisons: list[Comparison], options: AnalysisOptions) -> pd.DataFrame:
    """Relative improvement over random cells, one row per comparison.

    Returns:
        Columns:
            setting, source, proxy, strategy: what is compared.
            target: name of the target, with the protocol if the target occurs under several.
            mean, random_mean: mean top-1 of the two arms in percent.
            relative_improvement: RI in percent of the random mean [1]; NaN if an arm is missing.
            ci_low, ci_high: bootstrap interval of RI at `options.confidence`; NaN with one unit in an arm.
            probability_better: probability that RI is above 0.
            p_value: two-sided p-value for RI = 0.
            p_equivalent: p-value for |RI| >= `options.margin`, by two one-sided tests (TOST) [2].
            p_holm, p_equivalent_holm: these p-values after Holm's correction over all comparisons of one
                setting [3].
            n, n_random: trained networks in the two arms.
            searches, units, level: independent searches and units of the searched arm, and the level of the
                units (see `Arm`).
            sufficient: whether both arms have enough runs; p-values are NaN where they have not, and such
                rows are no part of the corrections.
            verdict: the conclusion, a `Verdict`.

    References:
        [1] Yang, Esperanca & Carlucci. NAS evaluation is frustratingly hard. ICLR 2020.
        [2] Schuirmann. A comparison of the two one-sided tests procedure and the power approach for assessing
            the equivalence of average bioavailability. J. Pharmacokinet. Biopharm. 15, 1987.
        [3] Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6, 1979.
    """
    names = target_names(comparison.setting for comparison in comparisons)
    frame = pd.DataFrame(
        [{"target": names[comparison.setting]} | _row(comparison, options) for comparison in comparisons]
    )
    for column, holm in (("p_value", "p_holm"), ("p_equivalent", "p_equivalent_holm")):
        frame[holm] = float("nan")
        for _, family in frame[frame[column].notna()].groupby("setting", sort=False):
            frame.loc[family.index, holm] = multipletests(family[column], method="holm")[1]
    verdicts = [_verdict(row, options) for row in frame.to_dict("records")]
    frame["verdict"] = pd.Series(verdicts, dtype=object)
    return frame


def _arm(rows: pd.DataFrame, options: AnalysisOptions, is_random: bool = False) -> Arm | None:
    if rows.empty:
        return None
    return arm(rows, "top1", replicates=options.replicates, seed=options.seed, is_random=is_random)


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, str, str, str, pd.DataFrame]]:
    """Source, proxy, strategy, strategy options and searched rows of each strategy on each proxy.

    Random rows that no searched rows can be compared with form a group without searched rows.
    """
    searched = rows[~is_baseline(rows)]
    columns = ["source", "proxy", "strategy", "strategy_options"]
    for (source, proxy, strategy, options), part in searched.groupby(columns, sort=False):
        yield str(source), str(proxy), str(strategy), str(options), part
    for text in rows.loc[is_baseline(rows), "strategy_options"].unique():
        space = space_of(text) or ""
        if space not in set(searched["strategy"]) and (space or searched.empty):
            yield "", "", space or BASELINE, "", searched.iloc[:0]


def _row(comparison: Comparison, options: AnalysisOptions) -> dict[str, object]:
    """The columns of one comparison that do not depend on the other comparisons."""
    searched, random = comparison.searched, comparison.random
    nan = float("nan")
    low = high = p_value = p_equivalent = better = nan
    replicates = comparison.replicates
    if len(replicates):
        low, high = map(float, np.quantile(replicates, options.tails))
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


def _verdict(row: dict[Any, Any], options: AnalysisOptions) -> Verdict:
    if not row["n"]:
        return Verdict.NO_SEARCHED_RUNS
    if not row["n_random"]:
        return Verdict.NO_RANDOM_RUNS
    if not row["sufficient"]:
        return Verdict.INSUFFICIENT
    if row["p_holm"] < options.alpha:
        return Verdict.BETTER if row["relative_improvement"] > 0 else Verdict.WORSE
    if row["p_equivalent_holm"] < options.alpha:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE
