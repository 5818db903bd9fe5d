"""`python -m nastransfer_nni.search`: find a cell on a source and export it as architecture.json."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.nni_engine.trial import trial_parameters
from nastransfer_nni.search.config import SearchConfig

COMMAND = cli.Command(
    summary="Search a cell on a source and export it.",
    config=SearchConfig,
    target="nastransfer_nni.search.run:command",
    examples=(
        "python -m nastransfer_nni.search --epochs 10 --width 8 --layers 5   # on the bundled digits",
        "python -m nastransfer_nni.search --source cifar10 --strategy darts --seed 0 --out runs/a",
        "python -m nastransfer_nni.search --strategy evolution:candidates=200 --concurrency 4 --epochs 5",
        "torchrun --nproc_per_node 8 -m nastransfer_nni.search --source imagenet1k --proxy classes:100",
    ),
    overrides=trial_parameters,
    reads_file=True,
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.search", COMMAND)
