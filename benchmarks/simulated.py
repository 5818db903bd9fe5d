"""Simulated studies whose truth is known, analysed with the report's own functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import optimize, stats

from nastransfer_nni.report.statistics.comparison import Comparison, difference
from nastransfer_nni.report.statistics.correlation import coefficients
from nastransfer_nni.report.statistics.estimate import Estimate, Floats, relative_interval
from nastransfer_nni.report.statistics.looks import holm_at_looks
from nastransfer_nni.report.statistics.margin import KnownMargin, Margin, known_margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.pairs import two_way as effects
from nastransfer_nni.report.statistics.power import of_units
from nastransfer_nni.report.statistics.probability import superiority
from nastransfer_nni.report.statistics.ranking import movements
from nastransfer_nni.report.statistics.table import Setting
from nastransfer_nni.report.statistics.tails import are_heavy
from nastransfer_nni.report.statistics.units import DRAW, SEARCH, Arm, Noise, arm

MEAN = 95.0
SEARCH_SD, TRAINING_SD = 0.2, 0.12
"""Points of top-1 between cells and between trainings of one cell. Together they are 0.23, as random cells of
the DARTS space vary on CIFAR-10 (Yang et al., ICLR 2020)."""
DEVIATION = float(np.hypot(SEARCH_SD, TRAINING_SD))
DEPTH = 1.5
"""Points by which a collapsed search is worse."""
NOISE_DF = 8
OPTIONS = AnalysisOptions(replicates=1000)
EFFECT = 1.0
"""True relative improvement in percent where coverage is counted."""


@dataclass(frozen=True)
class Outcome:
    """What came of the studies of one setting that could be tested.

    Attributes:
        found: whether a true null hypothesis was refused, [studies].
        ratios: distance of the estimate from the truth over that of the limit on the truth's side: at most 1
            where the interval covers, [studies]; empty where no interval is counted.
        more: further shares, by name.
    """

    found: Floats
    ratios: Floats
    more: dict[str, float] = field(default_factory=dict)


def call(function: Callable[..., Outcome], **values: Any) -> Callable[[int, np.random.Generator], Outcome]:
    """The function with some of its arguments."""
    return partial(function, **values)


def _ratios(estimate: Any, low: Any, high: Any, truth: Any) -> Floats:
    reach = np.where(estimate > truth, estimate - low, high - estimate)
    return np.asarray(np.abs(estimate - truth) / reach)


def _means(searched: Estimate, random: Estimate) -> Floats:
    """Ratios of the interval of a relative improvement of `EFFECT`; both true means are 0 before."""
    better, baseline = searched + MEAN * (1 + EFFECT / 100), random + MEAN
    found = 100 * (better.mean / baseline.mean - 1)
    return _ratios(found, *relative_interval(better, baseline, OPTIONS.confidence), EFFECT)


def _collapsed(shape: tuple[int, ...], rate: float, rng: np.random.Generator) -> Floats:
    """Effect of collapses with a mean of 0."""
    return np.asarray(-DEPTH * ((rng.random(shape) < rate) - rate))


def plain(
    studies: int, rng: np.random.Generator, *, n: int, random: int, rate: float = 0.0, scale: float = 1.0
) -> Outcome:
    """Compare `n` searches, of which some collapse or which vary more, with random cells."""
    values = scale * DEVIATION * rng.normal(size=(studies, n)) + _collapsed((studies, n), rate, rng)
    pool = DEVIATION * rng.normal(size=(studies, random))
    searched, baseline = of_units(values), of_units(pool)
    found = (searched - baseline).p_value() < OPTIONS.alpha
    heavy = are_heavy(values) | are_heavy(pool)
    return Outcome(found & ~heavy, _means(searched, baseline), {"tail_seen": float(heavy.mean())})


def shared_trainings(
    studies: int,
    rng: np.random.Generator,
    *,
    cells: int,
    n: int = 8,
    is_shared: bool = True,
    has_noise: bool = False,
    random: int = 24,
) -> Outcome:
    """Searches that end in one of few cells with equal probability, or each in one of its own for 0 cells.

    With one training seed, equal cells are one training. The truth is the mean of the strategy's cells.
    """
    found, ratios, naive = [], [], []
    for _ in range(studies):
        effects_ = SEARCH_SD * rng.normal(size=cells or n)
        chosen = rng.integers(cells, size=n) if cells else np.arange(n)
        errors = TRAINING_SD * rng.normal(size=n)
        trained = errors[chosen] if is_shared else errors
        seeds = ["0"] * n if is_shared else [str(i) for i in range(n)]
        truth = effects_.mean() if cells else 0.0
        rows = pd.DataFrame(
            {
                "search_seed": [str(i) for i in range(n)],
                "train_seed": seeds,
                "genotype": [f"cell {cell}" for cell in chosen],
                "proxy_seed": "",
                "top1": effects_[chosen] + trained - truth,
            }
        )
        variance = TRAINING_SD**2 * rng.chisquare(NOISE_DF) / NOISE_DF
        searched = arm(rows, noise=Noise(variance, NOISE_DF) if has_noise else None)
        pool = of_units(DEVIATION * rng.normal(size=(1, random)))
        as_rows = of_units(rows["top1"].to_numpy()[None])
        naive.append(float((as_rows - pool).p_value()[0]) < OPTIONS.alpha)
        if searched.is_testable:
            found.append(float((searched.estimate - pool).p_value()[0]) < OPTIONS.alpha)
            ratios.append(_means(searched.estimate, pool)[0])
    return Outcome(np.array(found), np.array(ratios), {"naive": float(np.mean(naive))})


def probability(
    studies: int, rng: np.random.Generator, *, n: int, random: int, rate: float = 0.0, scale: float = 1.0
) -> Outcome:
    """The probability that a searched network beats a random one, where it is one half."""
    sd = DEVIATION * np.hypot(scale, 1)

    def surplus(shift: float) -> float:
        collapsed = stats.norm.cdf((shift - DEPTH) / sd)
        return float((1 - rate) * stats.norm.cdf(shift / sd) + rate * collapsed - 0.5)

    shift = float(optimize.brentq(surplus, -1, 1))
    found, ratios = [], []
    for _ in range(studies):
        values = shift + scale * DEVIATION * rng.normal(size=n) - DEPTH * (rng.random(n) < rate)
        second = superiority(_rows(values), _rows(DEVIATION * rng.normal(size=random)), OPTIONS)
        assert second
        found.append(second.p_value < OPTIONS.alpha)
        ratios.append(float(_ratios(second.probability, second.low, second.high, 0.5)))
    return Outcome(np.array(found), np.array(ratios))


def nested(studies: int, rng: np.random.Generator, *, draws: int, searches: int, share: float) -> Outcome:
    """Searches on several draws of a proxy, which have a share of the variance; against 24 random cells.

    With one draw, the truth is the mean of this draw.
    """
    of_draw = np.sqrt(share) * DEVIATION * rng.normal(size=(studies, draws, 1))
    values = of_draw + np.sqrt(1 - share) * DEVIATION * rng.normal(size=(studies, draws, searches))
    units = values.mean(2) if draws > 1 else (values - of_draw)[:, 0]
    searched, pool = of_units(units), of_units(DEVIATION * rng.normal(size=(studies, 24)))
    return Outcome((searched - pool).p_value() < OPTIONS.alpha, _means(searched, pool))


def paired(studies: int, rng: np.random.Generator, *, draws: int, searches: int) -> Outcome:
    """Two strategies on the same draws of a proxy, which have 0.6 of the variance."""
    found, ratios = [], []
    for _ in range(studies):
        of_draw = np.sqrt(0.6) * rng.normal(size=draws)
        a, b = (of_draw + np.sqrt(0.4 / searches) * rng.normal(size=draws) for _ in range(2))
        gap = difference(of_values(a, DRAW), of_values(b, DRAW), shares_draws=True)
        found.append(gap.p_value() < OPTIONS.alpha)
        ratios.append(float(_ratios(gap.mean, *gap.interval(OPTIONS.confidence), 0.0)))
    return Outcome(np.array(found), np.array(ratios))


def looked_at(studies: int, rng: np.random.Generator, *, looks: int, arms: int) -> Outcome:
    """Strategies as good as random cells, looked at several times: whether any look finds any."""
    times = tuple((index + 1) / looks for index in range(looks))
    values = DEVIATION * rng.normal(size=(arms, studies, 10))
    pool = DEVIATION * rng.normal(size=(studies, 20))
    p = np.empty((looks, studies, arms))
    for index, share in enumerate(times):
        until = round(10 * share), round(20 * share)
        baseline = of_units(pool[:, : until[1]])
        for each in range(arms):
            p[index, :, each] = (of_units(values[each, :, : until[0]]) - baseline).p_value()
    found = np.isfinite(holm_at_looks(p, times, OPTIONS.alpha)).any(1)
    plain_level = OPTIONS.alpha / arms
    return Outcome(found, np.empty(0), {"naive": float((p < plain_level).any((0, 2)).mean())})


def equivalence(
    studies: int, rng: np.random.Generator, *, n: int, random: int, unit: Literal["sd", "%"]
) -> Outcome:
    """How often strategies are called equivalent whose true difference is the margin."""
    margin = Margin(0.5, unit)
    truth = 0.5 * DEVIATION if unit == "sd" else 0.005 * MEAN
    found = []
    for _ in range(studies):
        pool = _rows(MEAN + DEVIATION * rng.normal(size=random))
        values = MEAN + truth + DEVIATION * rng.normal(size=n)
        a, b = of_units(values[None]), of_units(pool["top1"].to_numpy()[None])

        def gap(ratio: float, a: Estimate = a, b: Estimate = b) -> Estimate:
            return Estimate(*((a - b * ratio).__dict__[name][0] for name in ("mean", "se", "df")))

        found.append(known_margin(margin, pool).p_equivalent(gap) < OPTIONS.alpha)
    return Outcome(np.array(found), np.empty(0))


def two_way(studies: int, rng: np.random.Generator, *, effect: str, draws: int, searches: int) -> Outcome:
    """Whether any contrast of an effect is found that does not exist: 5 strategies on 3 proxies."""
    found = []
    for _ in range(studies):
        comparisons = []
        for place in range(3):
            of_draw = np.sqrt(0.3) * rng.normal(size=draws) if draws > 1 else np.zeros(1)
            for name in range(5):
                values = of_draw[:, None] + np.sqrt(0.7) * rng.normal(size=(draws, searches))
                units = values.mean(1) if draws > 1 else values[0]
                of = of_values(name + units, DRAW if draws > 1 else SEARCH)
                comparisons.append(comparison(f"proxy {place}", f"s{name}", of))
        frame = effects(comparisons, OPTIONS)
        found.append((frame.loc[frame["effect"] == effect, "p_holm"] < OPTIONS.alpha).any())
    return Outcome(np.array(found), np.empty(0))


def correlation(studies: int, rng: np.random.Generator, *, share: float, rho: float) -> Outcome:
    """Kendall's tau over the cells of six strategies that resemble each other within a strategy."""
    truth = 2 / np.pi * np.arcsin(rho)
    names = [str(index // 8) for index in range(48)]
    found, ratios = [], []
    for _ in range(studies):
        of_strategy = np.sqrt(share) * np.repeat(_correlated(6, rho, rng), 8, axis=1)
        x, y = of_strategy + np.sqrt(1 - share) * _correlated(48, rho, rng)
        tau, low, high = coefficients(x, y, names, OPTIONS.confidence)["Kendall's tau-b"]
        found.append(not low <= truth <= high)
        ratios.append(float(_ratios(tau, low, high, truth)))
    return Outcome(np.array(found), np.array(ratios))


def rankings(studies: int, rng: np.random.Generator, *, spread: float) -> Outcome:
    """Whether the rankings of six strategies on two proxies are said to differ while they are the same."""
    found = []
    for _ in range(studies):
        true = spread * rng.normal(size=6)
        comparisons = [
            comparison(f"proxy {place}", f"s{name}", of_values(true[name] + rng.normal(size=8), SEARCH))
            for place in range(2)
            for name in range(6)
        ]
        found.append(bool(movements(comparisons, OPTIONS)["differs"].iloc[0]))
    return Outcome(np.array(found), np.empty(0))


def of_values(values: Floats, level: str) -> Arm:
    """An arm of independent units with the given means, each trained once."""
    n = len(values)
    return Arm(
        n=n,
        searches=n,
        cells=n,
        draws=n if level == DRAW else 1,
        level=level,
        values=values,
        names=tuple(map(str, range(n))) if level == DRAW else (),
        mean=float(values.mean()),
        se=float(values.std(ddof=1) / np.sqrt(n)),
        df=n - 1.0,
        reason="",
    )


def comparison(proxy: str, strategy: str, searched: Arm) -> Comparison:
    """A comparison of a given arm without random cells."""
    unknown = KnownMargin(Estimate(np.nan, np.nan, np.nan), np.nan, "no random cells are simulated")
    return Comparison(
        setting=Setting("t", "", ""),
        source="",
        proxy=proxy,
        strategy=strategy,
        rows=pd.DataFrame(),
        pool=pd.DataFrame(),
        pool_on_source=pd.DataFrame(),
        searched=searched,
        random=None,
        margin=unknown,
        noise=None,
    )


def _rows(values: Floats) -> pd.DataFrame:
    """Rows of independent networks."""
    seeds = [str(index) for index in range(len(values))]
    return pd.DataFrame(
        {"search_seed": seeds, "train_seed": "", "genotype": "", "proxy_seed": "", "top1": values}
    )


def _correlated(count: int, rho: float, rng: np.random.Generator) -> Floats:
    """Pairs of standard normal values with the given correlation, [2, count]."""
    x, z = rng.normal(size=(2, count))
    return np.stack([x, rho * x + np.sqrt(1 - rho**2) * z])
