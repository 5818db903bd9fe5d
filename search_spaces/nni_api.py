"""The names of NNI that this project uses, imported without the warnings of NNI 3.0 on a newer torch.

NNI wraps every public name of `torch.nn` and warns about those that it does not know to be modules; none of
them is used here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*is found to be not a nn.Module", category=RuntimeWarning)
    import nni
    from nni.mutable import Categorical, CategoricalMultiple, Sample, SampleValidationError, label_scope
    from nni.mutable.annotation import Constraint
    from nni.mutable.exception import ConstraintViolation
    from nni.mutable.utils import auto_label
    from nni.nas.evaluator import Evaluator
    from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
    from nni.nas.execution.event import ModelEvent, ModelEventType
    from nni.nas.execution.training_service import TrainingServiceExecutionEngine
    from nni.nas.experiment import NasExperiment, NasExperimentConfig
    from nni.nas.nn.pytorch import Cell, LayerChoice, ModelSpace
    from nni.nas.oneshot.pytorch.strategy import OneShotStrategy, RandomOneShot, no_default_hook
    from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
    from nni.nas.oneshot.pytorch.supermodule.sampling import PathSamplingCell
    from nni.nas.space import (
        ExecutableModelSpace,
        ModelStatus,
        RawFormatModelSpace,
        SimplifiedModelSpace,
        model_context,
    )
    from nni.nas.strategy.base import Strategy, StrategyStatus

__all__ = [
    "BaseSuperNetModule",
    "Categorical",
    "CategoricalMultiple",
    "Cell",
    "Constraint",
    "ConstraintViolation",
    "Evaluator",
    "ExecutableModelSpace",
    "ExecutionEngine",
    "LayerChoice",
    "ModelEvent",
    "ModelEventType",
    "ModelSpace",
    "ModelStatus",
    "NasExperiment",
    "NasExperimentConfig",
    "OneShotStrategy",
    "PathSamplingCell",
    "RandomOneShot",
    "RawFormatModelSpace",
    "Sample",
    "SampleValidationError",
    "SequentialExecutionEngine",
    "SimplifiedModelSpace",
    "Strategy",
    "StrategyStatus",
    "TrainingServiceExecutionEngine",
    "auto_label",
    "label_scope",
    "model_context",
    "nni",
    "no_default_hook",
]
