"""`python -m nastransfer_nni.architecture`: list, describe, draw, convert and export architectures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from nastransfer_nni import cli
from nastransfer_nni.architectures import Architecture, read
from nastransfer_nni.config import Config
from nastransfer_nni.errors import UserError
from nastransfer_nni.files import pretty, write_text
from search_spaces.geometry import geometries
from search_spaces.zoo import zoo

ARCH = "a file or the name of a published cell"


class ListConfig(Config):
    """Options of `architecture list`."""

    as_json: bool = Field(False, description="print JSON instead of a table")


class DescribeConfig(Config):
    """Options of `architecture describe`."""

    arch: str = Field(description=ARCH)
    width: int = Field(36, ge=1, description="channels of the first cell")
    layers: int = Field(20, ge=1, description="number of cells")
    num_classes: int = Field(10, ge=1, description="size of the output")
    image_size: int = Field(32, ge=1, description="height and width of the images, in pixels")
    stem: Literal["auto", "cifar", "imagenet"] = Field("auto", description="auto: cifar up to 64 px")
    auxiliary: bool = Field(False, description="count the auxiliary head's parameters too")

    @property
    def chosen_stem(self) -> str:
        """The stem, with `auto` resolved."""
        if self.stem != "auto":
            return self.stem
        return "cifar" if self.image_size <= 64 else "imagenet"

    @model_validator(mode="after")
    def _fits(self) -> DescribeConfig:
        geometries(self.width, self.layers, self.chosen_stem)
        return self


class DrawConfig(Config):
    """Options of `architecture draw`."""

    arch: str = Field(description=ARCH)
    out: str = Field(".", description="folder for cell_normal.svg and cell_reduce.svg")


class ConvertConfig(Config):
    """Options of `architecture convert`."""

    arch: str = Field(description=ARCH)
    form: Literal["architecture", "genotype", "sample", "text"] = Field(
        "architecture", description="architecture.json, bare genotype, NNI sample, or Genotype(...) text"
    )
    out: str | None = Field(None, description="file to write; None: print")


class EpochConfig(Config):
    """Options of `architecture epoch`."""

    run: str = Field(description="folder of a search")
    epoch: int = Field(ge=1, description="the epoch whose cell is exported, from 1")
    out: str | None = Field(None, description="file to write; None: print")


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
    architecture = read(config.arch)
    import torch

    from search_spaces.complexity import mult_adds, parameters
    from search_spaces.network import DartsNetwork

    with torch.device("meta"):
        network = DartsNetwork(
            architecture.genotype,
            config.width,
            config.layers,
            config.num_classes,
            config.chosen_stem,
            config.auxiliary,
        )
    value = {
        "name": architecture.name,
        "genotype": architecture.genotype.to_dict(),
        "width": config.width,
        "layers": config.layers,
        "num_classes": config.num_classes,
        "image_size": config.image_size,
        "stem": config.chosen_stem,
        "auxiliary": config.auxiliary,
        "parameters": parameters(network),
        "mult_adds": mult_adds(network, config.image_size),
        "parameter_free_share": architecture.genotype.parameter_free_share,
        "found_by": architecture.found_by or None,
    }
    print(pretty(value))


def draw(config: DrawConfig) -> None:
    """Draw both cells as SVG."""
    architecture = read(config.arch)
    from nastransfer_nni.drawing import save_cells

    folder = Path(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = save_cells(architecture.genotype, folder)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    print("\n".join(map(str, paths)))


def convert(config: ConvertConfig) -> None:
    """Print an architecture in another form."""
    architecture = read(config.arch)
    genotype = architecture.genotype
    if config.form == "text":
        text = str(genotype)
    else:
        values = {
            "architecture": architecture.to_dict,
            "genotype": genotype.to_dict,
            "sample": genotype.to_sample,
        }
        text = json.dumps(values[config.form](), indent=2)
    _deliver(text, config.out)


def epoch(config: EpochConfig) -> None:
    """Export the cell that a search stood at after an epoch."""
    record = Path(config.run) / "architectures.jsonl"
    if not record.is_file():
        raise UserError(f"{config.run} is not the folder of a search by gradient: it has no {record.name}")
    lines = record.read_text("utf-8").splitlines()
    if config.epoch > len(lines):
        raise UserError(f"--epoch {config.epoch}: {config.run} has epochs 1 to {len(lines)}")
    line = json.loads(lines[config.epoch - 1])
    from search_spaces import Genotype

    final = Path(config.run) / "architecture.json"
    found_by = read(str(final)).found_by if final.is_file() else {}
    found_by |= {"epoch": config.epoch, "search_score": line["validation_top1"], "source_top1": None}
    architecture = Architecture(Genotype.from_dict(line["genotype"]), record.parent.name, found_by)
    _deliver(pretty(architecture.to_dict()), config.out)


def _deliver(text: str, out: str | None) -> None:
    if out is None:
        print(text)
        return
    try:
        write_text(Path(out), text + "\n")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    print(out, file=sys.stderr)


def _command(
    summary: str, config: type[Config], function: str, positional: tuple[str, ...], *examples: str
) -> cli.Command:
    return cli.Command(summary, config, f"nastransfer_nni.architecture:{function}", positional, examples)


_RUN = "python -m nastransfer_nni.architecture"
COMMANDS: cli.Commands = {
    "list": _command("Print the published cells.", ListConfig, "list_cells", ()),
    "describe": _command(
        "Print the size of an architecture's final network, as JSON.",
        DescribeConfig,
        "describe",
        ("arch",),
        f"{_RUN} describe DARTS_V2 --width 48 --layers 14 --num-classes 1000 --image-size 224",
    ),
    "draw": _command(
        "Draw both cells as SVG.", DrawConfig, "draw", ("arch",), f"{_RUN} draw PC_DARTS_cifar --out cells"
    ),
    "convert": _command(
        "Print an architecture in another form.",
        ConvertConfig,
        "convert",
        ("arch",),
        f"{_RUN} convert GDAS_V1 --form text",
    ),
    "epoch": _command(
        "Export the cell that a search stood at after an epoch.",
        EpochConfig,
        "epoch",
        ("run",),
        f"{_RUN} epoch runs/a --epoch 12 --out epoch12.json",
    ),
}

if __name__ == "__main__":
    from nastransfer_nni.architecture import COMMANDS as ARCHITECTURE

    cli.main(_RUN, ARCHITECTURE)
