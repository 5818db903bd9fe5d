"""The work behind the `search` command: data, NNI experiment, records, exported architecture."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import strategies
from nastransfer_nni import checkpoints, drawing, files, provenance
from nastransfer_nni.architectures import Architecture
from nastransfer_nni.data.imageset import ImageSet
from nastransfer_nni.engines import InProcessExperiment, ServiceExperiment
from nastransfer_nni.errors import UserError
from nastransfer_nni.journal import FileJournal
from nastransfer_nni.progress import EpochProgress
from nastransfer_nni.proxies.manifest import Manifest
from nastransfer_nni.proxies.manifest import write as write_manifest
from nastransfer_nni.proxies.resolve import resolve
from nastransfer_nni.runs import Run
from nastransfer_nni.search_data import batches, side, stem
from nastransfer_nni.tracking import Tracker
from nastransfer_nni.training import protocols
from nastransfer_nni.training.distributed import World, pick_device, world
from search_spaces import DartsSpace, Genotype
from search_spaces.costs import CellCosts
from search_spaces.genotype import KINDS
from search_spaces.nni_api import Strategy
from strategies.multitrial import CandidateEvaluator
from strategies.result import SearchResult
from strategies.supernet import Schedule, SupernetEvaluator
from strategies.terms import Tables, Terms

if TYPE_CHECKING:
    from nastransfer_nni.search import SearchConfig

STATE = "search.pt"
JOURNAL = "candidates.jsonl"
FRONT = "front"
EVERY_EPOCH = "architectures.jsonl"
"""One line an epoch, or a candidate: the genotype it stands at, and a mixture's weights."""


def run_search(config: SearchConfig, run: Run, name: str, options: strategies.Options) -> dict[str, Any]:
    """Run the search of `config` in the open directory `run`; returns its summary.

    Of several processes the first writes and returns the summary, the others return nothing.
    """
    with world(pick_device(config.device)) as processes:
        if processes.any(run.finished is not None):
            return run.finished or {}
        return _search(config, run, name, options, processes)


def _search(
    config: SearchConfig, run: Run, name: str, options: strategies.Options, processes: World
) -> dict[str, Any]:
    with processes.first_alone():  # scores and features are computed once
        images, manifest = resolve(config.proxy, config.source, config.proxy_seed)
    if run.is_main:
        write_manifest(manifest, images, run.path / "proxy.json")
    torch.manual_seed(config.seed)
    space = DartsSpace(config.width, config.layers, len(images.classes), stem(images, config))
    strategy = strategies.create(name, **options.model_dump())
    costs = final_costs(config, images)
    terms = Terms(
        seed=config.seed,
        budget=config.budget,
        mult_adds=costs,
        max_mult_adds=config.max_mult_adds,
        journal=FileJournal(run.path / JOURNAL, run.is_main),
    )
    prepare = _supernet if options.shares_weights() else _candidates
    with prepare(config, run, images, terms, f"{name} on {config.source}", processes) as prepared:
        evaluator, recorder = prepared
        processes.wait()  # all have read what an earlier process left, before the first writes
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
    protocol = protocols.resolve(config.final_protocol or protocols.default_for(images.source), {})
    pixels = protocol.img_size or side(images, config)
    classes = config.final_classes or len(images.classes)
    return CellCosts(protocol.width, protocol.layers, classes, protocol.stem_for(pixels), pixels)


@contextlib.contextmanager
def _supernet(
    config: SearchConfig, run: Run, images: ImageSet, terms: Terms, title: str, processes: World
) -> Iterator[tuple[SupernetEvaluator, SearchRecorder]]:
    """The evaluator of a search on shared weights: it goes on from the last epoch."""

    def save(state: dict[str, Any]) -> None:
        if run.is_main:
            checkpoints.save(run.checkpoints / STATE, state)

    resume = checkpoints.load(run.checkpoints / STATE)
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
            terms,
            processes,
        )
        yield evaluator, recorder


@contextlib.contextmanager
def _candidates(
    config: SearchConfig, run: Run, images: ImageSet, terms: Terms, title: str, processes: World
) -> Iterator[tuple[CandidateEvaluator, SearchRecorder]]:
    """The evaluator of a search that trains candidates: the journal is told again from its start."""
    from nastransfer_nni.evaluators import ScratchEvaluator

    with Tracker(run) as tracker, EpochProgress(title, 1, unit="candidate") as progress:
        evaluator = ScratchEvaluator(config)
        evaluator.terms = terms
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


class SearchRecorder:
    """Writes what a strategy reports: to the tracker, to the screen and to a line an epoch of its own.

    Args:
        run: the open run; nothing is written where it is not this process that writes.
        tracker: of the run.
        progress: shown on the screen.
        epochs_done: epochs whose records are kept; later ones run again.
    """

    def __init__(self, run: Run, tracker: Tracker, progress: EpochProgress, epochs_done: int) -> None:
        self.tracker = tracker
        self._path, self._progress = (run.path / EVERY_EPOCH).absolute(), progress
        self._is_main = run.is_main
        if self._is_main:
            lines = self._path.read_text("utf-8").splitlines(keepends=True) if self._path.exists() else []
            files.write_text(self._path, "".join(lines[:epochs_done]))
        self._drawn: Genotype | None = None
        self._figures: dict[str, float] = {}

    def expect(self, total: int) -> None:
        """How many epochs, or candidates, there will be."""
        self._progress.expect(total)

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Figures of a split."""
        self.tracker.log(split, step, epoch, **values)
        self._figures |= {
            f"{split}_{name}": values[name] for name in ("loss", "top1", "best_top1") if name in values
        }

    def record(self, epoch: int, genotype: Genotype, mixture: Tables, top1: float) -> None:
        """The architecture of an epoch; a cell is drawn in TensorBoard when it changes."""
        if not self._is_main:
            return
        line = {
            "epoch": epoch,
            "validation_top1": top1,
            "parameter_free_share": genotype.parameter_free_share,
            "genotype": genotype.to_dict(),
            "mixture": mixture,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.tracker.log("architecture", epoch, epoch, parameter_free_share=genotype.parameter_free_share)
        if genotype != self._drawn:
            for kind in KINDS:
                self.tracker.figure(f"cell/{kind}", drawing.draw_cell(genotype, kind), epoch)
            self._drawn = genotype
        self._progress.epoch(epoch, **self._figures)

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Steps within an epoch."""
        self._progress.advance(epoch, done, total)


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
