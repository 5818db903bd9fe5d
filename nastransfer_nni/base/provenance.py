"""Provenance of results: versions, commit, command, time and machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VERSIONED = ("nastransfer-nni", "torch", "torchvision", "timm", "nni", "numpy", "datasets")


def now() -> str:
    """The current time in UTC, in ISO 8601 format."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def versions(packages: Sequence[str] = VERSIONED) -> dict[str, str]:
    """The versions of Python and of those `packages` that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def here(packages: Sequence[str] = VERSIONED) -> dict[str, Any]:
    """Provenance of this process: command line, time, host, commit and the versions of `packages`."""
    return {
        "command_line": command_line(),
        "at": now(),
        "host": socket.gethostname(),
        "git_commit": git_commit(),
        "versions": versions(packages),
    }


def command_line() -> str:
    """The command that started this process, as it would be typed again, without a path of this machine."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = Path(sys.argv[0])
    if spec is not None and not spec.name.startswith("ipykernel"):
        return shlex.join(["python", "-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]])
    if "ipykernel" in sys.argv[0]:
        return "a notebook"
    if program.parent == Path(sys.executable).parent:  # a command that pip has installed
        return shlex.join([program.name, *sys.argv[1:]])
    is_below = program.is_absolute() and program.is_relative_to(Path.cwd())
    outside = program.name if program.is_absolute() else program
    shown = program.relative_to(Path.cwd()) if is_below else outside
    return shlex.join(["python", str(shown), *sys.argv[1:]])


def git_commit() -> str | None:
    """The commit of this code, with `-dirty` where files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
