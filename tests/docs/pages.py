"""The code blocks of the pages, and how their commands are run in this process."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "experiments/README.md", "results/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOT_RUN = re.compile(r"<!-- not run(?: after line (\d+))?: \S.*-->")
MODULE = re.compile(r"nastransfer_nni(?:\.(\w+))?$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its page, line, language and text, and how many of its lines a test runs."""

    page: str
    line: int
    language: str
    text: str
    run_lines: int | None

    @property
    def is_run(self):
        return self.language in ("sh", "python") and self.run_lines != 0

    @property
    def commands(self):
        """The lines of a shell block, each also as words; a backslash continues a line."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [(line, words) for line in lines if (words := shlex.split(line, comments=True))]


def blocks(path):
    """The blocks of a page in order."""
    found, opened, before = [], None, ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if opened is None and line.startswith("```"):
            marker = NOT_RUN.fullmatch(before)
            opened = number, line[3:].strip(), marker and int(marker[1] or 0), []
        elif opened is not None and line == "```":
            start, language, run_lines, text = opened
            found.append(Block(str(path.relative_to(ROOT)), start, language, "\n".join(text), run_lines))
            opened = None
        elif opened is not None:
            opened[3].append(line)
        before = line
    assert opened is None, f"{path}: the block of line {opened[0]} does not end"
    return found


def own_command(words):
    """The command of the package that a line starts, with its arguments; None for any other program."""
    if words[0] == "torchrun" and "-m" in words:
        words = ["python", *words[words.index("-m") :]]
    if words[0] == "nastransfer":
        return COMMANDS, words[1:]
    if words[:2] == ["python", "-m"] and (module := MODULE.match(words[2])):
        return (COMMANDS[module[1]] if module[1] else COMMANDS), words[3:]
    return None


def without_work(commands):
    """Commands of the same options that do nothing once these are checked."""
    if isinstance(commands, cli.Command):
        return dataclasses.replace(commands, target="builtins:bool")
    return {name: without_work(entry) for name, entry in commands.items()}


def exit_code(commands, arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main("nastransfer", commands, arguments)
    return exit.value.code


def run_shell(block):
    """Run the commands of a block: those of the package in this process, others by the shell."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line, words in block.commands[: block.run_lines]:
        own = own_command(words) if words[0] != "torchrun" else None
        if own is not None:
            assert exit_code(*own) == 0, line
        else:
            subprocess.run(["bash", "-c", line], env={**os.environ, "PATH": path}, check=True)
