"""What an experiment over a training service sets up, without NNI's manager."""

import os
from pathlib import Path

import pytest

import strategies
from nastransfer_nni.nni_engine import experiments
from nastransfer_nni.nni_engine.experiments import ServiceExperiment
from nastransfer_nni.search.candidates import ScratchEvaluator
from nastransfer_nni.search.config import SearchConfig
from search_spaces import DartsSpace
from search_spaces.nni_api import StrategyStatus


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", "/my data")
    monkeypatch.delenv("NODE_OPTIONS", raising=False)
    config = SearchConfig.create({"strategy": "random:candidates=3", "concurrency": 2})
    return ServiceExperiment(
        DartsSpace(2, 3, 10),
        ScratchEvaluator(config),
        config.strategy.create(),
        tmp_path / "nni",
        name="random on digits",
        concurrency=2,
        service=None,
    )


def test_trials_share_the_environment(experiment, tmp_path):
    config = experiment.config
    assert config.experiment_name == "random on digits"
    assert config.trial_concurrency == 2
    assert config.experiment_working_directory == str(tmp_path / "nni")
    assert "NASTRANSFER_DATA='/my data'" in config._trial_command_params["envs"]
    assert [path.name for path in Path(config.trial_code_directory).iterdir()] == ["README"]


@pytest.mark.parametrize("status", [StrategyStatus.SUCCEEDED, StrategyStatus.INTERRUPTED])
def test_search_runs_in_an_almost_empty_folder_bound_to_localhost(experiment, monkeypatch, status):
    seen = {}

    def run(self, port):
        seen.update(port=port, folder=Path.cwd(), node=os.environ.get("NODE_OPTIONS", ""))
        self.strategy._status = status

    monkeypatch.setattr(ServiceExperiment, "run", run)
    monkeypatch.setattr(ServiceExperiment, "stop", lambda self: seen.update(stopped=True))
    monkeypatch.setattr(experiments, "stop_orphans", lambda folder: seen.update(orphans=folder))
    monkeypatch.setattr(experiments, "announce", lambda port: None)
    before = Path.cwd()
    if status is StrategyStatus.SUCCEEDED:
        experiment.search(9000)
        assert seen["stopped"]
    else:
        with pytest.raises(KeyboardInterrupt):
            experiment.search(9000)
    assert seen["port"] == 9000
    assert str(seen["folder"]) == experiment.config.trial_code_directory
    assert "loopback.cjs" in seen["node"] and "NODE_OPTIONS" not in os.environ
    assert str(seen["orphans"]) == experiment.config.experiment_working_directory
    assert Path.cwd() == before


def test_experiment_in_process_leaves_the_list_of_experiments_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    space = DartsSpace(2, 3, 10)
    strategy = strategies.parse("darts").create()
    experiment = experiments.InProcessExperiment(space, None, strategy, tmp_path / "nni")
    experiment._start_without_nni_manager()
    experiment._stop_without_nni_manager()
    assert not list(tmp_path.iterdir())
