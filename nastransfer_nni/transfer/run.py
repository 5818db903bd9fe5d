"""One transfer: its run directory is opened, and what is unfinished in it is done."""

from __future__ import annotations

from typing import Any

from nastransfer_nni.base.files import pretty
from nastransfer_nni.base.launch import world_size
from nastransfer_nni.nni_engine.trial import report_finished
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.transfer.config import NON_IDENTIFYING_OPTIONS, TransferConfig


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Train a network, resume its training, or show the result of a transfer that is complete.

    Returns:
        The run's summary; checkpoints, metrics, architecture.json and the drawn cells are in its folder.

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
        was_complete = run.finished is not None
        if not was_complete or world_size() > 1:
            # torch and timm take seconds to import, which a finished transfer does not need
            from nastransfer_nni.transfer.training import run_training

            run.finished = run_training(config, run)
        summary = run.finished or {}
        if was_complete:
            print(f"{run.path} is complete; its summary:")
            report_finished(summary)
        if run.is_main:
            print(pretty(summary))
        return summary
