"""The work behind the `search` command: data, NNI experiment, records, exported architecture."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nastransfer_nni.architecture import drawing
from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base import files, provenance, torch_io
from nastransfer_nni.base.distributed import (
    DistributedContext,
    StopFlag,
    distributed_context,
    pick_device,
)
from nastransfer_nni.base.tf32 import tf32
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load, opened_once
from nastransfer_nni.nni_engine.experiments import InProcessExperiment, ServiceExperiment
from nastransfer_nni.proxy.choose import SPLIT, resolve
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.manifest import write as write_manifest
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import image_size, make_batches, split_images
from nastransfer_nni.search.final_sizes import FinalSizes
from nastransfer_nni.search.introduction import introduction
from nastransfer_nni.search.recorder import SearchRecorder
from nastransfer_nni.tracking import services
from nastransfer_nni.tracking.journal import FileJournal
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.tracker import Tracker
from search_spaces.errors import UserError
from search_spaces.model_space import CellSpace
from search_spaces.nni_api import Strategy
from strategies import with_options
from strategies.budget import Budget, Cost
from strategies.compute import Compute
from strategies.graphs import graphs_on
from strategies.interfaces import SearchContext
from strategies.multitrial import CandidateEvaluator
from strategies.projection import require_reachable
from strategies.result import SearchResult
from strategies.scores.options import ScoreOptions
from strategies.supernet import Schedule, SupernetEvaluator

STATE_FILE = "search.pt"
JOURNAL_FILE = "candidates.jsonl"
PARETO_FOLDER = "front"
CERTAIN_SHARE = 0.9
"""Share of a proxy's estimated size that it surely has: the estimate counts classes as equally large."""


def run_search(config: SearchConfig, run: Run) -> dict[str, Any]:
    """Run the search of `config` in the open directory `run`.

    Returns:
        The run's summary in the main process; an empty dict in the others.
    """
    with tf32(config.tf32), distributed_context(pick_device(config.device)) as processes:
        if processes.any(run.finished is not None):
            return run.finished or {}
        return _search(config, run, processes)


def _search(config: SearchConfig, run: Run, processes: DistributedContext) -> dict[str, Any]:
    with opened_once():
        _refuse_before_scoring(config)
        with processes.main_process_first():  # scores and features are computed once
            images, manifest = resolve(config.proxy, config.source, config.proxy_seed)
        if run.is_main:
            write_manifest(manifest, images, run.path / "proxy.json")
        torch.manual_seed(config.seed)
        size, classes = image_size(images, config), len(images.classes)
        space = config.space.model_space(config.width, config.layers, classes, config.stem_for(size))
        strategy = config.strategy.create()
        sizes = FinalSizes.of(config, images.source, size, classes)
    scorers = manifest.scorer_cost
    budget = config.budget and config.budget.after(scorers or Cost())
    if budget and budget.counts_scorers and scorers is None and run.is_main:
        print("note: the scores of the proxy do not say what they took; it does not count", file=sys.stderr)
    context = replace(
        _context(config, sizes),
        budget=budget,
        journal=FileJournal(run.path / JOURNAL_FILE, is_written=run.is_main),
    )
    _refuse_too_few_epochs(config, budget, *map(len, split_images(images, config)))
    shares_weights = config.strategy.options.shares_weights
    prepare = _supernet_evaluator if shares_weights else _candidate_evaluator
    with prepare(config, run, images, context, processes) as (evaluator, recorder):
        processes.barrier()  # every process must have read the state before the main one overwrites it
        with run.uninterrupted() if processes.world_size > 1 else contextlib.nullcontext():
            _experiment(config, run, space, evaluator, strategy).search(config.port)
        if not run.is_main:
            return {}
        return _export(config, run, recorder, strategy.result, manifest, sizes)


def _refuse_before_scoring(config: SearchConfig) -> None:
    """Refuse what a search cannot keep, before scorers are trained for its proxy.

    Raises:
        UserError: the proxy's scorers alone use up the budget, or leave too few epochs of it, or no final
            network keeps the limits.
    """
    proxy = config.proxy
    if proxy.manifest is not None or not proxy.columns:
        return
    source = load(config.source, SPLIT)
    budget = (config.budget or Budget()).after(proxy.scorer_cost(len(source)) or Cost())
    size = proxy.size(len(source), len(source.classes))
    shares = (config.weights_share, config.alphas_share)
    _refuse_too_few_epochs(config, budget, *(int(CERTAIN_SHARE * share * size.images) for share in shares))
    _context(config, FinalSizes.of(config, source.source, image_size(source, config), size.classes))


def _refuse_too_few_epochs(config: SearchConfig, budget: Budget | None, weights: int, alphas: int) -> None:
    """Refuse a budget whose epochs are too few for the strategy, before any image is decoded.

    Args:
        config: options of the search.
        budget: what the proxy's scorers have left of the budget.
        weights: images of the weight split.
        alphas: images of the alpha split.

    Raises:
        UserError: the budget is smaller than one epoch, or than the stages of the strategy.
    """
    options = config.strategy.options
    if budget is None or not options.shares_weights:
        return

    def cost(epochs: int) -> Cost:
        return options.cost(epochs, weights, alphas, config.batch_size, config.val_interval)

    epochs = budget.most(cost, "epoch", more=1 + config.val_interval)
    if epochs is None:
        return
    try:
        options.check_search(epochs, config.width, config.layers)
    except UserError as error:
        raise UserError(f"a budget of {config.budget} is enough for {epochs} epochs: {error}") from None


def _context(config: SearchConfig, sizes: FinalSizes) -> SearchContext:
    """Seed, budget and limits of a search.

    Raises:
        UserError: no final network keeps the limits.
    """
    context = SearchContext(
        seed=config.seed,
        budget=config.budget,
        mult_adds=sizes.mult_adds,
        max_mult_adds=config.max_mult_adds,
        other_limits=sizes.limits(config),
    )
    require_reachable(config.space, context.limits)
    return context


@contextlib.contextmanager
def _supernet_evaluator(
    config: SearchConfig, run: Run, images: ImageSet, context: SearchContext, processes: DistributedContext
) -> Iterator[tuple[SupernetEvaluator, SearchRecorder]]:
    """The evaluator of a search on shared weights, which resumes after the last epoch."""

    def save(state: dict[str, Any]) -> None:
        if run.is_main:
            torch_io.save(run.checkpoints / STATE_FILE, state)

    resume = torch_io.load(run.checkpoints / STATE_FILE)
    epochs_done = resume["result"]["epochs"] if resume else 0
    with (
        Tracker(run, epochs_done, services.chosen(config)) as tracker,
        EpochProgress(_title(config), config.epochs, run.is_main) as progress,
    ):
        stop = StopFlag(processes, lambda: run.is_interrupted)
        tracker.hparams(**_hparams(config))
        recorder = SearchRecorder(run, tracker, progress, epochs_done, stop)
        progress.line(introduction(config, run, images, processes, epochs_done))
        batches = make_batches(images, config, processes)
        schedule = Schedule(
            epochs=config.epochs,
            lr=config.lr,
            min_lr=config.min_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            clip_grad=config.clip_grad,
        )
        evaluator = SupernetEvaluator(
            batches.weights,
            batches.alphas,
            batches.validation,
            schedule=schedule,
            recorder=recorder,
            device=processes.device,
            resume=resume,
            save=save,
            context=context,
            processes=processes,
            val_interval=config.val_interval,
            compute=Compute(
                channels_last=config.channels_last,
                amp=config.amp,
                graphs=graphs_on(processes.device) if config.cuda_graphs else None,
            ),
        )
        yield evaluator, recorder


@contextlib.contextmanager
def _candidate_evaluator(
    config: SearchConfig, run: Run, images: ImageSet, context: SearchContext, processes: DistributedContext
) -> Iterator[tuple[CandidateEvaluator, SearchRecorder]]:
    """The evaluator of a search that trains candidates: the journal is replayed from its start."""
    # timm takes a second to import, and searches on shared weights do without
    from nastransfer_nni.search.candidates import ScratchEvaluator
    from nastransfer_nni.search.scoring import ScoreEvaluator

    with (
        Tracker(run, services=services.chosen(config)) as tracker,
        EpochProgress(_title(config), 1, unit="candidate") as progress,
    ):
        tracker.hparams(**_hparams(config))
        done = len(list(context.journal))
        progress.line(introduction(config, run, images, processes, done))
        kind = ScoreEvaluator if isinstance(config.strategy.options, ScoreOptions) else ScratchEvaluator
        evaluator = kind(config, images, processes)
        evaluator.context = context
        evaluator.recorder = SearchRecorder(run, tracker, progress, 0)
        yield evaluator, evaluator.recorder


def _title(config: SearchConfig) -> str:
    return f"{config.strategy.name} on {config.source.text}"


def _hparams(config: SearchConfig) -> dict[str, object]:
    """What tells the search from others, for trackers."""
    strategy = config.strategy
    return {
        "job": "search",
        "strategy": with_options(strategy.name, strategy.options.changed()),
        "source": config.source.text,
        "proxy": config.proxy.text,
        "search_seed": config.seed,
        "epochs": config.epochs,
        "width": config.width,
        "layers": config.layers,
    }


def _experiment(
    config: SearchConfig, run: Run, space: CellSpace, evaluator: Any, strategy: Strategy
) -> InProcessExperiment | ServiceExperiment:
    folder = run.path / "nni"
    if not config.is_distributed:
        return InProcessExperiment(space, evaluator, strategy, folder)
    concurrency = max(1, config.concurrency)
    return ServiceExperiment(
        space,
        evaluator,
        strategy,
        folder,
        name=f"{_title(config)}, {config.proxy.text}, seed {config.seed}",
        concurrency=concurrency,
        service=config.training_service,
    )


def _export(
    config: SearchConfig,
    run: Run,
    recorder: SearchRecorder,
    result: SearchResult,
    manifest: Manifest,
    sizes: FinalSizes,
) -> dict[str, Any]:
    """Write the search's result into the run's folder; returns the summary."""
    assert result.genotype is not None
    score = files.finite(result.score)  # NaN: nothing was trained
    metric = config.strategy.options.metric
    found_by = {
        "strategy": config.strategy.name,
        "source": config.source.text,
        "proxy": config.proxy.text,
        "proxy_seed": manifest.seed,
        "proxy_fingerprint": manifest.fingerprint,
        "seed": config.seed,
        "options": config.strategy.options.changed(),
        "setting": config.setting(),
        "search_score": score,
        "source_top1": None,
        "search_seconds": result.seconds,
        **_cost(result, manifest),
        "versions": provenance.versions(),
    }
    architecture = Architecture(result.genotype, run.name, found_by, space=config.space)
    architecture.write(run.path / "architecture.json")
    drawing.save_cells(result.genotype, run.path)
    front = _write_front(architecture, result, run.path / PARETO_FOLDER) if result.front else {}
    found = {
        "parameter_free_share": result.genotype.parameter_free_share,
        "skips": result.genotype.skips,
        **sizes.of_architecture(result.genotype),
    }
    recorder.draw(result.genotype)
    recorder.tracker.text("genotype", str(result.genotype))
    recorder.tracker.final(**({} if score is None else {metric: score}), **found)
    summary = {
        metric: score,
        "epochs": result.epochs,
        "candidates": result.candidates,
        "search_seconds": round(result.seconds, 3),
        **_cost(result, manifest),
        **found,
        "genotype": str(result.genotype),
        "architecture": str(run.path / "architecture.json"),
        **front,
    }
    run.complete(summary)
    return summary


def _cost(result: SearchResult, manifest: Manifest) -> dict[str, Any]:
    """Images that the search took, and what the proxy's scorers took; None: their files do not say."""
    scorers = manifest.scorer_cost
    return {
        "search_samples": result.training_images,
        "search_forward_samples": result.forward_images,
        "proxy_samples": scorers and scorers.images,
        "proxy_forward_samples": scorers and scorers.forward_images,
        "proxy_seconds": scorers and round(scorers.seconds, 3),
    }


def _write_front(best: Architecture, result: SearchResult, folder: Path) -> dict[str, Any]:
    """Write a file that `--arch` takes for each member of the Pareto front, cheapest first.

    Returns:
        The files with accuracy and mult_adds, for the summary.
    """
    folder.mkdir(exist_ok=True)
    members = []
    for number, member in enumerate(result.front):
        path = folder / f"{number:02d}.json"
        found_by = {**best.found_by, "search_score": member.score}
        Architecture(member.architecture, path.stem, found_by, space=best.space).write(path)
        members.append({"architecture": str(path), "top1": member.score, "mult_adds": member.mult_adds})
    return {"front": members}
