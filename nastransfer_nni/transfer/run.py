"""One transfer: its run directory is opened, and what is unfinished in it is done."""

from __future__ import annotations

import sys
from typing import Any

from nastransfer_nni.base.imports import without_collection
from nastransfer_nni.base.launch import global_rank, world_size
from nastransfer_nni.tracking.run import Run, has_unfinished_0_1, print_result
from nastransfer_nni.transfer.config import NON_IDENTIFYING_OPTIONS, TransferConfig


def command(config: TransferConfig) -> None:
    """Train a network and print its summary."""
    print_result(transfer(config))


def transfer(config: TransferConfig) -> Run:
    """Train a network, or resume its training; a transfer that is complete is left as it is.

    Returns:
        The run, with its summary in `finished`; checkpoints, metrics, architecture.json and the drawn cells
        are in its folder.

    Raises:
        UserError: something that the user can fix.
    """
    before = config.of_version_0_1()
    if before is not None and not config.overwrite and has_unfinished_0_1("transfer", **_identity(before)):
        config = before
        if global_rank() == 0:
            print("resuming a run of version 0.1 with the recipe that it started with", file=sys.stderr)
    with Run.open("transfer", **_identity(config), overwrite=config.overwrite) as run:
        if not run.was_complete or world_size() > 1:
            # torch and timm take seconds to import, which a finished transfer does not need
            with without_collection():
                from nastransfer_nni.transfer.training import run_training

            run.finished = run_training(config, run)
    return run


def _identity(config: TransferConfig) -> dict[str, Any]:
    """The arguments of `Run.open` that say which run this is."""
    return {
        "names": [config.arch.name, config.target.text, config.recipe.protocol, f"seed{config.seed}"],
        "options": config.resolved(),
        "out": config.out,
        "non_identifying": NON_IDENTIFYING_OPTIONS,
        "defaults": TransferConfig.defaults(),
        "upgrade": TransferConfig.upgrade,
    }
