import re
import subprocess
import sys
from pathlib import Path

import pytest

from nastransfer_nni.base import provenance

ROOT = Path(__file__).resolve().parents[2]


def test_the_commit_is_that_of_the_checkout():
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert re.fullmatch(f"{head}(-dirty)?", provenance.git_commit() or "")


def test_the_command_line_can_be_typed_again(tmp_path):
    code = "from nastransfer_nni.base.provenance import command_line; print(command_line())"
    for name in ("tool.py", "room/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    commands = {
        "python tool.py 'a b'": ["tool.py", "a b"],
        "python -m room --flag": ["-m", "room", "--flag"],
        "python -m tool": ["-m", "tool"],
        "python tool.py x": [str(tmp_path / "tool.py"), "x"],
    }
    for text, arguments in commands.items():
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.strip() == text


def test_the_command_line_names_no_path_of_this_machine(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    for program, shown in (
        (str(Path(sys.executable).parent / "nastransfer"), "nastransfer search"),
        ("/elsewhere/tool.py", "python tool.py search"),
        ("/site-packages/ipykernel_launcher.py", "a notebook"),
    ):
        monkeypatch.setattr(sys, "argv", [program, "search"])
        assert provenance.command_line() == shown


def test_only_installed_packages_have_a_version():
    assert provenance.versions(["numpy", "no-such-package"]).keys() == {"python", "numpy"}
