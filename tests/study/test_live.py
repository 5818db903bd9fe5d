"""The page of a study's status: what it shows, when it is written again, and how it ends."""

import json
import os
from datetime import datetime

import pytest
from filelock import FileLock

from nastransfer_nni.study import live
from nastransfer_nni.study.progress import progress
from nastransfer_nni.study.status import study_status
from search_spaces.errors import UserError
from tests.report.pages import Page

from .test_design import study

AT = "2026-11-26T12:00:00Z"
START = datetime.fromisoformat(AT).timestamp()


def put(root, job, status, seconds=0.0):
    """A job that started at `START` and has the status since some seconds later."""
    folder = job.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").touch()
    os.utime(folder / "config.yaml", (START, START))
    content = {"status": status, "why": "disk <full>", "host": "n7", "pid": 4, "at": AT}
    (folder / "status.json").write_text(json.dumps(content))
    os.utime(folder / "status.json", (START + seconds, START + seconds))
    (folder / "summary.json").write_text(json.dumps({"top1": 90.0}))


@pytest.fixture
def jobs(tmp_path):
    """A study of which two searches of 100 s and a transfer of 30 s are completed, and others are not."""
    made = study(search_seeds=2, random_cells=2)
    for job in [job for job in made.jobs if job.kind == "search"][:2]:
        put(tmp_path, job, "completed", 100.0)
    transfers = [job for job in made.jobs if job.kind == "transfer"]
    put(tmp_path, transfers[0], "completed", 30.0)
    put(tmp_path, transfers[1], "failed")
    transfers[1].log(tmp_path).parent.mkdir()
    transfers[1].log(tmp_path).write_text("".join(f"line {number}\n" for number in range(30)) + "<b>end\n")
    put(tmp_path, transfers[2], "interrupted")
    put(tmp_path, transfers[3], "running")
    with FileLock(transfers[3].folder(tmp_path) / ".nastransfer-lock"):
        yield made


@pytest.fixture
def results(monkeypatch):
    """How often the statistics were computed."""
    calls = []
    monkeypatch.setattr(
        live, "results_so_far", lambda root, replicates: calls.append(root) or "<p>so far</p>"
    )
    return calls


def test_the_time_left_is_that_of_like_jobs_divided_by_those_at_a_time(jobs, tmp_path):
    found = progress(study_status(jobs, tmp_path), tmp_path, START + 10.0)
    searches = sum(found.counts["search"].values())
    transfers = sum(found.counts["transfer"].values())
    left = (searches - 2) * 100.0 + (transfers - 3) * 30.0 + 20.0  # one has failed, one is completed
    assert found.end == pytest.approx(START + 10.0 + left, abs=0.01)
    assert [(each.where, each.since, each.until) for each in found.running] == [
        ("n7, process 4", START, START + 30.0)
    ]
    assert [each.why for each in found.failed] == ["disk <full>"]
    assert found.failed[0].lines.splitlines() == [f"line {number}" for number in range(19, 30)] + ["<b>end"]


def test_the_page_shows_jobs_failures_and_results_and_needs_no_other_site(jobs, tmp_path, results):
    live.watch(jobs, tmp_path, 0)
    text = (tmp_path / live.PAGE).read_text()
    page = Page(text)
    assert [link for link in page.links if not link.startswith("#")] == []
    assert "location.reload" not in text
    assert page.rows("completed")[0]["completed"] == "2"
    assert page.rows("Where")[0]["Where"] == "n7, process 4"
    for part in ("3 of ", "disk <full>", "<b>end", "so far", "Interrupted"):
        assert part in page.text


def test_nothing_is_written_or_computed_until_something_changes(jobs, tmp_path, results, monkeypatch):
    clock = [START + 10.0]
    monkeypatch.setattr(live.time, "time", lambda: clock[0])
    page = live.StatusPage(jobs, tmp_path)
    page.update(5)
    before = page.path.stat().st_ino
    clock[0] += 5
    assert page.update(5) is False
    assert page.path.stat().st_ino == before
    assert "location.reload" in page.path.read_text()
    waiting = next(job for job in jobs.jobs if job.kind == "search" and not job.folder(tmp_path).exists())
    put(tmp_path, waiting, "completed", 100.0)
    page.update(5)
    assert page.path.stat().st_ino != before
    assert len(results) == 1  # no other transfer is completed
    put(tmp_path, next(job for job in jobs.jobs if job.search == waiting.name), "completed", 30.0)
    monkeypatch.setattr(page, "_results_due", float("inf"))  # the statistics took long
    page.update(5)
    assert len(results) == 1
    monkeypatch.setattr(page, "_results_due", 0.0)
    page.update(5)
    assert len(results) == 2


def test_ctrl_c_leaves_a_page_that_stays_as_it_is(jobs, tmp_path, results, monkeypatch, capsys):
    def interrupt(seconds):
        assert "location.reload" in (tmp_path / live.PAGE).read_text()
        raise KeyboardInterrupt

    monkeypatch.setattr(live.time, "sleep", interrupt)
    live.watch(jobs, tmp_path, 5)
    assert "location.reload" not in (tmp_path / live.PAGE).read_text()
    assert "the study is not affected" in capsys.readouterr().out


def test_the_page_of_a_completed_study_ends_the_watch(tmp_path, results):
    made = study(search_seeds=1, random_cells=2)
    for job in made.jobs:
        put(tmp_path, job, "completed", 1.0)
    live.watch(made, tmp_path, 5)
    assert "The study is completed." in Page((tmp_path / live.PAGE).read_text()).text


def test_progress_is_shown_where_there_is_no_report(jobs, tmp_path, monkeypatch):
    def refuse(root, replicates):
        raise UserError("no finished transfer below <x>")

    monkeypatch.setattr(live, "results_so_far", refuse)
    live.watch(jobs, tmp_path, 0)
    assert "no finished transfer below <x>" in Page((tmp_path / live.PAGE).read_text()).text
