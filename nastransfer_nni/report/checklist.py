"""A reproducibility checklist for NAS, filled in from the results table and the provenance of its runs.

The items are those of Lindauer & Hutter, "Best Practices for Scientific Research on Neural Architecture
Search" (JMLR 21, 2020), that a results table and its runs can answer.
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
    """One item of the checklist.

    Attributes:
        item: what good practice asks for.
        state: yes, partly, no or unknown.
        note: evidence for the state.
    """

    item: str
    state: str
    note: str


def checklist(findings: Findings, runs: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """Fill in the checklist.

    Args:
        findings: the statistics.
        runs: provenance of each run (`command_line`, `git_commit`, `versions`, `fingerprints`); empty if it
            is not known.
    """
    table, rows = findings.table, findings.improvement
    has_protocols = bool((table["protocol_hash"] != "").all())
    compared = rows[rows["n"] > 0]
    with_random = int((compared["n_random"] > 0).sum())
    enough = int(compared["sufficient"].sum())
    return [
        Check(
            "One training protocol within each comparison",
            "yes" if has_protocols else "unknown",
            "only rows with the same protocol hash are compared"
            if has_protocols
            else "the table has rows without a protocol hash",
        ),
        Check(
            "Comparison with random cells of the same search space",
            _state(with_random, len(compared)),
            f"{with_random} of {len(compared)} comparisons",
        ),
        Check(
            "Several runs with different seeds",
            _state(enough, len(compared)),
            f"{enough} of {len(compared)} comparisons could be tested",
        ),
        _filled(table, "Search seeds reported", ["search_seed"]),
        _filled(table, "Training seeds reported", ["train_seed"]),
        _filled(table, "Cost of the search reported", ["search_seconds"], table["strategy"] != "random"),
        _filled(table, "Cost of the training reported", ["train_seconds"]),
        _filled(table, "Size of the networks reported", ["params", "mult_adds"]),
        _filled(table, "Genotypes of the cells reported", ["genotype"]),
        _filled(
            table, "Accuracy of the cells on the source, trained from scratch, reported", ["source_top1"]
        ),
        _recorded(runs, "Commands of all runs recorded", "command_line"),
        _commit(runs),
        _versions(runs),
        _recorded(runs, "Fingerprints of the data recorded", "fingerprints"),
    ]


def _filled(table: pd.DataFrame, item: str, columns: list[str], rows: pd.Series[bool] | None = None) -> Check:
    part = table[columns] if rows is None else table.loc[rows, columns]
    known = int((part.notna() & (part != "")).all(axis=1).sum())
    return Check(item, _state(known, len(part)), f"{known} of {len(part)} rows")


def _recorded(runs: Mapping[str, Mapping[str, Any]], item: str, name: str) -> Check:
    if not runs:
        return Check(item, "unknown", "the table comes without provenance of its runs")
    known = sum(bool(run.get(name)) for run in runs.values())
    return Check(item, _state(known, len(runs)), f"{known} of {len(runs)} runs")


def _commit(runs: Mapping[str, Mapping[str, Any]]) -> Check:
    item = "All runs from one commit of the code"
    commits = {str(run["git_commit"]) for run in runs.values() if run.get("git_commit")}
    if not commits:
        return Check(item, "unknown", "no run records its commit")
    dirty = any(commit.endswith("-dirty") for commit in commits)
    state = "yes" if len(commits) == 1 and not dirty else "partly"
    return Check(item, state, f"commits: {', '.join(sorted(commits))}")


def _versions(runs: Mapping[str, Mapping[str, Any]]) -> Check:
    item = "The same library versions in all runs"
    versions = {json.dumps(run["versions"], sort_keys=True) for run in runs.values() if run.get("versions")}
    if not versions:
        return Check(item, "unknown", "no run records library versions")
    if len(versions) > 1:
        return Check(item, "no", f"{len(versions)} different sets of versions")
    one = json.loads(versions.pop())
    return Check(item, "yes", ", ".join(f"{name} {version}" for name, version in one.items()))


def _state(count: int, total: int) -> str:
    if not total:
        return "unknown"
    return "yes" if count == total else "partly" if count else "no"
