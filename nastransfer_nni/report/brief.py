"""The answer to each question in one sentence, which the page shows first."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from nastransfer_nni.report.statistics.answers import PROXY, RANDOM, Answer
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.tables import pairs


def brief(findings: Findings, answer: Answer) -> str:
    """An answer in one or two sentences with its most important number, with full names.

    Args:
        findings: the statistics.
        answer: one of `findings.answers`.
    """
    if answer.question == PROXY:
        return " ".join(_proxy(findings, answer)) or answer.sentence
    if answer.question == RANDOM:
        return _of_pairs(findings, answer) or answer.sentence
    return answer.sentence


def _proxy(findings: Findings, answer: Answer) -> Iterator[str]:
    """The largest difference between two proxies in mean accuracy, and what is known of the ranking."""
    effects, moved = findings.two_way, findings.movements
    rows = effects[effects["setting"] == answer.setting] if len(effects) else effects
    rows = rows[(rows["effect"] == "proxy") & rows["estimate"].notna()] if len(rows) else rows
    if rows.empty:
        return
    largest = rows.iloc[int(rows["estimate"].abs().argmax())]
    better, worse = (largest["a"], largest["b"]) if largest["estimate"] > 0 else (largest["b"], largest["a"])
    sign = 1 if largest["estimate"] > 0 else -1
    low, high = sorted((sign * largest["ci_low"], sign * largest["ci_high"]))
    different = int((rows["verdict"] == "differs").sum())
    count = (
        f"{different} of {len(rows)} pairs of proxies differ{'s' * (different == 1)}"
        if different and len(rows) > 1
        else "The two proxies differ"
        if different
        else "No two proxies differ"
    )
    margin = findings.options.margin
    is_alike = bool((rows["verdict"] == "equivalent").all())
    which = "The two" if len(rows) == 1 else "All"
    said = f"{which} proxies are equivalent within {margin}" if is_alike else f"{count} significantly"
    yield (
        f"{said} in mean accuracy; the largest difference is {abs(largest['estimate']):.2f} "
        "points"
        f"{f' ({low:.2f} to {high:.2f})' if pd.notna(low) else ''}, of {better} over {worse}."
    )
    crossed = effects[(effects["setting"] == answer.setting) & (effects["effect"] == "interaction")]
    if len(crossed) and (crossed["verdict"] == "equivalent").all():
        most = crossed["estimate"].abs().max()
        yield f"So are the differences between strategies on them, which change by {most:.2f} points at most."
        return
    ranked = moved[(moved["setting"] == answer.setting)] if len(moved) else moved
    if len(ranked):
        swaps = [swap for own in ranked["swaps"] for swap in own]
        lowest = ranked.iloc[int(ranked["tau"].argmin())]
        if swaps:
            yield (
                f"{len(swaps)} significant swap{'s' * (len(swaps) > 1)} of two strategies, such as "
                f"{swaps[0]}."
            )
        else:
            yield (
                f"No two strategies swap their order significantly (lowest tau {lowest['tau']:z.2f}; noise "
                f"alone leaves {lowest['ceiling']:z.2f})."
            )


def _of_pairs(findings: Findings, answer: Answer) -> str:
    """What is found of pairs of strategies, where there is nothing to compare them with."""
    frame = pairs.compute(findings)
    known = frame[(frame["setting"] == answer.setting) & frame["p_value"].notna()] if len(frame) else frame
    if known.empty:
        return ""
    different = int((known["p_holm"] < findings.options.alpha).sum())
    return (
        f"There are no random cells to compare with. {different} of {len(known)} pairs of strategies "
        f"differ{'s' * (different == 1)} significantly."
    )
