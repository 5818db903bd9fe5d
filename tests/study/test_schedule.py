from nastransfer_nni.study.schedule import Schedule
from nastransfer_nni.study.status import JobStatus

from .test_design import study


def test_transfers_go_first_and_failures_are_tried_once_more(tmp_path):
    schedule = Schedule(study(train_seeds=[0]), tmp_path)
    first = schedule.take()
    assert first.kind == "search"
    schedule.finish(JobStatus(first, "completed", summary={}))
    transfer = schedule.take()
    assert (transfer.kind, transfer.search) == ("transfer", first.name)
    schedule.finish(JobStatus(transfer, "failed", "out of memory"))
    attempts = 1
    while (job := schedule.take()) is not None:
        attempts += job is transfer
        schedule.finish(JobStatus(job, "failed", "out of memory"))
    assert attempts == 2
    assert all(job.kind == "transfer" for job in schedule.pending), "transfers of failed searches stay"
