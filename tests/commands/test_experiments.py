"""The NNI experiments and studies that come with the project: every trial is one that its command accepts."""

import contextlib
import itertools
import os
import shlex
from pathlib import Path

import pytest
import yaml

from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS
from nastransfer_nni.study.design import Study
from nastransfer_nni.tabular import design
from search_spaces.errors import UserError

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.yml"))
STUDIES = [path for path in FILES if path.stem.startswith("study_")]
TABLES = [path for path in FILES if path.stem.startswith("table_")]


@contextlib.contextmanager
def skipped_without_data():
    """Some name sets that this machine may not have."""
    try:
        yield
    except UserError as error:
        if "not on this machine" in str(error) or "NASTRANSFER_DATA" not in os.environ:
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize(
    "path", [path for path in FILES if path not in STUDIES + TABLES], ids=lambda path: path.stem
)
def test_every_trial_of_an_experiment_is_accepted(path, monkeypatch):
    monkeypatch.chdir(path.parents[1])  # where its trials run
    experiment = yaml.safe_load(path.read_text())
    assert {choice["_type"] for choice in experiment["searchSpace"].values()} == {"choice"}
    trials = list(itertools.product(*(choice["_value"] for choice in experiment["searchSpace"].values())))
    assert len(trials) == experiment["maxTrialNumber"]
    module, *flags = shlex.split(experiment["trialCommand"].partition(" -m ")[2])
    command = COMMANDS[module.removeprefix("nastransfer_nni.")]
    assert command.overrides is not None
    with skipped_without_data():
        for values in trials:
            parameters = dict(zip(experiment["searchSpace"], values, strict=True))
            command.config.create(cli._flags(module, command, flags) | parameters)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_job_of_a_study_is_accepted(path, monkeypatch):
    monkeypatch.chdir(path.parents[1])
    with skipped_without_data():
        assert Study.read(str(path)).jobs


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_tabular_study_is_accepted(path):
    assert design.content(path) is not None
    assert design.read(path).name == path.stem.replace("_", "-")
