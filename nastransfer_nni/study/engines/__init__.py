"""The engines that run a study's jobs; importing this package registers them."""

from nastransfer_nni.study.engines import local, nni_trials, slurm
from nastransfer_nni.study.engines.base import ENGINES, Engine, EngineSettings

__all__ = ["ENGINES", "Engine", "EngineSettings", "local", "nni_trials", "slurm"]
