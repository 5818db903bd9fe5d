"""The engine of docs/extending.md runs a study as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nastransfer_nni.study.design import Study
from nastransfer_nni.study.engines.base import ENGINES, EngineSettings

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def engine(monkeypatch):
    block = next(
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "OneByOne" in block
    )
    module = ModuleType("one_by_one")
    monkeypatch.setitem(sys.modules, "one_by_one", module)
    before = set(ENGINES)
    exec(compile(block, str(PAGE), "exec"), vars(module))
    (name,) = set(ENGINES) - before
    yield ENGINES[name]
    del ENGINES[name]


@pytest.mark.slow
def test_the_engine_of_the_page_runs_a_study(engine, tmp_path):
    size = {"width": 2, "layers": 3, "epochs": 1, "batch_size": 64, "device": "cpu"}
    study = Study.create(
        {
            "name": "tiny",
            "strategies": ["random_ws:candidates=2,batches=1,finalists=1"],
            "sources": ["digits"],
            "proxies": ["images:0.1"],
            "search_seeds": [0],
            "random_cells": 2,
            "targets": ["digits"],
            "search": size,
            "transfer": size,
        }
    )
    statuses = engine.run(study, tmp_path, EngineSettings())
    assert [status.status for status in statuses] == ["completed"] * len(study.jobs)
    assert len(study.jobs) == 6
