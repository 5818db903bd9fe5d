"""NNI's own experiment, in this process, without an entry in the user's list of experiments."""

import tempfile

from torch import nn

from search_spaces import DartsSpace
from search_spaces.nni_api import ModelSpace, NasExperiment, NasExperimentConfig


class InProcess(NasExperiment):
    _start_without_nni_manager = _stop_without_nni_manager = lambda self: None
    _start_logging = lambda self, debug: None  # noqa: E731
    _stop_logging = lambda self: None  # noqa: E731


def run(space, evaluator, strategy, max_models=None, form="raw"):
    """Run an experiment; returns the samples that it exports, the best first."""
    config = NasExperimentConfig("sequential", form, "local")
    config.execution_engine.max_model_count = max_models
    with tempfile.TemporaryDirectory() as folder:
        config.experiment_working_directory = folder
        experiment = InProcess(space, evaluator, strategy, config)
        try:
            experiment.run()
        finally:
            experiment.stop()
    return experiment.export_top_models(top_k=3, formatter="dict")


class Beside(ModelSpace):
    """A choice of layers before the cells of DARTS."""

    def __init__(self):
        from nni.nas.nn.pytorch import LayerChoice

        super().__init__()
        self.front = LayerChoice({"convolution": nn.Conv2d(3, 3, 1), "nothing": nn.Identity()}, label="front")
        self.cells = DartsSpace(width=2, layers=3, num_classes=4)

    def forward(self, x):
        return self.cells(self.front(x))


class Prefixed(Beside, label_prefix="mine"):
    """The same, with labels that start with a name."""
