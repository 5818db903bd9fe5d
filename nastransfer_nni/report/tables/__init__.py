"""The tables of a report, in the order in which the page shows them.

To add one, write a module with a `ReportTable` and add it to `TABLES`.
"""

from nastransfer_nni.report.tables import correlation, cost, improvement, pairs, rankings, results
from nastransfer_nni.report.tables.base import ReportTable

__all__ = ["TABLES", "ReportTable"]

TABLES: tuple[ReportTable, ...] = (
    improvement.TABLE,
    improvement.EVIDENCE,
    pairs.TABLE,
    pairs.EFFECTS,
    rankings.TABLE,
    correlation.TABLE,
    results.TABLE,
    cost.TABLE,
)
