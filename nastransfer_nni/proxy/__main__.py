"""`python -m nastransfer_nni.proxy make|show|export|diff`: select, inspect, export and compare proxy sets."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.proxy.config import DiffConfig, ExportConfig, MakeFlags, ShowConfig

_RUN = "nastransfer_nni.proxy.run"
_PROGRAM = "python -m nastransfer_nni.proxy"

COMMANDS: cli.Commands = {
    "make": cli.Command(
        "select a proxy set and write its manifest",
        MakeFlags,
        f"{_RUN}:make",
        examples=(
            f"{_PROGRAM} make --source imagenet1k --kind classes --num-classes 100 --seed 0 --out in100.json",
            f"{_PROGRAM} make --source cifar10 --kind images --like in5.json --out same_size.json",
            f"{_PROGRAM} make --source cifar10 --kind entropy-p1 --amount 0.1 --out hard.json",
            f"{_PROGRAM} make --source cifar10 --kind indices --file chosen.npy --out chosen.json",
            f"{_PROGRAM} make --source flowers102 --kind classes:10+resolution:64 --out small.json",
        ),
    ),
    "show": cli.Command(
        "print a proxy set's counts and class balance, and draw its images",
        ShowConfig,
        f"{_RUN}:show",
        positional=("proxy",),
        examples=(
            f"{_PROGRAM} show in100.json",
            f"{_PROGRAM} show classes:5 --source cifar10 --picture p.png",
        ),
    ),
    "export": cli.Command(
        "write the positions or keys of a proxy set's images for other tools",
        ExportConfig,
        f"{_RUN}:export",
        positional=("proxy",),
        examples=(
            f"{_PROGRAM} export in100.json --out in100.npy",
            f"{_PROGRAM} export hard:0.1 --source cifar10 --content keys --out hard.txt",
        ),
    ),
    "diff": cli.Command(
        "print what two proxy sets have in common and where they differ",
        DiffConfig,
        f"{_RUN}:diff",
        positional=("first", "second"),
        examples=(f"{_PROGRAM} diff a.json b.json",),
    ),
}

if __name__ == "__main__":
    cli.main(_PROGRAM, COMMANDS)
