import json

import pytest
import yaml

from nastransfer_nni.study import record
from nastransfer_nni.study.design import Study
from search_spaces.errors import UserError

from .test_design import SMALL, seeds_of_trainings, study


def complete(root, job):
    job.folder(root).mkdir(parents=True)
    (job.folder(root) / "status.json").write_text(json.dumps({"status": "completed"}))
    (job.folder(root) / "summary.json").write_text(json.dumps({"top1": 50.0}))


def test_record_lists_every_job_and_gives_the_study_back(tmp_path):
    made = study(looks=[0.5, 1], primary="probability", margin="1%")
    record.write(made, tmp_path)
    content = record.read(tmp_path)
    assert [job["name"] for job in content["jobs"]] == [job.name for job in made.jobs]
    folders = [tmp_path / job["folder"] for job in content["jobs"]]
    assert folders == [job.folder(tmp_path) for job in made.jobs]
    assert (content["looks"], content["primary"], content["margin"]) == ([0.5, 1.0], "probability", "1%")
    assert (content["units"], content["random_units"]) == (3, 4)
    assert content["units_of"] == made.units_of
    again = record.open_study(tmp_path / record.FILE)
    assert again.jobs == made.jobs
    before = (tmp_path / record.FILE).stat().st_mtime_ns
    record.write(again, tmp_path)
    assert (tmp_path / record.FILE).stat().st_mtime_ns == before


def test_study_of_version_0_1_keeps_its_seeds(tmp_path):
    """A folder that has jobs but no record; once resumed, its record says so."""
    made = study()
    assert record.as_begun(made, tmp_path) is made
    complete(tmp_path, made.jobs[0])
    begun = record.as_begun(made, tmp_path)
    assert begun.jobs == study(rules="0.1").jobs != made.jobs
    assert set(seeds_of_trainings(begun)) == {0, 1}
    record.write(begun, tmp_path)
    assert record.as_begun(made, tmp_path).rules == "0.1"
    assert record.open_study(tmp_path / record.FILE).jobs == begun.jobs
    with pytest.raises(UserError, match=r"begun by the rules of version 0\.1"):
        record.as_begun(study(rules="0.2"), tmp_path)


def test_study_of_today_keeps_its_seeds(tmp_path):
    made = study()
    record.write(made, tmp_path)
    complete(tmp_path, made.jobs[0])
    assert record.as_begun(made, tmp_path) is made
    with pytest.raises(UserError, match=r"begun by the rules of version 0\.2"):
        record.as_begun(study(rules="0.1"), tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ({}, {"primary": "probability"}, "primary: mean there, probability in the file"),
        ({"margin": "1%"}, {}, "margin"),
        ({}, {"looks": [0.5, 1]}, "looks"),
        ({"looks": [0.5, 1]}, {"looks": [0.5, 1], "random_cells": 9}, "random_units: 4 there, 9 in the file"),
    ],
)
def test_analysis_is_fixed_once_there_are_results(tmp_path, before, after, name):
    record.write(study(**before), tmp_path)
    record.write(study(**after), tmp_path)
    record.write(study(**before), tmp_path)
    complete(tmp_path, study().jobs[1])
    with pytest.raises(UserError, match=name):
        record.write(study(**after), tmp_path)
    record.write(study(**before, strategies=["darts"]), tmp_path)  # jobs may come and go


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "study record .*study.json is not JSON"), ("{}", "not the record"), ("[]", "not the record")],
)
def test_damaged_record_is_never_taken_for_version_0_1(tmp_path, content, message):
    (tmp_path / record.FILE).write_text(content)
    with pytest.raises(UserError, match=message):
        record.as_begun(study(), tmp_path)


def test_record_of_a_later_version_is_refused(tmp_path):
    (tmp_path / record.FILE).write_text(json.dumps({"format": record.FORMAT, "version": 2}))
    with pytest.raises(UserError, match="later version"):
        record.read(tmp_path)


def test_record_finds_the_folders_of_the_study_file(tmp_path, monkeypatch):
    """Trials of NNI read the record from another folder than that of the study file."""
    (tmp_path / "files" / "mine" / "train" / "a").mkdir(parents=True)
    file = tmp_path / "files" / "study.yml"
    file.write_text(yaml.safe_dump(SMALL | {"sources": ["mine"]}))
    monkeypatch.chdir(tmp_path / "files")
    made = Study.read("study.yml")
    root = tmp_path / "runs"
    root.mkdir()
    record.write(made, root)
    monkeypatch.chdir(tmp_path)
    assert record.open_study(root / record.FILE).jobs == made.jobs
