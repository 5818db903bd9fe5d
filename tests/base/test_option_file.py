"""`--config FILE`: options of one's own, or of a run; flags replace them."""

import json

import pytest
import yaml

from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS
from nastransfer_nni.search.config import SearchConfig

SIZE = {"epochs": 1, "width": 2, "layers": 3, "batch_size": 64, "device": "cpu", "proxy": "images:0.1"}


def run(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        cli.main("nastransfer", COMMANDS, argv)
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err.strip()


def test_flags_replace_what_the_file_says(capsys, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({**SIZE, "strategy": "random", "seed": 3}))
    out = tmp_path / "run"
    assert run(capsys, "search", "--config", str(file), "--seed", "4", "--out", str(out))[0] == 0
    options = yaml.safe_load((out / "config.yaml").read_text())["options"]
    assert (options["strategy"], options["seed"], options["width"]) == ("random", 4, 2)


@pytest.mark.parametrize("command", ["search", "transfer"])
def test_a_run_is_repeated_from_its_own_config(command, capsys, tmp_path):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SIZE.items()]
    if command == "transfer":
        flags = ["--arch", "DARTS_V2", *flags[:-1]]
    else:
        flags += ["--strategy", "random"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(capsys, command, *flags, "--out", str(first))[0] == 0
    again = [f"--config={first / 'config.yaml'}", "--out", str(second)]
    assert run(capsys, command, *again)[0] == 0
    one, other = (yaml.safe_load((path / "config.yaml").read_text())["options"] for path in (first, second))
    assert {**one, "out": None} == {**other, "out": None}
    results = [json.loads((path / "summary.json").read_text()) for path in (first, second)]
    assert results[0]["genotype"] == results[1]["genotype"] and results[0]["top1"] == results[1]["top1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "must be a mapping of options"),
        ("epochs: [", "is not YAML"),
        ("1: 2", "must be a mapping of options"),
        ("[" * 10_000, "is nested too deeply"),
        ("epochz: 3", "unknown option 'epochz' (did you mean 'epochs'?)"),
        ("pixels: 32", "unknown option 'pixels' (did you mean 'img_size'?)"),
        ("epochs: many", "--epochs"),
        (b"\xff\xfe\x00", "is not a text file"),
        ("epochs: 1\nepochs: 2", "is there twice"),
        (None, "No such file"),
    ],
)
def test_a_bad_file_is_one_line(content, message, capsys, tmp_path):
    file = tmp_path / "options.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, err = run(capsys, "search", "--config", str(file))
    assert code == 2 and message in err and "\n" not in err


def test_options_of_version_0_1_are_translated(capsys, tmp_path):
    from nastransfer_nni.base.option_file import read_options

    file = tmp_path / "config.yaml"
    file.write_text(
        yaml.safe_dump({"command": "search", "options": {"pixels": 16, "loader_workers": 1, "workers": 0}})
    )
    options = read_options(file, SearchConfig)
    assert (options["img_size"], options["workers"], options["concurrency"]) == (16, 1, 0)
