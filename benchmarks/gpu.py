"""What a search and a training cost on a GPU, beside NNI's stock DARTS and timm's models.

    python -m benchmarks.gpu                                   # at most nine minutes on one GPU
    python -m benchmarks.gpu --original ~/darts/cnn            # and the authors' code of DARTS
    python -m benchmarks.gpu --device cpu --tiny               # whether the command itself works

A step is an update of the alphas and one of the weights, at 32 px. All variants of a setting take turns in
one process, round by round; every figure is a ratio within a round. It says which settings it left out where
the time runs out. Writes benchmarks/results/gpu.json and gpu.png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, TensorDataset

import strategies
from benchmarks.fresh import machine
from benchmarks.gpu_steps import FED, IMAGES, TIMMS, fed_step, training_step
from benchmarks.search_step import RESULTS, Setting, nni_step, original_step, our_step
from nastransfer_nni.base.files import write_json
from search_spaces import DartsSpace
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.compute import Compute
from strategies.distributed import DistributedContext
from strategies.graphs import WARM_UP_STEPS, graphs_on
from strategies.supernet import Schedule, SupernetEvaluator

SECONDS, MORE_SECONDS = 420, 80
"""Time after which no further setting is begun, and after how much more no further round."""

LONGEST = 0.5
"""Seconds of a step from which on a turn is a single one."""

NO_TIME = "left out: no time was left"

HEADLINE = [(16, 8, 64, 1), (16, 8, 64, 2)]
SEARCH = [(width, 8, batch, order) for order in (1, 2) for width, batch in ((36, 256), (16, 256), (36, 64))]
TINY = [(2, 3, 4, 1), (2, 3, 4, 2)]
FINAL = ("ours", "ours, channels last", "ours, channels last, bf16", "mobilenetv2_100", "resnet10t")
OURS = ("fast", "fast, graphs", "plain")
FIRST_ORDER = ("fast, channels first", "fast, bf16", "fast, graphs, bf16")
"""Variants of a search step; bf16 rounds away what the second order computes."""


class Round(NamedTuple):
    """What one turn of a variant took.

    Attributes:
        seconds: duration of a step, in s.
        busy_seconds: the part of it in which the device computed, by torch's profiler, of a first round on a
            GPU; else None.
        megabytes: peak of the memory that torch holds on the device, in MB; None on a CPU.
    """

    seconds: float
    busy_seconds: float | None
    megabytes: float | None


def timed(step: Callable[[], object], device: torch.device, repeats: int, is_first: bool = False) -> Round:
    """Time a step that has run before."""
    if device.type != "cuda":
        began = time.perf_counter()
        for _ in range(repeats):
            step()
        return Round((time.perf_counter() - began) / repeats, None, None)
    torch.cuda.reset_peak_memory_stats(device)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        step()
    torch.cuda.synchronize(device)
    seconds = (time.perf_counter() - began) / repeats
    megabytes = torch.cuda.max_memory_allocated(device) / 2**20
    return Round(seconds, busy(step, device) if is_first else None, megabytes)


def busy(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of one step in which a kernel runs; kernels of one stream do not overlap."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step()
        torch.cuda.synchronize(device)
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6


def alternated(
    makers: dict[str, Callable[[], Callable[[], object]]],
    device: torch.device,
    rounds: int,
    repeats: int,
    deadline: float = float("inf"),
) -> dict[str, list[Round] | str]:
    """Rounds of every variant, in turns; of one that does not run, what went wrong.

    Args:
        makers: make the step of each variant.
        device: device of the steps.
        rounds: turns of every variant.
        repeats: steps of a turn; 1 where a step takes longer than `LONGEST`.
        deadline: value of `time.perf_counter` after which no variant is made, and no round but the first
            begins.
    """
    steps: dict[str, Callable[[], object]] = {}
    turns: dict[str, int] = {}
    found: dict[str, list[Round] | str] = {}
    for name, make in makers.items():
        if time.perf_counter() > deadline:
            found[name] = NO_TIME
            continue
        try:
            steps[name] = make()
            for _ in range(WARM_UP_STEPS + 1):  # the last of them records CUDA graphs
                steps[name]()
            turns[name] = 1 if timed(steps[name], device, 1).seconds > LONGEST else repeats
            found[name] = []
        except Exception as error:
            steps.pop(name, None)
            found[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    for turn in range(rounds):
        if turn and time.perf_counter() > deadline:
            break
        for name, step in steps.items():
            taken = found[name]
            assert isinstance(taken, list)
            taken.append(timed(step, device, turns[name], is_first=turn == 0))
    return found


def search_makers(
    device: str, size: tuple[int, int, int, int], original: Path | None
) -> dict[str, Callable[[], Callable[[], object]]]:
    """The variants of a search step; NNI's and those in bf16 have no second order."""
    width, layers, batch, order = size

    def setting(variant: str) -> Setting:
        return Setting(variant, width, layers, batch, order, 1, device)

    names = OURS if order == 2 else (*OURS, *FIRST_ORDER)
    makers = {name: lambda name=name: our_step(setting(name)) for name in names}
    if order == 1:
        makers["nni"] = lambda: nni_step(setting("nni"))
    if original is not None:
        makers["original"] = lambda: original_step(original, setting("original"))
    return makers


def summary(taken: list[Round]) -> dict[str, Any]:
    """Median, least and most seconds, the share of a step in which the device idles, and its memory."""
    seconds = [one.seconds for one in taken]
    idle = [1 - one.busy_seconds / one.seconds for one in taken if one.busy_seconds is not None]
    memory = [one.megabytes for one in taken if one.megabytes is not None]
    return {
        "turns": len(taken),
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "idle": max(0.0, statistics.median(idle)) if idle else None,
        "megabytes": max(memory) if memory else None,
    }


def ratios(taken: list[Round], other: list[Round]) -> dict[str, float]:
    """How many times faster the first is, round by round."""
    each = [two.seconds / one.seconds for one, two in zip(taken, other, strict=True)]
    return {"median": statistics.median(each), "min": min(each), "max": max(each)}


def rows(setting: dict[str, Any], found: dict[str, list[Round] | str]) -> Iterator[dict[str, Any]]:
    """A row for each variant, with its speed relative to each other one."""
    for name, taken in found.items():
        if isinstance(taken, str):
            yield setting | {"variant": name, "failed": taken}
            continue
        others = {
            f"faster_than_{other}": ratios(taken, theirs)
            for other, theirs in found.items()
            if other != name and not isinstance(theirs, str)
        }
        yield setting | {
            "variant": name,
            **summary(taken),
            "images_per_second": setting["batch"] / summary(taken)["median"],
            **others,
            "rounds": [one._asdict() for one in taken],
        }


def same_cell(device: str) -> dict[str, Any]:
    """A search of two epochs in float64 on the CPU and on the device: both cells, and whether they agree."""
    found = {name: str(_searched(name)) for name in dict.fromkeys(("cpu", device))}
    return {"cells": found, "same": len(set(found.values())) == 1}


def _searched(device: str) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        labels = torch.arange(96) % 4
        images = torch.randn(96, 3, 8, 8) + labels[:, None, None, None]
        splits = [TensorDataset(images[part], labels[part]) for part in (slice(48), slice(48, 96))]
        weights, alphas = (DataLoader(split, batch_size=8) for split in splits)
        processes = DistributedContext(device=torch.device(device))
        evaluator = SupernetEvaluator(
            weights,
            alphas,
            schedule=Schedule(epochs=2),
            device=device,
            processes=processes,
            compute=Compute(graphs=graphs_on(processes.device)),
        )
        strategy: Any = strategies.create("darts", alpha_lr=3e-2)
        strategy(RawFormatModelSpace(DartsSpace(4, 3, 4), evaluator), SequentialExecutionEngine())
        return strategy.result.genotype
    finally:
        torch.set_default_dtype(before)


def plot(table: list[dict[str, Any]], path: Path) -> None:
    """Milliseconds a step of every variant, median with least and most, a panel for each setting."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    done = [row for row in table if "median" in row]
    names = list(dict.fromkeys(row["setting"] for row in done))
    figure, panels = plt.subplots(
        1, len(names), figsize=(4 * len(names), 4), squeeze=False, layout="constrained"
    )
    for axes, name in zip(panels[0], names, strict=True):
        mine = [row for row in done if row["setting"] == name]
        middle = [1000 * row["median"] for row in mine]
        spread = [
            [1000 * (row["median"] - row["min"]) for row in mine],
            [1000 * (row["max"] - row["median"]) for row in mine],
        ]
        axes.bar(range(len(mine)), middle, yerr=spread, capsize=4)
        axes.set_xticks(range(len(mine)), [row["variant"] for row in mine], rotation=30, ha="right")
        axes.set_title(name, fontsize=10)
        axes.set_ylabel("ms a step")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of every setting, as long as there is time."""
    device, began = torch.device(options.device), time.perf_counter()
    sizes, others, batch = (TINY, [], 4) if options.tiny else (HEADLINE, SEARCH, 96)
    width, layers = (4, 3) if options.tiny else (36, 20)
    settings: dict[tuple[str, int], dict[str, Callable[[], Callable[[], object]]]] = {}

    def add_searches(sizes: list[tuple[int, int, int, int]]) -> None:
        for size in sizes:
            name = f"search, width {size[0]}, batch {size[2]}, order {size[3]}"
            settings[name, size[2]] = search_makers(options.device, size, options.original)

    add_searches(sizes)
    final = (options.device, width, layers, batch)
    settings[f"final network, width {width}, batch {batch}", batch] = {
        variant: lambda variant=variant: training_step(variant, *final)
        for variant in (FINAL[:3] if options.tiny else FINAL)
    }
    settings[f"transfer with its batches, width {width}, batch {batch}", batch] = {
        variant: lambda variant=variant: fed_step(variant, *final, 32 if options.tiny else IMAGES)
        for variant in FED
    }
    add_searches(others)
    for (name, images), makers in settings.items():
        if time.perf_counter() - began > options.seconds:
            yield {"setting": name, "variant": "all", "failed": NO_TIME}
            continue
        found = alternated(
            makers, device, options.rounds, options.repeats, began + options.seconds + MORE_SECONDS
        )
        yield from rows({"setting": name, "batch": images}, found)
        if device.type == "cuda":
            torch.cuda.empty_cache()


COMPARED = ("faster_than_nni", "faster_than_plain", f"faster_than_{TIMMS}", "faster_than_resnet10t")
"""What the last column of the table compares with: the first that the row has."""


def shown(row: dict[str, Any]) -> list[str]:
    """A row of the table."""
    if "failed" in row:
        return [row["setting"], row["variant"], "0", row["failed"], "", "", "", "", ""]
    faster = next((row[key] for key in COMPARED if key in row), None)
    return [
        row["setting"],
        row["variant"],
        str(row["turns"]),
        *(f"{1000 * row[key]:.1f}" for key in ("median", "min", "max")),
        f"{row['images_per_second']:,.0f}",
        "" if row["idle"] is None else f"{100 * row['idle']:.0f}%, {row['megabytes']:.0f} MB",
        f"{faster['median']:.2f} ({faster['min']:.2f} - {faster['max']:.2f})" if faster else "",
    ]


def main() -> None:
    """Measure, print a table, write JSON and a plot; exit code 2 without a GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the command")
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU computes in seconds")
    parser.add_argument("--original", type=Path, help="directory cnn of the authors' code of DARTS")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every variant")
    parser.add_argument("--repeats", type=int, default=3, help="steps of a turn")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="begin no further setting after these")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of gpu.json and gpu.png")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: there is no GPU here; --device cpu --tiny tries the command on a CPU", file=sys.stderr)
        sys.exit(2)
    card = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else "no GPU"
    table = Table("setting", "variant", "turns", "ms (median)", "least", "most", "images/s", "idle, memory")
    table.add_column("times faster than NNI's, plain or timm's")
    options.out.mkdir(parents=True, exist_ok=True)
    tiny = same_cell(options.device)
    result: dict[str, Any] = {"card": card, "machine": machine(), "tiny_search": tiny, "rows": []}
    for row in measured(options):
        result["rows"].append(row)
        table.add_row(*shown(row))
        print(*shown(row), sep="  ", flush=True)
        write_json(options.out / "gpu.json", result)
    Console(width=170).print(table)
    print(
        f"{card}: a tiny search ends in {'the same cell' if tiny['same'] else 'ANOTHER CELL'} as on the CPU"
    )
    plot(result["rows"], options.out / "gpu.png")


if __name__ == "__main__":
    main()
