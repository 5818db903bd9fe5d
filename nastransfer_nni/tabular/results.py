"""The rows of a tabular study: what was chosen, what was picked at random, and all networks of the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nastransfer_nni.report.statistics.reading import canonical
from nastransfer_nni.report.statistics.table import BASELINE, COLUMNS, NUMBERS
from nastransfer_nni.tabular.design import TableStudy
from nastransfer_nni.tabular.table import CELL, GROUP, Networks
from strategies import StrategySpec


class Rows:
    """Makes rows of the results table from the networks of a table.

    Args:
        study: the study.
        networks: the networks.

    Attributes:
        scores: what a search by each proxy maximises, for every network.
    """

    def __init__(self, study: TableStudy, networks: Networks) -> None:
        self.study, self.networks = study, networks
        self.scores = {name: networks.mean(measure) for name, measure in study.proxies.items()}
        self._tested = {
            name: networks.tested(measure) for name, measure in study.proxies.items() if not measure.score
        }
        self._sizes = networks.sizes(study)

    def chosen(
        self, spec: StrategySpec, proxy: str, choices: Iterable[tuple[int, int]]
    ) -> Iterator[dict[str, Any]]:
        """What the searches of a strategy have chosen.

        Args:
            spec: the strategy.
            proxy: name of the proxy by which it has searched.
            choices: random seed of each search, and the row of the network that it has chosen.
        """
        strategy = {"strategy": spec.name, "strategy_options": canonical(spec.options.changed())}
        for seed, row in choices:
            score = float(self.scores[proxy][row])
            yield from self._judged(row, proxy, seed, {**strategy, "search_score": score})

    def random(self, rows: npt.NDArray[np.int_]) -> Iterator[dict[str, Any]]:
        """The random picks, listed for every proxy with their accuracy there."""
        for proxy in self.study.proxies:
            for seed, row in enumerate(rows):
                yield from self._judged(int(row), proxy, seed, {"strategy": BASELINE})

    def table(self) -> pd.DataFrame:
        """All networks of the table as rows of a results table, for every proxy that is an accuracy.

        The strategy of a network is its group, or that of random cells without groups. The column `noise` is
        the standard deviation between trainings of one network, in points, where the study knows it.
        """
        frame = self.networks.frame
        names = frame[GROUP].where(frame[GROUP] != "", BASELINE)
        parts = [
            pd.DataFrame(
                {
                    "target": target,
                    "strategy": names,
                    "source": proxy,
                    "genotype": frame[CELL],
                    "train_seed": str(seed),
                    "source_top1": tested,
                    "top1": frame[column],
                    "noise": judged.noise,
                    **self._sizes,
                }
            )
            for target, judged in self.study.targets.items()
            for proxy, tested in self._tested.items()
            if not self.study.proxies[proxy].shares_columns(judged)
            for seed, column in enumerate(judged.columns)
        ]
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"top1": []})
        absent = {name: float("nan") if name in NUMBERS else "" for name in COLUMNS if name not in found}
        return found[found["top1"].notna()].assign(**absent).reset_index(drop=True)

    def _judged(self, row: int, proxy: str, seed: int, strategy: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One row for every training of a network on every target that is not the proxy itself."""
        frame = self.networks.frame
        for target, judged in self.study.targets.items():
            if self.study.proxies[proxy].shares_columns(judged):
                continue
            for train_seed, column in enumerate(judged.columns):
                if pd.notna(top1 := frame[column][row]):
                    yield {
                        **strategy,
                        "target": target,
                        "source": proxy,
                        "search_seed": seed,
                        "train_seed": train_seed,
                        "genotype": frame[CELL][row],
                        "source_top1": self._tested[proxy][row] if proxy in self._tested else float("nan"),
                        "top1": top1,
                        **self._sizes.loc[row].dropna(),
                    }
