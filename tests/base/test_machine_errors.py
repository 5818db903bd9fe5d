"""Errors that the machine causes and the user can fix end in one line, as other mistakes do."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nastransfer_nni.base import cli
from nastransfer_nni.base.config import Config
from nastransfer_nni.base.machine_errors import fixable

ROOT = Path(__file__).resolve().parents[2]


class Options(Config):
    pass


def ended(error, monkeypatch):
    monkeypatch.setattr(Options, "create", lambda options: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as exit:
        cli.main("demo", cli.Command("", Options, "none:none"), [])
    return exit.value.code


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left", "/x/y"), "No space left (cannot use /x/y)"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a"), "File name too long"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied"),
        (MemoryError(), "too little memory"),
        (OverflowError("signed integer is greater than maximum"), "too large"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "too little memory"),
    ],
)  # fmt: skip
def test_errors_of_the_machine_end_in_one_line_and_code_2(error, message, monkeypatch, capsys):
    assert ended(error, monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "gone", "x"), RuntimeError("shapes"), KeyError("a")])
def test_a_defect_keeps_its_traceback(error):
    assert fixable(error) is None


def test_names_cannot_break_the_line_or_drive_the_terminal(monkeypatch, capsys):
    assert ended(OSError(errno.EISDIR, "Is a directory", "a\nb\x1b[31m"), monkeypatch) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "\x1b" not in message


def run_in(folder, *arguments, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "nastransfer_nni", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["strategies/__init__.py", "strategies.py", "search_spaces.py", "fire.py"])
def test_a_file_that_hides_a_module_is_named(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    done = run_in(tmp_path, "list", "strategies")
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert lines[0].startswith("error: ") and name in lines[0] and "hides" in lines[0]


def test_output_that_takes_ascii_only_shows_the_rest_escaped(tmp_path):
    done = run_in(tmp_path, "search", "--source", "Réseau", PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and "R\\xe9seau" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_command_starts_leaves_no_traceback(number):
    code = f"import sys; sys.argv[0] = '-m'; import nastransfer_nni, os; os.kill(os.getpid(), {int(number)})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_python_code_that_imports_us_keeps_its_signals():
    code = "import signal, nastransfer_nni; print(signal.getsignal(signal.SIGINT).__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "default_int_handler"
