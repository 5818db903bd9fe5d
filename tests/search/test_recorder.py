"""Cells are drawn when they change, while that takes next to no time, and at the end in any case."""

import json

import numpy as np
import pytest

from nastransfer_nni.search import recorder
from nastransfer_nni.search.recorder import SearchRecorder
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from search_spaces import Genotype

CELLS = [Genotype.random(np.random.default_rng(seed)) for seed in range(3)]


class Tracker:
    def __init__(self):
        self.drawn = []

    def log(self, *args, **values):
        pass

    def figure(self, tag, figure, epoch):
        self.drawn.append((tag, epoch))


@pytest.mark.parametrize(
    ("seconds", "epochs"), [(0.0, [0, 2, 3]), (30.0, [0, 3])], ids=["in no time", "slowly"]
)
def test_cells_are_drawn_where_they_changed_and_time_allows(tmp_path, monkeypatch, seconds, epochs):
    now = [0.0]

    def draw(genotype, kind):
        now[0] += seconds / 2

    monkeypatch.setattr(recorder.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(recorder.drawing, "draw_cell", draw)
    tracker, run = Tracker(), Run(tmp_path)
    written = SearchRecorder(run, tracker, EpochProgress("", 4, enabled=False), 0)
    for epoch, cell in enumerate([CELLS[0], CELLS[0], CELLS[1], CELLS[2]]):
        now[0] += 100.0
        written.record(epoch, cell, {}, 50.0)
    written.draw(CELLS[2])
    assert tracker.drawn == [(f"cell/{kind}", epoch) for epoch in epochs for kind in Genotype.kinds]
    assert len([json.loads(line) for line in (tmp_path / recorder.GENOTYPES_FILE).open()]) == 4
