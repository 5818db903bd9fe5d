"""Planning and running tabular studies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nastransfer_nni.base import provenance
from nastransfer_nni.base.files import digest, replacing
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run import PublishedTable, report
from nastransfer_nni.report.statistics import csv_file
from nastransfer_nni.report.statistics.reading import check
from nastransfer_nni.report.statistics.table import COLUMNS
from nastransfer_nni.tabular import design, selection, table
from nastransfer_nni.tabular.design import TableStudy
from nastransfer_nni.tabular.results import Rows
from nastransfer_nni.tabular.spaces import SPACES, TableSpace
from nastransfer_nni.tabular.table import CELL, GROUP, Networks
from nastransfer_nni.tracking.journal import FileJournal
from nastransfer_nni.tracking.run import runs_folder
from search_spaces.errors import UserError
from strategies import StrategySpec
from strategies.builtin import RandomOptions

RESULTS, REPORT, SEARCHES = "results.csv", "report", "searches.jsonl"
WRITTEN = tuple(column for column in COLUMNS if column != "proxy_fingerprint")
"""Columns of the results."""
SEED = 0
"""Random seed of the order of the networks."""
COMPLETE = 0.95
"""Share of a space's cells from which on a table stands for the space."""

Choices = list[tuple[int, int]]
"""Random seed of each search, and the row of the network that it has chosen."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A tabular study with its table.

    Attributes:
        study: the study.
        networks: the networks of the table.
        space: the space that strategies search; None where the table has some networks only.
    """

    study: TableStudy
    networks: Networks
    space: TableSpace | None

    @classmethod
    def read(cls, file: str | Path) -> Opened:
        """Read a study file and its table.

        Raises:
            UserError: names the file and what is wrong in it.
        """
        study = design.read(file)
        try:
            path = study.path(Path(file).expanduser().absolute().parent)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        networks = table.load(study, path)
        known = SPACES.get(study.space)
        is_complete = known and known.count and len(networks) >= COMPLETE * known.count
        space = known if is_complete else None
        for spec in study.strategies:
            if space is None and not isinstance(spec.options, RandomOptions):
                raise UserError(
                    f"{file}: {spec.text} needs all cells of a space, and the table has {len(networks)} "
                    "networks; only random:candidates=K can choose among them"
                )
        return cls(study, networks, space)

    def split(self) -> tuple[selection.Rows, list[selection.Rows]]:
        """The random picks, and the networks that searches without a space choose from."""
        orders = selection.random_order(self.networks.frame[GROUP], SEED)
        return selection.random_picks(orders, self.study.random_cells)

    def searches(self, spec: StrategySpec) -> int:
        """Number of searches of a strategy by one proxy."""
        if self.space is not None:
            return self.study.search_seeds
        return len(list(self.draws(spec)))

    def choices(self, spec: StrategySpec, proxy: pd.Series[float], journal: FileJournal) -> Choices:
        """What every search of a strategy by a proxy has chosen.

        Args:
            spec: the strategy.
            proxy: what it maximises, for every network.
            journal: searches that an earlier process has finished.
        """
        if self.space is None:
            return [(seed, int(rows[np.argmax(proxy[rows])])) for seed, rows in enumerate(self.draws(spec))]
        return list(self._searched(spec, proxy, journal, self.space))

    def draws(self, spec: StrategySpec) -> Iterator[selection.Rows]:
        """The candidates of each random search among the networks."""
        assert isinstance(spec.options, RandomOptions)
        return selection.draws(self.split()[1], spec.options.candidates, self.study.search_seeds)

    def _searched(
        self, spec: StrategySpec, proxy: pd.Series[float], journal: FileJournal, space: TableSpace
    ) -> Iterator[tuple[int, int]]:
        from nastransfer_nni.tabular import lookup  # imports torch and NNI, which takes seconds

        rows = {cell: row for row, cell in enumerate(self.networks.frame[CELL])}
        scores = lookup.scores_of(self.networks.frame[CELL], proxy)
        identity = digest([spec.text, sorted(scores.items())])
        known = {entry["seed"]: entry["cell"] for entry in journal if entry["search"] == identity}
        for seed in range(self.study.search_seeds):
            if seed not in known:
                known[seed] = lookup.found(lookup.search(spec, space, scores, seed))
                journal.append({"search": identity, "seed": seed, "cell": known[seed]})
            yield seed, rows[known[seed]]


def plan(file: str | Path) -> str:
    """What a tabular study will look up, as text."""
    opened = Opened.read(file)
    study, networks = opened.study, opened.networks
    what = f"cells of {study.space}, which strategies search" if opened.space else "networks"
    lines = [
        f"study {study.name}: {len(networks):,} {what}, in {study.table}",
        f"  {len(opened.split()[0])} random picks, judged on {', '.join(study.targets)}",
    ]
    for spec in study.strategies:
        lines.append(f"  {spec.text}: {opened.searches(spec)} searches by each of {', '.join(study.proxies)}")
    return "\n".join([*lines, *(f"  {note}" for note in networks.notes)])


def status(file: str | Path, out: str | Path | None = None) -> str:
    """Whether the results of a tabular study are there, as text; the arguments are those of `run`."""
    root = _folder(file, out)
    path = root / RESULTS
    done = sum(1 for _ in FileJournal(root / SEARCHES, is_written=False))
    state = f"completed, {path}" if path.exists() else f"{done} searches completed" if done else "waiting"
    return f"study {design.read(file).name} in {root}: {state}"


def _folder(file: str | Path, out: str | Path | None) -> Path:
    return expanded(out) if out is not None else runs_folder() / design.read(file).name


def run(file: str | Path, out: str | Path | None = None) -> Path:
    """Run a tabular study, or resume it: look everything up, write the results table and its report.

    Args:
        file: the study file.
        out: folder of the study; None: the folder of runs, with the study's name.

    Returns:
        The folder of the study.

    Raises:
        UserError: the study file or its table is wrong, or the folder cannot be written.
    """
    opened, root = Opened.read(file), _folder(file, out)
    try:
        csv_file.require_columns(root / RESULTS, WRITTEN)
        root.mkdir(parents=True, exist_ok=True)
        rows = Rows(opened.study, opened.networks)
        found = results(opened, rows, FileJournal(root / SEARCHES))
        with replacing(root / RESULTS) as scratch:
            csv_file.write(found, scratch)
    except OSError as error:
        raise UserError(f"--out {root}: {error.strerror}") from None
    write_report(opened, rows, root / RESULTS, root / REPORT)
    return root


def write_report(opened: Opened, rows: Rows, path: Path, out: Path) -> Path:
    """Write the report of a tabular study's results; its correlations are those of the whole table.

    Args:
        opened: the study with its table.
        rows: the rows of that table.
        path: CSV file with the results table.
        out: folder of the report.
    """
    study, networks = opened.study, opened.networks
    origin = {
        "table": {"file": study.table, "networks": len(networks), "sha256": networks.sha256},
        "study": study.model_dump(mode="json", exclude_defaults=True),
        "report": provenance.here(),
    }
    notes = [
        f"The results were looked up in {study.table}, a table of {len(networks)} networks, which are also "
        "those of the correlations.",
        *networks.notes,
    ]
    config = ReportConfig(input=str(path), out=str(out), margin=study.margin, unit="percent")
    return report(config, published=PublishedTable(rows.table(), notes, origin))


def results(opened: Opened, rows: Rows, journal: FileJournal) -> pd.DataFrame:
    """The results table of a study: what every search has chosen, and the random picks.

    Args:
        opened: the study with its table.
        rows: the rows of that table.
        journal: searches that an earlier process has finished; later ones are added.
    """
    found: list[dict[str, Any]] = []
    for proxy, scores in rows.scores.items():
        for spec in opened.study.strategies:
            choices = opened.choices(spec, scores, journal)
            found += rows.chosen(spec, proxy, choices)
            print(f"{spec.text} by {proxy}: {len(choices)} searches", flush=True)
    found += rows.random(opened.split()[0])
    checked, _ = check(pd.DataFrame(found, columns=[*COLUMNS], dtype=object), is_percent=True)
    return checked[[*WRITTEN]]
