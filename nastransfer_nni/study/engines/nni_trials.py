"""Runs a study as an NNI experiment: a trial is one search with its transfers, on any training service."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from nastransfer_nni.nni_engine.manager import (
    PASSED_ON,
    PatientStart,
    announce,
    kept_to_this_machine,
    read_service,
)
from nastransfer_nni.nni_engine.trial import Trial
from nastransfer_nni.study import status, worker
from nastransfer_nni.study.design import Study
from search_spaces.errors import UserError

TRIES = 2


def run(
    study: Study, file: str, root: Path, workers: int, service: str | None, port: int
) -> list[status.Standing]:
    """Run what is left of the study; returns how every job stands afterwards.

    Trials on other machines need this project installed there, and the study's folder under the same path.

    Args:
        study: what to run.
        file: the study file.
        root: the study's folder.
        workers: trials at a time.
        service: file that describes the training service; None for this machine.
        port: of NNI's web UI.
    """
    described = read_service(service)
    is_local = described["trainingService"]["platform"] == "local"
    announce(port)
    code = root.absolute() / "nni" / "code"
    code.mkdir(parents=True, exist_ok=True)
    copy = root.absolute() / "study.yml"
    copy.write_text(Path(file).read_text("utf-8"), "utf-8")
    with kept_to_this_machine(is_local):
        for attempt in range(TRIES):
            searches = unfinished(study, root)
            if searches:
                print(
                    f"NNI experiment {attempt + 1}: {len(searches)} searches with their transfers",
                    file=sys.stderr,
                )
                command = _command(copy, root, workers if is_local else None)
                experiment = _experiment(described, searches, command, code, workers)
                try:
                    experiment.run(port)
                finally:
                    experiment.stop()  # NNI leaves its manager, and with it the port, to the process's end
    return [status.standing(job, root) for job in study.jobs]


def unfinished(study: Study, root: Path) -> list[str]:
    """Names of the searches that are not complete, or have transfers that are not."""
    open_jobs = [job for job in study.jobs if status.standing(job, root).status != status.FINISHED]
    return list(dict.fromkeys(job.search or job.name for job in open_jobs))


def chain(study: Study, root: Path, search: str) -> None:
    """What a trial does: one search, then its transfers; a transfer that fails does not stop the others.

    NNI sees the top-1 of each as it is done, and in the end their mean over the targets.

    Raises:
        UserError: the study has no such search, or a job has failed.
    """
    jobs = [job for job in study.jobs if search in (job.name, job.search)]
    if not jobs:
        raise UserError(f"study {study.name} has no search {search!r}")
    trial = Trial() if "NNI_TRIAL_JOB_ID" in os.environ else None
    os.environ.pop("NNI_TRIAL_JOB_ID", None)  # the jobs are not trials of their own
    top1s, failed = [], []
    for number, job in enumerate(jobs):
        try:
            top1 = worker.run(job, root).get("top1")
        except UserError as error:
            print(f"error: {job.name}: {error}", file=sys.stderr)
            failed.append(job.name)
            if job.kind == "search":
                break
            continue
        if isinstance(top1, float):
            top1s += [top1] if job.kind == "transfer" else []
            if trial:
                trial.send("PERIODICAL", number, {"top1": top1})
    if trial and top1s:
        trial.send("FINAL", 0, {"top1": sum(top1s) / len(top1s)})
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} jobs have failed: {', '.join(failed)}")


def _command(file: Path, root: Path, local_trials: int | None) -> str:
    """The command of every trial; trials of this machine share its cores, as jobs without NNI do."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if local_trials is not None:
        threads = max(1, (os.cpu_count() or 1) // local_trials)
        environment = {"OMP_NUM_THREADS": str(threads)} | environment
    shared = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    python = sys.executable if local_trials is not None else "python"
    words = [python, "-m", "nastransfer_nni.study", "chain", str(file), "--out", str(root)]
    return " ".join([*shared, shlex.join(words)])


def _experiment(
    described: dict[str, Any], searches: list[str], command: str, code: Path, workers: int
) -> Any:
    from nni.experiment import Experiment, ExperimentConfig

    class StudyExperiment(PatientStart, Experiment):  # type: ignore[misc]
        """Waits for its manager."""

    return StudyExperiment(
        ExperimentConfig(
            experimentName="nastransfer-study",
            searchSpace={"search": {"_type": "choice", "_value": searches}},
            trialCommand=command,
            trialCodeDirectory=str(code),
            trialConcurrency=workers,
            maxTrialNumber=len(searches),
            tuner={"name": "GridSearch"},
            experimentWorkingDirectory=str(code.parent),
            **described,
        )
    )
