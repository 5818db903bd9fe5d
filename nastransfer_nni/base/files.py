"""Atomic writes, readable JSON and digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCRATCH_MARK = ".nastransfer-"
"""Part of the names of files that are being written."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a scratch file next to `path` that replaces it when the block ends without an error.

    The data reaches the disk before the name does: after a crash there is the old file or the new one.
    """
    scratch = path.with_name(f".{path.name}{SCRATCH_MARK}{secrets.token_hex(4)}")
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the umask decides who may read
    try:
        yield scratch
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def finite(value: float) -> float | None:
    """The value for JSON, which has neither NaN nor infinity: None stands for both."""
    return float(value) if math.isfinite(value) else None


def pretty(value: Any) -> str:
    """The value as indented JSON, with lists of plain values, and lists of those, on one line each."""
    text = json.dumps(value, indent=2, allow_nan=False)
    flat = re.compile(r"\[\s+((?:[^\[\]{}\"]|\"(?:[^\"\\]|\\.)*\")*?)\s+\]")
    return flat.sub(lambda found: "[" + re.sub(r"\n\s+", " ", found[1]) + "]", text)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as readable JSON, atomically."""
    write_text(path, pretty(value) + "\n")


def digest(value: Any, length: int = 10) -> str:
    """Hexadecimal digest of a JSON value; equal values have equal digests on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
