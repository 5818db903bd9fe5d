"""SIGTERM and Ctrl-C during a run: both raise KeyboardInterrupt, where it may wait for a step to be whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from nastransfer_nni.base.launch import world_size


class Interruption:
    """Turns SIGTERM and SIGINT into KeyboardInterrupt while `installed`, and defers it while `deferred`.

    Signal handlers can only be installed in the main thread; in another one nothing is deferred.

    A process that torchrun has started often gets a signal twice: from the terminal and from torchrun, or
    again from torchrun once another process has ended. So there a second signal never cuts short what the
    first one started: the step is still completed, and the process ends without a further exception.
    """

    def __init__(self) -> None:
        self._is_installed = self._is_deferring = self.is_pending = False
        self._is_ending = False
        self._is_one_of_several = world_size() > 1

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals for the block."""
        if self._is_installed or threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        self._is_installed = True
        try:
            yield
        finally:
            self._is_installed = False
            for number, handler in previous.items():
                signal.signal(number, signal.SIG_IGN if self._is_ending else handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the end of the block only; a second signal does not wait.

        Installs the handlers where they are not yet installed.
        """
        with self.installed():
            if not self._is_installed:
                yield
                return
            self._is_deferring, self.is_pending = True, False
            try:
                yield
            except BaseException:
                self._is_ending = self._is_one_of_several
                raise
            finally:
                self._is_deferring = False
            if self.is_pending:
                self._is_ending = self._is_one_of_several
                raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_ending:
            return
        if self._is_deferring and (self._is_one_of_several or not self.is_pending):
            self.is_pending = True
        else:
            self._is_ending = self._is_one_of_several
            raise KeyboardInterrupt
