"""Where NNI runs a search: in this process, or with a trial for every candidate over a training service."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nastransfer_nni.nni_engine.manager import (
    PASSED_ON,
    PatientStart,
    announce,
    kept_to_this_machine,
    read_service,
    stop_orphans,
)
from search_spaces import DartsSpace
from search_spaces.nni_api import (
    NasExperiment,
    NasExperimentConfig,
    OneShotStrategy,
    Strategy,
    StrategyStatus,
)


@contextlib.contextmanager
def _silent_log() -> Iterator[None]:
    """Silence NNI's log for the block."""
    logger = logging.getLogger("nni")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Experiment(NasExperiment):  # type: ignore[misc]
    """What both kinds have in common: an interruption reaches the caller.

    NNI's own `run` returns as if the search had ended. Its log stays silent: it warns of
    options that nobody has set, and of labels that its web UI cannot show.
    """

    def __init__(
        self, space: DartsSpace, evaluator: Any, strategy: Strategy, config: NasExperimentConfig
    ) -> None:
        with _silent_log():
            super().__init__(space, evaluator, strategy, config)

    def search(self, port: int = 8080) -> None:
        """Run the search.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        with _silent_log():
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


class ServiceExperiment(PatientStart, _Experiment):
    """An NNI experiment over a training service, watched in NNI's web UI.

    Args:
        space: where candidates come from.
        evaluator: trains one, in its trial.
        strategy: a multi-trial strategy.
        folder: of NNI's own files.
        concurrency: trials at a time.
        service: file that describes the training service; None for this machine.
    """

    def __init__(
        self,
        space: DartsSpace,
        evaluator: Any,
        strategy: Strategy,
        folder: Path,
        *,
        concurrency: int,
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
        config.trial_concurrency = concurrency
        config.nni_manager_ip = described.get("nniManagerIp")
        config._trial_command_params = {
            "envs": " ".join(f"{name}={shlex.quote(value)}" for name, value in shared.items()),
            "python": sys.executable if self._is_local else "python",
        }

    def search(self, port: int = 8080) -> None:
        """Run the search with NNI's manager at `port`.

        NNI sends the working directory to every machine, so one with next to nothing in it is made for it.

        Raises:
            UserError: the port is taken, or NNI's manager does not start.
            KeyboardInterrupt: the search was interrupted.
        """
        stop_orphans(Path(self.config.experiment_working_directory))
        announce(port)
        with contextlib.chdir(self._code), kept_to_this_machine(self._stays_here):
            super().search(port)
