"""`python -m nastransfer_nni.transfer`: train the network of any exported cell on a target, from scratch."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.nni_engine.trial import trial_parameters
from nastransfer_nni.transfer.config import TransferConfig

COMMAND = cli.Command(
    summary="Train the network of an exported or published cell on a target.",
    config=TransferConfig,
    target="nastransfer_nni.transfer.run:command",
    positional=("arch",),
    examples=(
        "nastransfer list protocols   # what each protocol sets: the defaults of the options above",
        "python -m nastransfer_nni.transfer --arch runs/a/architecture.json    # on the bundled digits",
        "python -m nastransfer_nni.transfer --arch DARTS_V2 --target cifar10 --epochs 10 --width 16",
        "torchrun --nproc_per_node 8 -m nastransfer_nni.transfer --arch DARTS_V2 --target imagenet1k",
    ),
    overrides=trial_parameters,
    reads_file=True,
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.transfer", COMMAND)
