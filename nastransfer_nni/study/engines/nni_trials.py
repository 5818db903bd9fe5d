"""Runs a study as an NNI experiment: a trial is one search with its transfers, on any training service."""

from __future__ import annotations

import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

from nastransfer_nni.nni_engine.manager import RetryStartMixin, announce, bind_to_localhost
from nastransfer_nni.nni_engine.service import TrainingService, assignments, read_service
from nastransfer_nni.nni_engine.trial import Trial, is_trial, outside_trial, shown_of_summary
from nastransfer_nni.study import record
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.engines.base import EngineSettings, register, thread_variables
from nastransfer_nni.study.engines.chain import chain_jobs
from nastransfer_nni.study.schedule import MAX_ATTEMPTS
from nastransfer_nni.study.status import JobStatus, study_status
from nastransfer_nni.study.worker import run_job
from search_spaces.errors import UserError


@register("nni")
class NniEngine:
    """Runs an NNI experiment in which each trial runs one search of the study and its transfers.

    Trials on other machines need this project installed there, and the study's folder under the same path.
    """

    summary = "trials of NNI, on this machine or on those of a training service"
    options = ("training_service", "port")

    def run(self, study: Study, root: Path, settings: EngineSettings) -> list[JobStatus]:
        """Run what is left of the study."""
        service = read_service(settings.training_service)
        announce(settings.port)
        command = trial_command(root, service, settings.concurrency)
        with bind_to_localhost(service.is_local):
            for attempt in range(1, MAX_ATTEMPTS + 1):
                if searches := unfinished_searches(study, root):
                    print(
                        f"NNI experiment {attempt}: {len(searches)} searches with their transfers",
                        file=sys.stderr,
                    )
                    experiment = _experiment(
                        searches, command, root, service, name=study.name, concurrency=settings.concurrency
                    )
                    try:
                        experiment.run(settings.port)
                    finally:
                        experiment.stop()  # otherwise the manager keeps the port until this process ends
        return study_status(study, root)


def unfinished_searches(study: Study, root: Path) -> list[str]:
    """Names of the searches that are not completed, or have a transfer that is not."""
    jobs = [item.job for item in study_status(study, root) if not item.is_completed]
    return list(dict.fromkeys(job.search or job.name for job in jobs))


def chain(study: Study, root: Path, search: str) -> None:
    """Run one search, then its transfers, as a trial does; a transfer that fails does not stop the others.

    NNI gets the top-1 of each job when it is done; in the end, what the search found, and the mean top-1 of
    the transfers as the trial's result.

    Args:
        study: the study.
        root: folder of the study.
        search: name of the search.

    Raises:
        UserError: the study has no such search, or a job has failed.
    """
    jobs = chain_jobs(study, root, search)
    trial = Trial() if is_trial() else None
    top1s, failed = [], []
    found: dict[str, Any] = {}
    for number, job in enumerate(jobs):
        try:
            with outside_trial():
                summary = run_job(job, root)
        except Exception as error:  # of any kind, so that the other transfers run
            if isinstance(error, UserError):
                print(f"error: {job.name}: {error}", file=sys.stderr)
            else:
                traceback.print_exc()
            failed.append(job.name)
            if job.kind == "search":
                break
            continue
        top1 = summary.get("top1")
        if job.kind == "search":
            found = shown_of_summary(summary, job.folder(root))
            found |= {"search_top1": found.pop("top1", None)}
        if isinstance(top1, float):
            top1s += [top1] if job.kind == "transfer" else []
            if trial:
                trial.send("PERIODICAL", number, {"top1": top1})
    if trial and top1s:
        trial.send("FINAL", 0, {"top1": sum(top1s) / len(top1s), **found})
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} jobs have failed: {', '.join(failed)}")


def trial_command(root: Path, service: TrainingService, concurrency: int) -> str:
    """Shell command of every trial; trials on this machine share its cores."""
    variables = thread_variables(concurrency) if service.is_local else {}
    folder = root.absolute()
    words = [service.python, "-m", "nastransfer_nni.study", "chain"]
    words += [str(folder / record.FILE), "--out", str(folder)]
    return f"{assignments(variables)} {shlex.join(words)}".strip()


def _experiment(
    searches: list[str], command: str, root: Path, service: TrainingService, *, name: str, concurrency: int
) -> Any:
    from nni.experiment import Experiment, ExperimentConfig  # takes seconds

    class StudyExperiment(RetryStartMixin, Experiment):  # type: ignore[misc]
        """An experiment that starts its manager again if it did not come up."""

    code = root.absolute() / "nni" / "code"
    code.mkdir(parents=True, exist_ok=True)
    return StudyExperiment(
        ExperimentConfig(
            experimentName=name,
            searchSpace={"search": {"_type": "choice", "_value": searches}},
            trialCommand=command,
            trialCodeDirectory=str(code),
            trialConcurrency=concurrency,
            maxTrialNumber=len(searches),
            tuner={"name": "GridSearch"},
            experimentWorkingDirectory=str(code.parent),
            **service.settings(),
        )
    )
