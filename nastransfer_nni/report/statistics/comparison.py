"""The comparisons of a results table: every strategy on every proxy, with what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics.estimate import UNKNOWN, Estimate, relative_interval
from nastransfer_nni.report.statistics.margin import KnownMargin, known_margin
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
)
from nastransfer_nni.report.statistics.units import Arm, Noise, arm, training_noise

MIN_SHARED = 2
"""Proxy draws that two arms must share to be compared draw by draw."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A strategy on a proxy, compared with the random cells of the same target and training protocol.

    Attributes:
        setting: target and training protocol.
        source: data set that was searched on; may be empty.
        proxy: subset of the source that was searched on; may be empty.
        strategy: name of the strategy with its non-default options.
        rows: rows of the strategy in the results table.
        pool: rows that the strategy is compared with: random cells, or those of a named baseline.
        pool_on_source: the pool with its accuracies on this source, where the table lists it for several.
        searched: the strategy's arm; None without searched runs.
        random: arm of the pool; None without one.
        margin: margin of equivalence in points of top-1.
        noise: noise of a training in this setting; None if no training was repeated.
    """

    setting: Setting
    source: str
    proxy: str
    strategy: str
    rows: pd.DataFrame
    pool: pd.DataFrame
    pool_on_source: pd.DataFrame
    searched: Arm | None
    random: Arm | None
    margin: KnownMargin
    noise: Noise | None

    @property
    def place(self) -> str:
        """Source and proxy in one name."""
        return place_name(self.source, self.proxy)

    @cached_property
    def reason(self) -> str:
        """Why nothing can be concluded; empty if something can."""
        for side, name in ((self.searched, "the searched arm"), (self.random, "the baseline")):
            if side is None:
                return f"{name} has no runs"
            if side.reason:
                return f"{name}: {side.reason}"
        return "" if self.difference.se > 0 else "all networks of both arms have the same accuracy"

    @property
    def relative_improvement(self) -> float:
        """100 * (mean searched - mean random) / mean random, in percent; NaN if an arm is missing."""
        if self.searched is None or self.random is None or self.random.mean <= 0:
            return float("nan")
        return 100 * (self.searched.mean / self.random.mean - 1)

    @cached_property
    def difference(self) -> Estimate:
        """Mean of the searched arm minus that of the pool, in points of top-1."""
        return self.gap(1)

    def gap(self, ratio: float) -> Estimate:
        """Mean of the searched arm minus `ratio` times that of the pool."""
        if self.searched is None or self.random is None:
            return UNKNOWN
        return difference(self.searched, self.random, shares_draws=self.is_on_one_place, ratio=ratio)

    @cached_property
    def is_on_one_place(self) -> bool:
        """Whether strategy and pool were searched on the same source and proxy."""
        return bool(((self.pool["source"] == self.source) & (self.pool["proxy"] == self.proxy)).all())

    def interval(self, confidence: float) -> tuple[float, float]:
        """Interval of the relative improvement, in percent; NaN without a standard error."""
        if self.searched is None or self.random is None or self.random.mean <= 0:
            return float("nan"), float("nan")
        if self.is_on_one_place and shared_draws(self.searched, self.random):
            ratio = self.searched.mean / self.random.mean
            paired = self.gap(ratio)  # the delta method; its difference is 0
            scaled = Estimate(ratio - 1, paired.se / self.random.mean, paired.df) * 100
            return scaled.interval(confidence)
        low, high = relative_interval(self.searched.estimate, self.random.estimate, confidence)
        return float(low), float(high)


def shared_draws(a: Arm, b: Arm) -> list[str]:
    """Proxy draws that two arms share; none if they share fewer than `MIN_SHARED`."""
    shared = [name for name in a.names if name in set(b.names)]
    return shared if len(shared) >= MIN_SHARED else []


def difference(a: Arm, b: Arm, *, shares_draws: bool, ratio: float = 1.0) -> Estimate:
    """The mean of one arm minus `ratio` times that of another.

    Arms that share proxy draws are compared by the differences of their draw means, with one degree of
    freedom fewer than they share draws: what a draw does to both arms cancels. Only the draws that they share
    are used. Other arms are independent, and their difference is Welch's.

    Args:
        a: the first arm.
        b: the second arm.
        shares_draws: whether equal names of draws are equal draws: the arms are of one source and proxy.
        ratio: factor of the second arm.
    """
    shared = shared_draws(a, b) if shares_draws else []
    if not shared:
        return a.estimate - b.estimate * ratio
    first, second = (np.array([arm.values[arm.names.index(name)] for name in shared]) for arm in (a, b))
    gaps = first - ratio * second
    return Estimate(float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps))), len(gaps) - 1.0)


def compare(table: pd.DataFrame, options: AnalysisOptions) -> list[Comparison]:
    """Compare every strategy on every source and proxy with the random cells of its setting.

    Args:
        table: results table, as `reading.check` returns it.
        options: margin and baseline. With a named baseline the strategies are compared with its runs on the
            same source and proxy, or else with all of its runs in the setting.

    Returns:
        The comparisons, grouped by setting, in the order of the table.
    """
    found = []
    for setting, rows in settings(table):
        noise = training_noise(rows)
        pools: dict[tuple[int, ...], tuple[Arm | None, KnownMargin]] = {}
        baselines: dict[str, pd.DataFrame] = {}
        for source, proxy, strategy, strategy_options, part in _groups(rows):
            name = label(strategy, strategy_options)
            if options.baseline not in ("", BASELINE) and name == options.baseline:
                continue
            if strategy not in baselines:
                baselines[strategy] = baseline_of(rows, strategy)
            is_random = options.baseline == BASELINE
            pool = baselines[strategy] if is_random else _named(rows, source, proxy, options.baseline)
            key = tuple(pool.index)
            if key not in pools:
                pools[key] = (
                    arm(pool, noise=noise, is_random=is_random) if len(pool) else None,
                    known_margin(options.margin, baselines[strategy]),
                )
            found.append(
                Comparison(
                    setting=setting,
                    source=source,
                    proxy=proxy,
                    strategy=name,
                    rows=part,
                    pool=pool,
                    pool_on_source=_on_source(rows, source, strategy) if is_random else pool,
                    searched=arm(part, noise=noise) if len(part) else None,
                    random=pools[key][0],
                    margin=pools[key][1],
                    noise=noise,
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
            first = comparison.pool.iloc[0]
            yield label(first["strategy"], first["strategy_options"]), comparison


def by_place(comparisons: list[Comparison]) -> Iterator[tuple[Setting, str, list[Comparison]]]:
    """The comparisons on each source and proxy, grouped by setting."""
    places: dict[tuple[Setting, str], list[Comparison]] = {}
    for comparison in comparisons:
        places.setdefault((comparison.setting, comparison.place), []).append(comparison)
    order = list(dict.fromkeys(setting for setting, _ in places))
    for (setting, place), members in sorted(places.items(), key=lambda item: order.index(item[0][0])):
        yield setting, place, members


def _on_source(rows: pd.DataFrame, source: str, strategy: str) -> pd.DataFrame:
    """The random cells as they are listed for a source, or else as they are listed for any."""
    here = baseline_of(rows[rows["source"] == source], strategy)
    return here if len(here) else baseline_of(rows, strategy)


def _named(rows: pd.DataFrame, source: str, proxy: str, baseline: str) -> pd.DataFrame:
    """The rows of a named baseline on a source and proxy, or else all of them; none without a name."""
    names = [label(*pair) for pair in zip(rows["strategy"], rows["strategy_options"], strict=True)]
    named = rows[pd.Series(names, index=rows.index) == baseline]
    here = named[(named["source"] == source) & (named["proxy"] == proxy)]
    return here if len(here) else named


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
