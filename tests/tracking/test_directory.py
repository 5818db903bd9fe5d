import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import yaml

from nastransfer_nni.base import files
from nastransfer_nni.base.config import Config
from nastransfer_nni.base.paths import located
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.tracking.directory import LOCK, read_status
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError


class Options(Config):
    epochs: int = 3
    lr: float = 1e-5
    workers: int = 0
    out: str | None = None
    overwrite: bool = False


def opened(path, overwrite=False, **options):
    return Run.open(
        "demo",
        names=["a", "b"],
        options=Options(**options).model_dump(mode="json"),
        out=path,
        overwrite=overwrite,
        non_identifying=["workers"],
    )


def test_a_run_goes_from_running_to_completed_and_then_only_shows_its_summary(tmp_path):
    with opened(tmp_path / "run") as run:
        assert read_status(run.path) == "running" and not run.is_resumed and run.finished is None
        run.complete({"top1": 12.5})
    assert read_status(run.path) == "completed"
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with opened(run.path) as again:
        assert again.finished == {"top1": 12.5}
    assert before == {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}


def test_config_yaml_holds_options_versions_and_command(tmp_path):
    with opened(tmp_path / "run", epochs=7) as run:
        run.complete({})
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert (
        config["command"] == "demo" and config["options"]["epochs"] == 7 and config["options"]["lr"] == 1e-5
    )
    assert (
        config["versions"]["torch"] and config["host"] and "command_line" in config and "git_commit" in config
    )


def test_a_failure_is_noted_and_the_run_is_resumed_by_the_same_options(tmp_path):
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "run") as run:
        1 / 0  # noqa: B018
    status = json.loads((run.path / "status.json").read_text())
    assert status["status"] == "failed" and "ZeroDivisionError" in status["why"]
    with opened(run.path, workers=4) as run:
        assert run.is_resumed and run.finished is None
        run.complete({})
    assert len(yaml.safe_load((run.path / "config.yaml").read_text())["continued"]) == 1


def test_other_options_are_refused_by_name_and_taken_with_overwrite(tmp_path):
    with opened(tmp_path / "run") as run:
        (run.checkpoints / "last.pt").touch()
        run.complete({"top1": 1.0})
    with pytest.raises(UserError, match="epochs: 3 there, 4 here"), opened(run.path, epochs=4):
        pass
    assert (run.path / "summary.json").exists()
    with opened(run.path, epochs=4, overwrite=True) as run:
        assert run.finished is None and not (run.checkpoints / "last.pt").exists()
        run.complete({})


@pytest.mark.parametrize("out", [None, "mine"])
def test_an_option_that_was_added_since_counts_as_its_default(out, tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    old = {"epochs": 3}

    def opened_with(**added):
        return Run.open("demo", names=[], options=old | added, out=out, defaults={"amp": False})

    with pytest.raises(KeyboardInterrupt), opened_with() as begun:
        raise KeyboardInterrupt
    with opened_with(amp=False) as run:
        assert run.path == begun.path and run.is_resumed
        run.complete({})
    if out is None:
        with opened_with(amp=True) as other:
            assert other.path != begun.path
            other.complete({})
    else:
        with pytest.raises(UserError, match="amp: False there, True here"), opened_with(amp=True):
            pass


def test_the_default_folder_depends_on_what_changes_the_result_only(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_RUNS", str(tmp_path))
    paths = []
    for options in ({}, {"workers": 3}, {"epochs": 4}):
        with opened(None, **options) as run:
            paths.append(run.path)
            if run.finished is None:
                run.complete({})
    assert paths[0] == paths[1] != paths[2]
    assert paths[0].parent == tmp_path and paths[0].name.startswith("demo-a-b-")


def test_a_folder_in_use_a_file_and_a_foreign_folder_are_refused_untouched(tmp_path):
    with opened(tmp_path / "run") as run:
        with pytest.raises(UserError, match="in use"), opened(run.path):
            pass
        with pytest.raises(UserError, match="in use"), opened(run.path, overwrite=True):
            pass
        run.complete({})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"), opened(tmp_path / "file"):
        pass
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(UserError, match=r"me\.jpg"), opened(tmp_path / "photos", overwrite=True):
        pass
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["me.jpg"]
    with pytest.raises(UserError, match="cannot write"), opened(tmp_path / "file" / "below"):
        pass


def test_a_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    """The shell leaves it as it is in `--out=~/run`, and so does YAML."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with opened("~/run") as run:
        run.complete({})
    assert run.path == tmp_path / "run" and [path.name for path in tmp_path.iterdir()] == ["run"]
    assert located("~/run") == tmp_path / "run"
    assert EvaluateConfig.create({"checkpoint": "a", "out": "~/b.json"}).out == str(tmp_path / "b.json")


def test_ranks_other_than_0_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with opened(tmp_path / "run") as run:
        assert not run.is_main
        run.complete({"top1": 1.0})
    assert not run.path.exists()


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="run is on a file system without locks"), opened(tmp_path / "run"):
        pass


def test_a_full_disk_ends_with_one_line(tmp_path):
    with pytest.raises(UserError, match="No space left"), opened(tmp_path / "run") as run:
        raise OSError(28, "No space left on device", str(run.checkpoints / "last.pt"))
    assert read_status(run.path) == "failed"
    with pytest.raises(OSError, match="elsewhere"), opened(tmp_path / "run"):
        raise OSError(28, "No space left on device", "/elsewhere")


def test_a_full_disk_has_room_for_the_status_and_threads_show_no_traceback(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left"), opened(tmp_path / "run") as run:
        monkeypatch.setattr(files, "write_json", full)
        thread = threading.Thread(target=full)
        thread.start()
        thread.join()
        full()
    assert json.loads((run.path / "status.json").read_text())["status"] == "failed"
    assert capsys.readouterr().err == ""


SCRIPT = """
import sys, time
from pathlib import Path
from nastransfer_nni.base import cli
from nastransfer_nni.base.config import Config
from nastransfer_nni.tracking.run import Run

class Options(Config):
    pass

def work(config):
    with Run.open("demo", names=[], options={}, out=sys.argv[1]) as run:
        with run.uninterrupted():
            (run.path / "started").touch()
            time.sleep(1.0)
            (run.path / "whole").touch()
        time.sleep(60)

sys.modules["work"] = sys.modules["__main__"]
cli.main("demo", cli.Command("", Options, "work:work"), [])
"""


@pytest.fixture
def process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, script, tmp_path / "run"], env=environment, stderr=subprocess.PIPE
    ) as started:
        deadline = time.monotonic() + 30
        while not (tmp_path / "run" / "started").exists():
            assert time.monotonic() < deadline and started.poll() is None
            time.sleep(0.02)
        yield started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_the_step_then_interrupts_with_exit_code_130(process, tmp_path, number):
    process.send_signal(number)
    assert process.wait(30) == 130
    assert (tmp_path / "run" / "whole").exists()
    assert read_status(tmp_path / "run") == "interrupted"


def test_a_killed_run_counts_as_interrupted_and_frees_its_lock(process, tmp_path):
    assert read_status(tmp_path / "run") == "running"
    with (
        pytest.raises(UserError, match=f"process {process.pid}"),
        Run.open("demo", names=[], options={}, out=tmp_path / "run"),
    ):
        pass
    process.kill()
    process.wait(30)
    assert read_status(tmp_path / "run") == "interrupted"
    with Run.open("demo", names=[], options={}, out=tmp_path / "run") as run:
        assert run.is_resumed
        run.complete({})


def test_half_written_files_of_a_killed_process_are_cleared(tmp_path):
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "run") as run:
        (run.checkpoints / ".last.pt.nastransfer-abc123").touch()
        1 / 0  # noqa: B018
    with opened(run.path) as run:
        assert list(run.checkpoints.iterdir()) == []
        run.complete({})


DYING = """
import signal, sys
from pathlib import Path
from benchmarks.killing import die_before_change, in_a_fork
from search_spaces.errors import UserError
from nastransfer_nni.tracking.run import Run

def whole(overwrite=False):
    with Run.open("demo", names=[], options={}, out=path, overwrite=overwrite) as run:
        if run.finished is None:
            (run.checkpoints / "last.pt").touch()
            run.complete({"top1": 1.0})

def refused():
    try:
        with Run.open("demo", names=[], options={}, out=path):
            raise UserError("a mistake that shows late")
    except UserError:
        pass

before, killed = {
    "fresh": (lambda: None, whole),
    "overwrite": (whole, lambda: whole(overwrite=True)),
    "refused": (lambda: None, refused),
}[sys.argv[2]]
code, changes = -signal.SIGKILL, 0
while code:
    path, log = Path(sys.argv[1], str(changes)), Path(sys.argv[1], "log")
    assert in_a_fork(before, log) == 0, log.read_text()
    code = in_a_fork(lambda: (die_before_change(changes, path), killed()), log)
    assert code in (0, -signal.SIGKILL), log.read_text()
    assert in_a_fork(whole, log) == 0, f"killed before change {changes}: {log.read_text()}"
    assert (path / "summary.json").exists() and (path / "checkpoints" / "last.pt").exists()
    changes += 1
print(changes - 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["fresh", "overwrite", "refused"])
def test_a_run_killed_before_any_change_to_a_file_resumes(tmp_path, scenario):
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, script, tmp_path, scenario], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10, "the changes were not seen"


def test_a_look_writes_nothing_and_is_in_the_way_of_no_other(tmp_path):
    (tmp_path / "status.json").write_text('{"status": "running"}')
    assert read_status(tmp_path) == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert read_status(tmp_path) == "interrupted"
