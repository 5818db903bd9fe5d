"""What a report does not compare or conclude, and why."""

from __future__ import annotations

from collections.abc import Iterator

from nastransfer_nni.report.names import Names
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Verdict

EARLY = (
    "The study is not complete, and it has planned no looks: an early look is not a finding. Tests that are "
    "looked at and extended find differences where there are none more often than they say."
)


def limitations(findings: Findings, names: Names, *, is_unfinished: bool = False) -> Iterator[str]:
    """One or two sentences per limitation of the results table.

    Args:
        findings: the statistics.
        names: short names.
        is_unfinished: whether the table is a look at a study that is not complete and has planned none.
    """
    rows = findings.improvement
    if is_unfinished:
        yield EARLY
    if len(findings.settings) > 1:
        yield (
            f"The table has {len(findings.settings)} combinations of target and protocol. Different ones "
            "are never compared, since a protocol can matter more than a strategy."
        )
    for reason, part in rows[rows["verdict"] == Verdict.UNTESTABLE].groupby("reason", sort=False):
        whose = ", ".join(names.of(row) for row in part.head(5).to_dict("records"))
        more = f" and {len(part) - 5} more" if len(part) > 5 else ""
        yield f"Cannot be tested: {whose}{more}: {reason}."
    for verdict in (Verdict.NO_SEARCHED_RUNS, Verdict.NO_RANDOM_RUNS):
        missing = rows.loc[rows["verdict"] == verdict, "strategy"]
        if len(missing):
            yield f"{verdict.value.capitalize()}: {', '.join(dict.fromkeys(map(names.text, missing)))}."
    for reason in dict.fromkeys(text for text in rows.loc[rows["sufficient"], "equivalence"] if text):
        yield f"Equivalence cannot be tested: {reason}."
    has_one_draw = (rows["level"] == "search") & (rows["proxy"] != "") & (rows["n"] > 0)
    if has_one_draw.any():
        yield (
            "The interval of a strategy with a single draw of a proxy holds for that draw, and not for other "
            "draws of the same proxy."
        )
    tails = rows[(rows["tail"] != "") & rows["sufficient"]]
    if len(tails):
        whose = ", ".join(dict.fromkeys(names.text(name) for name in tails["strategy"]))
        yield (
            f"Heavy tails beside {whose}: a finding about the mean depends on rare failures there, so that "
            "it is shown with every network as a dot."
        )
    if findings.table["search_score"].notna().any():
        yield "Search scores are not comparable between strategies, so this report does not use them."
