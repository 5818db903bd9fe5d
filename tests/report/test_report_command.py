import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nastransfer_nni.base import cli
from nastransfer_nni.report.__main__ import COMMAND
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run import report

ROOT = Path(__file__).resolve().parents[2]
GOOD = "target,strategy,top1\nt,a,91\nt,random,90\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "text.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    for name, provenance in (("damaged", "{"), ("list", "[]"), ("runs", '{"runs": {"a": 1}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.csv").write_text(GOOD)
        (tmp_path / name / "provenance.json").write_text(provenance)
    for name in ("other", "out", "tables"):
        (tmp_path / name).mkdir()
    for name in ("results.csv", "other/results.csv", "out/results.csv", "tables/mine.csv"):
        (tmp_path / name).write_text(GOOD)
    report = {"input": "x", "report": {}, "runs": {}}
    (tmp_path / "out" / "provenance.json").write_text(json.dumps(report))
    (tmp_path / "link.csv").symlink_to("results.csv")
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "figures").write_text("a file, not a folder")
    return tmp_path


def refused(capsys, *arguments):
    """The error message of a command that must be refused in one line."""
    with pytest.raises(SystemExit) as exit_:
        cli.main("python -m nastransfer_nni.report", COMMAND, list(map(str, arguments)))
    message = capsys.readouterr().err
    assert exit_.value.code == 2, message
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "--input is needed"),
        ("nowhere", "--input: no such file or folder"),
        ("good.csv --out good.csv", "--out: is a file; name a folder"),
        ("good.csv --out good.csv/report", "cannot write the report to"),
        ("good.csv --out blocked", "--out blocked holds figures, which no report has written"),
        ("good.csv --margin 0", "--margin"),
        ("good.csv --margin 100", "--margin"),
        ("good.csv --margin nan", "--margin"),
        ("good.csv --margin 2se", "--margin: write it as 0.5% or 0.5sd"),
        ("good.csv --columns strategy", "--columns: write pairs such as"),
        ("good.csv --columns top2=a", "--columns: unknown column of a results table 'top2'"),
        ("good.csv --columns top1=b", "good.csv: unknown column 'b'"),
        ("good.csv --baseline rando", "unknown strategy 'rando' (did you mean 'random'?)"),
        ("good.csv --metric acc", "good.csv: the table has no column that names a metric"),
        ("good.csv --unit percents", "--unit"),
        ("good.csv --confidence 95", "--confidence"),
        ("good.csv --replicates 10", "--replicates"),
        ("good.csv --replicates 1e9", "--replicates"),
        ("good.csv --samples 5000", "did you mean '--replicates'"),
        ("good.csv --replicats 5000", "did you mean"),
        ("text.csv", "cannot be read as a CSV table"),
        ("results.csv --out .", "would replace its input results.csv; name another --out"),
        ("out/results.csv --out out", "would replace its input out/results.csv"),
        ("link.csv --out .", "would replace its input link.csv"),
        ("tables/mine.csv --out .", "would replace its input tables/mine.csv"),
        ("good.csv --out other", "--out other holds results.csv, which no report has written"),
        ("empty", "no finished transfer below empty"),
        ("damaged/results.csv", "provenance.json is not the provenance of runs"),
        ("list/results.csv", "provenance.json is not the provenance of runs"),
        ("runs/results.csv", "provenance.json is not the provenance of runs"),
    ],
)
def test_mistakes_are_refused_in_one_line(flags, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert message in refused(capsys, *flags.split())
    assert contents(folder) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_prints_findings_and_the_page(folder):
    command = [sys.executable, "-m", "nastransfer_nni.report", "good.csv", "--replicates", "1000"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "+1.11" in done.stdout
    assert "cannot be tested" in done.stdout
    assert done.stdout.splitlines()[-1] == "report/index.html"
    assert (
        "python -m nastransfer_nni.report good.csv --replicates 1000"
        in (folder / "report" / "index.html").read_text()
    )


def test_a_screen_that_knows_ascii_only_gets_the_summary_too(folder):
    rows = "".join(f"t,β,{91 + i / 9}\nt,random,{90 + i / 9}\n" for i in range(9))
    (folder / "greek.csv").write_text(f"target,strategy,top1\n{rows}", encoding="utf-8")
    command = [sys.executable, "-m", "nastransfer_nni.report", "greek.csv", "--replicates", "1000"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert r"\u03b2" in done.stdout
    assert "p beyond +-0.5sd" in done.stdout
    assert "β" in (folder / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["my table.csv", "-1e5.csv", "[1].csv", "a,b.csv", "data/good.csv"])
def test_the_recorded_command_makes_the_report_again_without_paths_of_the_machine(
    name, folder, monkeypatch, capsys
):
    (folder / "data").mkdir()
    (folder / name).write_text(GOOD)
    monkeypatch.chdir(folder / "empty")
    report(ReportConfig(input=str(folder / name), out=str(folder / "one"), replicates=1000, margin=0.25))
    kept = (folder / "one" / "provenance.json").read_text()
    assert str(folder) not in kept
    command = shlex.split(json.loads(kept)["report"]["command_line"])
    assert command[:3] == ["python", "-m", "nastransfer_nni.report"]
    before = (folder / "one" / "relative_improvement.csv").read_bytes()
    (folder / "one" / "relative_improvement.csv").unlink()
    with pytest.raises(SystemExit, match="0"):
        cli.main("python -m nastransfer_nni.report", COMMAND, command[3:])
    assert (folder / "one" / "relative_improvement.csv").read_bytes() == before
    assert not re.search(r"\+?Traceback", capsys.readouterr().err)


def test_every_option_is_documented():
    text = (ROOT / "docs" / "report.md").read_text()
    for name in ReportConfig.model_fields:
        assert name == "input" or f"`--{name.replace('_', '-')}`" in text


def test_only_run_reads_the_command_line_the_clock_and_git():
    """So that everything else depends on the results table alone."""
    impure = {"sys", "time", "datetime", "platform", "subprocess", "socket", "importlib.metadata"}
    impure |= {"nastransfer_nni.base.provenance"}
    for path in (ROOT / "nastransfer_nni" / "report").rglob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        assert not imported & impure or path.name == "run.py", path


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib\nfrom nastransfer_nni.base import cli\n"
        "from nastransfer_nni.report.__main__ import COMMAND\n"
        "with contextlib.suppress(SystemExit): cli.main('report', COMMAND, ['--help'])\n"
        "print([name for name in ('pandas', 'scipy', 'matplotlib', 'torch', 'nni') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.rstrip().endswith("[]"), done.stdout + done.stderr
    assert "--margin" in done.stdout
