"""Where a number comes from: the versions, the commit, the command and the machine that made it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VERSIONED = ("nastransfer-nni", "torch", "torchvision", "timm", "nni", "numpy", "datasets")


def now() -> str:
    """The time, in UTC, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def here() -> dict[str, Any]:
    """Where, when and with what this process runs."""
    return {
        "command_line": shlex.join(["python", *sys.argv]),
        "at": now(),
        "host": socket.gethostname(),
        "git_commit": git_commit(),
        "versions": versions(),
    }


def git_commit() -> str | None:
    """The commit of this code, `-dirty` when files differ from it; None when it is no checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
