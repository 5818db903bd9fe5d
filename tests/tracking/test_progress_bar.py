"""What a search or a transfer shows of its progress."""

import io

import pytest
from rich.console import Console

from nastransfer_nni.tracking import progress_bar
from nastransfer_nni.tracking.progress_bar import EpochProgress


def test_without_a_terminal_a_line_tells_the_step_now_and_then(capsys, monkeypatch):
    times = iter([0, 10, 31, 31, 40, 62, 62])
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(times))
    progress = EpochProgress("a", 2)
    for done in (1, 2, 3, 4):
        progress.advance(0, done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/2  step 2 of 1,000",
        "epoch 1/2  step 4 of 1,000",
    ]


def test_what_comes_after_the_last_epoch_is_no_epoch(capsys):
    progress = EpochProgress("a", 1)
    progress.epoch(0, top1=50.0)
    progress.epoch(1, top1=60.0)
    assert capsys.readouterr().err.splitlines() == ["epoch 1/1  top1 50", "final choice  top1 60"]


@pytest.mark.parametrize("width", [40, 100])
def test_the_bar_fits_the_terminal(width, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(
        progress_bar, "Console", lambda **_: Console(file=screen, width=width, force_terminal=True)
    )
    progress = EpochProgress("darts on a-long-name/of-an-image-set", 50)
    progress.advance(3, 1, 2)
    table = progress._bar.make_tasks_table(progress._bar.tasks)
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert "3/50" in console.file.getvalue() and len(console.file.getvalue().splitlines()) == 1
