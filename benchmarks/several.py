"""A search on two processes with one thread each, beside one process with two threads.

    python -m benchmarks.several                             # first order, width 16, 8 layers, batch 64
    python -m benchmarks.several --order 2 --passive         # on a machine that does other things, too

The batch is the same, so each of two processes computes half of it. The arrangements take turns. Prints
images per second, and per processor second of all processes; of two processes also how long they wait for
sums of gradients, and how long a sum takes when nobody is late. Writes benchmarks/results/several.json.

Threads that wait for each other keep their cores busy. With --passive they sleep, so that processor seconds
are those of the work alone, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fresh import machine, spread
from nastransfer_nni.base.files import write_json

RESULTS = Path(__file__).parent / "results" / "several.json"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ARRANGEMENTS = {"alone": ("2", []), "two": ("1", TORCHRUN)}
"""Threads of a process, and what starts the processes."""
SUMS = 20
"""Sums of gradients that are timed on their own."""


def search_step(options: argparse.Namespace, processes: Any) -> tuple[Callable[[], None], int]:
    """A step of DARTS on this process's share of a batch, and the number of weights."""
    import torch

    import strategies
    from search_spaces import DartsSpace
    from search_spaces.nni_api import RawFormatModelSpace
    from strategies.supernet import Schedule, SupernetEvaluator

    torch.manual_seed(0)
    share = options.batch // processes.world_size
    training, validation = ((torch.randn(share, 3, 32, 32), torch.randint(10, (share,))) for _ in range(2))
    evaluator = SupernetEvaluator([], [], [], Schedule(), processes=processes)  # type: ignore[arg-type]
    strategy: Any = strategies.create("darts", order=options.order)
    space = DartsSpace(options.width, options.layers, 10)
    strategy._mutated_model_space = RawFormatModelSpace(strategy.mutate_model(space), evaluator)
    strategy.evaluator = evaluator
    strategy.setup()
    strategy.renew_optimizer(1)

    def step() -> None:
        strategy.alpha_step(training, validation)
        strategy.training_step(training)

    return step, sum(weight.numel() for weight in strategy.shared_weights)


def measure(options: argparse.Namespace) -> None:
    """Time steps in this process, one of those of an arrangement, and write what they took."""
    import torch
    from torch import distributed as dist

    from nastransfer_nni.base.distributed import distributed_context
    from strategies.distributed import all_reduce_mean

    with distributed_context(torch.device("cpu")) as processes:
        step, weights = search_step(options, processes)
        waited, reduce = [0.0], dist.all_reduce

        def timed(*arguments: Any) -> None:
            began = time.perf_counter()
            reduce(*arguments)
            waited[0] += time.perf_counter() - began

        step()
        processes.barrier()
        dist.all_reduce = timed  # type: ignore[assignment]
        began, cpu_began, waited[0] = time.perf_counter(), time.process_time(), 0.0
        for _ in range(options.steps):
            step()
        found = {
            "seconds": (time.perf_counter() - began) / options.steps,
            "cpu": (time.process_time() - cpu_began) / options.steps,
            "waiting": waited[0] / options.steps,
        }
        flat, sums = [torch.ones(weights)], []
        for _ in range(SUMS):
            processes.barrier()
            began = time.perf_counter()
            all_reduce_mean(flat, processes)
            sums.append(time.perf_counter() - began)
        found |= {"one_sum": statistics.median(sums), "weights": weights}
        write_json(options.measure / f"{processes.rank}.json", found)


def run(arrangement: str, options: argparse.Namespace) -> dict[str, float]:
    """One arrangement once: processor seconds of a step in all processes, else figures of the slowest."""
    threads, starter = ARRANGEMENTS[arrangement]
    given = ("order", "width", "layers", "batch", "steps")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *starter, "-m", "benchmarks.several", "--measure", folder]
        command += [text for name in given for text in (f"--{name}", str(getattr(options, name)))]
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        if options.passive:
            environment |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
        subprocess.run(command, env=environment, check=True, cwd=RESULTS.parents[2])
        parts = [json.loads(path.read_text("utf-8")) for path in Path(folder).glob("*.json")]
    found = {name: max(part[name] for part in parts) for name in parts[0]}
    waiting = [part["waiting"] for part in parts]
    return found | {"cpu": sum(part["cpu"] for part in parts), "least_waiting": min(waiting)}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, value in {"order": 1, "width": 16, "layers": 8, "batch": 64, "steps": 3, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--passive", action="store_true", help="let threads sleep while they wait")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options)
        return
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ARRANGEMENTS}
    for _ in range(options.rounds):
        for name, runs in taken.items():
            runs.append(run(name, options))
    pairs = list(zip(taken["alone"], taken["two"], strict=True))
    figures = {
        "times_alone": spread([alone["seconds"] / two["seconds"] for alone, two in pairs]),
        "times_alone_by_cpu": spread([alone["cpu"] / two["cpu"] for alone, two in pairs]),
        "images_per_second": {
            name: spread([2 * options.batch / one["seconds"] for one in runs]) for name, runs in taken.items()
        },
        "waiting_percent": spread([100 * two["waiting"] / two["seconds"] for _, two in pairs]),
        "least_waiting_percent": spread([100 * two["least_waiting"] / two["seconds"] for _, two in pairs]),
        "one_sum_ms": spread([1000 * two["one_sum"] for _, two in pairs]),
    }
    print(json.dumps(figures))
    name = f"order {options.order}, width {options.width}, {options.layers} layers, batch {options.batch}"
    name += ", passive" if options.passive else ""
    earlier = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, earlier | {name: figures | {"rounds": taken, "machine": machine()}})


if __name__ == "__main__":
    main()
