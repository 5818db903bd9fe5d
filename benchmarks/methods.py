"""Every method at one setting: what a search costs, whether it resumes, and one search on CIFAR-10.

    python -m benchmarks.methods                    # all three parts, about an hour of one core
    python -m benchmarks.methods costs kills        # two of them
    python -m benchmarks.methods searches --only darts enas

`costs`: CPU seconds for an image with a gradient and peak memory of a small search on made-up images, every
method in fresh processes, in alternation. `kills`: a search on the bundled digits, killed with SIGKILL at
random moments and started again, against one left alone: all files, metrics and tensors. `searches`: one
search with one seed on a few CIFAR-10 images, all with the same budget of images with a gradient; its cell is
trained on images that no search has seen. The budget is so small that the ranks of methods mean nothing.

What has been measured at the same setting is kept, so that the command continues where it stopped; `--again`
measures anew. Writes benchmarks/results/methods.json and methods.md.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

import strategies
from benchmarks import kill_points
from benchmarks.fresh import Sample, alternate, figures, machine, repeated
from benchmarks.killing import in_a_fork
from nastransfer_nni.base.files import write_json, write_text
from nastransfer_nni.report.tables.text import markdown, text_table
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from nastransfer_nni.transfer.config import TransferConfig
from nastransfer_nni.transfer.run import transfer
from search_spaces import DartsSpace, Genotype
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.supernet import Schedule, SupernetEvaluator

RESULTS = Path(__file__).parent / "results"
KILLS = 1
AT_ONCE = {"frozen_epochs": 0, "every": 1}
"""Options with which a search of few epochs learns from the first on."""


COSTS = {"img_size": 16, "width": 8, "layers": 5, "batch_size": 16, "images": 16, "epochs": 3, "rounds": 2}
SEARCHES = {
    "source": "cifar10",
    "proxy": "images:120",
    "img_size": 16,
    "width": 8,
    "layers": 5,
    "batch_size": 20,
    "lr": 0.025,
    "min_lr": 0.001,
    "weight_decay": 3e-4,
    "weights_share": 0.5,
    "alphas_share": 0.5,
    "budget": "2400",
    "seed": 0,
    "device": "cpu",
}
"""Options of every search; the rest is the method's."""

CANDIDATE_EPOCHS = 2
"""Epochs of a candidate that is trained from scratch."""

TRANSFERS = {
    "target": "cifar10",
    "train_split": "test[:1500]",
    "val_split": "test[1500:4000]",
    "img_size": 16,
    "width": 8,
    "layers": 5,
    "epochs": 4,
    "batch_size": 50,
    "lr": 0.05,
    "auxiliary_weight": 0.0,
    "drop_path": 0.0,
    "cutout": 0,
    "val_interval": 4,
    "seed": 0,
    "workers": 0,
    "device": "cpu",
}
"""How every cell is trained: on images of the test split, which no search reads."""


class Method(NamedTuple):
    """A method, with options that make it fit.

    Attributes:
        searched: strategy of the search with the budget, whose stages are as short as that.
        killed: strategy of the search on digits.
        epochs: epochs of the latter.
        spends: whether the search with the budget trains anything.
    """

    searched: str
    killed: str
    epochs: int = 3
    spends: bool = True


METHODS = {
    "darts": Method("darts", "darts"),
    "darts, 2nd order": Method("darts:order=2", "darts:order=2"),
    "darts+": Method("darts+", "darts+"),
    "pc-darts": Method("pc-darts:frozen_epochs=6", "pc-darts:partial_channels=2,frozen_epochs=1"),
    "p-darts": Method("p-darts:frozen_epochs=2,add_layers=0/1/3", "p-darts:frozen_epochs=0,add_layers=0/1/2"),
    "drnas": Method(
        "drnas:frozen_epochs=4,partial_channels=4/2", "drnas:partial_channels=2/1,frozen_epochs=0", 4
    ),
    "snas": Method("snas", "snas"),
    "gdas": Method("gdas", "gdas"),
    "fair-darts": Method("fair-darts", "fair-darts"),
    "beta-darts": Method("beta-darts", "beta-darts"),
    "sdarts-rs": Method("sdarts-rs", "sdarts-rs"),
    "sdarts-adv": Method("sdarts-adv", "sdarts-adv", 2),
    "oles": Method("oles", "oles:freeze_checks=2,freeze_below=0.9"),
    "darts-pt": Method("darts-pt:projection_epochs=1", "darts-pt:projection_epochs=1", 1),
    "enas": Method("enas:controller_steps=5,aggregate=5", "enas:controller_steps=2,aggregate=3,candidates=4"),
    "nao": Method(
        "nao:every=8,pool=40,new=20,top=20,batches=2,finalists=5,hidden=32,controller_epochs=100",
        "nao:every=1,pool=4,new=2,top=2,batches=2,finalists=2,hidden=8,controller_epochs=5",
    ),
    "random_ws": Method(
        "random_ws:candidates=50,batches=2,finalists=5", "random_ws:candidates=20,batches=1,finalists=4"
    ),
    "evolution, shared weights": Method(
        "evolution:evaluate=supernet,population=10,tournament=3,candidates=40",
        "evolution:evaluate=supernet,population=4,tournament=2,candidates=16",
    ),
    "evolution": Method(
        "evolution:population=6,tournament=3", "evolution:population=4,tournament=2,candidates=10", 1
    ),
    "nsga2": Method(
        "evolution:selection=nsga2,population=6,offspring=4",
        "evolution:selection=nsga2,population=4,offspring=2,generations=3",
        1,
    ),
    "local_search": Method("local_search:init=4", "local_search:init=3,candidates=10", 1),
    "score": Method("score:candidates=100", "score:by=nwot+synflow,candidates=20", 1),
    "random, trained": Method("random:candidates=1000", "random:candidates=8", 1),
    "random": Method("random", "random", 1, spends=False),
}


# Costs


def cost_of(name: str) -> Sample:
    """CPU seconds for each image with a gradient, and memory, of a small search in this process."""
    torch.set_num_threads(1)
    options = strategies.parse(METHODS[name].searched).options
    fitting = {name: value for name, value in AT_ONCE.items() if name in type(options).model_fields}
    options = options.model_copy(update=fitting)
    count, batch, epochs = COSTS["images"], COSTS["batch_size"], COSTS["epochs"]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, COSTS["img_size"], COSTS["img_size"], generator=generator)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, torch.arange(count) % 10), batch, generator=generator
    )

    def small_search() -> int:
        strategy: Any = options.create()
        evaluator = SupernetEvaluator(loader, loader, loader, Schedule(epochs=epochs))
        space = DartsSpace(COSTS["width"], COSTS["layers"], 10)
        strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
        return int(strategy.result.training_images)

    trained = list[int]()
    sample = repeated(lambda: trained.append(small_search()), 1)
    per_image = [seconds / trained[-1] for seconds in sample.cpu_seconds]
    return replace(sample, cpu_seconds=per_image)


def costs(names: list[str]) -> dict[str, dict[str, float]]:
    """Costs of the methods on shared weights, and how many times those of `darts`."""
    shared = [name for name in names if strategies.parse(METHODS[name].searched).options.shares_weights]
    shared = ["darts", *(name for name in shared if name != "darts")]
    preload = ["torch", "strategies.darts.search", "nastransfer_nni.search.experiment"]
    samples = alternate(cost_of, shared, COSTS["rounds"], preload)
    found = {name: figures(taken) for name, taken in samples.items()}
    keys = ("cpu_median", "megabytes")
    return {
        name: {key: one[key] for key in keys}
        | {"times_darts": one["cpu_median"] / found["darts"]["cpu_median"]}
        for name, one in found.items()
    }


# Kills


def kills_of(name: str, folder: Path) -> dict[str, Any]:
    """Kill a search at random moments, start it again, and compare with one left alone."""
    method, draws, log = METHODS[name], random.Random(name), folder / "log.txt"
    run = kill_points.run_search(method.killed, method.epochs)
    began = time.monotonic()
    _finish(lambda: run(folder / "alone"), log)
    seconds = time.monotonic() - began
    killed, after = list[Path](), list[float]()
    while len(after) < KILLS:
        if not killed or (killed[-1] / "summary.json").exists():
            killed.append(folder / f"killed-{len(killed)}")
        moment = draws.uniform(0.05, 0.9) * seconds
        if in_a_fork(lambda: run(killed[-1]), log, moment) == -9:
            after.append(round(moment, 2))
    differing = []
    for out in killed:
        _finish(partial(run, out), log)
        differing += kill_points.differences(kill_points.outcome(folder / "alone"), kill_points.outcome(out))
    return {"strategy": method.killed, "seconds": seconds, "after": after, "differing": differing}


def _finish(work: Callable[[], object], log: Path) -> None:
    if in_a_fork(work, log):
        raise SystemExit(log.read_text("utf-8"))


# Searches


def search_of(name: str, folder: Path) -> dict[str, Any]:
    """Search on CIFAR-10 with the budget, and train the cell."""
    log, text = folder / "log.txt", METHODS[name].searched
    options: dict[str, Any] = {**SEARCHES, "strategy": text, "out": str(folder / "search")}
    if not strategies.parse(text).options.shares_weights:
        options["epochs"] = CANDIDATE_EPOCHS
    if not METHODS[name].spends:
        del options["budget"]
    before = _cpu_of_children()
    _finish(lambda: search(SearchConfig.create(options)), log)
    cpu = _cpu_of_children() - before
    architecture, out = folder / "search" / "architecture.json", folder / "transfer"
    training = {**TRANSFERS, "arch": str(architecture), "out": str(out)}
    _finish(lambda: transfer(TransferConfig.create(training)), log)
    summaries = (run / "summary.json" for run in (architecture.parent, out))
    found, trained = (json.loads(summary.read_text("utf-8")) for summary in summaries)
    kept = ("genotype", "epochs", "candidates", "search_samples", "parameter_free_share", "mult_adds")
    return {"strategy": text, "cpu_seconds": cpu, "top1": trained["top1"]} | {key: found[key] for key in kept}


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# The table


def table(found: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    cost, kill, searched = (found.get(part, {}) for part in PARTS)

    def column(rows: dict[str, Any], names: list[str], form: Callable[[dict[str, Any]], str]) -> list[str]:
        return [form(rows[name]) if name in rows else "" for name in names]

    measured = [name for name in METHODS if name in cost or name in kill]
    first = {
        "method": measured,
        "CPU ms an image": column(cost, measured, lambda row: f"{1000 * row['cpu_median']:.1f}"),
        "times darts": column(cost, measured, lambda row: f"{row['times_darts']:.2f}"),
        "peak MB": column(cost, measured, lambda row: f"{row['megabytes']:.0f}"),
        "killed after s": column(kill, measured, lambda row: ", ".join(map(str, row["after"]))),
        "resumed": column(kill, measured, lambda row: ", ".join(row["differing"]) or "equal"),
    }
    names = [name for name in METHODS if name in searched]
    second = {
        "method": names,
        "strategy": column(searched, names, lambda row: row["strategy"]),
        "epochs": column(searched, names, lambda row: str(row["epochs"])),
        "candidates": column(searched, names, lambda row: str(row["candidates"] or "")),
        "images with a gradient": column(searched, names, lambda row: f"{row['search_samples']:,}"),
        "CPU s": column(searched, names, lambda row: f"{row['cpu_seconds']:.0f}"),
        "parameter-free share": column(searched, names, lambda row: f"{row['parameter_free_share']:.2f}"),
        "top-1": column(searched, names, lambda row: f"{row['top1']:.1f}"),
        "normal cell": column(searched, names, lambda row: _cell(row["genotype"], "normal")),
        "reduction cell": column(searched, names, lambda row: _cell(row["genotype"], "reduce")),
    }
    return "\n".join(markdown(text_table(columns)) for columns in (first, second) if columns["method"])


def _cell(text: str, kind: str) -> str:
    nodes = Genotype.from_text(text).nodes(kind)
    return "; ".join(", ".join(f"{name} {state}" for name, state in pair) for pair in nodes)


PARTS: dict[str, dict[str, Any]] = {
    "costs": COSTS,
    "kills": {"kills": KILLS},
    "searches": {"search": SEARCHES, "candidate_epochs": CANDIDATE_EPOCHS, "transfer": TRANSFERS},
}
"""The parts with their settings."""

ONE_BY_ONE: dict[str, Callable[[str, Path], dict[str, Any]]] = {"kills": kills_of, "searches": search_of}


def main() -> None:
    """Measure what is missing, and write the table after each method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=PARTS, help="none: all")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--again", action="store_true", help="measure what has been measured, too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kept = RESULTS / "methods.json"
    found: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for part in asked.parts or PARTS:
        if found.get(f"{part}_setting") != json.loads(json.dumps(PARTS[part])):
            found[part], found[f"{part}_setting"] = {}, PARTS[part]
        missing = [name for name in asked.only if asked.again or name not in found[part]]
        if part == "costs" and missing:
            found[part] |= costs(asked.only)
            _write(found)
        for name in missing if part in ONE_BY_ONE else []:
            with tempfile.TemporaryDirectory() as folder:
                found[part][name] = ONE_BY_ONE[part](name, Path(folder))
            print(part, name, found[part][name], flush=True)
            _write(found)
    print(table(found))


def _write(found: dict[str, Any]) -> None:
    write_json(RESULTS / "methods.json", found | {"machine": machine()})
    write_text(RESULTS / "methods.md", table(found))


if __name__ == "__main__":
    main()
