"""Trackers besides TensorBoard: MLflow and Weights & Biases, which a run is logged to if asked to.

A run's folder is one run there: its id is kept in the folder, and a resumed run continues it. Whatever a
service raises ends its part in the run with one warning, and never the training.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.tracking.directory import TRACKERS, Status
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError

PROJECT = "nastransfer"
"""Experiment of MLflow and project of Weights & Biases that runs belong to, unless their variables say."""
FILES = ("architecture.json", "summary.json", "config.yaml", "cell*.svg")
"""Files of a run that are uploaded at its end."""


class Service(Protocol):
    """One run in a service.

    Attributes:
        id: by which a resumed run continues it.
    """

    id: str

    def params(self, values: Mapping[str, object]) -> None:
        """Log what tells the run from others."""

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log metrics, by names such as `validation/top1`, at the end of `epoch` (from 0)."""

    def end(self, status: Status, files: Iterable[Path]) -> None:
        """Upload files, and say how the run ended."""


class MLflow:
    """A run of MLflow, at the server of MLFLOW_TRACKING_URI, in the experiment of MLFLOW_EXPERIMENT_NAME.

    Args:
        run: the open run.
        known: id of the run that is continued; None: a new one.
    """

    def __init__(self, run: Run, known: str | None) -> None:
        # its own defaults try for up to a quarter of an hour to reach a server, while the training waits
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        import mlflow  # an extra, which takes seconds to import

        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        if known is None:
            experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
            known = self._client.create_run(experiment.experiment_id, run_name=run.name).info.run_id
        else:
            self._client.update_run(known, status="RUNNING")
        self.id = known

    def params(self, values: Mapping[str, object]) -> None:
        """Log them as parameters."""
        entities = self._mlflow.entities
        self._client.log_batch(
            self.id, params=[entities.Param(name, str(value)) for name, value in values.items()]
        )

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log them as metrics whose step is the epoch."""
        entities, now = self._mlflow.entities, int(time.time() * 1000)
        self._client.log_batch(
            self.id, metrics=[entities.Metric(name, value, now, epoch) for name, value in values.items()]
        )

    def end(self, status: Status, files: Iterable[Path]) -> None:
        """Upload artifacts, and set the status."""
        for file in files:
            self._client.log_artifact(self.id, str(file))
        ends = {"completed": "FINISHED", "interrupted": "KILLED"}
        self._client.set_terminated(self.id, ends.get(status, "FAILED"))


class WandB:
    """A run of Weights & Biases, in the project of WANDB_PROJECT; WANDB_MODE=offline sends nothing.

    Args:
        run: the open run.
        known: id of the run that is continued; None: a new one.
    """

    def __init__(self, run: Run, known: str | None) -> None:
        import wandb  # an extra, which takes seconds to import

        self.id, self._folder = known or secrets.token_hex(4), run.path
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=self.id,
            resume="allow",
            dir=str(run.path),
        )
        self._run.define_metric("*", step_metric="epoch")

    def params(self, values: Mapping[str, object]) -> None:
        """Log them as the run's config."""
        self._run.config.update(dict(values), allow_val_change=True)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log them with the epoch, which is the horizontal axis."""
        self._run.log({**values, "epoch": epoch})

    def end(self, status: Status, files: Iterable[Path]) -> None:
        """Upload files, and finish the run."""
        for file in (file for file in files if file.name != "config.yaml"):  # it has one of its own
            self._run.save(str(file), base_path=str(self._folder), policy="now")
        self._run.finish(exit_code=0 if status == "completed" else 1)


SERVICES: dict[str, Callable[[Run, str | None], Service]] = {"mlflow": MLflow, "wandb": WandB}
"""What a run can be logged to, by the names of its packages; `--log-NAME` is the option of each."""


def _installed(name: str) -> Callable[[bool], bool]:
    def check(value: bool) -> bool:
        spec = importlib.util.find_spec(name) if value else None
        if value and (spec is None or spec.origin is None):  # without an origin, it is a folder of logs
            raise UserError(f"needs {name}: pip install 'nastransfer-nni[{name}]'")
        return value

    return check


_LOGGED = "also log parameters, metrics and files of the run to"
LogMLflow = Annotated[
    bool,
    Field(description=f"{_LOGGED} MLflow, at MLFLOW_TRACKING_URI"),
    AfterValidator(_installed("mlflow")),
]
LogWandB = Annotated[
    bool, Field(description=f"{_LOGGED} Weights & Biases"), AfterValidator(_installed("wandb"))
]


def chosen(config: object) -> tuple[str, ...]:
    """The services that the options of a command choose."""
    return tuple(name for name in SERVICES if getattr(config, f"log_{name}"))


class Services:
    """The services that a run is logged to; one that fails is left out from then on.

    Args:
        run: the open run.
        names: the services.
        before: metrics that the run has logged so far; a service that is new to the run gets them.
    """

    def __init__(
        self, run: Run, names: Iterable[str], before: Iterable[tuple[dict[str, float], int]] = ()
    ) -> None:
        self._run, self._open = run, dict[str, Service]()
        file = run.path / TRACKERS
        known = read_object(file) or {}
        for name in names:
            try:
                self._open[name] = SERVICES[name](run, known.get(name))
            except Exception as error:  # of a network, a server, a package: none is worth a training
                _warn(name, error)
        ids = {name: service.id for name, service in self._open.items()}
        for name in [name for name in ids if name not in known]:
            for values, epoch in before:
                self._call(name, "log", values, epoch)
        if ids:
            write_json(file, known | ids)
            run.at_end(self._end)

    def params(self, values: Mapping[str, object]) -> None:
        """Log what tells the run from others; None is left out."""
        known = {name: value for name, value in values.items() if value is not None}
        self._all("params", known)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log metrics at the end of `epoch` (from 0)."""
        self._all("log", values, epoch)

    def _end(self, status: Status) -> None:
        self._all("end", status, [path for name in FILES for path in sorted(self._run.path.glob(name))])

    def _all(self, method: str, *arguments: object) -> None:
        for name in [*self._open]:
            self._call(name, method, *arguments)

    def _call(self, name: str, method: str, *arguments: object) -> None:
        if name not in self._open:
            return
        try:
            getattr(self._open[name], method)(*arguments)
        except Exception as error:
            del self._open[name]
            _warn(name, error)


def _warn(name: str, error: Exception) -> None:
    why = (str(error).splitlines() or [""])[0][:200]
    print(f"warning: nothing more is logged to {name}: {type(error).__name__}: {why}", file=sys.stderr)
