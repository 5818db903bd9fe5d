"""One search: its run directory is opened, and what is unfinished in it is done."""

from __future__ import annotations

from typing import Any

import strategies
from nastransfer_nni.base.files import pretty
from nastransfer_nni.base.launch import world_size
from nastransfer_nni.search.config import ASIDE, SearchConfig
from nastransfer_nni.tracking.directory import Run
from search_spaces.errors import UserError


def search(config: SearchConfig) -> dict[str, Any]:
    """Run a search, or go on with it, or show what it came to.

    Returns:
        The run's summary; architecture.json, the drawn cells and every epoch's cells lie in its folder.

    Raises:
        UserError: something that the user can mend.
    """
    name, options = strategies.parse(config.strategy)
    processes = world_size()
    if processes > 1 and not options.shares_weights():
        raise UserError(
            f"{name} trains candidates one by one, so leave torchrun out; --workers N trains N at a time"
        )
    if config.batch_size % processes:
        raise UserError(f"--batch-size {config.batch_size} cannot be shared evenly by {processes} processes")
    names = [name, config.source, *([config.proxy] if config.proxy != "all" else []), f"seed{config.seed}"]
    with Run.open("search", names, config, config.out, config.overwrite, ASIDE) as run:
        was_complete = run.finished is not None
        if not was_complete or processes > 1:
            from nastransfer_nni.search.experiment import run_search

            run.finished = run_search(config, run, name, options)
        summary = run.finished or {}
        if was_complete:
            from nastransfer_nni.nni_engine.trial import report_finished

            print(f"{run.path} is complete; its summary:")
            report_finished(summary)
        if run.is_main:
            print(pretty(summary))
        return summary
