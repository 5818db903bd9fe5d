"""One transfer: its run directory is opened, and what is unfinished in it is done."""

from __future__ import annotations

from nastransfer_nni.base.launch import world_size
from nastransfer_nni.tracking.run import Run, print_result
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
    run_directory = Run.open(
        "transfer",
        names=[config.arch.name, config.target.text, config.recipe.protocol, f"seed{config.seed}"],
        options=config.resolved(),
        out=config.out,
        overwrite=config.overwrite,
        non_identifying=NON_IDENTIFYING_OPTIONS,
    )
    with run_directory as run:
        if not run.was_complete or world_size() > 1:
            # torch and timm take seconds to import, which a finished transfer does not need
            from nastransfer_nni.transfer.training import run_training

            run.finished = run_training(config, run)
    return run
