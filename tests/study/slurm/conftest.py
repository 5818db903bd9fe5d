import os

import pytest

from nastransfer_nni.study.slurm_queue import _FORMAT

FAKE = """#!/bin/bash
cd {folder}
if [ -e {name}.error ]; then cat {name}.error >&2; exit 1; fi
printf '%s\\n' "$@" >{name}.arguments
echo >>{name}.calls
{body}
"""


class FakeSlurm:
    """An sbatch and an squeue that note how they are called; the test says what is queued."""

    def __init__(self, folder):
        self.folder = folder
        self.squeue()
        for name, body in (("sbatch", "cat >sbatch.script"), ("squeue", "cat squeue.shown")):
            program = folder / name
            program.write_text(FAKE.format(folder=folder, name=name, body=body))
            program.chmod(0o755)

    def squeue(self, *lines):
        """Show these tasks, each in the queue's format."""
        (self.folder / "squeue.shown").write_text("".join(f"{line}\n" for line in lines))

    def refuse(self, name, error):
        """Let a command fail; None: no longer."""
        file = self.folder / f"{name}.error"
        file.unlink(missing_ok=True) if error is None else file.write_text(error)

    def arguments(self, name):
        return (self.folder / f"{name}.arguments").read_text().splitlines()

    def calls(self, name):
        file = self.folder / f"{name}.calls"
        return len(file.read_text().splitlines()) if file.exists() else 0

    @property
    def script(self):
        return (self.folder / "sbatch.script").read_text()


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    assert _FORMAT == "%F|%K|%j|%T|%N|%r", "what the tests' squeue shows"
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return FakeSlurm(folder)
