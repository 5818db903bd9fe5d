"""Pilots: their cells are in no study, and their table is that of an analysis of variance by hand."""

import json

import numpy as np
import pytest

from nastransfer_nni.study import pilot as study_pilot
from nastransfer_nni.study.config import PilotConfig
from nastransfer_nni.study.design import MAX_JOBS
from nastransfer_nni.study.pilot import pilot_jobs, table
from search_spaces.errors import UserError

from .test_design import study

MADE = study(search={"budget": 100}, transfer={"epochs": 3})


def config(**options):
    return PilotConfig.create({"file": "study.yml", **options})


def test_settings_change_the_training_or_the_target():
    jobs = pilot_jobs(config(cells=3, settings="; epochs=5, width=4; target=fashion_mnist"), MADE).jobs
    transfers = [job for job in jobs if job.kind == "transfer"]
    assert len(jobs) == 3 + 3 * 3 * 2 and len({job.name for job in jobs}) == len(jobs)
    assert [(job.config.target.text, job.config.epochs, job.config.width) for job in transfers[:6:2]] == [
        ("digits", 3, None),
        ("digits", 5, 4),
        ("fashion_mnist", 3, None),
    ]
    assert {job.config.val_seed for job in transfers} == {0}


def test_cells_of_a_pilot_are_in_no_study():
    """Their seeds are beyond those that any study's random cells have, and so are their trainings."""
    jobs, more = (pilot_jobs(config(cells=2, first_cell=first), MADE).jobs for first in (0, 2))
    seeds = [job.config.seed for job in (*jobs, *more) if job.kind == "search"]
    assert len(set(seeds)) == 4 and min(seeds) >= MAX_JOBS
    assert {job.config.seed for job in jobs if job.search} & {job.config.seed for job in MADE.jobs} == set()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("epochs", "'epochs' is no list of changes"),
        ("epochs=3; epochs=3", "'epochs=3' is there twice"),
        ("epoch=3", "did you mean 'epochs'"),
        ("target=nowhere", "nowhere"),
        ("epochs=[", r"'\[' in 'epochs=\[' is not YAML"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        pilot_jobs(config(settings=settings), MADE)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(study_pilot, "open_study", lambda file: MADE)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*file: File exists"):
        study_pilot.pilot(config(out=str(tmp_path / "file")))


def test_the_table_is_that_of_an_analysis_of_variance(tmp_path):
    jobs = pilot_jobs(config(cells=4), MADE)
    top1 = np.random.default_rng(0).normal(90, 1, (4, 2)) + np.arange(4)[:, None]
    values = iter(top1.ravel())
    for job in jobs.jobs:
        folder = job.folder(tmp_path)
        folder.mkdir(parents=True)
        if job.kind == "transfer":
            summary = {"top1": next(values), "target": "digits", "cpu_seconds": 30.0}
            (folder / "summary.json").write_text(json.dumps(summary))
    between = 2 * top1.mean(1).var(ddof=1)
    within = top1.var(1, ddof=1).mean()
    line = table(jobs, tmp_path).splitlines()[1].split()
    reliability = (between - within) / (between + within)
    assert float(line[3]) == pytest.approx(reliability, abs=0.005)
    assert float(line[8]) == pytest.approx(2 * reliability, abs=0.005) and line[7] == "30.0"
