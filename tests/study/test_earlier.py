"""A study that continues from its table, in a folder without the runs that the table came from."""

import pandas as pd
import pytest

from nastransfer_nni.report.collect import collect
from nastransfer_nni.study import record
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.earlier import take_over
from nastransfer_nni.study.schedule import Schedule
from nastransfer_nni.study.status import job_status, study_status
from nastransfer_nni.study.worker import run_job
from search_spaces.errors import UserError

from .test_run import TIMES, TINY


def go_on(study, root, jobs):
    """Run up to `jobs` jobs of a study in its folder, in this process."""
    root.mkdir(exist_ok=True)
    record.write(study, root)
    schedule, ran = Schedule(study, root), []
    while len(ran) < jobs and (job := schedule.take()) is not None:
        run_job(job, root)
        schedule.finish(job_status(job, root))
        ran.append(job.name)
    return ran


def table(root):
    return collect(root).rows.drop(columns=TIMES).sort_values("run").reset_index(drop=True)


@pytest.mark.slow
def test_a_study_that_moved_half_way_ends_with_the_same_table(tmp_path):
    """Nothing that is in the table runs again, and the old rows are in the new table."""
    study = Study.create(TINY | {"strategies": ["score:by=params,candidates=2,batches=1"], "random_cells": 3})
    whole, first, second = (tmp_path / name for name in ("whole", "first", "second"))
    go_on(study, whole, 99)
    go_on(study, first, 5)  # two of four networks, and a search
    collect(first).rows.to_csv(tmp_path / "half.csv", index=False)
    second.mkdir()
    record.write(study, second)
    assert "2 transfers of study tiny are done" in take_over(
        tmp_path / "half.csv", study, second, study.rules
    )
    completed = sum(item.is_completed for item in study_status(study, second))
    assert completed == 4 and len(go_on(study, second, 99)) == 4
    pd.testing.assert_frame_equal(table(second), table(whole))
    found = collect(second)
    assert found.is_complete and not found.missing
    assert "Transfers that were completed elsewhere: 2." in found.notes


def test_rows_of_another_study_or_training_are_not_taken(tmp_path):
    study = Study.create(TINY)
    row = {"target": "digits", "strategy": "darts", "top1": 50, "search_seed": 0, "train_seed": 0}
    pd.DataFrame([row]).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UserError, match="none of its 1 rows is a transfer of study tiny"):
        take_over(tmp_path / "other.csv", study, tmp_path, study.rules)
    with pytest.raises(UserError, match=r"by the rules of version 0\.1, trainings cannot be told apart"):
        take_over(tmp_path / "other.csv", study, tmp_path, "0.1")
    assert not any(item.is_completed for item in study_status(study, tmp_path))
