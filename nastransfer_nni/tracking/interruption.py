"""SIGTERM and Ctrl-C during a run: both raise KeyboardInterrupt, where it may wait for a step to be whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interruption:
    """Turns SIGTERM and SIGINT into KeyboardInterrupt while `installed`, and defers it while `deferred`.

    Signal handlers can only be installed in the main thread; in another one nothing is deferred.
    """

    def __init__(self) -> None:
        self._is_installed = self._is_deferring = self.is_pending = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals for the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        self._is_installed = True
        try:
            yield
        finally:
            self._is_installed = False
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the end of the block only; a second signal does not wait."""
        if not self._is_installed:
            yield
            return
        self._is_deferring, self.is_pending = True, False
        try:
            yield
        finally:
            self._is_deferring = False
        if self.is_pending:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_deferring and not self.is_pending:
            self.is_pending = True
        else:
            raise KeyboardInterrupt
