"""The work behind the `search` command: data, NNI experiment, records, exported architecture."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import strategies
from nastransfer_nni import checkpoints, drawing
from nastransfer_nni.architectures import Architecture
from nastransfer_nni.errors import UserError
from nastransfer_nni.progress import EpochProgress
from nastransfer_nni.proxies.manifest import Manifest
from nastransfer_nni.proxies.manifest import write as write_manifest
from nastransfer_nni.proxies.resolve import resolve
from nastransfer_nni.runs import Run, versions
from nastransfer_nni.search_data import batches, side
from nastransfer_nni.tracking import Tracker
from nastransfer_nni.training.distributed import World, pick_device
from nastransfer_nni.training.protocols import SMALL_PIXELS
from search_spaces import DartsSpace, Genotype
from search_spaces.nni_api import NasExperiment
from strategies.result import SearchResult
from strategies.supernet import Schedule, SupernetEvaluator
from strategies.terms import Tables, Terms

if TYPE_CHECKING:
    from nastransfer_nni.search import SearchConfig

STATE = "search.pt"
EVERY_EPOCH = "architectures.jsonl"
"""One line an epoch: the genotype and the weight of every candidate on every edge."""


def run_search(config: SearchConfig, run: Run, name: str, options: strategies.Options) -> dict[str, Any]:
    """Run the search of `config` in the open directory `run`; returns its summary."""
    world = World(device=pick_device(config.device))
    images, manifest = resolve(config.proxy, config.source, config.proxy_seed)
    write_manifest(manifest, images, run.path / "proxy.json")
    fitting = "cifar" if side(images, config) <= SMALL_PIXELS else "imagenet"
    stem = fitting if config.stem == "auto" else config.stem
    torch.manual_seed(config.seed)
    space = DartsSpace(config.width, config.layers, len(images.classes), stem)
    strategy = strategies.create(name, **options.model_dump())
    resume = checkpoints.load(run.checkpoints / STATE)
    epochs_done = resume["result"]["epochs"] if resume else 0
    with (
        Tracker(run, epochs_done) as tracker,
        EpochProgress(f"{name} on {config.source}", config.epochs) as progress,
    ):
        recorder = SearchRecorder(run, tracker, progress, epochs_done)
        evaluator = SupernetEvaluator(
            *batches(images, config, world),
            Schedule(
                config.epochs,
                config.learning_rate,
                config.learning_rate_min,
                config.momentum,
                config.weight_decay,
                config.gradient_clip,
            ),
            recorder,
            world.device,
            resume,
            lambda state: checkpoints.save(run.checkpoints / STATE, state),
            Terms(seed=config.seed),
        )
        try:
            InProcessExperiment(space, evaluator, strategy, run.path / "nni").run()
        except FloatingPointError as error:
            raise UserError(str(error)) from None
        return _export(config, run, tracker, strategy.result, manifest)


class InProcessExperiment(NasExperiment):  # type: ignore[misc]
    """An NNI experiment in NNI's sequential engine that leaves nothing outside the run's folder.

    NNI lists every experiment in the user's home folder, where an inner one of a trial has no place.
    """

    def __init__(self, space: DartsSpace, evaluator: Any, strategy: Any, folder: Path) -> None:
        logging.getLogger("nni").setLevel(logging.ERROR)  # it repeats a warning about an option nobody set
        super().__init__(space, evaluator, strategy)
        self.config.experiment_working_directory = str(folder)

    def _start_logging(self, debug: bool) -> None:
        """Leave logging as the command has set it up."""

    def _start_without_nni_manager(self) -> None:
        """Leave the user's list of experiments alone."""

    def _stop_without_nni_manager(self) -> None:
        """Leave the user's list of experiments alone."""


class SearchRecorder:
    """Writes what a strategy reports: to the tracker, to the screen and to a line an epoch of its own.

    Args:
        run: the open run.
        tracker: of the run.
        progress: shown on the screen.
        epochs_done: epochs whose records are kept; later ones run again.
    """

    def __init__(self, run: Run, tracker: Tracker, progress: EpochProgress, epochs_done: int) -> None:
        self._path, self._tracker, self._progress = run.path / EVERY_EPOCH, tracker, progress
        lines = self._path.read_text("utf-8").splitlines(keepends=True) if self._path.exists() else []
        self._path.write_text("".join(lines[:epochs_done]), "utf-8")
        self._drawn: Genotype | None = None
        self._figures: dict[str, float] = {}

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Figures of a split."""
        self._tracker.log(split, step, epoch, **values)
        self._figures |= {f"{split}_{name}": values[name] for name in ("loss", "top1") if name in values}

    def record(self, epoch: int, genotype: Genotype, mixture: Tables, top1: float) -> None:
        """The architecture of an epoch; a cell is drawn in TensorBoard when it changes."""
        line = {
            "epoch": epoch,
            "validation_top1": top1,
            "parameter_free_share": genotype.parameter_free_share,
            "genotype": genotype.to_dict(),
            "mixture": mixture,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._tracker.log("architecture", epoch, epoch, parameter_free_share=genotype.parameter_free_share)
        if genotype != self._drawn:
            for kind in mixture:
                self._tracker.figure(f"cell/{kind}", drawing.draw_cell(genotype, kind), epoch)
            self._drawn = genotype
        self._progress.epoch(epoch, **self._figures)

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Steps within an epoch."""
        self._progress.advance(epoch, done, total)


def _export(
    config: SearchConfig, run: Run, tracker: Tracker, result: SearchResult, manifest: Manifest
) -> dict[str, Any]:
    """Write what was found into the run's folder; returns the summary."""
    assert result.genotype is not None
    name, options = strategies.parse(config.strategy)
    found_by = {
        "strategy": name,
        "source": config.source,
        "proxy": config.proxy,
        "proxy_seed": manifest.seed,
        "proxy_fingerprint": manifest.fingerprint,
        "seed": config.seed,
        "options": options.changed(),
        "search_score": result.score,
        "source_top1": None,
        "search_seconds": result.seconds,
        "search_samples": result.samples,
        "versions": versions(),
    }
    Architecture(result.genotype, run.path.name, found_by).write(run.path / "architecture.json")
    drawing.save_cells(result.genotype, run.path)
    tracker.hparams(
        strategy=name, source=config.source, proxy=config.proxy, search_seed=config.seed, epochs=config.epochs
    )
    tracker.final(top1=result.score, parameter_free_share=result.genotype.parameter_free_share)
    summary = {
        "top1": result.score,
        "epochs": result.epochs,
        "search_seconds": round(result.seconds, 3),
        "search_samples": result.samples,
        "parameter_free_share": result.genotype.parameter_free_share,
        "genotype": str(result.genotype),
        "architecture": str(run.path / "architecture.json"),
    }
    run.complete(summary)
    return summary
