"""NNI's manager: the process that keeps the trials of an experiment and serves its web UI."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import yaml

from search_spaces.errors import UserError

PASSED_ON = ("NASTRANSFER_DATA", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS")
"""Environment variables that a trial must share with the search; not every training service passes them."""
STARTS = 3
"""Times that a manager is started before it is given up."""
PAUSE = 5.0
"""Seconds between two of them."""


class PatientStart:
    """Starts an NNI experiment's manager again where it did not come up; to stand before NNI's class.

    NNI waits three seconds for its manager and then talks to it in any case, so that on a busy machine the
    start of an experiment fails with whatever the half-started server answered.
    """

    id: str

    def _start_nni_manager(self, *args: Any, **kwargs: Any) -> None:
        from nni.experiment.management import generate_experiment_id

        for attempt in range(1, STARTS + 1):
            try:
                super()._start_nni_manager(*args, **kwargs)  # type: ignore[misc]
                return
            except Exception as error:  # NNI wraps none of what requests, json and sockets raise
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            print(f"NNI's manager did not start (try {attempt} of {STARTS}): {reason}", file=sys.stderr)
            time.sleep(PAUSE)
            self.id = generate_experiment_id()  # the failed one has left its folder
        raise UserError("NNI's manager did not start; is the machine too busy, or Node.js kept from running?")


@contextlib.contextmanager
def kept_to_this_machine(wanted: bool) -> Iterator[None]:
    """Keep NNI's manager, which asks nobody who they are, to this machine, where `wanted`.

    Trials on other machines must reach it; those of a local service need not.
    """
    before = os.environ.get("NODE_OPTIONS")
    if wanted:
        script = resources.files("nastransfer_nni.nni_engine").joinpath("loopback.cjs")
        os.environ["NODE_OPTIONS"] = f"{before or ''} --require={script}".strip()
    try:
        yield
    finally:
        if before is not None:
            os.environ["NODE_OPTIONS"] = before
        else:
            os.environ.pop("NODE_OPTIONS", None)


def stop_orphans(folder: Path) -> None:
    """End the managers of NNI, and their trials, that a killed search has left behind.

    Args:
        folder: of NNI's own files; nothing else that is alive may be using it.
    """
    from nni.tools.nnictl.config_utils import Experiments

    for name, entry in Experiments().get_all_experiments().items():
        if entry.get("logDir") != str(folder) or not isinstance(entry.get("pid"), int):
            continue
        with contextlib.suppress(psutil.Error):
            manager = psutil.Process(entry["pid"])
            if name in manager.cmdline():  # the number may be another process's by now
                family = [*manager.children(recursive=True), manager]
                for process in family:
                    process.kill()
                psutil.wait_procs(family, timeout=10)


def read_service(path: str | None) -> dict[str, Any]:
    """A training service as NNI's experiment files describe it: `trainingService`, and `nniManagerIp` if any.

    Raises:
        UserError: no such file, or not of that form.
    """
    if path is None:
        return {"trainingService": {"platform": "local", "useActiveGpu": False}}
    try:
        described = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"--training-service {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"--training-service {path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(described, dict):
        raise UserError(f"--training-service {path} must have a section trainingService")
    if strangers := sorted(set(described) - {"trainingService", "nniManagerIp"}):
        raise UserError(
            f"--training-service {path}: {strangers[0]!r} has no place there; allowed: trainingService, "
            "nniManagerIp"
        )
    service = described.get("trainingService")
    if not isinstance(service, dict) or "platform" not in service:
        raise UserError(f"--training-service {path}: trainingService must name its platform")
    return described


def announce(port: int) -> None:
    """Say where NNI's web UI will be.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"--port {port} is in use; name another one for NNI's web UI")
    print(f"NNI's web UI: http://127.0.0.1:{port}", file=sys.stderr)
