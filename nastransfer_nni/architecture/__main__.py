"""`python -m nastransfer_nni.architecture`: list, describe, draw, convert and export architectures."""

from __future__ import annotations

from nastransfer_nni.architecture.config import (
    ConvertConfig,
    DescribeConfig,
    DrawConfig,
    EpochConfig,
    ListConfig,
)
from nastransfer_nni.base import cli
from nastransfer_nni.base.config import Config


def _command(
    summary: str, config: type[Config], function: str, positional: tuple[str, ...], *examples: str
) -> cli.Command:
    return cli.Command(summary, config, f"nastransfer_nni.architecture.run:{function}", positional, examples)


_RUN = "python -m nastransfer_nni.architecture"
COMMANDS: cli.Commands = {
    "list": _command("Print the published cells.", ListConfig, "list_cells", ()),
    "describe": _command(
        "Print the size of an architecture's final network, as JSON.",
        DescribeConfig,
        "describe",
        ("arch",),
        f"{_RUN} describe DARTS_V2 --width 48 --layers 14 --num-classes 1000 --img-size 224",
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
        "Export the cell that a search would have returned after an epoch.",
        EpochConfig,
        "epoch",
        ("run",),
        f"{_RUN} epoch runs/a --epoch 12 --out epoch12.json",
    ),
}

if __name__ == "__main__":
    cli.main(_RUN, COMMANDS)
