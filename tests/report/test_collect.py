import pandas as pd

from nastransfer_nni.report.collect import _source_top1
from nastransfer_nni.report.statistics import table


def results(*rows):
    columns = ("target", "protocol_hash", "strategy", "source", "search_seed", "train_seed", "top1")
    return table.check(pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows]))[0]


def test_a_cell_meets_its_own_trainings_on_its_source():
    frame = results(
        ("cifar100", "p", "darts", "cifar10", 0, 0, 70.0),
        ("cifar100", "p", "darts", "cifar10", 1, 0, 71.0),
        ("cifar10", "q", "darts", "cifar10", 0, 0, 92.0),
        ("cifar10", "q", "darts", "cifar10", 0, 1, 94.0),
        ("cifar100", "p", "enas", "cifar10", 0, 0, 72.0),
    )
    source = _source_top1(frame)
    assert source[0] == 93.0  # the mean of both trainings
    assert source[1:].isna().all()  # another cell's, the source's own rows, another strategy's


def test_trainings_under_two_protocols_are_not_pooled():
    frame = results(
        ("cifar100", "p", "darts", "cifar10", 0, 0, 70.0),
        ("cifar10", "q", "darts", "cifar10", 0, 0, 92.0),
        ("cifar10", "r", "darts", "cifar10", 0, 0, 80.0),
    )
    assert _source_top1(frame).isna().all()
