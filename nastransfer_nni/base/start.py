"""The start of a command: packages that something hides are refused, and signals end it without a traceback.

It runs before anything else of this project is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

INTERRUPTED = 130
"""Exit code after SIGINT and SIGTERM."""

_PACKAGES = Path(__file__).resolve().parents[2]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PROGRAM = sys.argv[0]
"""What was started, before `python -m` puts the path of a module in its place."""


def is_command() -> bool:
    """Whether this process is a command of ours, not Python code that imports us."""
    return _PROGRAM == "-m" or Path(_PROGRAM).name == "nastransfer"


def prepare() -> None:
    """Refuse namesakes of our packages; where a command starts, let signals end it at once."""
    for name in ("search_spaces", "strategies"):
        spec = find_spec(name)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        found = Path(next((place for place in places if place), "nowhere")).resolve()
        if _PACKAGES not in found.parents:
            message = f"{found} hides the package {name} of nastransfer_nni; rename it, or run elsewhere"
            if not is_command():
                raise ImportError(message)
            print(f"error: {message}", file=sys.stderr)
            sys.exit(2)
    if is_command():
        end_at_signals()


def end_at_signals() -> None:
    """From now on, SIGINT and SIGTERM end this process at once: nothing in it is left to be saved."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end)


def interrupt_at_signals() -> None:
    """From now on, SIGINT raises KeyboardInterrupt, as in Python; where `end_at_signals` was in force."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
