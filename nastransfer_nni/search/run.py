"""One search: its run directory is opened, and what is unfinished in it is done."""

from __future__ import annotations

from typing import Any

from nastransfer_nni.base.files import pretty
from nastransfer_nni.base.launch import world_size
from nastransfer_nni.nni_engine.trial import report_finished
from nastransfer_nni.search.config import NON_IDENTIFYING_OPTIONS, SearchConfig
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError


def search(config: SearchConfig) -> dict[str, Any]:
    """Run a search, resume it, or show the result of one that is complete.

    Returns:
        The run's summary; architecture.json, the drawn cells and every epoch's cells are in its folder.

    Raises:
        UserError: something that the user can fix.
    """
    strategy, processes = config.strategy, world_size()
    if processes > 1 and not strategy.options.shares_weights:
        raise UserError(
            f"{strategy.name} trains candidates one by one, so leave torchrun out; --concurrency N trains N "
            "at a time"
        )
    if config.batch_size % processes:
        raise UserError(f"--batch-size {config.batch_size} cannot be shared evenly by {processes} processes")
    proxy = [config.proxy.text] if config.proxy.text != "all" else []
    run_directory = Run.open(
        "search",
        names=[strategy.name, config.source.text, *proxy, f"seed{config.seed}"],
        options=config.model_dump(mode="json"),
        out=config.out,
        overwrite=config.overwrite,
        non_identifying=NON_IDENTIFYING_OPTIONS,
        upgrade=SearchConfig.upgrade,
    )
    with run_directory as run:
        was_complete = run.finished is not None
        if not was_complete or processes > 1:
            # torch and NNI take seconds to import, which a finished search does not need
            from nastransfer_nni.search.experiment import run_search

            run.finished = run_search(config, run)
        summary = run.finished or {}
        if was_complete:
            print(f"{run.path} is complete; its summary:")
            report_finished(summary)
        if run.is_main:
            print(pretty(summary))
        return summary
