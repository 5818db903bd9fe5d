"""The work behind the `search` command: data, NNI experiment, records, exported architecture."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import strategies
from nastransfer_nni.architecture import drawing
from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base import provenance, torch_io
from nastransfer_nni.base.distributed import DistributedContext, distributed_context, pick_device
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.nni_engine.experiments import InProcessExperiment, ServiceExperiment
from nastransfer_nni.proxy.choose import resolve
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.manifest import write as write_manifest
from nastransfer_nni.search.data import batches, side, stem
from nastransfer_nni.search.recorder import SearchRecorder
from nastransfer_nni.tracking.directory import Run
from nastransfer_nni.tracking.journal import FileJournal
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.tracker import Tracker
from nastransfer_nni.training import recipes
from search_spaces import DartsSpace
from search_spaces.errors import UserError
from search_spaces.nni_api import Strategy
from search_spaces.sizes import CellCosts
from strategies.interfaces import SearchContext
from strategies.multitrial import CandidateEvaluator
from strategies.result import SearchResult
from strategies.supernet import Schedule, SupernetEvaluator

if TYPE_CHECKING:
    from nastransfer_nni.search.config import SearchConfig

STATE = "search.pt"
JOURNAL = "candidates.jsonl"
FRONT = "front"


def run_search(config: SearchConfig, run: Run, name: str, options: strategies.Options) -> dict[str, Any]:
    """Run the search of `config` in the open directory `run`; returns its summary.

    Of several processes the first writes and returns the summary, the others return nothing.
    """
    with distributed_context(pick_device(config.device)) as processes:
        if processes.any(run.finished is not None):
            return run.finished or {}
        return _search(config, run, name, options, processes)


def _search(
    config: SearchConfig, run: Run, name: str, options: strategies.Options, processes: DistributedContext
) -> dict[str, Any]:
    with processes.main_process_first():  # scores and features are computed once
        images, manifest = resolve(config.proxy, config.source, config.proxy_seed)
    if run.is_main:
        write_manifest(manifest, images, run.path / "proxy.json")
    torch.manual_seed(config.seed)
    space = DartsSpace(config.width, config.layers, len(images.classes), stem(images, config))
    strategy = strategies.create(name, **options.model_dump())
    costs = final_costs(config, images)
    context = SearchContext(
        seed=config.seed,
        budget=config.budget,
        mult_adds=costs,
        max_mult_adds=config.max_mult_adds,
        journal=FileJournal(run.path / JOURNAL, run.is_main),
    )
    prepare = _supernet if options.shares_weights() else _candidates
    with prepare(config, run, images, context, f"{name} on {config.source}", processes) as prepared:
        evaluator, recorder = prepared
        processes.barrier()  # all have read what an earlier process left, before the first writes
        experiment = _experiment(config, run, space, evaluator, strategy)
        try:
            experiment.search(config.port)
        except FloatingPointError as error:
            raise UserError(str(error)) from None
        if not run.is_main:
            return {}
        return _export(config, run, recorder.tracker, strategy.result, manifest, costs)


def final_costs(config: SearchConfig, images: ImageSet) -> CellCosts:
    """Counts the mult_adds of the final network that the search is for."""
    protocol = recipes.resolve(config.final_protocol or recipes.default_for(images.source), {})
    pixels = protocol.img_size or side(images, config)
    classes = config.final_classes or len(images.classes)
    return CellCosts(protocol.width, protocol.layers, classes, protocol.stem_for(pixels), pixels)


@contextlib.contextmanager
def _supernet(
    config: SearchConfig,
    run: Run,
    images: ImageSet,
    context: SearchContext,
    title: str,
    processes: DistributedContext,
) -> Iterator[tuple[SupernetEvaluator, SearchRecorder]]:
    """The evaluator of a search on shared weights: it goes on from the last epoch."""

    def save(state: dict[str, Any]) -> None:
        if run.is_main:
            torch_io.save(run.checkpoints / STATE, state)

    resume = torch_io.load(run.checkpoints / STATE)
    epochs_done = resume["result"]["epochs"] if resume else 0
    with (
        Tracker(run, epochs_done) as tracker,
        EpochProgress(title, config.epochs, run.is_main) as progress,
    ):
        recorder = SearchRecorder(run, tracker, progress, epochs_done)
        evaluator = SupernetEvaluator(
            *batches(images, config, processes),
            Schedule(
                config.epochs,
                config.learning_rate,
                config.learning_rate_min,
                config.momentum,
                config.weight_decay,
                config.gradient_clip,
            ),
            recorder,
            processes.device,
            resume,
            save,
            context,
            processes,
        )
        yield evaluator, recorder


@contextlib.contextmanager
def _candidates(
    config: SearchConfig,
    run: Run,
    images: ImageSet,
    context: SearchContext,
    title: str,
    processes: DistributedContext,
) -> Iterator[tuple[CandidateEvaluator, SearchRecorder]]:
    """The evaluator of a search that trains candidates: the journal is told again from its start."""
    from nastransfer_nni.search.candidates import ScratchEvaluator

    with Tracker(run) as tracker, EpochProgress(title, 1, unit="candidate") as progress:
        evaluator = ScratchEvaluator(config)
        evaluator.context = context
        evaluator.recorder = SearchRecorder(run, tracker, progress, 0)
        yield evaluator, evaluator.recorder


def _experiment(
    config: SearchConfig, run: Run, space: DartsSpace, evaluator: Any, strategy: Strategy
) -> InProcessExperiment | ServiceExperiment:
    folder = run.path / "nni"
    if not config.is_distributed:
        return InProcessExperiment(space, evaluator, strategy, folder)
    workers = max(1, config.workers)
    return ServiceExperiment(space, evaluator, strategy, folder, workers, config.training_service)


def _export(
    config: SearchConfig,
    run: Run,
    tracker: Tracker,
    result: SearchResult,
    manifest: Manifest,
    costs: CellCosts,
) -> dict[str, Any]:
    """Write what was found into the run's folder; returns the summary."""
    assert result.genotype is not None
    score = result.score if math.isfinite(result.score) else None  # nothing was trained
    name, options = strategies.parse(config.strategy)
    found_by = {
        "strategy": name,
        "source": config.source,
        "proxy": config.proxy,
        "proxy_seed": manifest.seed,
        "proxy_fingerprint": manifest.fingerprint,
        "seed": config.seed,
        "options": options.changed(),
        "setting": config.setting(),
        "search_score": score,
        "source_top1": None,
        "search_seconds": result.seconds,
        "search_samples": result.samples,
        "versions": provenance.versions(),
    }
    architecture = Architecture(result.genotype, run.path.name, found_by)
    architecture.write(run.path / "architecture.json")
    drawing.save_cells(result.genotype, run.path)
    front = _write_front(architecture, result, run.path / FRONT) if result.front else {}
    tracker.hparams(
        strategy=name, source=config.source, proxy=config.proxy, search_seed=config.seed, epochs=config.epochs
    )
    share = result.genotype.parameter_free_share
    tracker.final(**({} if score is None else {"top1": score}), parameter_free_share=share)
    summary = {
        "top1": score,
        "epochs": result.epochs,
        "candidates": result.candidates,
        "search_seconds": round(result.seconds, 3),
        "search_samples": result.samples,
        "parameter_free_share": share,
        "mult_adds": costs(result.genotype),
        "genotype": str(result.genotype),
        "architecture": str(run.path / "architecture.json"),
        **front,
    }
    run.complete(summary)
    return summary


def _write_front(chosen: Architecture, result: SearchResult, folder: Path) -> dict[str, Any]:
    """A file that `--arch` takes for each member of the front, cheapest first; returns their figures."""
    folder.mkdir(exist_ok=True)
    figures = []
    for number, member in enumerate(result.front):
        path = folder / f"{number:02d}.json"
        found_by = {**chosen.found_by, "search_score": member.score}
        Architecture(member.architecture, path.stem, found_by).write(path)
        figures.append({"architecture": str(path), "top1": member.score, "mult_adds": member.mult_adds})
    return {"front": figures}
