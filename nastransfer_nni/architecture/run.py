"""What the architecture commands do: list, describe, draw, convert and export architectures."""

from __future__ import annotations

import json
import sys

from nastransfer_nni.architecture.config import (
    ConvertConfig,
    DescribeConfig,
    DrawConfig,
    EpochConfig,
    ListConfig,
)
from nastransfer_nni.architecture.drawing import save_cells
from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.files import pretty, write_text
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.base.reading import read_records
from nastransfer_nni.latency.table import NANOSECONDS
from search_spaces import registry
from search_spaces.errors import UserError
from search_spaces.zoo import zoo


def list_cells(config: ListConfig) -> None:
    """Print the published cells."""
    cells = [
        {
            "name": cell.name,
            "cifar10_error": cell.published.get("cifar10_error"),
            "imagenet_error": cell.published.get("imagenet_top1_error"),
            "parameter_free_share": cell.genotype.parameter_free_share,
            "source": cell.source,
        }
        for cell in zoo().values()
    ]
    if config.as_json:
        print(pretty(cells))
        return
    print(f"{'name':<23}{'CIFAR-10':>9}{'ImageNet':>9}{'param-free':>11}  source (errors in percent)")
    for cell in cells:
        errors = "".join(f"{cell[key] or '-':>9}" for key in ("cifar10_error", "imagenet_error"))
        print(f"{cell['name']:<23}{errors}{cell['parameter_free_share']:>11.0%}  {cell['source']}")


def describe(config: DescribeConfig) -> None:
    """Print the size of an architecture's final network, as JSON."""
    architecture = config.arch
    import torch  # takes seconds, which the other architecture commands do not need

    from search_spaces.sizes import mult_adds, parameters

    with torch.device("meta"):
        network = architecture.space.build(
            architecture.genotype,
            is_plain=True,
            width=config.width,
            layers=config.layers,
            num_classes=config.num_classes,
            stem=config.chosen_stem,
            auxiliary=config.auxiliary,
        )
    value = {
        "name": architecture.name,
        "space": architecture.space.text,
        "genotype": architecture.genotype.to_dict(),
        "width": config.width,
        "layers": config.layers,
        "num_classes": config.num_classes,
        "img_size": config.img_size,
        "stem": config.chosen_stem,
        "auxiliary": config.auxiliary,
        "parameters": parameters(network),
        "mult_adds": mult_adds(network, config.img_size),
        **_latency(config),
        "parameter_free_share": architecture.genotype.parameter_free_share,
        "found_by": architecture.found_by or None,
    }
    print(pretty(value))


def _latency(config: DescribeConfig) -> dict[str, float]:
    """The latency by the table of the options; empty without one."""
    if config.latency_table is None:
        return {}
    space = config.arch.space
    costs = config.latency_table.costs(
        space, config.width, config.layers, config.num_classes, config.chosen_stem, config.img_size
    )
    return {"latency_ms": costs(config.arch.genotype) / NANOSECONDS}


def draw(config: DrawConfig) -> None:
    """Draw the cells as SVG."""
    folder = expanded(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = save_cells(config.arch.genotype, folder)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    print("\n".join(map(str, paths)))


def convert(config: ConvertConfig) -> None:
    """Print an architecture in another form."""
    genotype = config.arch.genotype
    if config.form == "text":
        text = str(genotype)
    else:
        values = {
            "architecture": config.arch.to_dict,
            "genotype": genotype.to_dict,
            "sample": genotype.to_sample,
        }
        text = json.dumps(values[config.form](), indent=2)
    _deliver(text, config.out)


def epoch(config: EpochConfig) -> None:
    """Export the cell that a search would have returned after an epoch."""
    folder = expanded(config.run)
    record = folder / "architectures.jsonl"
    if not record.is_file():
        raise UserError(f"{config.run} is not the folder of a search by gradient: it has no {record.name}")
    lines = read_records(record)
    if config.epoch > len(lines):
        raise UserError(f"--epoch {config.epoch}: {config.run} has epochs 1 to {len(lines)}")
    line = lines[config.epoch - 1]
    if not isinstance(line.get("genotype"), dict):
        raise UserError(f"{record}, line {config.epoch} is damaged: it has no genotype")
    final = folder / "architecture.json"
    genotype = registry.genotype_of_dict(line["genotype"])
    last = read(str(final)) if final.is_file() else Architecture(genotype, record.parent.name)
    changed = {"epoch": config.epoch, "search_score": line.get("validation_top1"), "source_top1": None}
    found_by = {**last.found_by, **changed}
    architecture = Architecture(genotype, record.parent.name, found_by, space=last.space)
    _deliver(pretty(architecture.to_dict()), config.out)


def _deliver(text: str, out: str | None) -> None:
    if out is None:
        print(text)
        return
    try:
        write_text(expanded(out), text + "\n")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    print(out, file=sys.stderr)
