"""Searching by training candidates: the frame, as an NNI strategy over whichever of NNI's engines runs it.

In NNI's sequential engine a candidate is trained where the search runs; over a training service each is a
trial. Candidates are told to the proposer in the order in which they were proposed, whenever they finish.
"""

from __future__ import annotations

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic

from search_spaces import Genotype
from search_spaces.coding import Code, Coding
from search_spaces.nni_api import (
    Evaluator,
    ExecutableModelSpace,
    ExecutionEngine,
    ModelEvent,
    ModelEventType,
    ModelStatus,
    Strategy,
)
from strategies.interfaces import Recorder, SearchContext
from strategies.proposers import Proposer, Told
from strategies.result import SearchResult
from strategies.supernet import OptionsT

ATTEMPTS = 3
"""Times that a candidate is trained before its failure ends the search."""
SILENCE_SECONDS = 20.0
"""After as long without news, the engine is asked whether it is still there."""


class CandidateEvaluator(Evaluator):  # type: ignore[misc]
    """How candidates are judged, and the context of the search: what NNI hands to the strategy.

    `evaluate` trains NNI's frozen model and reports with `nni.report_final_result` top-1 in percent, or a
    dict with `default` (top-1), `samples` and `seconds`.

    Attributes:
        context: of the search.
        recorder: where the search reports to.
        training_images: images that are backpropagated when one candidate is trained.
        workers: candidates that may be trained at once.
    """

    context: SearchContext
    recorder: Recorder
    training_images: int
    workers: int = 1

    def architecture(self, sample: dict[str, Any]) -> Any:
        """What an NNI sample stands for: the genotype."""
        return Genotype.from_sample(sample)


class MultiTrialStrategy(Strategy, Generic[OptionsT], ABC):  # type: ignore[misc]
    """Base of the strategies that train candidates; a subclass names its proposer.

    Attributes:
        options: the strategy's options.
        result: what the search has come to so far.
        told: the candidates whose score is known, in the order of proposal.
    """

    def __init__(self, options: OptionsT) -> None:
        super().__init__()
        self.options = options
        self.result = SearchResult()
        self.told: list[Told] = []
        self._running: dict[int, ExecutableModelSpace] = {}
        self._news: queue.SimpleQueue[tuple[ExecutableModelSpace, ModelStatus]] = queue.SimpleQueue()
        self._metrics: dict[int, Any] = {}

    @abstractmethod
    def make_proposer(self, *args: Any) -> Proposer:
        """The proposer, from the coding, the context, the candidates in all, and what a sample stands for."""

    @abstractmethod
    def total(self) -> int:
        """Candidates in all, without a budget."""

    # What NNI calls

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        evaluator = model_space.evaluator
        if not isinstance(evaluator, CandidateEvaluator):
            raise TypeError(
                f"{type(self).__name__} needs a CandidateEvaluator, not {type(evaluator).__name__}"
            )
        self.evaluator: CandidateEvaluator = evaluator
        self.proposer = self.make_proposer(
            Coding.of(model_space.simplify()),
            evaluator.context,
            evaluator.context.whole(evaluator.training_images, "candidate") or self.total(),
            evaluator.architecture,
        )
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._on_end)
        return model_space

    def _cleanup(self) -> None:
        self.engine.unregister_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._on_end)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the search keeps a journal of its own, candidate by candidate."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: the search keeps a journal of its own, candidate by candidate."""

    def list_models(self, sort: bool = True, limit: int | None = None) -> Iterator[ExecutableModelSpace]:
        """The architectures found as NNI's frozen models, the chosen one first, then by score."""
        places = list(range(len(self.told)))
        if sort and places:
            chosen = self.proposer.best(self.told)
            places.sort(key=lambda place: (place != chosen, -self.told[place].score))
        for place in places[:limit]:
            model = self.model_space.freeze(self.proposer.coding.sample(self.told[place].code))
            model.metrics.final = self.told[place].score
            yield model

    # The search

    def _run(self) -> None:
        entries = {entry["candidate"]: entry for entry in self.evaluator.context.journal}
        proposer, codes = self.proposer, dict[int, Code]()
        failures: dict[int, int] = {}
        self.evaluator.recorder.expect(proposer.total)
        while len(self.told) < proposer.total:
            while self._may_ask(len(codes)):
                index = len(codes)
                codes[index] = proposer.propose(index, self.told[: proposer.needs(index)])
                if index not in entries:
                    self._submit(index, codes[index])
            if len(self.told) in entries:
                self._tell(codes[len(self.told)], entries[len(self.told)])
                continue
            index, status = self._next_end()
            if status is ModelStatus.Trained and index in self._metrics:
                entries[index] = self._entry(index, codes[index])
                self.evaluator.context.journal.append(entries[index])
                continue
            failures[index] = failures.get(index, 0) + 1
            if failures[index] == ATTEMPTS:
                raise RuntimeError(
                    f"candidate {index} failed {ATTEMPTS} times; the log of its trial says why "
                    f"({proposer.architecture(codes[index])})"
                )
            self._submit(index, codes[index])
        self.result.front = proposer.members(self.told)

    def _may_ask(self, index: int) -> bool:
        return (
            index < self.proposer.total
            and len(self._running) < self.evaluator.workers
            and len(self.told) >= self.proposer.needs(index)
        )

    def _submit(self, index: int, code: Code) -> None:
        while not self.engine.idle_worker_available():
            time.sleep(0.1)
        model = self.model_space.freeze(self.proposer.coding.sample(code))
        self._running[index] = model
        self.engine.submit_models(model)

    def _next_end(self) -> tuple[int, ModelStatus]:
        """Wait until a candidate has ended."""
        while True:
            try:
                model, status = self._news.get(timeout=SILENCE_SECONDS)
            except queue.Empty:
                if not self.engine.budget_available():
                    raise RuntimeError("NNI's engine has stopped before the search was over") from None
                continue
            index = next(index for index, running in self._running.items() if running is model)
            del self._running[index]
            return index, status

    def _entry(self, index: int, code: Code) -> dict[str, Any]:
        metric = self._metrics.pop(index)
        figures = metric if isinstance(metric, dict) else {"default": metric}
        return {
            "candidate": index,
            "sample": self.proposer.coding.sample(code),
            "top1": float(figures["default"]),
            "samples": int(figures.get("samples", self.evaluator.training_images)),
            "seconds": float(figures.get("seconds", 0.0)),
        }

    def _tell(self, code: Code, entry: dict[str, Any]) -> None:
        """Take in the next candidate in order, and report it."""
        assert entry["sample"] == self.proposer.coding.sample(code), "the journal is of another search"
        self.told.append(Told(code, entry["top1"]))
        result, recorder, context = self.result, self.evaluator.recorder, self.evaluator.context
        number = len(self.told) - 1
        result.training_images += entry["samples"]
        result.seconds += entry["seconds"]
        result.candidates = len(self.told)
        self.settle()
        figures = {"top1": entry["top1"], "best_top1": result.score, "seconds": entry["seconds"]}
        if context.mult_adds is not None:
            figures["mult_adds"] = context.cost(self.proposer.architecture(code))
        recorder.log("validation", result.training_images, number, **figures)
        if result.genotype is not None:
            recorder.record(number, result.genotype, {}, result.score)
        recorder.advance(number, 1, 1)

    def settle(self) -> None:
        """Make the best candidate so far the one that the search stands at."""
        best = self.told[self.proposer.best(self.told)]
        architecture = self.proposer.architecture(best.code)
        self.result.genotype = architecture if isinstance(architecture, Genotype) else None
        self.result.score = best.score

    def _on_metric(self, event: ModelEvent) -> None:
        for index, model in list(self._running.items()):
            if model is event.model:
                self._metrics[index] = event.metric

    def _on_end(self, event: ModelEvent) -> None:
        self._news.put((event.model, event.status))
