"""Images per second of the final network: eager and optimised, NNI's hub network, timm models of its size.

    python -m benchmarks.final_network                       # minutes, most of them torch.compile's
    python -m benchmarks.final_network --width 36 --layers 20 --batch 96
    python -m benchmarks.final_network --tasks training --variants "ours, channels last, loops" --name loops

The cell is DARTS_V2, at 32 px. Training is forward, loss, backward and a step of SGD; inference is without
gradients. The timm models take images of the size at which their mult_adds are closest to ours. Every
measurement is a process of its own, and the variants take turns. Also says how far the variants' outputs
lie from the hub network's under the same weights. Writes benchmarks/results/final_network.json and a plot.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.fresh import Sample, alternate, figures, machine, ratio, repeated

RESULTS = Path(__file__).parent / "results"
PIXELS = 32
HUB = "NNI's hub, frozen"
LOOPS = "ours, channels last, loops"
OURS = ("ours", "ours, channels last", LOOPS, "ours, channels last, compiled")
TIMM = ("mobilenetv2_100", "resnet10t")
TASKS = ("training", "inference")


class Setting(NamedTuple):
    """What is measured."""

    variant: str
    task: str
    width: int
    layers: int
    batch: int
    repeats: int


def network(variant: str, width: int, layers: int) -> Any:
    """The network of a variant, with the same weights where it is the DARTS_V2 cell."""
    import torch

    from search_spaces import DartsNetwork, Genotype
    from search_spaces.genotype import KINDS
    from search_spaces.zoo import zoo

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    if variant in TIMM:
        import timm

        return timm.create_model(variant, num_classes=10)
    genotype = zoo()["DARTS_V2"].genotype
    ours = DartsNetwork(genotype, width, layers, 10)
    if variant != HUB:
        return ours
    from nni.nas.hub.pytorch import DARTS

    # Both networks lay out a node's edges in the order they are given in: give the canonical one.
    edges = {kind: tuple(edge for node in genotype.nodes(kind) for edge in node) for kind in KINDS}
    sample = Genotype(edges["normal"], edges["reduce"]).to_sample()
    hub = DARTS(width=width, num_cells=layers, dataset="cifar").freeze(sample)
    values = dict(zip(hub.state_dict(), ours.state_dict().values(), strict=True))
    hub.load_state_dict(values)
    return hub


def image_size(variant: str, width: int, layers: int) -> int:
    """32 px, or for a timm model the multiple of 32 at which its mult_adds are closest to ours at 32 px."""
    from search_spaces.sizes import mult_adds

    if variant not in TIMM:
        return PIXELS
    target, model = mult_adds(network("ours", width, layers), PIXELS), network(variant, width, layers)
    return min(range(32, 257, 32), key=lambda size: abs(mult_adds(model, size) - target))


def measure(setting: Setting) -> Sample:
    """Time one variant, in this process."""
    import torch

    size = image_size(setting.variant, setting.width, setting.layers)
    model = network(setting.variant, setting.width, setting.layers)
    images, labels = torch.randn(setting.batch, 3, size, size), torch.randint(10, (setting.batch,))
    if "channels last" in setting.variant:
        model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if setting.variant == LOOPS:
        from search_spaces.separable import use_loops

        use_loops(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.025, 0.9)
    run: Callable[..., Any] = torch.compile(model) if "compiled" in setting.variant else model

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(run(images), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def infer() -> None:
        run(images)

    model.train(setting.task == "training")
    return repeated(train if setting.task == "training" else infer, setting.repeats)


def differences(variants: tuple[str, ...], width: int, layers: int) -> dict[str, float]:
    """Largest distance of an output from the hub network's, over the largest output, in evaluation mode."""
    import torch

    images = torch.randn(4, 3, PIXELS, PIXELS)
    result = {}
    with torch.no_grad():
        expected = network(HUB, width, layers).eval()(images)
        for variant in (variant for variant in OURS if variant in variants):
            model, given = network(variant, width, layers).eval(), images
            if "channels last" in variant:
                model.to(memory_format=torch.channels_last)
                given = images.contiguous(memory_format=torch.channels_last)
            out = torch.compile(model)(given) if "compiled" in variant else model(given)
            result[variant] = float((out - expected).abs().max() / expected.abs().max())
    return result


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Images per second of every variant."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained", sharey=True)
    for axes, task in zip(panels, TASKS, strict=True):
        chosen = [row for row in rows if row["task"] == task]
        axes.barh([row["variant"] for row in chosen], [row["images_per_second"] for row in chosen])
        axes.set(xlabel="images per second", title=task)
    panels[0].invert_yaxis()  # of both
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print a table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3, help="processes for each variant")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of a process")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--variants", nargs="+", choices=(*OURS, *TIMM), default=(*OURS, *TIMM))
    parser.add_argument("--name", default="final_network", help="of the files under benchmarks/results")
    options = parser.parse_args()
    from nastransfer_nni.base.files import write_json
    from search_spaces.sizes import mult_adds

    variants, before = (HUB, *options.variants), machine()
    sizes = {variant: image_size(variant, options.width, options.layers) for variant in variants}
    work = {
        variant: mult_adds(network(variant, options.width, options.layers), size)
        for variant, size in sizes.items()
    }
    rows: list[dict[str, Any]] = []
    table = Table("task", "network", "px", "mult_adds (M)", "images/s", "s (median)", "min", "max", "vs hub")
    table.add_column("CPU time vs hub")
    for task in options.tasks:
        settings = [
            Setting(variant, task, options.width, options.layers, options.batch, options.repeats)
            for variant in variants
        ]
        samples = alternate(measure, settings, options.rounds, ["torch", "search_spaces.separable"])
        for setting, taken in samples.items():
            row = setting._asdict() | figures(taken)
            row |= {"pixels": sizes[setting.variant], "mult_adds": work[setting.variant]}
            row["images_per_second"] = options.batch / row["median"]
            row["faster_than_hub"] = ratio(taken, samples[settings[0]])
            rows.append(row | {"samples": [asdict(sample) for sample in taken]})
            table.add_row(
                task,
                setting.variant,
                str(row["pixels"]),
                f"{row['mult_adds'] / 1e6:.1f}",
                f"{row['images_per_second']:.0f}",
                *(f"{row[key]:.3f}" for key in ("median", "min", "max")),
                "{median:.2f} ({min:.2f}-{max:.2f})".format(**row["faster_than_hub"]),
                "{cpu_median:.2f}".format(**row["faster_than_hub"]),
            )
    Console(width=140).print(table)
    distances = differences(variants, options.width, options.layers)
    print("relative distance from the hub network's outputs:", distances)
    RESULTS.mkdir(exist_ok=True)
    content = {"before": before, "after": machine(), "rows": rows, "output_difference": distances}
    write_json(RESULTS / f"{options.name}.json", content)
    plot(rows, RESULTS / f"{options.name}.png")


if __name__ == "__main__":
    main()
