"""Names of files and folders that one file gives relative to its own folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from search_spaces.errors import UserError

_FOLDER: ContextVar[Path] = ContextVar("folder", default=Path())


@contextlib.contextmanager
def names_from(folder: Path) -> Iterator[None]:
    """Look relative names up in `folder` first, within the block."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def names_folder() -> Path:
    """The folder in which relative names are looked up first."""
    return _FOLDER.get()


def expanded(name: str | Path) -> Path:
    """The path that a name means, with `~` and `~user` replaced by the home folder.

    Raises:
        UserError: that user has no home folder, or the name is too long.
    """
    path = Path(name)
    try:
        path = path.expanduser()
        path.exists()
    except RuntimeError:
        raise UserError(f"{str(name)[:80]!r}: there is no such home folder") from None
    except PermissionError:
        return path  # whoever uses it says so
    except OSError as error:
        raise UserError(f"{str(name)[:80]!r}: {error.strerror}") from None
    return path


def located(name: str | Path) -> Path:
    """The file or folder that a name means: in the folder of `names_from` if it is there, else as named.

    Raises:
        UserError: the system takes no such name, for example because it is too long, or that user has no home
            folder.
    """
    named = expanded(name)
    path = _FOLDER.get() / named
    try:
        return path if path.exists() else named
    except OSError as error:
        raise UserError(f"{str(name)[:80]!r}: {error.strerror}") from None
