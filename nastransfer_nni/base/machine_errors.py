"""Errors of the machine that the user can fix: disk, permissions, paths, memory, hidden modules."""

from __future__ import annotations

import errno
import importlib.metadata
import re
import sys
from pathlib import Path

WRITE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
)
"""Errors that making room or giving permission mends."""

_PATH_ERRORS = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMFILE})


def fixable(error: Exception) -> str | None:
    """What the user has to know of an error that this machine caused; None for a defect of this project."""
    if isinstance(error, OSError) and error.errno in WRITE_ERRORS | _PATH_ERRORS:
        where = f" (cannot use {error.filename})" if error.filename is not None else ""
        return f"{error.strerror}{where}"
    if _is_out_of_memory(error):
        return (
            "this machine has too little memory for these options; a smaller batch size, width or image size "
            "needs less"
        )
    if isinstance(error, OverflowError):  # sizes and counts that an integer of the libraries does not hold
        return "one of the numbers among the options, such as a size of images, is too large"
    if isinstance(error, ImportError | AttributeError) and (file := _shadowing_file()):
        return f"{file} hides the module {file.stem} that this command needs; rename it, or run elsewhere"
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch raises a RuntimeError on the CPU, and for sizes beyond any memory."""
    texts = r"not enough memory|can't allocate memory|out of memory|Storage size calculation overflowed"
    is_of_torch = isinstance(error, RuntimeError) and re.search(texts, str(error)) is not None
    return is_of_torch or isinstance(error, MemoryError)


def _shadowing_file() -> Path | None:
    """A module in the working directory that has been imported in place of an installed one of its name."""
    here = Path.cwd()
    if here == Path(__file__).parents[2]:  # this project's own checkout
        return None
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        is_here = file == here / f"{name}.py" or file == here / name / "__init__.py"
        if is_here and (name in sys.stdlib_module_names or name in _installed()):
            return file
    return None


def _installed() -> set[str]:
    return set(importlib.metadata.packages_distributions())
