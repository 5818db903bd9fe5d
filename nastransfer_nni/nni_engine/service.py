"""The training service of NNI that runs trials: this machine by default, or what a file describes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nastransfer_nni.base.reading import read_yaml
from nastransfer_nni.nni_engine.manager import silent_log
from search_spaces.errors import UserError, unknown

FORWARDED_ENV = ("NASTRANSFER_DATA", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS")
"""Environment variables that a trial must share with the experiment; not every service passes them on."""

FOLDERS_OF_ENV = ("NASTRANSFER_DATA", "HF_HOME")
"""Those that name folders; a trial has a working directory of its own."""

_SECTIONS = ("trainingService", "nniManagerIp")


def _this_machine() -> dict[str, Any]:
    return {"platform": "local", "useActiveGpu": False}


@dataclass(frozen=True)
class TrainingService:
    """A training service.

    Attributes:
        section: content of NNI's section `trainingService`.
        manager_ip: address at which trials reach NNI's manager; None: NNI finds it.
    """

    section: dict[str, Any] = field(default_factory=_this_machine)
    manager_ip: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether trials run on this machine."""
        return self.section["platform"] == "local"

    @property
    def reaches_localhost_only(self) -> bool:
        """Whether no other machine needs to reach NNI's manager."""
        return self.is_local or self.manager_ip in ("127.0.0.1", "localhost")

    @property
    def python(self) -> str:
        """The Python that a trial starts: this one, or the one that other machines have on their path."""
        return sys.executable if self.is_local else "python"

    def settings(self) -> dict[str, Any]:
        """Keyword arguments of NNI's `ExperimentConfig`."""
        address = {} if self.manager_ip is None else {"nniManagerIp": self.manager_ip}
        return {"trainingService": self.section, **address}


def read_service(path: str | None) -> TrainingService:
    """Read a training service from a file with NNI's section `trainingService` and perhaps `nniManagerIp`.

    Args:
        path: a YAML file; None: trials run on this machine.

    Raises:
        UserError: the file cannot be read, or does not describe a training service that NNI knows.
    """
    if path is None:
        return TrainingService()
    described = read_yaml(path, "--training-service")
    if not isinstance(described, dict):
        raise UserError(f"--training-service {path} must have a section trainingService")
    for name in described:
        if name not in _SECTIONS:
            raise UserError(f"--training-service {path}: {unknown('section', name, _SECTIONS)}")
    section = described.get("trainingService")
    if not isinstance(section, dict) or "platform" not in section:
        raise UserError(f"--training-service {path}: trainingService must name its platform")
    service = TrainingService(section, described.get("nniManagerIp"))
    _check(service, path)
    return service


def _check(service: TrainingService, path: str) -> None:
    """Let NNI check the service."""
    from nni.experiment import ExperimentConfig  # takes seconds
    from nni.experiment.config.utils import load_training_service_config

    try:
        with silent_log():
            if isinstance(load_training_service_config(service.section), dict):
                raise ValueError(f"it has no platform {service.section['platform']!r}")
            ExperimentConfig(
                searchSpace={},
                trialCommand="true",
                trialCodeDirectory=str(Path.cwd()),
                trialConcurrency=1,
                tuner={"name": "Random"},
                **service.settings(),
            ).validate()
    except (AssertionError, AttributeError, TypeError, ValueError) as error:  # what NNI raises for bad values
        reason = " ".join(str(error).split()) or "a value is out of range"
        raise UserError(f"--training-service {path}: NNI refuses it: {reason}") from None


def assignments(variables: Mapping[str, str]) -> str:
    """Shell assignments of the variables that a trial must share with this process, then of `variables`."""
    shared = {name: os.environ[name] for name in FORWARDED_ENV if name in os.environ}
    shared |= {name: str(Path(shared[name]).absolute()) for name in FOLDERS_OF_ENV if shared.get(name)}
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in (shared | dict(variables)).items())
