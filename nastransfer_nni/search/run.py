"""One search: its run directory is opened, and what is unfinished in it is done."""

from __future__ import annotations

import shlex
import sys

from nastransfer_nni.base.imports import without_collection
from nastransfer_nni.base.launch import world_size
from nastransfer_nni.search.config import NON_IDENTIFYING_OPTIONS, SearchConfig
from nastransfer_nni.tracking.run import Run, print_result
from search_spaces.errors import UserError
from search_spaces.registry import DEFAULT


def command(config: SearchConfig) -> None:
    """Run a search, and print its summary and what comes next."""
    run = search(config)
    print_result(run)
    if run.is_main:
        architecture = shlex.quote(str(run.path / "architecture.json"))
        print(f"next: python -m nastransfer_nni.transfer --arch {architecture}", file=sys.stderr)


def search(config: SearchConfig) -> Run:
    """Run a search, or resume it; one that is complete is left as it is.

    Returns:
        The run, with its summary in `finished`; architecture.json, the drawn cells and every epoch's cells
        are in its folder.

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
    space = [config.space.text] if config.space.text != DEFAULT else []
    run_directory = Run.open(
        "search",
        names=[strategy.name, *space, config.source.text, *proxy, f"seed{config.seed}"],
        options=config.model_dump(mode="json"),
        out=config.out,
        overwrite=config.overwrite,
        non_identifying=NON_IDENTIFYING_OPTIONS,
        defaults=SearchConfig.defaults(),
        upgrade=SearchConfig.upgrade,
    )
    with run_directory as run:
        if not run.was_complete or processes > 1:
            # torch and NNI take seconds to import, which a finished search does not need
            with without_collection():
                from nastransfer_nni.search.experiment import run_search

            run.finished = run_search(config, run)
    return run
