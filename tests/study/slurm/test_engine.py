"""What the controller does with a task that has ended, however it ended."""

import json
import os
import shutil
import signal
from types import SimpleNamespace

import pytest

from nastransfer_nni.study.engines import EngineSettings, chain
from nastransfer_nni.study.engines import slurm as engine
from nastransfer_nni.study.slurm_queue import Queue
from nastransfer_nni.study.status import JobStatus
from search_spaces.errors import UserError

from ..test_design import study

STUDY = {
    "strategies": ["darts"],
    "proxies": ["all"],
    "proxy_seeds": [0],
    "search_seeds": [0],
    "random_cells": 2,
    "train_seeds": [0],
}
CELL, DARTS, OTHER_CELL = "random-seed0", "darts-digits-all-seed0", "random-seed1"


class Drill:
    """A controller whose looks the test makes, with a fake Slurm and jobs that the test writes."""

    def __init__(self, slurm, root, concurrency=2):
        self.slurm, self.root, self.study = slurm, root, study(**STUDY)
        self.queue = Queue("small", root)
        self.queue.add([CELL, DARTS, OTHER_CELL])
        settings = EngineSettings(concurrency=concurrency)
        self.controller = engine._Controller(self.study, root, self.queue, settings)

    def shows(self, **states):
        """Let squeue show a state for each search: its array, state, machine and reason."""
        numbers = {"cell": 0, "darts": 1, "other": 2}
        self.slurm.squeue(
            *(
                f"{job}|{numbers[name]}|{self.queue.name}|{state}|{'' if state == 'PENDING' else 'n1'}|None"
                for name, (job, state) in states.items()
            )
        )

    def look(self):
        return self.controller._step(self.queue.tasks())

    def looks(self, **states):
        """Two looks, after which a task that has ended is judged; the searches that were submitted then."""
        before = self.slurm.calls("sbatch")
        self.shows(**states)
        self.look()
        self.goes_on = self.look()
        return self.slurm.arguments("sbatch")[1] if self.slurm.calls("sbatch") > before else None

    def complete(self, *searches):
        for job in self.study.jobs:
            if job.name in searches or job.search in searches:
                self.write(job, "completed", summary={"top1": 50.0})

    def write(self, job, status, summary=None):
        folder = job.folder(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").write_text(json.dumps({"status": status}))
        if summary is not None:
            (folder / "summary.json").write_text(json.dumps(summary))

    def checkpoint(self, search):
        file = self.root / "searches" / search / "checkpoints" / "search.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
        size = file.stat().st_size if file.exists() else 0
        file.write_text("x" * (size + 1))


@pytest.fixture
def drill(slurm, tmp_path):
    """A study whose searches are all submitted; one is left once the two random cells are completed."""
    made = Drill(slurm, tmp_path)
    assert made.look()
    assert slurm.arguments("sbatch")[1] == "--array=0,1,2%2"
    made.shows(cell=(1, "RUNNING"), darts=(1, "RUNNING"), other=(1, "PENDING"))
    assert made.look() and slurm.calls("sbatch") == 1
    made.complete(CELL, OTHER_CELL)
    return made


def test_study_is_over_when_its_jobs_are_completed(drill, capsys):
    drill.complete(DARTS)
    drill.shows(darts=(1, "COMPLETED"))
    assert not drill.look()
    assert "[6/6] transfer random-seed1--digits-train0: top1 50.00" in capsys.readouterr().err


def test_time_limit_is_followed_by_a_task_as_long_as_there_is_progress(drill):
    for job in range(1, 5):
        drill.checkpoint(DARTS)
        assert drill.looks(darts=(job, "TIMEOUT")) == "--array=1%2"
        drill.looks(darts=(job + 1, "RUNNING"))


def test_time_limit_without_progress_is_given_up(drill, capsys):
    assert drill.looks(darts=(1, "TIMEOUT")) == "--array=1%2"
    assert drill.goes_on
    drill.looks(darts=(2, "RUNNING"))
    assert drill.looks(darts=(2, "TIMEOUT")) is None
    assert not drill.goes_on
    assert f"{DARTS}: task 2_1 TIMEOUT, no progress; try 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["NODE_FAIL", "PREEMPTED", "FAILED", "OUT_OF_MEMORY"])
def test_interrupted_search_is_submitted_again(drill, state):
    drill.checkpoint(DARTS)
    assert drill.looks(darts=(1, state)) == "--array=1%2"


def test_task_that_slurm_has_forgotten_is_judged_by_the_study_folder(drill):
    drill.checkpoint(DARTS)
    assert drill.looks() == "--array=1%2"


@pytest.mark.parametrize(
    "state", ["PENDING", "REQUEUED", "REQUEUE_HOLD", "COMPLETING", "SUSPENDED", "CONFIGURING"]
)
def test_task_that_slurm_runs_again_itself_is_left_alone(drill, state):
    assert drill.looks(darts=(1, state)) is None
    assert drill.goes_on


def test_cancelled_task_is_left_alone_until_the_next_command(drill, slurm):
    drill.checkpoint(DARTS)
    assert drill.looks(darts=(1, "CANCELLED")) is None
    assert not drill.goes_on
    again = Drill(slurm, drill.root)
    again.look()
    assert slurm.arguments("sbatch")[1] == "--array=1%2"


def test_failed_search_is_tried_once_more(drill, capsys):
    drill.write(drill.study.jobs[0], "failed")
    assert drill.looks(darts=(1, "FAILED")) == "--array=1%2"
    drill.checkpoint(DARTS)
    drill.looks(darts=(2, "RUNNING"))
    assert drill.looks(darts=(2, "FAILED")) is None
    assert not drill.goes_on
    assert f"failed: {DARTS}; try 2 of 2" in capsys.readouterr().err


def test_later_arrays_take_the_places_that_are_left(slurm, tmp_path):
    drill = Drill(slurm, tmp_path, concurrency=1)
    drill.look()
    drill.shows(cell=(1, "RUNNING"), darts=(1, "PENDING"), other=(1, "PENDING"))
    drill.look()
    drill.checkpoint(CELL)
    assert drill.looks(cell=(1, "TIMEOUT"), darts=(1, "RUNNING"), other=(1, "PENDING")) is None
    drill.complete(DARTS, OTHER_CELL)
    assert drill.looks(cell=(1, "TIMEOUT")) == "--array=0%1"


def test_new_controller_finds_the_tasks_of_the_last_one(drill, slurm):
    again = Drill(slurm, drill.root)
    assert again.look()
    assert slurm.calls("sbatch") == 1, "nothing is submitted twice"
    again.checkpoint(DARTS)
    assert again.looks(darts=(1, "TIMEOUT")) == "--array=1%2"


def test_site_that_limits_the_tasks_of_a_user_gets_fewer(slurm, tmp_path, monkeypatch):
    drill, asked = Drill(slurm, tmp_path), []

    def submit(searches, *args):
        asked.append(list(searches))
        if len(searches) > 2:
            raise engine.SlurmError("Job violates accounting/QOS policy (job submit limit)")
        return searches

    monkeypatch.setattr(drill.queue, "submit", submit)
    drill.look()
    assert asked == [[CELL, DARTS, OTHER_CELL], [CELL, DARTS]]


def test_refused_array_ends_the_command_only_where_nothing_is_queued(drill, slurm, capsys):
    slurm.refuse("sbatch", "sbatch: error: Batch job submission failed: Socket timed out\n")
    with pytest.raises(UserError, match="Socket timed out"):
        drill.looks(darts=(1, "TIMEOUT"))
    shutil.rmtree(drill.root / "transfers" / f"{CELL}--digits-train0")
    again = Drill(slurm, drill.root)
    again.shows(darts=(1, "RUNNING"))
    assert again.look(), "the random cell waits for the next look"
    assert "Socket timed out" in capsys.readouterr().err


def test_daemon_that_does_not_answer_is_waited_for(drill, slurm, monkeypatch, capsys):
    looks = []

    def sleep(seconds):
        assert seconds == 60
        looks.append(seconds)
        slurm.refuse(
            "squeue", "squeue: error: Unable to contact slurm controller" if len(looks) < 3 else None
        )
        if len(looks) == 3:
            drill.complete(DARTS)

    drill.shows(darts=(1, "RUNNING"))
    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=sleep))
    drill.controller.run()
    assert len(looks) == 3
    assert capsys.readouterr().err.count("Unable to contact") == 1


def test_engine_of_a_second_process_is_refused(slurm, tmp_path, monkeypatch):
    made = study(**STUDY)

    def second(*args):
        with pytest.raises(UserError, match="another process submits the tasks"):
            engine.SlurmEngine().run(made, tmp_path, EngineSettings())
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=second))
    with pytest.raises(KeyboardInterrupt):
        engine.SlurmEngine().run(made, tmp_path, EngineSettings())


def test_command_of_a_task_shares_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", "/my data")
    command = engine.task_command(tmp_path)
    assert "NASTRANSFER_DATA='/my data'" in command
    assert command.endswith(f'chain {tmp_path}/study.json --out {tmp_path} --logs --search "$search"')


def test_jobs_of_a_task_write_their_logs_and_stop_no_other(tmp_path, monkeypatch, capfd):
    made = study(**STUDY | {"train_seeds": [0, 1]})
    name = made.jobs[0].name
    ran = []

    def run_job(job, root):
        ran.append(job.name)
        print(f"runs {job.name}")
        os.write(2, b"says a library\n")
        if job.name.endswith("train0"):
            raise RuntimeError("diverged")

    monkeypatch.setattr(chain, "run_job", run_job)
    with pytest.raises(UserError, match=f"1 of 3 jobs have failed: {name}--digits-train0"):
        chain.run_logged(made, tmp_path, name)
    assert ran == [name, f"{name}--digits-train0", f"{name}--digits-train1"]
    logs = {job.name: job.log(tmp_path).read_text() for job in made.jobs if job.name in ran}
    assert all(text.startswith(f"runs {job}\nsays a library\n") for job, text in logs.items())
    assert logs[f"{name}--digits-train0"].endswith("RuntimeError: diverged\n")
    assert capfd.readouterr() == ("", "")


def test_task_waits_for_a_process_that_has_its_job(tmp_path, monkeypatch):
    """A node that is believed dead may still compute, and the locks of a dead one outlive it for a while."""
    made, looks, ran = study(**STUDY), iter(["running", "running", "interrupted", "waiting"]), []
    monkeypatch.setattr(chain, "job_status", lambda job, root: JobStatus(job, next(looks)))
    monkeypatch.setattr(chain.time, "sleep", lambda seconds: ran.append("waits"))
    monkeypatch.setattr(chain, "run_job", lambda job, root: ran.append(job.kind))
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    chain.run_logged(made, tmp_path, made.jobs[0].name)
    assert ran == ["waits", "waits", "search", "transfer"]


def test_a_cancelled_task_that_slurm_has_forgotten_is_left_alone(drill, slurm):
    drill.checkpoint(DARTS)
    drill.shows(darts=(1, "CANCELLED"))
    drill.look()
    drill.shows()
    assert not drill.look()
    assert slurm.calls("sbatch") == 1
