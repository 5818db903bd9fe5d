"""NNI's manager: the process that starts the trials of an experiment and serves its web UI."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import psutil

from nastransfer_nni.base.environment import changed_environment
from search_spaces.errors import UserError

MAX_ATTEMPTS = 3
"""Times that a manager is started before the experiment is given up."""
PAUSE_SECONDS = 5.0
"""Time between two attempts."""


class RetryStartMixin:
    """Starts an NNI experiment's manager again if it did not come up; a base before NNI's class.

    NNI waits three seconds for its manager and then talks to it in any case, so that on a busy machine the
    start of an experiment fails with whatever the half-started server answered.
    """

    id: str

    def _start_nni_manager(self, *args: Any, **kwargs: Any) -> None:
        from nni.experiment.management import generate_experiment_id  # takes seconds

        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                super()._start_nni_manager(*args, **kwargs)  # type: ignore[misc]
                return
            except Exception as error:  # NNI wraps none of what requests, json and sockets raise
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            print(
                f"NNI's manager did not start (attempt {attempt} of {MAX_ATTEMPTS}): {reason}",
                file=sys.stderr,
            )
            time.sleep(PAUSE_SECONDS)
            self.id = generate_experiment_id()  # the failed one has left its folder
        raise UserError("NNI's manager did not start: the machine is too busy, or Node.js cannot run")


@contextlib.contextmanager
def silent_log() -> Iterator[None]:
    """Silence NNI's log for the block: it warns of options that nobody has set."""
    logger = logging.getLogger("nni")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def bind_to_localhost(wanted: bool) -> Iterator[None]:
    """Let NNI's manager, which has no authentication, listen on 127.0.0.1 only.

    Args:
        wanted: False where trials on other machines must reach the manager; nothing changes then.
    """
    script = resources.files("nastransfer_nni.nni_engine").joinpath("loopback.cjs")
    options = f"{os.environ.get('NODE_OPTIONS', '')} --require={script}".strip()
    with changed_environment({"NODE_OPTIONS": options} if wanted else {}):
        yield


def stop_orphans(folder: Path) -> None:
    """Kill the managers of NNI, and their trials, that a killed search has left behind.

    Args:
        folder: folder of NNI's own files; no running experiment may be using it.
    """
    from nni.tools.nnictl.config_utils import Experiments

    for name, entry in Experiments().get_all_experiments().items():
        if entry.get("logDir") != str(folder) or not isinstance(entry.get("pid"), int):
            continue
        with contextlib.suppress(psutil.Error):
            manager = psutil.Process(entry["pid"])
            if name in manager.cmdline():  # another process may have that number by now
                family = [*manager.children(recursive=True), manager]
                for process in family:
                    process.kill()
                psutil.wait_procs(family, timeout=10)


def announce(port: int) -> None:
    """Print the address of NNI's web UI.

    Raises:
        UserError: the port is in use.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"--port {port} is in use; name another one for NNI's web UI")
    print(f"NNI's web UI: http://127.0.0.1:{port}", file=sys.stderr)
