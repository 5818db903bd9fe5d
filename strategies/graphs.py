"""Steps of a search as CUDA graphs: the CPU starts one graph, in place of some thousands of operations.

Its logic is tested on a CPU with a stand-in for CUDA, and on a GPU where there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from strategies.result import SearchResult

_logger = logging.getLogger(__name__)

T = TypeVar("T")

WARM_UP_STEPS = 3
"""Steps of an epoch before a recording: the first creates what the optimizer and libraries keep."""


class GraphRecorder(Protocol):
    """Records what functions start on a device."""

    def warm_up(self, run: Callable[[], T]) -> T:
        """Compute a function that is going to be recorded."""

    def record(self, run: Callable[[], T]) -> Callable[[], T]:
        """Record what a function starts on the device, without computing it.

        Returns:
            Computes what was recorded; its results lie in the same memory each time.
        """


class CudaRecorder:
    """Records CUDA graphs in one pool of memory, so that they have to be replayed in the order of recording.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, run: Callable[[], T]) -> T:
        """Compute a function on the stream that records, for which the current stream waits."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            found = run()
        current.wait_stream(self._stream)
        return found

    def record(self, run: Callable[[], T]) -> Callable[[], T]:
        """Record a graph; other threads, such as those of data workers, may use the GPU meanwhile."""
        graph = torch.cuda.CUDAGraph()
        current = torch.cuda.current_stream(self._device)
        # torch.cuda.graph does not bring the current stream back where recording fails; the outer block does
        with torch.cuda.stream(current), torch.cuda.graph(graph, self._pool, self._stream, "thread_local"):
            results = run()

        def replay() -> T:
            graph.replay()
            return results

        return replay


class Graphs:
    """The graphs of a search.

    Args:
        make_recorder: makes what records the graphs of an epoch.
    """

    def __init__(self, make_recorder: Callable[[], GraphRecorder]) -> None:
        self._make_recorder = make_recorder
        self._said: set[str] = set()
        self._left_out: set[str] = set()
        self._is_on = True

    def turn_off(self, reason: str) -> None:
        """Do without graphs, and say why."""
        self._is_on = False
        self.say(f"none are used: {reason}")

    def say(self, reason: str) -> None:
        """Log why graphs are not used, once."""
        if reason not in self._said:
            self._said.add(reason)
            _logger.info("CUDA graphs: %s", reason)

    def of_epoch(
        self, result: SearchResult, steps: dict[str, Callable[..., Any]]
    ) -> list[Callable[..., Any]]:
        """The steps of an epoch as graphs, which are recorded anew in each.

        What a step reads from Python, such as the learning rate, is part of its graph and changes only
        between epochs.

        Args:
            result: counts the images of the steps.
            steps: by name, functions of batches, each of tensors, that return tensors.
        """
        if not self._is_on:
            return list(steps.values())
        recorder = self._make_recorder()
        return [
            step if name in self._left_out else GraphStep(name, step, self, recorder, result)
            for name, step in steps.items()
        ]

    def leave_out(self, name: str, error: Exception) -> None:
        """Do without graphs of a step that cannot be recorded."""
        self._left_out.add(name)
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self.say(f"{name} runs without one, as it cannot be recorded: {why}")


def graphs_on(device: torch.device) -> Graphs | None:
    """The CUDA graphs of a search; None on another device than a CUDA GPU."""
    return Graphs(lambda: CudaRecorder(device)) if device.type == "cuda" else None


class GraphStep(Generic[T]):
    """A step that runs as it is a few times, is then recorded, and replayed from there on.

    A batch of another shape than the first runs without the graph.

    Args:
        name: name of the step, for the log.
        step: function of batches, each of tensors, that returns tensors.
        graphs: the graphs of the search.
        recorder: records the step.
        result: counts the images of the step, as the step itself does where it is not replayed.
    """

    def __init__(
        self,
        name: str,
        step: Callable[..., T],
        graphs: Graphs,
        recorder: GraphRecorder,
        result: SearchResult,
    ) -> None:
        self._name, self._step = name, step
        self._graphs, self._recorder, self._result = graphs, recorder, result
        self._batches: list[list[Tensor]] = []
        self._warm_ups = 0
        self._replay: Callable[[], T] | None = None
        self._has_failed = False
        self._images = (0, 0)

    def __call__(self, *batches: Sequence[Tensor]) -> T:
        """The step on some batches; what it returns is overwritten by the next replay of any graph."""
        if not self._batches:
            self._batches = [[torch.empty_like(part) for part in batch] for batch in batches]
        if self._has_failed or not self._fits(batches):
            return self._step(*batches)
        if self._warm_ups < WARM_UP_STEPS:
            self._warm_ups += 1
            return self._recorder.warm_up(lambda: self._step(*batches))
        for own, given in zip(self._batches, batches, strict=True):
            for part, new in zip(own, given, strict=True):
                part.copy_(new)
        self._replay = self._replay or self._recorded()
        if self._replay is None:
            return self._step(*batches)
        self._result.training_images += self._images[0]
        self._result.forward_images += self._images[1]
        return self._replay()

    def _fits(self, batches: Sequence[Sequence[Tensor]]) -> bool:
        shapes, own = (
            [[tuple(part.shape) for part in batch] for batch in some] for some in (batches, self._batches)
        )
        if shapes != own:
            self._graphs.say(f"{self._name} of images {shapes[0][0]} runs without that of {own[0][0]}")
        return shapes == own

    def _recorded(self) -> Callable[[], T] | None:
        """What replays the step; None if it cannot be recorded. Recording counts images and computes none."""
        result = self._result
        before = result.training_images, result.forward_images
        try:
            return self._recorder.record(lambda: self._step(*self._batches))
        except RuntimeError as error:
            self._has_failed = True
            self._graphs.leave_out(self._name, error)
            return None
        finally:
            self._images = result.training_images - before[0], result.forward_images - before[1]
            result.training_images, result.forward_images = before
