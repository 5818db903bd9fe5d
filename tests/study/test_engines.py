import os
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from nastransfer_nni.study import run
from nastransfer_nni.study.config import RunConfig
from nastransfer_nni.study.engines import ENGINES, EngineSettings, base, local, nni_trials
from nastransfer_nni.study.schedule import Schedule
from nastransfer_nni.study.status import JobStatus
from search_spaces.errors import UserError

from .test_design import SMALL, study

DOCS = Path(__file__).parents[2] / "docs" / "studies.md"


@pytest.mark.parametrize("name", ENGINES)
def test_docs_name_every_engine(name):
    assert re.search(rf"`--engine {name}`", DOCS.read_text("utf-8"))


@pytest.mark.parametrize("name", ENGINES)
def test_help_names_every_engine(name):
    assert f"{name}: {ENGINES[name].summary}" in RunConfig.model_fields["engine"].description


def test_registered_engine_runs_a_study(tmp_path, monkeypatch, capsys):
    """One class is all that an engine needs."""
    monkeypatch.setattr(base, "ENGINES", ENGINES)

    class Pretending:
        summary = "nowhere"
        options = ()

        def run(self, study, root, settings):
            assert root.is_dir() and settings.concurrency == 3
            return [JobStatus(job, "completed", summary={}) for job in study.jobs]

    base.register("pretend")(Pretending)
    try:
        file = tmp_path / "study.yml"
        file.write_text(str(SMALL))
        config = RunConfig.create(
            {"file": str(file), "out": str(tmp_path / "out"), "engine": "pretend", "concurrency": 3}
        )
        assert run.run(config) == tmp_path / "out"
    finally:
        del ENGINES["pretend"]
    assert "next: python -m nastransfer_nni.report" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "unknown option 'workers' .did you mean 'concurrency'"),
        ({"engine": "loca"}, "unknown engine 'loca' .did you mean 'local'"),
        ({"port": 9000}, "--port needs --engine nni"),
        ({"training_service": "cluster.yml"}, "--training-service needs --engine nni"),
        ({"engine": "nni", "port": 70_000}, "--port"),
        ({"concurrency": 0}, "--concurrency"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        RunConfig.create({"file": "study.yml", **options})


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    file = tmp_path / "study.yml"
    file.write_text(str(SMALL))
    (tmp_path / "taken").write_text("in the way")
    with pytest.raises(UserError, match=r"--out .*taken: File exists"):
        run.run(RunConfig.create({"file": str(file), "out": str(tmp_path / "taken")}))


def test_jobs_end_where_the_study_cannot_continue(tmp_path, monkeypatch):
    """As when the terminal or the pipe that it writes to is closed."""
    calls = []
    process = SimpleNamespace(
        sentinel=1,
        terminate=lambda: calls.append("terminate"),
        join=lambda seconds: calls.append("join"),
        kill=lambda: calls.append("kill"),
    )
    display = MagicMock()
    display.show.side_effect = BrokenPipeError
    monkeypatch.setattr(local, "start", lambda context, job, *_: local.Worker(job, process, None))
    with pytest.raises(BrokenPipeError):
        local._run_all(None, Schedule(study(), tmp_path), display, tmp_path, 1, {})
    assert calls == ["terminate", "join", "kill"]


def test_cores_are_shared_unless_the_user_has_decided(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(base, "available_cores", lambda: 8)
    assert base.thread_variables(3) == {"OMP_NUM_THREADS": "2"}
    assert base.thread_variables(9) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert base.thread_variables(3) == {}


def test_trial_runs_one_search_with_its_transfers(tmp_path, monkeypatch):
    """The jobs inside do not take themselves for trials; a failed transfer does not stop the others."""
    made, ran, sent = study(), [], []

    class Trial:
        def send(self, kind, sequence, values):
            sent.append((kind, sequence, values["top1"]))

    def run_job(job, root):
        assert "NNI_TRIAL_JOB_ID" not in os.environ
        ran.append(job.name)
        if job.name.endswith("train0"):
            raise UserError("diverged")
        return {"top1": 40.0 + len(ran)}

    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "job")
    monkeypatch.setattr(nni_trials, "Trial", Trial)
    monkeypatch.setattr(nni_trials, "run_job", run_job)
    name = made.jobs[0].name
    with pytest.raises(UserError, match=f"1 of 3 jobs have failed: {name}--digits-train0"):
        nni_trials.chain(made, tmp_path, name)
    assert ran == [name, f"{name}--digits-train0", f"{name}--digits-train1"]
    assert sent == [("PERIODICAL", 0, 41.0), ("PERIODICAL", 2, 43.0), ("FINAL", 0, 43.0)]
    assert os.environ["NNI_TRIAL_JOB_ID"] == "job"


@pytest.mark.parametrize("search", ["darts-digits-all-seed9", "darts-digits-all-seed0--digits-train0", ""])
def test_unknown_search_is_refused(tmp_path, search):
    with pytest.raises(UserError, match="unknown search of small"):
        nni_trials.chain(study(), tmp_path, search)


def test_command_of_a_trial(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("NASTRANSFER_DATA", "/my data")
    monkeypatch.setattr(base, "available_cores", lambda: 8)
    command = nni_trials.trial_command(tmp_path, nni_trials.TrainingService(), 4)
    assert "NASTRANSFER_DATA='/my data'" in command and "OMP_NUM_THREADS=2" in command
    assert command.endswith(f"-m nastransfer_nni.study chain {tmp_path}/study.json --out {tmp_path}")
    remote = nni_trials.TrainingService({"platform": "remote"})
    command = nni_trials.trial_command(tmp_path, remote, 4)
    assert "OMP_NUM_THREADS" not in command and " python -m " in command


def test_settings_are_those_of_the_command():
    config = RunConfig.create({"file": "s.yml", "engine": "nni", "port": 9000, "concurrency": 3})
    assert config.settings == EngineSettings(concurrency=3, training_service=None, port=9000)
