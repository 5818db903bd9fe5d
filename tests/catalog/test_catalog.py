"""Lists of names, and the examples that come with the package."""

import json
import shlex
import sys

import pytest
import yaml

import strategies
from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS
from nastransfer_nni.data.sources import SOURCES
from nastransfer_nni.proxy import spec
from nastransfer_nni.training.protocols import PRESETS


def run(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        cli.main("nastransfer", COMMANDS, argv)
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("datasets", SOURCES),
        ("protocols", PRESETS),
        ("strategies", strategies.STRATEGIES),
        ("proxies", spec.KINDS),
    ],
)
def test_every_name_is_listed_with_a_line_on_it(capsys, what, names):
    code, out, _ = run(capsys, "list", what)
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert set(lines) == set(names)
    assert all(len(line.split()) > 2 for line in lines.values())
    rows = json.loads(run(capsys, "list", what, "--as-json")[1])
    assert [row["name"] for row in rows] == list(names)


def test_examples_are_listed_and_copied_once(capsys, tmp_path):
    assert "darts_cifar10.yml" in run(capsys, "examples")[1]
    assert run(capsys, "examples", "--to", str(tmp_path / "mine"))[0] == 0
    assert (tmp_path / "mine" / "study_digits.yml").is_file()
    (tmp_path / "mine" / "study_digits.yml").write_text("changed")
    code, _, err = run(capsys, "examples", "--to", str(tmp_path / "mine"))
    assert code == 2 and "already" in err
    assert (tmp_path / "mine" / "study_digits.yml").read_text() == "changed"


@pytest.mark.parametrize(
    ("to", "runs"), [("mine", "."), (".", "."), ("deep/down", "."), ("../else where", "../else where")]
)
def test_copied_experiments_run_from_any_folder(capsys, tmp_path, monkeypatch, to, runs):
    """Trials start this Python, and write runs where the user was; the first lines show how to start them."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    assert run(capsys, "examples", "--to", to)[0] == 0
    for name in ("darts_digits", "darts_cifar10_small", "transfer_imagenet1k"):
        file = here / to / f"{name}.yml"
        experiment = yaml.safe_load(file.read_text())
        assert shlex.split(experiment["trialCommand"])[:2] == ["/my env/bin/python", "-m"]
        assert (file.parent / experiment["trialCodeDirectory"]).resolve() == (here / runs).resolve()
        line = next(line for line in file.read_text().splitlines() if "nnictl create" in line)
        assert (here / shlex.split(line.rpartition("--config ")[2])[0]).resolve() == file.resolve()


def test_the_loopback_script_is_found(capsys):
    path = run(capsys, "loopback")[1].strip().removeprefix("--require=")
    assert path.endswith("loopback.cjs") and "127.0.0.1" in open(path).read()  # noqa: PTH123, SIM115


def test_the_version_is_shown(capsys):
    assert run(capsys, "--version")[1].startswith("nastransfer_nni 0.")


def test_a_strategy_is_shown_with_every_option_and_those_of_the_search(capsys):
    code, out, _ = run(capsys, "strategies", "show", "pc-darts:partial_channels=2")
    shown = json.loads(out)
    assert not code and shown["search"] == {"batch_size": 256, "lr": 0.1, "min_lr": 0.0}
    assert set(shown["options"]) == set(strategies.STRATEGIES["darts"].options.model_fields)
    assert (shown["options"]["partial_channels"], shown["options"]["frozen_epochs"]) == (2, 15)
    code, _, err = run(capsys, "strategies", "show", "pc-dart")
    assert code == 2 and "did you mean 'pc-darts'" in err
