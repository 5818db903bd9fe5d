"""The sentence that a report opens with: what came out best, by how much, and whether that is decided."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nastransfer_nni.report.names import Names
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.table import BASELINE, place_name
from nastransfer_nni.report.tables.pairs import compute

DECIDED = (Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT)


def headline(findings: Findings, setting: str, names: Names) -> str:
    """What came out best in one setting.

    The best is the strategy on a proxy with the largest improvement among those that are found to be better,
    or among all where none is. Without a baseline it is the strategy that is furthest above another.

    Args:
        findings: the statistics.
        setting: one of `findings.settings`.
        names: short names.
    """
    rows = findings.improvement[findings.improvement["setting"] == setting]
    compared = rows[rows["relative_improvement"].notna()]
    if len(compared):
        better = compared[compared["verdict"] == Verdict.BETTER]
        shown = better if len(better) else compared
        best = shown.iloc[int(shown["relative_improvement"].argmax())].to_dict()
        return _against_baseline(best, findings.options.baseline or BASELINE, findings, names)
    pairs = compute(findings)
    pairs = pairs[(pairs["setting"] == setting) & pairs["difference"].notna()] if len(pairs) else pairs
    if len(pairs):
        return _of_pairs(pairs.iloc[int(pairs["difference"].abs().argmax())].to_dict(), names)
    alone = findings.summary[findings.summary["setting"] == setting].sort_values("top1").iloc[-1].to_dict()
    return f"{names.of(alone)}: {alone['top1']:.1f}%. There is nothing to compare it with."


def _against_baseline(best: dict[Any, Any], baseline: str, findings: Findings, names: Names) -> str:
    count = int(best["cells_random"])
    kind = "cell" if baseline == BASELINE else "distinct cell"
    cells = f"{count} {kind}{'s' * (count != 1)}"
    change = f"{best['relative_improvement']:+.1f}%"
    known = pd.notna(best["ci_low"])
    interval = f" ({_interval(best['ci_low'], best['ci_high'])})" if known else ""
    name = "Random" if baseline == BASELINE else names.text(baseline)
    return (
        f"{name} {best['random_mean']:.1f}% ({cells}). Best searched: {names.of(best)}, "
        f"{best['mean']:.1f}%, {change}{interval}, {decision(best, findings)}."
    )


def _of_pairs(best: dict[Any, Any], names: Names) -> str:
    better, worse = (best["a"], best["b"]) if best["difference"] > 0 else (best["b"], best["a"])
    low, high = sorted((abs(best["ci_low"]), abs(best["ci_high"])))
    if best["ci_low"] * best["ci_high"] < 0:
        low = -low
    is_decided = "decided" if best["verdict"] == better else str(best["verdict"])
    place = place_name(best["source"], best["proxy"])
    where = f" on {names.text(place)}" if place else ""
    known = f" ({_interval(low, high)})" if pd.notna(best["ci_low"]) else ""
    return (
        f"No random cells. The largest difference: {names.text(better)} is {abs(best['difference']):.2f} "
        f"points above {names.text(worse)}{where}{known}, {is_decided}."
    )


def decision(row: dict[Any, Any], findings: Findings) -> str:
    """Whether a comparison is decided, and what would decide it where it is not."""
    verdict = row["verdict"]
    if verdict in DECIDED:
        is_small = row["p_equivalent_holm"] < findings.options.alpha
        text = verdict.text(findings.options.margin, is_within_margin=is_small)
        return "decided" if verdict is Verdict.BETTER and not is_small else f"decided: {text}"
    if verdict is Verdict.UNDECIDED and row["more"]:
        return f"undecided ({row['more']} would decide it)"
    text = verdict.text(findings.options.margin)
    return f"{text} ({row['reason']})" if row["reason"] else text


def _interval(low: float, high: float) -> str:
    """An interval in one decimal, or in two where one would show nothing."""
    form = "{:.1f} to {:.1f}" if max(abs(low), abs(high)) >= 0.2 else "{:.2f} to {:.2f}"
    return form.format(low, high)
