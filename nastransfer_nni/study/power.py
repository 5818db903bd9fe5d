"""The power of a study: what the report's own test finds in simulated studies of its design."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nastransfer_nni.base.paths import expanded
from nastransfer_nni.report import collect
from nastransfer_nni.report.statistics import reading, reliability
from nastransfer_nni.report.statistics.looks import Looks
from nastransfer_nni.report.statistics.margin import Margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.power import PlannedArm, PlannedDesign, Spread, power
from nastransfer_nni.study.config import DEVIATION, PlanConfig
from nastransfer_nni.study.design import Study
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError

RELIABILITY = 0.8
"""Assumed share of the variance between networks that is between cells rather than between trainings."""


@dataclass(frozen=True)
class Pilot:
    """What runs that exist say about the accuracies of a study.

    Attributes:
        spread: standard deviations of the accuracies.
        top1: mean top-1 in percent.
        variances: standard deviations with their intervals, as `reliability.variances` returns them.
        networks: number of networks.
    """

    spread: Spread
    top1: float
    variances: pd.DataFrame
    networks: int

    @classmethod
    def read(cls, path: str, study: Study) -> Pilot:
        """Read a folder of runs or a results table; only those by the study's protocol if there are some.

        Args:
            path: the folder or the table.
            study: the study that is planned.

        Raises:
            UserError: there is neither, or nothing was repeated in it.
        """
        place = expanded(path)
        if not place.exists():
            raise UserError(f"--pilot {path}: no such file or folder")
        rows = collect.collect(place).rows if place.is_dir() else reading.read(place)[0]
        protocols = {
            (job.config.target.text, job.config.protocol_hash)
            for job in study.jobs
            if isinstance(job.config, TransferConfig)
        }
        is_ours = [key in protocols for key in zip(rows["target"], rows["protocol_hash"], strict=True)]
        if any(is_ours):
            rows = rows[is_ours]
        found = reliability.variances(rows)
        return cls(reliability.spread_of(found), float(rows["top1"].mean()), found, len(rows))

    def lines(self) -> list[str]:
        """The variances as text."""
        lines = [
            f"  pilot of {self.networks} networks: standard deviations of top1 in points, with 95% intervals"
        ]
        names = {
            "training": "trainings of one cell",
            "search": "searches of one strategy",
            "draw": "draws of one proxy",
        }
        known = self.variances[self.variances["deviation"].notna()]
        for row in known.to_dict("records"):
            name = names.get(row["level"], "random cells")
            line = f"    between {name}: {row['deviation']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            if not np.isnan(row["reliability"]):
                interval = f"{row['reliability_low']:.2f} to {row['reliability_high']:.2f}"
                line += f"; reliability of one {row['reliability']:.2f} ({interval})"
            lines.append(line)
        return lines


def assumed_spread(config: PlanConfig, pilot: Pilot | None) -> Spread:
    """The standard deviations that a plan's options state, for the rest those of the pilot.

    A stated deviation between networks includes their training, whose share is the pilot's or an assumed one.
    """
    assumed = (DEVIATION * float(np.sqrt(share)) for share in (RELIABILITY, 1 - RELIABILITY))
    known = pilot.spread if pilot else Spread(search=next(assumed), training=next(assumed))
    if config.deviation is not None:
        scale = config.deviation / float(np.hypot(known.search, known.training))
        known = replace(known, search=known.search * scale, training=known.training * scale, random=None)
    if config.random_deviation is not None:
        training = min(known.training, config.random_deviation)
        known = replace(known, random=float(np.sqrt(config.random_deviation**2 - training**2)))
    if config.draw_deviation is not None:
        known = replace(known, draw=config.draw_deviation)
    return replace(known, collapse_rate=config.collapse_rate, collapse_depth=config.collapse_depth)


def planned_design(study: Study) -> PlannedDesign:
    """The comparisons of a study; they are the same on each of its targets."""
    arms = []
    for item in study.sources:
        for proxy in item.proxies:
            place = f"{item.text} / {proxy.text}"
            draws = len(study.draws(proxy))
            searches = len(study.seeds(proxy)) // draws
            arms += [
                PlannedArm(
                    name=f"{strategy.text} on {place}",
                    place=place,
                    draws=draws,
                    searches=searches,
                    trainings=len(study.train_seeds),
                )
                for strategy in study.strategies
            ]
    return PlannedDesign(
        arms=tuple(arms), random_cells=study.random_cells, random_trainings=len(study.train_seeds)
    )


def analysis_options(study: Study) -> AnalysisOptions:
    """How the report will analyse the study."""
    looks = Looks(study.looks, study.units, study.random_cells, study.units_of) if study.looks else None
    return AnalysisOptions(margin=Margin.parse(study.margin), primary=study.primary, looks=looks)


def study_power(study: Study, spread: Spread, effect: float) -> pd.DataFrame:
    """Power of every comparison of a study; columns as `report.statistics.power.power` has them."""
    return power(planned_design(study), spread, effect=effect, options=analysis_options(study))


def network_deviation(spread: Spread) -> float:
    """Standard deviation of random networks, one training each."""
    between = spread.search if spread.random is None else spread.random
    return float((between**2 + spread.training**2) ** 0.5)


def lines(study: Study, spread: Spread, effect: float) -> list[str]:
    """The power of a study as text, one line for all comparisons of as many units."""
    frame = study_power(study, spread, effect)
    deviation = network_deviation(spread)
    text = [
        f"  power, from 1000 simulated studies: to find a true difference of {effect:.2f} points,",
        f"    where random networks have a standard deviation of {deviation:.2f};",
        f"    {study.random_cells} random cells, Holm's correction of {len(frame)} comparisons",
    ]
    if study.primary != "mean":
        text.append("    of the means; that of the probability to win, which decides here, is close to it")
    if study.looks:
        shares = ", ".join(f"{time:.0%}" for time in study.looks)
        text.append(f"    looks at {shares} of {study.units} units and {study.random_cells} random cells")
    never = frame[frame["reason"] != ""]
    text += [f"    never decided: {row['name']}: {row['reason']}" for row in never.to_dict("records")]
    for _, group in frame[frame["reason"] == ""].groupby(["level", "units"], sort=False):
        first = group.iloc[0]
        text.append(
            f"    {len(group)} x {_count(int(first['units']), str(first['level']))}: power "
            f"{group['power'].mean():.2f} ({group['power_single'].mean():.2f} without the correction), finds "
            f"{group['detectable'].mean():.2f} points with 0.80; equivalence within {study.margin} "
            f"{group['equivalent'].mean():.2f}"
        )
    return text


def _count(units: int, level: str) -> str:
    plural = {"search": "searches"}.get(level, f"{level}s")
    return f"{units} {plural if units > 1 else level}"


def with_larger_evaluation(pilot: Pilot, images: int) -> Spread:
    """The spread where networks are judged on twice as many images.

    The binomial part of the variance between trainings, p (1 - p) / n, is then half as large.

    Args:
        pilot: what is known of the accuracies.
        images: number of images that the pilot's networks were judged on.
    """
    share = pilot.top1 / 100
    binomial = share * (1 - share) / images * 100**2
    training = max(0.0, pilot.spread.training**2 - binomial / 2) ** 0.5
    return replace(pilot.spread, training=training)
