"""The folder in which computed things are kept from one run to the next."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(purpose: str) -> Path:
    """Folder for cached files of one purpose, created where it is missing.

    Args:
        purpose: name of the sub-folder, such as `kernels` or `scores`.

    Returns:
        `$NASTRANSFER_CACHE/<purpose>`, by default `~/.cache/nastransfer/<purpose>` (or below
        `$XDG_CACHE_HOME`).
    """
    named = os.environ.get("NASTRANSFER_CACHE")
    root = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "nastransfer"
    folder = root.expanduser() / purpose
    folder.mkdir(parents=True, exist_ok=True)
    return folder
