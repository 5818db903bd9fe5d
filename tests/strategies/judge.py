"""Searches that train candidates, with a made-up accuracy in place of the training."""

import functools
import itertools
import random

import strategies
from search_spaces import DartsSpace, Genotype
from search_spaces.nni_api import ModelStatus, SequentialExecutionEngine, SimplifiedModelSpace, nni
from strategies.multitrial import CandidateEvaluator


def score(sample):
    """A made-up accuracy: of separable convolutions and late inputs."""
    genotype = Genotype.from_sample(sample)
    return sum(name.startswith("sep") + state / 10 for name, state in genotype.normal + genotype.reduce)


class Judge(CandidateEvaluator):
    """Scores at once; candidates of some calls fail or diverge, and one call can stop the search."""

    training_images = 100

    def __init__(
        self, context, records, workers=1, failures=(), diverging=(), stop_at=None, forward_images=0
    ):
        self.context, self.recorder, self.workers = context, records, workers
        self.failures, self.diverging, self.stop_at = failures, diverging, stop_at
        self.forward_images = forward_images
        self.calls = itertools.count()

    def _execute(self, model):
        call = next(self.calls)
        if call == self.stop_at:
            raise KeyboardInterrupt
        if call in self.failures:
            raise RuntimeError("out of memory")
        if call in self.diverging:
            result = {"default": 0.0, "samples": 100, "seconds": 0.0, "diverged": True}
            nni.report_final_result(result | {"scores": {"nwot": 0.0, "params": 0.0}})
            return
        value = score(model.sample)
        scores = {"nwot": value, "params": -abs(value - 10)}
        nni.report_final_result({"default": value, "samples": 100, "seconds": 2.0, "scores": scores})


class Service(SequentialExecutionEngine):
    """Runs what was submitted when there is no more room, in any order: as a training service does."""

    def __init__(self, workers, seed):
        super().__init__(continue_on_failure=True)
        self.workers, self.waiting, self.order = workers, [], random.Random(seed)
        self.finished = []

    def submit_models(self, *models):
        self.waiting += models
        for model in models:
            model.status = ModelStatus.Training

    def run_one(self):
        model = self.waiting.pop(self.order.randrange(len(self.waiting)))
        self.finished.append(model)
        self._run_single_model(model)


class News:
    """Stands for the queue of ended candidates: lets the service work only when the strategy waits."""

    def __init__(self, service):
        self.service, self.items = service, []

    def put(self, item):
        self.items.append(item)

    def get(self, timeout):
        while not self.items:
            self.service.run_one()
        return self.items.pop(0)


@functools.cache
def space():
    """The space of the searches; no candidate is trained, so that one is enough for all."""
    return DartsSpace(2, 3, 3)


def run(text, context, records, service=None, **judge):
    """Run a strategy that trains candidates; in process, or where `service` trains them."""
    strategy = strategies.parse(text).create()
    engine = service or SequentialExecutionEngine()
    if service:
        strategy._news = News(service)
        judge["workers"] = service.workers
    model = SimplifiedModelSpace.from_model(space(), Judge(context, records, **judge))
    strategy(model, engine)
    return strategy
