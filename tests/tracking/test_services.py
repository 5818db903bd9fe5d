"""Runs in MLflow, with a store in a folder, and in Weights & Biases, with a module that has its interface."""

import json
import sys
from types import SimpleNamespace

import pytest

from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.tracking import services
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.tracker import Tracker
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError


class Interrupted(Exception):
    pass


def write(out, *, epochs, done=0, names=(), fails=False):
    """A run that logs some epochs; it fails before its end, or completes and writes its files."""
    with Run.open("demo", names=[], options={}, out=out) as run:
        with Tracker(run, done, names) as tracker:
            tracker.hparams(strategy="darts", seed=1, proxy=None)
            for epoch in epochs:
                tracker.log("train", step=10, epoch=epoch, loss=1.0 / (epoch + 1))
                tracker.log("validation", step=10, epoch=epoch, top1=10.0 * epoch, loss=float("nan"))
            if fails:
                raise Interrupted
            tracker.final(top1=20.0)
        (out / "architecture.json").write_text("{}")
        (out / "cell_normal.svg").write_text("<svg/>")
        run.complete({"top1": 20.0})


def write_in_two_parts(out, names, before=None):
    with pytest.raises(Interrupted):
        write(out, epochs=range(2), names=names if before is None else before, fails=True)
    write(out, epochs=range(2, 3), done=2, names=names)


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    return mlflow.MlflowClient((tmp_path / "mlruns").as_uri())


def the_only_run(client):
    experiment = client.get_experiment_by_name(services.PROJECT)
    (run,) = client.search_runs([experiment.experiment_id])
    return run


@pytest.mark.parametrize("before", [None, ()], ids=["from the start", "when it is resumed"])
def test_a_resumed_run_is_one_run_of_mlflow_with_all_its_metrics(before, tmp_path, mlflow):
    write_in_two_parts(tmp_path / "run", ["mlflow"], before)
    run = the_only_run(mlflow)
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params == {"strategy": "darts", "seed": "1"}
    history = {
        name: [(each.step, each.value) for each in mlflow.get_metric_history(run.info.run_id, name)]
        for name in ("train/loss", "validation/top1", "final/top1")
    }
    assert history["train/loss"] == [(0, 1.0), (1, 0.5), (2, 1.0 / 3)]
    assert history["validation/top1"] == [(0, 0.0), (1, 10.0), (2, 20.0)]
    assert history["final/top1"] == [(2, 20.0)]
    files = {file.path for file in mlflow.list_artifacts(run.info.run_id)}
    assert files == {"architecture.json", "cell_normal.svg", "config.yaml", "summary.json"}


def test_an_interrupted_run_ends_in_mlflow_and_a_new_one_begins_with_overwrite(tmp_path, mlflow):
    with pytest.raises(Interrupted):
        write(tmp_path / "run", epochs=range(1), names=["mlflow"], fails=True)
    assert the_only_run(mlflow).info.status == "FAILED"
    with Run.open("demo", names=[], options={}, out=tmp_path / "run", overwrite=True) as run:
        assert not (tmp_path / "run" / "trackers.json").exists()
        run.complete({})


def test_weights_and_biases_gets_one_run_with_the_epoch_as_axis(tmp_path, monkeypatch):
    calls = []

    def note(name):
        return lambda *values, **options: calls.append((name, values, options))

    def init(**options):
        calls.append(("init", (), options))
        config = SimpleNamespace(update=note("config"))
        methods = {name: note(name) for name in ("define_metric", "log", "save", "finish")}
        return SimpleNamespace(config=config, **methods)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    write_in_two_parts(tmp_path / "run", ["wandb"])
    inits = [options for name, _, options in calls if name == "init"]
    assert inits[0] == inits[1] and inits[0]["resume"] == "allow" and inits[0]["name"] == "run"
    assert json.loads((tmp_path / "run" / "trackers.json").read_text()) == {"wandb": inits[0]["id"]}
    logged = [values[0] for name, values, _ in calls if name == "log"]
    assert [line["epoch"] for line in logged] == [0, 0, 1, 1, 2, 2, 2]
    assert logged[1] == {"validation/top1": 0.0, "epoch": 0} and logged[-1] == {
        "final/top1": 20.0,
        "epoch": 2,
    }
    assert [options["exit_code"] for name, _, options in calls if name == "finish"] == [1, 0]
    assert ("config", ({"strategy": "darts", "seed": 1},), {"allow_val_change": True}) in calls


@pytest.mark.parametrize("when", ["__init__", "params", "log", "end"])
def test_a_service_that_fails_is_left_out_with_one_warning(when, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ConnectionError("no such server\nmore")

    class Failing:
        id = "1"

        def __init__(self, *_): ...
        def params(self, *_): ...
        def log(self, *_): ...
        def end(self, *_): ...

    setattr(Failing, when, fail)
    monkeypatch.setitem(services.SERVICES, "mlflow", Failing)
    write(tmp_path / "run", epochs=range(3), names=["mlflow"])
    warning = "warning: nothing more is logged to mlflow: ConnectionError: no such server\n"
    assert capsys.readouterr().err == warning
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 6
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "completed"


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_refused_with_the_command_that_installs_it(name, monkeypatch):
    monkeypatch.setattr(services.importlib.util, "find_spec", lambda _: None)
    for config in (TransferConfig, SearchConfig):
        options = {"arch": "PDARTS"} if config is TransferConfig else {}
        with pytest.raises(UserError, match=rf"--log-{name}: needs {name}: pip install '.*\[{name}\]'"):
            config.create({**options, f"log_{name}": True})
