"""How torchrun ends where it started one of our commands: with the command's exit code, without a traceback.

By itself torchrun ends with a traceback of its own and exit code 1, whatever its processes have said and
returned. It imports the entry points of the group `torchrun.handlers`, meant for ways in which machines find
each other; ours only changes the end, and only where one of our commands is what torchrun starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from search_spaces.errors import UserError

INTERRUPTED = 130


def handler() -> Callable[..., Any]:
    """The entry point: change the end of this torchrun, if it is one of ours."""
    if _is_torchrun(Path(sys.argv[0])) and any(map(_is_command, sys.argv[1:])):
        sys.excepthook = _end
    return _no_rendezvous


def _is_torchrun(program: Path) -> bool:
    return program.name == "torchrun" or program.parts[-3:] == ("torch", "distributed", "run.py")


def _is_command(argument: str) -> bool:
    return argument.split(".")[0] == "nastransfer_nni" or Path(argument).name == "nastransfer"


def _no_rendezvous(*_: Any) -> NoReturn:
    raise UserError("nastransfer_nni is not a rendezvous backend; --rdzv-backend is c10d or static")


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Exit with the code of the process that ended first, or with 130 after a signal."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if isinstance(error, SignalException):
        raise SystemExit(INTERRUPTED)
    if isinstance(error, ChildFailedError):
        code = error.get_first_failure()[1].exitcode
        raise SystemExit(code if code > 0 else 128 - code)
    sys.__excepthook__(kind, error, trace)
