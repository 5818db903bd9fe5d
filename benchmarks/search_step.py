"""Seconds and memory of a search step: NNI's stock DARTS, the authors' code, the plain cell, the fast cell.

    python -m benchmarks.search_step                                       # both orders, 40 minutes
    python -m benchmarks.search_step --orders 1 --variants nni fast --name mine
    python -m benchmarks.search_step --orders 1 --variants "plain, partial" "fast, partial" --name partial
    python -m benchmarks.search_step --original ~/darts/cnn --variants original fast --name original

A step is an update of the alphas and one of the weights, at 32 px. Every measurement is a process of its own
that warms up with a step, and the variants take turns. Memory is the peak above what the process held before
its first step. Writes benchmarks/results/search_step.json.

NNI's is the supernet that `nni.nas.strategy.DARTS` makes of `nni.nas.hub.pytorch.DARTS`, taken through the
two updates of that strategy without Lightning around them; it has no second order. The authors' code is
quark0/darts as it is; on a CPU its calls of `.cuda()` do nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.fresh import Sample, alternate, figures, machine, ratio, repeated

RESULTS = Path(__file__).parent / "results"
PIXELS = 32
SECOND_ORDER = ("original", "plain", "fast", "fast, recompute")
DEFAULT = ("nni", "plain", "fast", "fast, recompute")
PARTIAL = ("plain, partial", "fast, partial")
VARIANTS = ("nni", *SECOND_ORDER, *PARTIAL, "fast, without compiler", "fast, without compiler, bf16")
"""partial: one channel in four is processed, as in PC-DARTS; bf16: under autocast, which is not exact."""


class Setting(NamedTuple):
    """What is measured."""

    variant: str
    width: int
    layers: int
    batch: int
    order: int
    repeats: int
    device: str = "cpu"


def measure(setting: Setting, original: Path | None = None) -> Sample:
    """Time one variant, in this process; `original` is the directory `cnn` of the authors' code."""
    if setting.variant == "original":
        assert original is not None
        return repeated(original_step(original, setting), setting.repeats)
    step = nni_step(setting) if setting.variant == "nni" else our_step(setting)
    return repeated(step, setting.repeats)


def _batches(setting: Setting) -> list[tuple[Any, Any]]:
    import torch

    torch.manual_seed(0)
    return [
        (
            torch.randn(setting.batch, 3, PIXELS, PIXELS).to(setting.device),
            torch.randint(10, (setting.batch,)).to(setting.device),
        )
        for _ in range(2)
    ]


def our_step(setting: Setting) -> Callable[[], None]:
    """A step of our DARTS on a supernet as a search makes it.

    Details of a variant: recompute, partial, without compiler, bf16, channels first, graphs.
    """
    import torch

    import strategies
    from search_spaces import DartsSpace
    from search_spaces.cells.compiled import kernels
    from search_spaces.nni_api import RawFormatModelSpace
    from strategies.compute import Compute
    from strategies.graphs import graphs_on
    from strategies.supernet import Schedule, SupernetEvaluator

    cell, *details = setting.variant.split(", ")
    if "without compiler" in details:
        kernels.library = lambda: None  # type: ignore[assignment]
    training, validation = _batches(setting)
    device = torch.device(setting.device)
    compute = Compute(
        channels_last="channels first" not in details,
        amp="bf16" in details,
        graphs=graphs_on(device) if "graphs" in details else None,
    )
    evaluator = SupernetEvaluator([], [], [], Schedule(), device=device, compute=compute)  # type: ignore[arg-type]
    strategy: Any = strategies.create(
        "darts",
        cell=cell,
        order=setting.order,
        recompute="recompute" in details,
        partial_channels=4 if "partial" in details else 1,
    )
    space = DartsSpace(setting.width, setting.layers, 10)
    strategy._mutated_model_space = RawFormatModelSpace(strategy.mutate_model(space), evaluator)
    strategy.evaluator = evaluator
    strategy.supernet.to(setting.device)
    strategy.setup()
    strategy.renew_optimizer(evaluator.schedule.epochs)

    alpha_grads, training_step = strategy.graphed(
        {"the step of the alphas": strategy.alpha_grads, "the step of the weights": strategy.training_step}
    )

    def step() -> None:
        with compute.autocast(device):
            strategy.step_alphas(alpha_grads(training, validation))
            training_step(training)

    return step


def nni_step(setting: Setting) -> Callable[[], None]:
    """The two updates of NNI's stock strategy on its own space."""
    import torch
    from torch.nn.functional import cross_entropy

    warnings.simplefilter("ignore")
    from nni.nas.hub.pytorch import DARTS as Hub
    from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
    from nni.nas.strategy import DARTS

    training, validation = _batches(setting)
    supernet = DARTS().mutate_model(Hub(width=setting.width, num_cells=setting.layers, dataset="cifar"))
    supernet.to(setting.device)
    alphas = {
        alpha
        for module in supernet.modules()
        if isinstance(module, BaseSuperNetModule) and hasattr(module, "arch_parameters")
        for alpha in module.arch_parameters()
    }
    weights = [weight for weight in supernet.parameters() if weight not in alphas]
    alpha_optimizer = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    optimizer = torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4)

    def step() -> None:
        alpha_optimizer.zero_grad()
        cross_entropy(supernet(validation[0]), validation[1]).backward()
        alpha_optimizer.step()
        optimizer.zero_grad()
        cross_entropy(supernet(training[0]), training[1]).backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()

    return step


def original_step(folder: Path, setting: Setting) -> Callable[[], None]:
    """A step of the authors' code, of which `folder` is the directory `cnn`."""
    import torch

    sys.path.insert(0, str(folder))
    warnings.simplefilter("ignore")
    from architect import Architect  # type: ignore[import-not-found]
    from model_search import Network  # type: ignore[import-not-found]

    if setting.device == "cpu":  # the code moves all to a GPU
        torch.Tensor.cuda = torch.nn.Module.cuda = lambda self: self  # type: ignore[assignment,method-assign]
    training, validation = _batches(setting)
    criterion = torch.nn.CrossEntropyLoss().to(setting.device)
    model = Network(setting.width, 10, setting.layers, criterion).to(setting.device)
    optimizer = torch.optim.SGD(model.parameters(), 0.025, 0.9, weight_decay=3e-4)
    options = argparse.Namespace(
        momentum=0.9, weight_decay=3e-4, arch_learning_rate=3e-4, arch_weight_decay=1e-3
    )
    architect = Architect(model, options)

    def step() -> None:
        architect.step(*training, *validation, 0.025, optimizer, unrolled=setting.order == 2)
        optimizer.zero_grad()
        criterion(model(training[0]), training[1]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


BASES = ("nni", "original", "plain")
"""What the others are compared with, if it is measured beside them."""


def options() -> argparse.Namespace:
    """What the command says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[16])
    parser.add_argument("--layers", type=int, nargs="+", default=[8])
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--orders", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=DEFAULT)
    parser.add_argument("--original", type=Path, help="directory cnn of the authors' code, to measure it")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each variant")
    parser.add_argument("--repeats", type=int, default=1, help="timed steps of a process")
    parser.add_argument("--name", default="search_step", help="of the files under benchmarks/results")
    given = parser.parse_args()
    if "original" in given.variants and given.original is None:
        parser.error("the variant original needs the authors' code: --original DIR")
    return given


def measured(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row of figures for every variant of every setting, with how many times faster it is than others."""
    for size in itertools.product(given.widths, given.layers, given.batches, given.orders):
        settings = [
            Setting(variant, *size, given.repeats)
            for variant in given.variants
            if size[-1] == 1 or variant in (*SECOND_ORDER, *PARTIAL)
        ]
        preload = ["torch", "strategies.darts.search"]
        samples = alternate(partial(measure, original=given.original), settings, given.rounds, preload)
        by_variant = {setting.variant: taken for setting, taken in samples.items()}
        for setting, taken in samples.items():
            row = setting._asdict() | figures(taken)
            for base in BASES:
                other = PARTIAL[0] if base == "plain" and setting.variant in PARTIAL else base
                if other in by_variant:
                    row[f"faster_than_{base}"] = ratio(taken, by_variant[other])
            yield row | {"samples": [asdict(sample) for sample in taken]}


def cells(row: dict[str, Any]) -> list[str]:
    """The row of the table that is printed."""
    size = [str(row[key]) for key in ("width", "layers", "batch", "order", "variant")]
    numbers = [f"{row[key]:.2f}" for key in ("median", "min", "max", "cpu_median")]
    ratios = [row.get(f"faster_than_{base}") for base in BASES]
    versus = [f"{one['median']:.2f} ({one['min']:.2f}-{one['max']:.2f})" if one else "" for one in ratios]
    return [*size, *numbers, f"{row['megabytes']:.0f}", *versus]


def main() -> None:
    """Measure, print a table, write JSON."""
    from nastransfer_nni.base.files import write_json

    given, before = options(), machine()
    table = Table("width", "layers", "batch", "order", "cell", "s (median)", "min", "max", "CPU s", "peak MB")
    for base in BASES:
        table.add_column(f"times as fast as {base}")
    rows: list[dict[str, Any]] = []
    for row in measured(given):
        rows.append(row)
        table.add_row(*cells(row))
        print(*cells(row), flush=True)
    Console(width=170).print(table)

    RESULTS.mkdir(exist_ok=True)
    content = {"before": before, "after": machine(), "rows": rows}
    write_json(RESULTS / f"{given.name}.json", content)


if __name__ == "__main__":
    main()
