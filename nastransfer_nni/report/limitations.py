"""What a report does not compare or conclude, and why."""

from __future__ import annotations

from collections.abc import Iterator

from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, MIN_UNITS
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Verdict


def limitations(findings: Findings) -> Iterator[str]:
    """One or two sentences per limitation of the results table."""
    rows = findings.improvement
    if len(findings.settings) > 1:
        yield (
            f"The table has {len(findings.settings)} combinations of target and protocol. Different ones "
            "are never compared, since a protocol can matter more than a strategy."
        )
    few = int((rows["verdict"] == Verdict.INSUFFICIENT).sum())
    if few:
        yield (
            f"{few} of {len(rows)} comparisons have too few runs for a finding. Each arm needs {MIN_RUNS} "
            f"networks from at least {MIN_UNITS} searches, and from {MIN_UNITS} proxy draws if there are "
            "several. Their intervals are shown, but nothing is tested."
        )
    for verdict in (Verdict.NO_SEARCHED_RUNS, Verdict.NO_RANDOM_RUNS):
        names = rows.loc[rows["verdict"] == verdict, "strategy"]
        if len(names):
            yield f"{verdict.value.capitalize()}: {', '.join(dict.fromkeys(names))}."
    has_one_draw = (rows["level"] == "search") & (rows["proxy"] != "") & (rows["n"] > 0)
    if has_one_draw.any():
        yield (
            "The interval of a strategy with a single draw of a proxy holds for that draw, and not for other "
            "draws of the same proxy."
        )
    has_one_cell = (rows["level"] == "training") & (rows["n"] > 1)
    if has_one_cell.any():
        strategies = ", ".join(dict.fromkeys(rows.loc[has_one_cell, "strategy"]))
        yield f"Several trainings of a single cell say nothing about other searches: {strategies}."
    if findings.table["search_score"].notna().any():
        yield "Search scores are not comparable between strategies, so this report does not use them."
