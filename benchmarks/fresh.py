"""Measurements in processes of their own, in alternation, on a machine that may be busy with other things."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Variant = TypeVar("Variant", bound=Hashable)


@dataclass(frozen=True)
class Sample:
    """What one process measured.

    Attributes:
        seconds: duration of each repetition in s.
        cpu_seconds: processor time of each repetition in s, over all threads; other programs disturb it less.
        megabytes: peak of resident memory above that before the first repetition.
        process_megabytes: peak of resident memory of the whole process.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    megabytes: float
    process_megabytes: float


def repeated(action: Callable[[], Any], repeats: int) -> Sample:
    """Time an action, once it has run for warming up."""
    before = _resident()
    action()
    seconds, cpu_seconds = [], []
    for _ in range(repeats):
        began, cpu_began = time.perf_counter(), time.process_time()
        action()
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Sample(seconds, cpu_seconds, peak - before, peak)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def alternate(
    measure: Callable[[Variant], Sample], variants: list[Variant], rounds: int, preload: list[str]
) -> dict[Variant, list[Sample]]:
    """Measure every variant once a round, each time in a fresh process that has imported `preload`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    samples: dict[Variant, list[Sample]] = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant in variants:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                samples[variant].append(pool.submit(measure, variant).result())
    return samples


def figures(samples: list[Sample]) -> dict[str, float]:
    """Median, least and most seconds over all repetitions, CPU seconds, and peak memory."""
    seconds = [value for sample in samples for value in sample.seconds]
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "cpu_median": statistics.median(value for sample in samples for value in sample.cpu_seconds),
        "megabytes": statistics.median(sample.megabytes for sample in samples),
        "process_megabytes": statistics.median(sample.process_megabytes for sample in samples),
    }


def ratio(ours: list[Sample], theirs: list[Sample]) -> dict[str, float]:
    """How many times faster, round by round: ratios are of measurements next to each other in time."""
    ratios = [
        statistics.median(one.seconds) / statistics.median(other.seconds)
        for one, other in zip(theirs, ours, strict=True)
    ]
    cpu = [
        statistics.median(one.cpu_seconds) / statistics.median(other.cpu_seconds)
        for one, other in zip(theirs, ours, strict=True)
    ]
    return {
        "median": statistics.median(ratios),
        "min": min(ratios),
        "max": max(ratios),
        "cpu_median": statistics.median(cpu),
        "memory": statistics.median(sample.megabytes for sample in ours)
        / statistics.median(sample.megabytes for sample in theirs),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def machine() -> dict[str, Any]:
    """Where and beside what load the figures were taken."""
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
