from collections import Counter

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


def test_a_study_that_is_not_completed_has_about_equally_many_of_all_searches(tmp_path):
    schedule = Schedule(study(proxies=["all"], proxy_seeds=[0], train_seeds=[0]), tmp_path)
    taken = Counter()
    while (job := schedule.take()) is not None:
        schedule.finish(JobStatus(job, "completed", summary={}))
        if job.kind == "search":
            taken[job.config.strategy.name] += 1
            shares = [taken[name] / total for name, total in (("darts", 3), ("random_ws", 3), ("random", 4))]
            assert max(shares) - min(shares) < 0.34
    assert taken == {"darts": 3, "random_ws": 3, "random": 4}
