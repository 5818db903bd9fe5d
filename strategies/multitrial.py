"""Searching by training candidates: the frame that multi-trial strategies fill in, as an NNI strategy.

Candidates come from any NNI space whose choices list their values, and any NNI evaluator may train them, such
as a `FunctionalEvaluator`. In NNI's sequential engine a candidate is trained where the search runs; over a
training service each is a trial. The proposer sees the scores in the order of proposal, whenever candidates
finish.
"""

from __future__ import annotations

import math
import queue
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from search_spaces import AbstractGenotype, Genotype
from search_spaces.coding import Code, Coding, decoder
from search_spaces.errors import UserError
from search_spaces.nni_api import (
    Evaluator,
    ExecutableModelSpace,
    ExecutionEngine,
    ModelEvent,
    ModelEventType,
    ModelStatus,
    Strategy,
    TrainingServiceExecutionEngine,
)
from strategies.budget import Cost
from strategies.data_loaders import SilentRecorder
from strategies.interfaces import Recorder, SearchContext
from strategies.options import CandidateOptions
from strategies.proposers import Evaluation, Proposer
from strategies.result import SearchResult

MAX_ATTEMPTS = 3
"""Times that a failing candidate is trained before its failure ends the search."""
POLL_SECONDS = 20.0
"""Seconds without an event after which the strategy checks that the engine is still running."""


OptionsT = TypeVar("OptionsT", bound=CandidateOptions)


class CandidateEvaluator(Evaluator):  # type: ignore[misc]
    """Trains and scores candidates, and carries the context of the search: what NNI hands to the strategy.

    `evaluate` trains NNI's frozen model and calls `nni.report_final_result` with top-1 in percent, or with a
    dict of `default` (top-1), `samples` (images backpropagated), `forward_samples` (images that passed
    without a gradient) and `seconds`. Where the loss was not finite, top-1 is 0 and the dict has
    `diverged: True`; any other failure must be raised.

    Attributes:
        context: seed, budget and limit of the search, and its journal.
        recorder: receives the metrics and genotypes of the search.
        training_images: number of images that training one candidate backpropagates.
        forward_images: number of images that one candidate passes without a gradient: those that score it.
        workers: number of candidates that may be trained at a time.
    """

    context: SearchContext
    recorder: Recorder
    training_images: int
    forward_images: int = 0
    workers: int = 1

    def architecture(self, sample: dict[str, Any]) -> Any:
        """The genotype of an NNI sample; evaluators of other spaces return their own architecture."""
        return Genotype.from_sample(sample)


class _OtherEvaluator(CandidateEvaluator):
    """What a search has to know where NNI's evaluator is not one of ours; it trains nothing itself."""

    training_images = 0

    def __init__(self, strategy: MultiTrialStrategy[Any], space: ExecutableModelSpace) -> None:
        engine = strategy.engine
        self.context, self.recorder = strategy.context, strategy.recorder
        if self.context.budget is not None:
            raise UserError(
                "a budget needs an evaluator that knows its training_images, a CandidateEvaluator; "
                "set the number of candidates instead"
            )
        if isinstance(engine, TrainingServiceExecutionEngine):
            self.workers = engine.nodejs_binding.config.trial_concurrency
        self._decode = decoder(space.simplify())

    def architecture(self, sample: dict[str, Any]) -> Any:
        """The genotype of a sample of `DartsSpace`, with or without more choices; else the sample."""
        return self._decode(sample)


class MultiTrialStrategy(Strategy, Generic[OptionsT], ABC):  # type: ignore[misc]
    """Base of the strategies that train candidates; a subclass creates its proposer.

    Attributes:
        options: options of the strategy, which also say how many candidates it trains.
        context: seed, limit and journal of the search. Set it before the experiment runs; a
            `CandidateEvaluator` brings its own.
        recorder: receives the metrics and genotypes of the search; likewise.
        result: result of the search so far.
        history: the candidates whose score is known, in the order of proposal.
    """

    def __init__(self, options: OptionsT) -> None:
        super().__init__()
        self.options = options
        self.context = SearchContext()
        self.recorder: Recorder = SilentRecorder()
        self.result = SearchResult()
        self.history: list[Evaluation] = []
        self._running: dict[int, ExecutableModelSpace] = {}
        self._news: queue.SimpleQueue[tuple[ExecutableModelSpace, ModelStatus]] = queue.SimpleQueue()
        self._metrics: dict[int, Any] = {}

    @abstractmethod
    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer; `args` are the arguments of `Proposer`."""

    # What NNI calls

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        evaluator = model_space.evaluator
        if isinstance(evaluator, CandidateEvaluator):
            self.evaluator: CandidateEvaluator = evaluator
        elif isinstance(evaluator, Evaluator) and type(evaluator).evaluate is not Evaluator.evaluate:
            self.evaluator = evaluator = _OtherEvaluator(self, model_space)
        else:
            raise UserError(
                f"{type(self).__name__} trains candidates, and {type(evaluator).__name__} trains none; "
                "give the experiment an evaluator such as NNI's FunctionalEvaluator"
            )
        self.proposer = self.make_proposer(
            Coding.of(model_space.simplify()),
            evaluator.context,
            self._total(evaluator),
            evaluator.architecture,
        )
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._on_end)
        return model_space

    def _total(self, evaluator: CandidateEvaluator) -> int:
        """Number of candidates: those within the budget's images, any number that seconds allow, or all."""
        allowance = evaluator.context.allowance
        each = Cost(evaluator.training_images, evaluator.forward_images)
        most = allowance.most(each.times, "candidate")
        return most or (self.options.total if allowance.max_seconds is None else sys.maxsize)

    def _cleanup(self) -> None:
        self.engine.unregister_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._on_end)

    def state_dict(self) -> dict[str, Any]:
        """NNI's checkpoint of the strategy: empty, since the journal keeps every candidate."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load NNI's checkpoint of the strategy, which is empty."""

    def list_models(self, sort: bool = True, limit: int | None = None) -> Iterator[ExecutableModelSpace]:
        """The architectures found as NNI's frozen models, the chosen one first, then by score."""
        indices = list(range(len(self.history)))
        if sort and indices:
            chosen = self.proposer.best(self.history)
            indices.sort(key=lambda index: (index != chosen, -self.history[index].score))
        for index in indices[:limit]:
            model = self.model_space.freeze(self.proposer.coding.sample(self.history[index].code))
            model.metrics.final = self.history[index].score
            yield model

    # The search

    def _run(self) -> None:
        entries = {entry["candidate"]: entry for entry in self.evaluator.context.journal}
        proposer, codes = self.proposer, dict[int, Code]()
        failures: dict[int, int] = {}
        self.evaluator.recorder.expect(proposer.total if proposer.total < sys.maxsize else None)
        while len(self.history) < proposer.total:
            while self._may_propose(len(codes)):
                index = len(codes)
                codes[index] = proposer.propose(index, self.history[: proposer.needs(index)])
                if index not in entries and not self._submit(index, codes[index]):
                    break
            if len(self.history) in entries:
                self._accept(codes[len(self.history)], entries[len(self.history)])
                if self._is_out_of_time:
                    proposer.total = len(self.history)
                continue
            ended = self._next_end()
            if ended is None:
                break
            index, status = ended
            if status is ModelStatus.Trained and index in self._metrics:
                entries[index] = self._entry(index, codes[index])
                self.evaluator.context.journal.append(entries[index])
                continue
            failures[index] = failures.get(index, 0) + 1
            self._check_failures(index, failures[index], status, codes[index])
            self._submit(index, codes[index])
        self._check_result(entries)
        self.result.front = proposer.members(self.history)

    @property
    def _is_out_of_time(self) -> bool:
        """Whether the candidates so far, in the order of proposal, have taken the seconds of the budget."""
        limit = self.evaluator.context.allowance.max_seconds
        return limit is not None and self.result.seconds >= limit

    def _may_propose(self, index: int) -> bool:
        return (
            index < self.proposer.total
            and len(self._running) < self.evaluator.workers
            and len(self.history) >= self.proposer.needs(index)
        )

    def _submit(self, index: int, code: Code) -> bool:
        """Have a candidate trained; False where the engine takes no more of them."""
        while not self.engine.idle_worker_available() and self.engine.budget_available():
            time.sleep(0.1)
        if not self.engine.budget_available():
            return False
        model = self.model_space.freeze(self.proposer.coding.sample(code))
        self._running[index] = model
        self.engine.submit_models(model)
        return True

    def _next_end(self) -> tuple[int, ModelStatus] | None:
        """Wait until a candidate has ended; None where the engine has stopped and none will."""
        while self._running:
            try:
                model, status = self._news.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self.engine.budget_available():
                    continue
                self.engine.wait_models()  # those that were submitted may still be running
                if self._news.empty():
                    return None
                continue
            index = next(index for index, running in self._running.items() if running is model)
            del self._running[index]
            return index, status
        return None

    def _check_failures(self, index: int, times: int, status: ModelStatus, code: Code) -> None:
        """End the search where a candidate fails for good.

        Raises:
            UserError: says which candidate, and what to look at.
        """
        if status is ModelStatus.Trained and isinstance(self.evaluator, _OtherEvaluator):
            raise UserError(
                f"the evaluator has trained candidate {index} without reporting a result; "
                "its last step must be nni.report_final_result(score)"
            )
        if times == MAX_ATTEMPTS:
            raise UserError(
                f"candidate {index} failed {MAX_ATTEMPTS} times; the log of its trial says why "
                f"({self.proposer.architecture(code)})"
            )

    def _check_result(self, entries: dict[int, dict[str, Any]]) -> None:
        """Check that the search has come to its end, or to that of the engine, with a result.

        Raises:
            UserError: NNI's engine has stopped too early, or no candidate has a result.
        """
        done, total = len(self.history), self.proposer.total
        if done < total and (done == 0 or not isinstance(self.evaluator, _OtherEvaluator)):
            raise UserError(
                f"NNI's engine has stopped after {done} of {total} candidates; "
                "start the search again, with a larger limit if the experiment sets one"
            )
        if all(entries[index].get("diverged", False) for index in range(done)):
            raise UserError(f"the training of all {done} candidates has diverged; try a lower learning rate")

    def _entry(self, index: int, code: Code) -> dict[str, Any]:
        metric = self._metrics.pop(index)
        metrics = metric if isinstance(metric, dict) else {"default": metric}
        score = float(metrics["default"])
        diverged = bool(metrics.get("diverged")) or not math.isfinite(score)
        entry = {
            "candidate": index,
            "sample": self.proposer.coding.sample(code),
            self.options.metric: score if math.isfinite(score) else -math.inf,
            "samples": int(metrics.get("samples", self.evaluator.training_images)),
            "forward_samples": int(metrics.get("forward_samples", self.evaluator.forward_images)),
            "seconds": float(metrics.get("seconds", 0.0)),
        }
        return entry | ({"diverged": True} if diverged else {})

    def _accept(self, code: Code, entry: dict[str, Any]) -> None:
        """Add the next candidate in order to the history, and report it."""
        if entry["sample"] != self.proposer.coding.sample(code):
            raise UserError("the run's list of candidates is of another search; start anew in another folder")
        metric = self.options.metric
        self.history.append(Evaluation(code, entry[metric]))
        result, recorder, context = self.result, self.evaluator.recorder, self.evaluator.context
        number = len(self.history) - 1
        result.training_images += entry["samples"]
        result.forward_images += entry.get("forward_samples", 0)  # version 0.1 did not count them
        result.seconds += entry["seconds"]
        result.candidates = len(self.history)
        self.set_incumbent()
        metrics = {metric: entry[metric], f"best_{metric}": result.score, "seconds": entry["seconds"]}
        if context.mult_adds is not None:
            metrics["mult_adds"] = context.cost(self.proposer.architecture(code))
        if entry.get("diverged"):
            metrics["diverged"] = 1.0
        recorder.log("validation", result.training_images, number, **metrics)
        if result.genotype is not None:
            recorder.record(number, result.genotype, {}, result.score if metric == "top1" else math.nan)
        recorder.advance(number, 1, 1)

    def set_incumbent(self) -> None:
        """Make the best candidate so far the result."""
        best = self.history[self.proposer.best(self.history)]
        architecture = self.proposer.architecture(best.code)
        self.result.genotype = architecture if isinstance(architecture, AbstractGenotype) else None
        self.result.score = best.score

    def _on_metric(self, event: ModelEvent) -> None:
        for index, model in list(self._running.items()):
            if model is event.model:
                self._metrics[index] = event.metric

    def _on_end(self, event: ModelEvent) -> None:
        self._news.put((event.model, event.status))
