"""A reproducibility checklist for NAS, filled in from the table and from what the runs noted of themselves.

The items are those of Lindauer & Hutter (2020, JMLR 21, "Best Practices for Scientific Research on Neural
Architecture Search") that a results table and its runs can answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.findings import Findings


@dataclass(frozen=True)
class Check:
    """One item.

    Attributes:
        item: what good practice asks for.
        state: yes, partly, no or unknown.
        note: what the answer rests on.
    """

    item: str
    state: str
    note: str


def checklist(findings: Findings, runs: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """Fill in the checklist.

    Args:
        findings: the statistics.
        runs: for each run, where it comes from; may be empty.
    """
    table, rows = findings.table, findings.improvement
    compared = rows[rows["n"] > 0]
    with_random = int((compared["n_random"] > 0).sum())
    enough = int(compared["sufficient"].sum())
    return [
        Check(
            "The same training protocol for all that is compared",
            "yes" if (table["protocol_hash"] != "").all() else "unknown",
            "rows are compared within one protocol hash only"
            if (table["protocol_hash"] != "").all()
            else "the table does not name its protocols by a hash",
        ),
        Check(
            "Compared with random cells of the same space",
            _share(with_random, len(compared)),
            f"{with_random} of {len(compared)} comparisons",
        ),
        Check(
            "Several runs with different seeds",
            _share(enough, len(compared)),
            f"{enough} of {len(compared)} arms have the runs that a finding needs",
        ),
        _filled(table, "Seeds of searches reported", ["search_seed"], ~table["strategy"].eq("")),
        _filled(table, "Seeds of trainings reported", ["train_seed"]),
        _filled(table, "Cost of the search reported", ["search_seconds"], table["strategy"] != "random"),
        _filled(table, "Cost of the training reported", ["train_seconds"]),
        _filled(table, "Size of the networks reported", ["params", "mult_adds"]),
        _filled(table, "The cells themselves reported", ["genotype"]),
        _filled(table, "Accuracy of the cells on the source, from scratch, reported", ["source_top1"]),
        _noted(runs, "Commands of all runs known", "command_line"),
        _commit(runs),
        _versions(runs),
        _noted(runs, "Fingerprints of the data known", "fingerprints"),
    ]


def _filled(table: pd.DataFrame, item: str, columns: list[str], rows: pd.Series[bool] | None = None) -> Check:
    part = table[columns] if rows is None else table.loc[rows, columns]
    known = int((part.notna() & (part != "")).all(axis=1).sum())
    return Check(item, _share(known, len(part)), f"{known} of {len(part)} rows")


def _noted(runs: Mapping[str, Mapping[str, Any]], item: str, name: str) -> Check:
    if not runs:
        return Check(item, "unknown", "the table came without its runs")
    known = sum(bool(run.get(name)) for run in runs.values())
    return Check(item, _share(known, len(runs)), f"{known} of {len(runs)} runs")


def _commit(runs: Mapping[str, Mapping[str, Any]]) -> Check:
    item = "One version of the code, committed"
    commits = {str(run["git_commit"]) for run in runs.values() if run.get("git_commit")}
    if not commits:
        return Check(item, "unknown", "no run names the commit of its code")
    dirty = any(commit.endswith("-dirty") for commit in commits)
    state = "yes" if len(commits) == 1 and not dirty else "partly"
    return Check(item, state, f"commits: {', '.join(sorted(commits))}")


def _versions(runs: Mapping[str, Mapping[str, Any]]) -> Check:
    item = "The same libraries for all runs"
    versions = {json.dumps(run["versions"], sort_keys=True) for run in runs.values() if run.get("versions")}
    if not versions:
        return Check(item, "unknown", "no run names its libraries")
    one = json.loads(next(iter(versions)))
    if len(versions) > 1:
        return Check(item, "no", f"{len(versions)} different sets")
    return Check(item, "yes", ", ".join(f"{name} {version}" for name, version in one.items()))


def _share(count: int, of: int) -> str:
    return "unknown" if not of else "yes" if count == of else "no" if not count else "partly"
