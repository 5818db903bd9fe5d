"""Where NNI runs a search: in this process, or with a trial for every candidate over a training service."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from nastransfer_nni.base.files import write_text
from nastransfer_nni.nni_engine.manager import (
    RetryStartMixin,
    announce,
    bind_to_localhost,
    silent_log,
    stop_orphans,
)
from nastransfer_nni.nni_engine.service import assignments, read_service
from search_spaces.model_space import CellSpace
from search_spaces.nni_api import (
    NasExperiment,
    NasExperimentConfig,
    OneShotStrategy,
    Strategy,
    StrategyStatus,
)


class _Experiment(NasExperiment):  # type: ignore[misc]
    """Base of both kinds of experiment: an interruption reaches the caller.

    NNI's own `run` returns as if the search had ended. Its log stays silent: it warns of options that nobody
    has set, and of labels that its web UI cannot show.
    """

    def __init__(
        self, space: CellSpace, evaluator: Any, strategy: Strategy, config: NasExperimentConfig
    ) -> None:
        with silent_log():
            super().__init__(space, evaluator, strategy, config)

    def search(self, port: int = 8080) -> None:
        """Run the search.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        with silent_log():
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

    NNI lists every experiment in the user's home folder, but this one may run inside a trial of another.
    """

    def __init__(self, space: CellSpace, evaluator: Any, strategy: Strategy, folder: Path) -> None:
        # A supernet is the space itself; a candidate is built again from its sample.
        form = "raw" if isinstance(strategy, OneShotStrategy) else "simplified"
        config = NasExperimentConfig("sequential", form, "local")
        super().__init__(space, evaluator, strategy, config)
        self.config.experiment_working_directory = str(folder.absolute())

    def _start_without_nni_manager(self) -> None:
        """Leave the user's list of experiments alone."""

    def _stop_without_nni_manager(self) -> None:
        """Leave the user's list of experiments alone."""


class ServiceExperiment(RetryStartMixin, _Experiment):
    """An NNI experiment over a training service, shown in NNI's web UI.

    Args:
        space: the space of candidates.
        evaluator: trains one candidate, in its trial.
        strategy: a strategy that trains candidates.
        folder: folder of NNI's own files.
        name: name of the experiment in NNI's web UI.
        concurrency: number of trials at a time.
        service: YAML file that describes the training service; None: trials on this machine.

    Raises:
        UserError: the file does not describe a training service.
    """

    def __init__(
        self,
        space: CellSpace,
        evaluator: Any,
        strategy: Strategy,
        folder: Path,
        *,
        name: str,
        concurrency: int,
        service: str | None,
    ) -> None:
        self._service = read_service(service)
        config = NasExperimentConfig("ts", "simplified", training_service=self._service.section)
        super().__init__(space, evaluator, strategy, config)
        self._code = folder.absolute() / "code"
        self._code.mkdir(parents=True, exist_ok=True)
        write_text(self._code / "README", "NNI sends this folder to the machines that run trials.\n")
        config.experiment_name = name
        config.experiment_working_directory = str(folder.absolute())
        config.trial_code_directory = str(self._code)
        config.trial_concurrency = concurrency
        config.nni_manager_ip = self._service.manager_ip
        config._trial_command_params = {"envs": assignments({}), "python": self._service.python}

    def search(self, port: int = 8080) -> None:
        """Run the search with NNI's manager at `port`.

        NNI sends the working directory to every machine, so this one is a folder with only a note in it.

        Raises:
            UserError: the port is in use, or NNI's manager does not start.
            KeyboardInterrupt: the search was interrupted.
        """
        stop_orphans(Path(self.config.experiment_working_directory))
        announce(port)
        _ = self.evaluator.training_images  # may open images by names relative to this working directory
        with contextlib.chdir(self._code), bind_to_localhost(self._service.reaches_localhost_only):
            super().search(port)
