"""Measure the latency of the parts of final networks, and compare their sums with whole networks."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as clock

from nastransfer_nni.base import provenance
from nastransfer_nni.base.distributed import pick_device
from nastransfer_nni.base.files import pretty, write_json
from nastransfer_nni.latency.config import LatencyConfig
from nastransfer_nni.latency.table import NANOSECONDS, LatencyTable, NetworkSetting
from search_spaces.errors import UserError

Latencies = npt.NDArray[np.float64]

REFERENCES = 5
"""Random cells whose whole networks tell what a network takes besides its parts."""

Computation = tuple[nn.Module, Sequence[Tensor]]
"""A module in evaluation mode, and its inputs."""


def measure_latency(config: LatencyConfig) -> dict[str, Any]:
    """Measure the parts, write the table and print what it says in short.

    Returns:
        What was printed: file, machine, number of parts, and the check if there was one.

    Raises:
        UserError: there is no such device, or the file cannot be written.
    """
    device, space = pick_device(config.device), config.space
    size = (config.width, config.layers, config.num_classes, config.chosen_stem, config.img_size)
    parts = {part.name: part for part in space.parts(*size)}
    computations = {
        name: (
            part.make().eval().to(device),
            [value.to(device) for value in part.inputs(config.batch_size)],
        )
        for name, part in parts.items()
    }
    table = LatencyTable(
        network=NetworkSetting(
            space=space.text,
            width=config.width,
            layers=config.layers,
            num_classes=config.num_classes,
            stem=config.chosen_stem,
            img_size=config.img_size,
        ),
        settings=config.model_dump(include={"batch_size", "threads", "rounds", "seconds"})
        | {"device": str(device)},
        machine=_machine(device),
        milliseconds=medians(computations, config),
    )
    sums, measured = networks(table, config, device, range(REFERENCES))
    rest = round(statistics.median((measured - sums).tolist()), 6)
    table = table.model_copy(update={"rest": rest})
    if config.check:
        compared = networks(table, config, device, range(REFERENCES, REFERENCES + config.check))
        table = table.model_copy(update={"check": check(*compared)})
    try:
        write_json(Path(config.out), table.model_dump(mode="json"))
    except OSError as error:
        raise UserError(f"cannot write {config.out}: {error.strerror}") from None
    summary = {"table": config.out, "parts": len(parts), "machine": table.machine["processor"]}
    summary |= {"rest_ms": table.rest, **({"check": table.check} if table.check else {})}
    print(pretty(summary))
    print(f"next: nastransfer search --latency-table {config.out} --max-latency MS", file=sys.stderr)
    return summary


def medians(computations: Mapping[str, Computation], config: LatencyConfig) -> dict[str, float]:
    """Latency of each computation in ms: the median over rounds, each of which measures all of them.

    One thread on the CPU is measured in processor time, so that other programs on the machine do not count.

    Args:
        computations: modules with their inputs, by name.
        config: threads, rounds and seconds.
    """
    is_alone = config.threads == 1 and pick_device(config.device).type == "cpu"
    found: dict[str, list[float]] = {name: [] for name in computations}
    with torch.inference_mode():
        for _ in range(config.rounds):
            for name, (module, inputs) in computations.items():
                timer = Timer(
                    "module(*inputs)",
                    timer=time.process_time if is_alone else clock,
                    globals={"module": module, "inputs": inputs},
                    num_threads=config.threads,
                )
                found[name].append(1e3 * timer.blocked_autorange(min_run_time=config.seconds).median)
    return {name: statistics.median(values) for name, values in found.items()}


def networks(
    table: LatencyTable, config: LatencyConfig, device: torch.device, seeds: range
) -> tuple[Latencies, Latencies]:
    """Latency of random architectures in ms: summed up by the table, and of their whole networks.

    Args:
        table: the table.
        config: the network, and how it is measured.
        device: device of the networks.
        seeds: random seeds of the architectures.
    """
    space, stem = config.space, config.chosen_stem
    options = config.model_dump(include={"width", "layers", "num_classes"}) | {"stem": stem}
    cells = [space.random(np.random.default_rng(seed)) for seed in seeds]
    images = torch.randn(config.batch_size, 3, config.img_size, config.img_size, device=device)
    whole = {
        str(number): (space.build(cell, is_plain=True, **options).eval().to(device), [images])
        for number, cell in enumerate(cells)
    }
    costs = table.costs(space, config.width, config.layers, config.num_classes, stem, config.img_size)
    sums = [costs(cell) / NANOSECONDS for cell in cells]
    return np.array(sums), np.array(list(medians(whole, config).values()))


def check(sums: Latencies, measured: Latencies) -> dict[str, Any]:
    """Compare sums with the latency of whole networks.

    Args:
        sums: latencies by the table in ms, [cells].
        measured: latencies of the networks in ms, [cells].

    Returns:
        Number of cells; correlations of sum and network; median and largest relative error, and the median
        ratio of sum and network; the latencies.
    """
    errors = np.abs(sums / measured - 1)
    return {
        "cells": len(sums),
        "pearson": round(float(stats.pearsonr(sums, measured).statistic), 3),
        "kendall": round(float(stats.kendalltau(sums, measured).statistic), 3),
        "median_error": round(float(np.median(errors)), 3),
        "largest_error": round(float(errors.max()), 3),
        "median_ratio": round(float(np.median(sums / measured)), 3),
        "sums": [round(float(value), 3) for value in sums],
        "networks": [round(float(value), 3) for value in measured],
    }


def _machine(device: torch.device) -> dict[str, Any]:
    """Host, processor or GPU, cores, versions, time and command."""
    is_gpu = device.type == "cuda"
    processor = torch.cuda.get_device_name(device) if is_gpu else _processor()
    return {"processor": processor, "cores": os.cpu_count(), **provenance.here(("nastransfer-nni", "torch"))}


def _processor() -> str:
    """Name of the processor, as far as the system says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
