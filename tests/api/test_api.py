"""The Python API: what a notebook does, with the commands' options and errors, and no trace left behind."""

import importlib
import inspect
import logging
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import nastransfer_nni as nt
from nastransfer_nni import api
from nastransfer_nni.api import stubs
from nastransfer_nni.transfer.config import TransferConfig

SIZE = {"epochs": 1, "width": 2, "layers": 3, "batch_size": 64, "device": "cpu"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "search"
    return nt.search(source="digits", strategy="darts", proxy="images:0.2", out=str(out), **SIZE)


@pytest.fixture(scope="module")
def transferred(searched):
    out = searched.path.with_name("transfer")
    return nt.transfer(searched.architecture, target="digits", out=str(out), **SIZE)


def test_a_search_gives_its_folder_architecture_and_metrics(searched):
    assert searched.status == "completed" and searched.command == "search"
    assert (
        searched.architecture.genotype == nt.load_architecture(searched.path / "architecture.json").genotype
    )
    assert searched.top1 == searched.summary["top1"]
    metrics = searched.metrics
    assert {"train", "validation", "architecture"} == set(metrics["split"])
    assert metrics.loc[metrics["split"] == "validation", "top1"].iloc[-1] == searched.top1
    assert len(searched.plot().axes) == 2
    assert searched.plot()._repr_png_().startswith(b"\x89PNG")  # what a notebook shows
    assert "<svg" in searched._repr_html_() and "completed" in repr(searched)


def test_a_search_is_resumed_not_repeated(searched, capsys):
    again = nt.search(source="digits", strategy="darts", proxy="images:0.2", out=str(searched.path), **SIZE)
    assert again.summary == searched.summary
    assert capsys.readouterr().out == ""


def test_a_transfer_takes_the_architecture_itself(transferred, searched):
    assert transferred.architecture.genotype == searched.architecture.genotype
    assert transferred.options["arch"] == str(searched.path / "architecture.json")
    evaluated = nt.evaluate(str(transferred.path))
    assert evaluated["top1"] == pytest.approx(transferred.top1)


def test_runs_and_results_are_tables(transferred, monkeypatch):
    folder = transferred.path.parent
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "config.yaml").write_text("model: resnet\n")
    runs = nt.runs(folder)
    assert runs["command"].tolist() == ["search", "transfer"]
    assert runs["status"].tolist() == ["completed", "completed"]
    results = nt.results(folder)
    assert isinstance(results, pd.DataFrame) and results["top1"].tolist() == [transferred.top1]
    monkeypatch.setenv("HOME", str(folder.parent))
    home = f"~/{folder.name}"
    assert nt.runs(home).equals(runs) and nt.results(home).equals(results)
    assert nt.load_run(f"{home}/{transferred.path.name}").path == transferred.path


def test_a_proxy_set_is_made(tmp_path):
    path = nt.make_proxy(source="digits", kind="classes:3", out=str(tmp_path / "three.json"))
    assert path.is_file()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nt.search(strategy="dart"), "did you mean 'darts'"),
        (lambda: nt.search(pixels=32), "unknown option 'pixels' .did you mean 'img_size'"),
        (lambda: nt.transfer("DARTS_V3"), "did you mean 'DARTS_V2'"),
        (lambda: nt.load_run("nowhere"), "holds no run"),
        (lambda: nt.report("nowhere"), "no such file"),
    ],
)
def test_errors_are_those_of_the_commands(call, message):
    with pytest.raises(nt.UserError, match=message):
        call()


def test_signatures_have_the_options_and_defaults_of_the_commands():
    parameters = inspect.signature(nt.transfer).parameters
    assert set(parameters) == set(TransferConfig.model_fields)
    assert parameters["seed"].default == 0 and parameters["arch"].default is inspect.Parameter.empty
    assert "random seed" in api.transfer.__doc__


def test_the_stub_is_what_the_options_say():
    """Where options have changed: `python -m nastransfer_nni.api.stubs`."""
    assert stubs.STUB.read_text("utf-8") == stubs.stub()


def test_nothing_of_the_process_is_changed(tmp_path, monkeypatch):
    def state():
        names = ("", "nni", "timm", "huggingface_hub")
        loggers = {name: logging.getLogger(name).level for name in names}
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        return dict(os.environ), loggers, handlers, sys.stdout, sys.stderr

    logging.getLogger("nni").setLevel(logging.INFO)
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "")
    monkeypatch.delenv("NNI_TRIAL_JOB_ID")
    before = state()
    nt.search(strategy="random", out=str(tmp_path / "run"), **SIZE)
    assert state() == before


CALLS = """
import nastransfer_nni as nt
{first}
{second}
for _ in range(2):
    try:
        nt.search(strategy="dart")
    except nt.UserError:
        print("called")
import nastransfer_nni.search
from nastransfer_nni import search
from nastransfer_nni.search.config import SearchConfig
assert search is nt.search is nastransfer_nni.search
assert SearchConfig().epochs == 50
"""


@pytest.mark.parametrize("first", ["import nastransfer_nni.search", "nt.search", "pass"])
@pytest.mark.parametrize("second", ["from nastransfer_nni import search", "import nastransfer_nni.api"])
def test_functions_and_packages_of_one_name_are_one_object(first, second):
    code = CALLS.format(first=first, second=second)
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "called\ncalled\n"), ran.stderr


@pytest.mark.parametrize("name", ["search", "transfer", "evaluate", "export", "report", "score", "rank"])
def test_a_package_is_its_function_and_is_pickled_to_a_worker(name):
    package, function = importlib.import_module(f"nastransfer_nni.{name}"), getattr(nt, name)
    assert package is function
    assert inspect.signature(function) == inspect.signature(getattr(api, name))
    assert pickle.loads(pickle.dumps(function)) is function
    for _ in range(2):
        with pytest.raises(nt.UserError, match="pixles"):
            function(pixles=32)


SCRIPT = """
import nastransfer_nni as nt
import nastransfer_nni.search
from nastransfer_nni import search

run = nt.search(source="digits", strategy="darts", epochs=2, out="runs/a")
best: float | None = run.top1
again = search(strategy="random", seed=run.metrics["epoch"].max())
done = nt.transfer(again.architecture, target="digits")
print(nt.evaluate(str(done.path))["top1"], nt.results("runs").shape, nastransfer_nni.search)
nt.search(epoch=3)
"""


@pytest.mark.slow
def test_a_script_is_checked_by_strict_mypy(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "script.py"]
    root = str(Path(nt.__file__).parents[1])
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": root}, capture_output=True, text=True
    )
    assert ran.returncode == 1 and ran.stdout.count("error:") == 1, ran.stdout
    assert 'script.py:11: error: Unexpected keyword argument "epoch" for "search"' in ran.stdout


def test_a_module_run_as_a_command_gives_no_warning():
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "nastransfer_nni.search", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_import_is_light():
    code = (
        "import sys, time; start = time.perf_counter(); import nastransfer_nni; "
        "took = time.perf_counter() - start; "
        "print(took, [name for name in ('numpy', 'pydantic', 'torch', 'nni', 'pandas') "
        "if name in sys.modules])"
    )
    times = []
    for _ in range(3):
        took, modules = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split(maxsplit=1)
        assert modules.strip() == "[]"
        times.append(float(took))
    assert min(times) < 0.1


def test_a_notebook_shows_the_cell_of_a_space_with_one_kind(tmp_path):
    (tmp_path / "config.yaml").write_text("{format: nastransfer-run, command: search, options: {}}")
    (tmp_path / "cell.svg").write_text('<?xml version="1.0"?>\n<svg id="a"/>')
    assert '><svg id="a"/></div>' in nt.load_run(tmp_path)._repr_html_()
