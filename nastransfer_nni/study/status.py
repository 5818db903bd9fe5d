"""How a study stands, read from its folders alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nastransfer_nni.study.design import Job, Study
from nastransfer_nni.tracking import directory

FINISHED, FAILED, RUNNING, STOPPED, WAITING = "completed", "failed", "running", "interrupted", "waiting"


@dataclass(frozen=True)
class Standing:
    """How one job stands.

    Attributes:
        job: the job.
        status: completed, failed, running, interrupted or waiting.
        why: what it failed of.
        summary: its final figures, once it is completed.
    """

    job: Job
    status: str
    why: str = ""
    summary: dict[str, Any] | None = None


def standing(job: Job, root: Path) -> Standing:
    """How `job` stands in the study's folder `root`."""
    folder = job.folder(root)
    status = directory.read_status(folder) or WAITING
    if status == FINISHED:
        return Standing(job, status, summary=json.loads((folder / "summary.json").read_text("utf-8")))
    if status == FAILED:
        return Standing(job, status, json.loads((folder / "status.json").read_text("utf-8"))["why"])
    if status == WAITING and (complaint := _last_complaint(job.log(root))):
        return Standing(job, FAILED, complaint)
    return Standing(job, status)


def _last_complaint(log: Path) -> str:
    """The error that a job's log ends with: one that fails before its first figure leaves no folder."""
    if not log.is_file():
        return ""
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines and lines[-1].startswith("error: ") else ""


def overview(study: Study, root: Path) -> str:
    """Counts by kind and status, and every failure by name."""
    standings = [standing(job, root) for job in study.jobs]
    lines = [f"study {study.name} in {root}"]
    for kind in ("search", "transfer"):
        counts = Counter(item.status for item in standings if item.job.kind == kind)
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        plural = {"search": "searches", "transfer": "transfers"}[kind]
        lines.append(f"  {counts.total()} {plural}: {told}")
    lines += [f"  running: {item.job.name}" for item in standings if item.status == RUNNING]
    lines += [
        f"  failed: {item.job.name}: {item.why} (log: {item.job.log(root)})"
        for item in standings
        if item.status == FAILED
    ]
    return "\n".join(lines)
