"""A whole DARTS search on CIFAR-10 in float64, with the plain and with the fast cell: the same genotypes?

    NASTRANSFER_DATA=... python -m benchmarks.same_search                # ten minutes
    python -m benchmarks.same_search --order 2 --epochs 2 --images 256

Both searches start from one seed and see the same augmented images. After every epoch the genotypes are
compared, with the largest distance of an alpha, and in the end of a weight. Writes
benchmarks/results/same_search.json; exit code 1 where a genotype differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import strategies
from benchmarks.fresh import machine
from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.base.files import write_json
from nastransfer_nni.proxy.choose import resolve
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import make_batches
from search_spaces import DartsSpace, Genotype
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.interfaces import SearchContext, Tables
from strategies.supernet import Schedule, SupernetEvaluator

RESULTS = Path(__file__).parent / "results"


@dataclass
class Doubled:
    """Batches in float64."""

    content: Any

    @property
    def samples(self) -> int:
        return int(self.content.samples)

    def set_epoch(self, epoch: int) -> None:
        self.content.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.content)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return ((images.double(), labels) for images, labels in self.content)


class Epochs:
    """Keeps every epoch's genotype and mixture."""

    def __init__(self) -> None:
        self.genotypes: list[Genotype] = []
        self.mixtures: list[Tables] = []

    def expect(self, total: int) -> None: ...

    def log(self, split: str, step: int, epoch: int, **values: float) -> None: ...

    def advance(self, epoch: int, done: int, total: int) -> None: ...

    def record(self, epoch: int, genotype: Genotype, mixture: Tables, top1: float) -> None:
        print(f"  epoch {epoch}: top1 {top1:.2f}", flush=True)
        self.genotypes.append(genotype)
        self.mixtures.append({kind: torch.as_tensor(table).clone() for kind, table in mixture.items()})


def search(cell: str, order: int, config: SearchConfig) -> tuple[Epochs, dict[str, torch.Tensor], float]:
    """A whole search in float64; its epochs, its weights in the end, and the seconds it took."""
    torch.manual_seed(config.seed)
    images, _ = resolve(config.proxy, config.source, config.proxy_seed)
    batches = make_batches(images, config, DistributedContext())
    parts = (batches.weights, batches.alphas, batches.validation)
    epochs, schedule = Epochs(), Schedule(epochs=config.epochs)
    evaluator = SupernetEvaluator(
        *map(Doubled, parts), schedule, epochs, context=SearchContext(seed=config.seed)
    )
    strategy: Any = strategies.create("darts", cell=cell, order=order)
    space = DartsSpace(config.width, config.layers, len(images.classes))
    began = time.perf_counter()
    strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
    return epochs, strategy.supernet.state_dict(), time.perf_counter() - began


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest distance of two values."""
    return max(float((value.double() - other[name].double()).abs().max()) for name, value in one.items())


def main() -> None:
    """Search twice and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--order", type=int, choices=(1, 2), default=1)
    options = parser.parse_args()
    config = SearchConfig(
        source="cifar10",
        proxy=f"images:{options.images}",
        epochs=options.epochs,
        width=options.width,
        layers=options.layers,
        batch_size=options.batch,
    )
    torch.set_default_dtype(torch.float64)
    found = {}
    for cell in ("fast", "plain"):
        print(f"{cell} cell", flush=True)
        found[cell] = search(cell, options.order, config)
    (fast, fast_weights, fast_seconds), (plain, plain_weights, plain_seconds) = found["fast"], found["plain"]
    rows = [
        {"epoch": epoch, "same_genotype": ours == theirs, "largest_distance_of_a_mixture": distance(*tables)}
        for epoch, (ours, theirs, *tables) in enumerate(
            zip(fast.genotypes, plain.genotypes, fast.mixtures, plain.mixtures, strict=True)
        )
    ]
    for row in rows:
        print(row)
    apart = distance(fast_weights, plain_weights)
    print(f"weights in the end at most {apart:.1e} apart; {fast_seconds:.0f} s and {plain_seconds:.0f} s")
    content = {
        "options": vars(options),
        "machine": machine(),
        "epochs": rows,
        "largest_distance_of_a_weight": apart,
        "seconds": {"fast": fast_seconds, "plain": plain_seconds},
        "genotype": fast.genotypes[-1].to_dict(),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "same_search.json", content)
    sys.exit(not all(row["same_genotype"] for row in rows))


if __name__ == "__main__":
    main()
