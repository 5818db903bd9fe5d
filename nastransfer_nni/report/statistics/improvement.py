"""Relative improvement over random cells: intervals, tests with Holm's correction, equivalence, verdicts.

RI = 100 * (mean searched - mean random) / mean random (Yang, Esperanca & Carlucci, ICLR 2020).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.comparison import Comparison
from nastransfer_nni.report.statistics.detectable import detectable, more_units
from nastransfer_nni.report.statistics.holm import holm_by_group
from nastransfer_nni.report.statistics.margin import Margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.probability import Superiority, superiority
from nastransfer_nni.report.statistics.table import place_name, target_names
from nastransfer_nni.report.statistics.tails import is_heavy

NAN = float("nan")


class Verdict(Enum):
    """Conclusion of a comparison with random cells; the value is its wording in reports."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent within {margin}"
    TAIL = "depends on the tail"
    UNDECIDED = "undecided"
    NOT_YET = "cannot decide yet"
    UNTESTABLE = "cannot be tested"
    NO_SEARCHED_RUNS = "no searched runs"
    NO_RANDOM_RUNS = "no random runs"

    def text(self, margin: Margin, is_within_margin: bool = False) -> str:
        """The wording.

        Args:
            margin: margin of equivalence.
            is_within_margin: whether a difference that was found is also shown to be smaller than the margin.
        """
        is_small = is_within_margin and self in (Verdict.BETTER, Verdict.WORSE)
        return self.value.format(margin=margin) + (f", by less than {margin}" if is_small else "")


def relative_improvement(comparisons: list[Comparison], options: AnalysisOptions) -> pd.DataFrame:
    """Relative improvement over random cells, one row per comparison.

    Returns:
        Columns:
            setting, source, proxy, strategy: what is compared.
            target: name of the target, with the protocol if the target occurs under several.
            mean, random_mean: mean top-1 of the two arms in percent.
            relative_improvement: RI in percent of the random mean [1]; NaN if an arm is missing.
            ci_low, ci_high: its interval at `options.confidence` (`estimate.relative_interval`); NaN without
                a standard error.
            difference, difference_low, difference_high: difference of the means in points, with its interval.
            df: degrees of freedom of the difference.
            probability_better: probability of Student's t that RI is above 0.
            p_value: two-sided p-value for RI = 0: Welch's test, or the paired test of shared draws.
            p_equivalent: p-value for a difference of at least `options.margin`, by two one-sided tests [2];
                NaN where equivalence cannot be tested.
            p_holm, p_equivalent_holm: these p-values after Holm's correction over all comparisons of one
                setting [3].
            n, searches, cells: separately trained networks, independent searches and distinct cells of the
                searched arm; n_random, searches_random, cells_random: those of the random arm.
            units, level, units_random, level_random: number and level of the independent units (see `Arm`).
            margin_points, margin_percent, margin_se: what the margin amounts to, and its standard error in
                points; equivalence: why equivalence cannot be tested, empty if it can.
            detectable, detectable_points: smallest difference, in percent and in points, that would have been
                found with probability 0.8 at the first step of Holm's method.
            tail: the arms with a heavy tail: searched, random, both, or empty (`tails.is_heavy`).
            probability, probability_low, probability_high, probability_p, probability_smallest_p,
                probability_test: the probability that a searched network beats a random one
                (`probability.superiority`); probability_p_holm: corrected within its own family.
            sufficient: whether a test was possible; other rows have no p-values and are no part of the
                corrections.
            reason: why no test was possible, or why nothing can be decided yet.
            information, p_boundary: at a planned look, the share of the planned units that there are and what
                the p-value must be below; NaN without looks.
            more, more_for: what would decide an undecided comparison, if its difference is as observed:
                how many more runs, in words, and whether they would show a difference or an equivalence.
            verdict: the conclusion, a `Verdict`.

    References:
        [1] Yang, Esperanca & Carlucci. NAS evaluation is frustratingly hard. ICLR 2020.
        [2] Schuirmann. A comparison of the two one-sided tests procedure and the power approach for assessing
            the equivalence of average bioavailability. J. Pharmacokinet. Biopharm. 15, 1987.
        [3] Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6, 1979.
    """
    names = target_names(comparison.setting for comparison in comparisons)
    rows = [{"target": names[comparison.setting], **_row(comparison, options)} for comparison in comparisons]
    frame = pd.DataFrame(rows)
    for column in ("p_value", "p_equivalent", "probability_p"):
        holm = "probability_p_holm" if column == "probability_p" else f"{column.removesuffix('_value')}_holm"
        frame[holm] = holm_by_group(frame, column)
    frame["detectable_points"] = NAN
    for _, family in frame[frame["sufficient"]].groupby("setting", sort=False):
        points = detectable(family["se"].to_numpy(), family["df"].to_numpy(), options.alpha / len(family))
        frame.loc[family.index, "detectable_points"] = points
    frame["detectable"] = (
        100 * frame["detectable_points"] / frame["random_mean"].where(frame["random_mean"] > 0)
    )
    return _with_verdicts(frame.drop(columns="se"), comparisons, options)


def _row(comparison: Comparison, options: AnalysisOptions) -> dict[str, Any]:
    """The columns of one comparison that do not depend on the other comparisons."""
    reason = comparison.reason
    gap, margin = comparison.difference, comparison.margin
    low, high = comparison.interval(options.confidence)
    difference_low, difference_high = gap.interval(options.confidence)
    random_mean = comparison.random.mean if comparison.random else NAN
    second = None if reason else superiority(comparison.rows, comparison.pool, options)
    return {
        "setting": str(comparison.setting),
        "source": comparison.source,
        "proxy": comparison.proxy,
        "strategy": comparison.strategy,
        **_arm_columns(comparison),
        "relative_improvement": comparison.relative_improvement,
        "ci_low": low,
        "ci_high": high,
        "difference": gap.mean,
        "difference_low": difference_low,
        "difference_high": difference_high,
        "se": gap.se,
        "df": gap.df,
        "probability_better": NAN if reason else float(gap.probability_above()),
        "p_value": NAN if reason else float(gap.p_value()),
        "p_equivalent": NAN if reason else margin.p_equivalent(comparison.gap),
        "margin_points": margin.points.mean,
        "margin_percent": 100 * margin.points.mean / random_mean if random_mean > 0 else NAN,
        "margin_se": margin.points.se,
        "equivalence": margin.reason,
        "tail": _tail(comparison),
        **_probability_columns(second),
        "sufficient": not reason,
        "reason": reason,
    }


def _arm_columns(comparison: Comparison) -> dict[str, Any]:
    searched, random = comparison.searched, comparison.random
    counts = ("n", "searches", "cells", "units")
    return {
        "mean": searched.mean if searched else NAN,
        "random_mean": random.mean if random else NAN,
        **{name: getattr(searched, name) if searched else 0 for name in counts},
        **{f"{name}_random": getattr(random, name) if random else 0 for name in counts},
        "level": searched.level if searched else "",
        "level_random": random.level if random else "",
    }


def _probability_columns(second: Superiority | None) -> dict[str, Any]:
    return {
        "probability": second.probability if second else NAN,
        "probability_low": second.low if second else NAN,
        "probability_high": second.high if second else NAN,
        "probability_p": second.p_value if second else NAN,
        "probability_smallest_p": second.smallest_p if second else NAN,
        "probability_test": second.test if second else "",
    }


def _tail(comparison: Comparison) -> str:
    """Which arms have a heavy tail, in one word; empty for none."""
    sides = {"searched": comparison.searched, "random": comparison.random}
    heavy = [name for name, side in sides.items() if side is not None and is_heavy(side.values)]
    return "both" if len(heavy) == len(sides) else "".join(heavy)


def _with_verdicts(
    frame: pd.DataFrame, comparisons: list[Comparison], options: AnalysisOptions
) -> pd.DataFrame:
    """The frame with information, boundary, reason, verdict, and what would decide an undecided row."""
    is_mean = options.primary == "mean"
    column = "p_value" if is_mean else "probability_p"
    estimate = frame["difference"] if is_mean else frame["probability"] - 0.5
    levels, blocked = _decisions(frame, column, options)
    verdicts: list[Verdict] = []
    more: list[tuple[str, str]] = []
    for index, row in enumerate(frame.to_dict("records")):
        found = row[column] < levels["p_boundary"][index]
        is_early = levels["information"][index] < 1
        verdict = _verdict(
            row, estimate[index], is_found=found, is_early=is_early, blocked=blocked[index], options=options
        )
        verdicts.append(verdict)
        is_open = verdict is Verdict.UNDECIDED and is_mean
        count = int((frame["setting"] == row["setting"])[frame["sufficient"]].sum())
        more.append(_more(comparisons[index], row, options.alpha / count) if is_open else ("", ""))
    looks = options.looks is not None
    return frame.assign(
        reason=[row or why for row, why in zip(frame["reason"], blocked, strict=True)],
        information=levels["information"],
        p_boundary=levels["p_boundary"] if looks else NAN,
        more=[text for text, _ in more],
        more_for=[what for _, what in more],
        verdict=pd.Series(verdicts, index=frame.index, dtype=object),
    )


def _decisions(
    frame: pd.DataFrame, column: str, options: AnalysisOptions
) -> tuple[dict[str, list[float]], list[str]]:
    """What each p-value must be below, by Holm's method; the information; why nothing can be decided yet.

    At a planned look Holm's method is the group-sequential one of `looks.holm_at_looks`, at this look only: a
    report does not know the p-values of earlier ones.
    """
    limits, information, blocked = ([NAN] * len(frame), [NAN] * len(frame), [""] * len(frame))
    for _, family in frame[frame[column].notna()].groupby("setting", sort=False):
        left = list(family.index)
        while left:
            refused = []
            for index in left:
                row, alpha = frame.loc[index], options.alpha / len(left)
                limits[index], why = alpha, ""
                if options.looks is not None:
                    place = place_name(row["source"], row["proxy"])
                    limits[index], information[index], why = options.looks.boundary(
                        place, row["units"], row["units_random"], alpha
                    )
                blocked[index] = why
                if row[column] < limits[index] and not why:
                    refused.append(index)
            left = [index for index in left if index not in refused] if refused else []
    return {"p_boundary": limits, "information": information}, blocked


def _verdict(
    row: dict[Any, Any],
    estimate: float,
    *,
    is_found: bool,
    is_early: bool,
    blocked: str,
    options: AnalysisOptions,
) -> Verdict:
    if not row["n"]:
        return Verdict.NO_SEARCHED_RUNS
    if not row["n_random"]:
        return Verdict.NO_RANDOM_RUNS
    if not row["sufficient"]:
        return Verdict.UNTESTABLE
    if blocked:
        return Verdict.NOT_YET
    is_mean = options.primary == "mean"
    if is_found:
        verdict = Verdict.BETTER if estimate > 0 else Verdict.WORSE
    elif is_mean and row["p_equivalent_holm"] < options.alpha and not is_early:
        verdict = Verdict.EQUIVALENT
    else:
        return Verdict.UNDECIDED
    return Verdict.TAIL if is_mean and row["tail"] else verdict


def _more(comparison: Comparison, row: dict[Any, Any], alpha: float) -> tuple[str, str]:
    """What would decide a comparison, in words, and what it would show."""
    searched, random = comparison.searched, comparison.random
    assert searched is not None
    assert random is not None
    gap = abs(float(row["difference"]))
    room = 0.0 if row["equivalence"] else float(row["margin_points"]) - gap
    tests = ((gap, alpha, "difference"), (room, 2 * alpha, "equivalence"))  # the second is one-sided
    found = [
        (more, what)
        for size, level, what in tests
        if size > 0 and (more := more_units(searched, random, size, level))
    ]
    if not found:
        return "", ""
    more, what = min(found, key=lambda option: option[0].searched + option[0].random)
    return more.text(searched.level), what
