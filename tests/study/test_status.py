import json

import pytest

from nastransfer_nni.study.status import job_status, overview

from .test_design import study


@pytest.fixture
def job():
    return study().jobs[0]


def write(root, job, **files):
    job.folder(root).mkdir(parents=True)
    for name, value in files.items():
        (job.folder(root) / f"{name}.json").write_text(json.dumps(value))


def test_job_without_a_folder_waits(tmp_path, job):
    assert job_status(job, tmp_path).status == "waiting"


def test_completed_job_has_its_summary(tmp_path, job):
    write(tmp_path, job, status={"status": "completed"}, summary={"top1": 50.0})
    status = job_status(job, tmp_path)
    assert status.is_completed and status.summary == {"top1": 50.0}


def test_job_that_lost_its_summary_runs_again(tmp_path, job):
    write(tmp_path, job, status={"status": "completed"})
    assert job_status(job, tmp_path).status == "interrupted"


@pytest.mark.parametrize("status", [{"status": "failed", "why": "disk full"}, {"status": "failed"}])
def test_failed_job_says_why(tmp_path, job, status):
    write(tmp_path, job, status=status)
    assert job_status(job, tmp_path).why == status.get("why", "")


def test_failure_before_the_first_metric_is_read_from_the_log(tmp_path, job):
    job.log(tmp_path).parent.mkdir()
    job.log(tmp_path).write_text("some output\nerror: no folder 'x'\n")
    status = job_status(job, tmp_path)
    assert (status.status, status.why) == ("failed", "no folder 'x'")
    assert f"failed: {job.name}: no folder 'x' (log: {job.log(tmp_path)})" in overview(study(), tmp_path)
