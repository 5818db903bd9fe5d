"""Where NNI runs a search: in this process, or with a trial for every candidate over a training service."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import yaml

from nastransfer_nni.errors import UserError
from search_spaces import DartsSpace
from search_spaces.nni_api import (
    NasExperiment,
    NasExperimentConfig,
    OneShotStrategy,
    Strategy,
    StrategyStatus,
)

PASSED_ON = ("NASTRANSFER_DATA", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS")
"""Environment variables that a trial must share with the search; not every training service passes them."""


class _Experiment(NasExperiment):  # type: ignore[misc]
    """What both kinds have in common: an interruption reaches the caller.

    NNI's own `run` returns as if the search had ended. Its log stays silent: it warns of
    options that nobody has set, and of labels that its web UI cannot show.
    """

    def __init__(
        self, space: DartsSpace, evaluator: Any, strategy: Strategy, config: NasExperimentConfig
    ) -> None:
        logging.getLogger("nni").setLevel(logging.CRITICAL)
        super().__init__(space, evaluator, strategy, config)

    def search(self, port: int = 8080) -> None:
        """Run the search.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        try:
            self.run(port)
        except Exception:
            self.stop()
            raise
        if self.strategy._status is not StrategyStatus.SUCCEEDED:
            raise KeyboardInterrupt
        self.stop()

    def _start_logging(self, debug: bool) -> None:
        """Leave logging as the command has set it up."""

    def _stop_logging(self) -> None:
        """Leave logging as the command has set it up."""


class InProcessExperiment(_Experiment):
    """An NNI experiment in NNI's sequential engine that leaves nothing outside the run's folder.

    NNI lists every experiment in the user's home folder, where an inner one of a trial has no place.
    """

    def __init__(self, space: DartsSpace, evaluator: Any, strategy: Strategy, folder: Path) -> None:
        # A supernet is the space itself; a candidate is rebuilt from its sample.
        form = "raw" if isinstance(strategy, OneShotStrategy) else "simplified"
        config = NasExperimentConfig("sequential", form, "local")
        super().__init__(space, evaluator, strategy, config)
        self.config.experiment_working_directory = str(folder.absolute())

    def _start_without_nni_manager(self) -> None:
        """Leave the user's list of experiments alone."""

    def _stop_without_nni_manager(self) -> None:
        """Leave the user's list of experiments alone."""


class ServiceExperiment(_Experiment):
    """An NNI experiment over a training service, watched in NNI's web UI.

    Args:
        space: where candidates come from.
        evaluator: trains one, in its trial.
        strategy: a multi-trial strategy.
        folder: of NNI's own files.
        workers: trials at a time.
        service: file that describes the training service; None for this machine.
    """

    def __init__(
        self,
        space: DartsSpace,
        evaluator: Any,
        strategy: Strategy,
        folder: Path,
        workers: int,
        service: str | None,
    ) -> None:
        described = read_service(service)
        self._is_local = described["trainingService"]["platform"] == "local"
        self._stays_here = self._is_local or described.get("nniManagerIp") in ("127.0.0.1", "localhost")
        config = NasExperimentConfig("ts", "simplified", training_service=described["trainingService"])
        super().__init__(space, evaluator, strategy, config)
        self._code = folder.absolute() / "code"
        self._code.mkdir(parents=True, exist_ok=True)
        (self._code / "README").write_text("NNI sends this folder to the machines that run trials.\n")
        shared = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        config.experiment_name = "nastransfer-search"
        config.experiment_working_directory = str(folder.absolute())
        config.trial_code_directory = str(self._code)
        config.trial_concurrency = workers
        config.nni_manager_ip = described.get("nniManagerIp")
        config._trial_command_params = {
            "envs": " ".join(f"{name}={shlex.quote(value)}" for name, value in shared.items()),
            "python": sys.executable if self._is_local else "python",
        }

    def search(self, port: int = 8080) -> None:
        """Run the search with NNI's manager at `port`.

        NNI sends the working directory to every machine, so one with next to nothing in it is made for it.

        Raises:
            UserError: the port is taken.
            KeyboardInterrupt: the search was interrupted.
        """
        stop_orphans(Path(self.config.experiment_working_directory))
        announce(port)
        with contextlib.chdir(self._code), kept_to_this_machine(self._stays_here):
            super().search(port)


@contextlib.contextmanager
def kept_to_this_machine(wanted: bool) -> Iterator[None]:
    """Keep NNI's manager, which asks nobody who they are, to this machine, where `wanted`.

    Trials on other machines must reach it; those of a local service need not.
    """
    before = os.environ.get("NODE_OPTIONS")
    if wanted:
        script = resources.files("nastransfer_nni").joinpath("loopback.cjs")
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
