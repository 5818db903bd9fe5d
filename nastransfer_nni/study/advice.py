"""What to change in a study: the power that each change of the design buys, and its cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nastransfer_nni.base.format import duration
from nastransfer_nni.report.statistics.power import Spread
from nastransfer_nni.study.cost import CostModel
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.power import Pilot, study_power, with_larger_evaluation
from nastransfer_nni.transfer.config import TransferConfig


@dataclass(frozen=True)
class Change:
    """A change of a design with what it brings.

    Attributes:
        text: the change in words.
        seconds: duration of the whole study with it, one job at a time.
        power: mean power of the comparisons.
        detectable: mean difference in points that is found with probability 0.8.
    """

    text: str
    seconds: float
    power: float
    detectable: float


def changes(
    study: Study, spread: Spread, effect: float, model: CostModel, pilot: Pilot | None
) -> list[Change]:
    """The study as it is, then every change that applies, the one that buys most power for its cost first."""

    def judged(text: str, other: Study, other_spread: Spread, more_seconds: float = 0.0) -> Change:
        frame = study_power(other, other_spread, effect)
        seconds = sum(model.cost(job.config).seconds for job in other.jobs) + more_seconds
        return Change(text, seconds, float(frame["power"].mean()), float(frame["detectable"].mean()))

    now = judged("as it is", study, spread)
    found = [judged(text, other, spread) for text, other in _designs(study)]
    if pilot is not None:
        transfers = [job.config for job in study.jobs if isinstance(job.config, TransferConfig)]
        images = min(model.images_to_evaluate(config) for config in transfers)
        larger = with_larger_evaluation(pilot, images)
        seconds = sum(model.cost(config).scoring_seconds for config in transfers)
        found.append(judged("evaluation on twice as many images", study, larger, seconds))
    return [now, *sorted(found, key=lambda change: -_worth(change, now))]


def table(rows: list[Change]) -> list[str]:
    """The changes as lines of text."""
    width = max(len(row.text) for row in rows)
    text = [f"  {'what would change':<{width}}  {'cost':>9}  power  finds"]
    for row in rows:
        points = "-" if math.isnan(row.detectable) else f"{row.detectable:.2f}"
        text.append(f"  {row.text:<{width}}  {duration(row.seconds):>9}  {row.power:5.2f}  {points:>5}")
    return text


def _worth(change: Change, now: Change) -> float:
    """Power gained per relative increase of cost; what costs nothing more comes first if it gains."""
    gained, cost = change.power - now.power, change.seconds / now.seconds - 1
    return gained / max(cost, 0.01) if gained > 0 else gained


def _designs(study: Study) -> Iterator[tuple[str, Study]]:
    """Other designs with the change in words."""
    cells, searches = study.random_cells, study.search_seeds
    yield f"random_cells: {2 * cells}", study.changed(random_cells=2 * cells)
    count = len(searches) + max(1, len(searches) // 2)
    more = (*searches, *_further(searches, count - len(searches)))
    yield f"search_seeds: {count}", study.changed(search_seeds=more)
    draws = [study.draws(proxy) for item in study.sources for proxy in item.proxies]
    most = max(draws, key=len)
    if (
        any(proxy.depends_on_seed for item in study.sources for proxy in item.proxies)
        and not study.draw_per_search
    ):
        if len(most) > 1:
            wanted = len(most) + max(1, len(most) // 2)
            seeds = (*most, *_further(most, wanted - len(most)))
            yield f"proxy_seeds: {wanted}", study.changed(proxy_seeds=seeds)
        alone = {name: value for name, value in study.content.items() if name != "proxy_seeds"}
        seeds = tuple(range(len(most) * len(searches)))
        with_draws = study.replaced(alone | {"draw_per_search": True, "search_seeds": seeds})
        yield f"draw_per_search, search_seeds: {len(seeds)}", with_draws
    places = [(item.text, proxy.text) for item in study.sources for proxy in item.proxies]
    if len(places) > 1:
        kept: dict[str, list[str]] = {}
        for source, proxy in places[: (len(places) + 1) // 2]:
            kept.setdefault(source, []).append(proxy)
        text = f"only the first {(len(places) + 1) // 2} of {len(places)} proxies"
        yield text, study.changed(sources=kept)
    trainings = (*study.train_seeds, *_further(study.train_seeds, len(study.train_seeds)))
    yield f"train_seeds: {len(trainings)}", study.changed(train_seeds=trainings)


def _further(seeds: tuple[int, ...], count: int) -> tuple[int, ...]:
    return tuple(range(max(seeds) + 1, max(seeds) + 1 + count))
