"""The plan of a study: its jobs, their cost, and the differences that its design can detect."""

from __future__ import annotations

from pathlib import Path

from nastransfer_nni.base.format import duration
from nastransfer_nni.report.statistics.detectable import detectable_difference
from nastransfer_nni.study.cost import CostModel
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.status import study_status


def describe(
    study: Study,
    root: Path,
    *,
    images_per_second: float | None = None,
    deviation: float = 0.23,
    list_jobs: bool = False,
) -> str:
    """The plan of a study, as text.

    Args:
        study: the study.
        root: folder of the study; jobs that are completed there are not counted again.
        images_per_second: assumed training speed in images/s; None: measured on this machine.
        deviation: assumed standard deviation of top1 between runs, in points.
        list_jobs: whether to list every job.

    Raises:
        UserError: an image set or a manifest cannot be opened.
    """
    jobs = [item.job for item in study_status(study, root) if not item.is_completed]
    model = CostModel(images_per_second)
    costs = {job.name: model.cost(job.config) for job in jobs}
    completed = len(study.jobs) - len(jobs)
    lines = [f"study {study.name}: {len(study.jobs)} jobs, {completed} completed in {root}"]
    for kind, plural in (("search", "searches"), ("transfer", "transfers")):
        of_kind = [costs[job.name] for job in jobs if job.kind == kind]
        trained = sum(cost.training_images for cost in of_kind)
        scored = sum(cost.scored_images for cost in of_kind)
        time = duration(sum(cost.seconds for cost in of_kind))
        lines.append(
            f"  {len(of_kind)} {plural} left: {trained:,} images trained on, {scored:,} scored, {time}"
        )
    speed = f"at {images_per_second:,g} images/s" if images_per_second else "on one core of this machine"
    lines.append(
        f"  in all {duration(sum(cost.seconds for cost in costs.values()))}, one job at a time {speed}"
    )
    lines += _power(study, deviation)
    if list_jobs:
        lines += [f"  {job.kind:<8} {job.name}  {duration(costs[job.name].seconds)}" for job in jobs]
    return "\n".join(lines)


def _power(study: Study, deviation: float) -> list[str]:
    """The differences that the design can detect: of one comparison, and of the first of Holm's."""
    proxies = [proxy for source in study.sources for proxy in source.proxies]
    searches = max(len(study.draws(proxy)) for proxy in proxies) * len(study.search_seeds)
    comparisons = len(study.strategies) * len(proxies)
    start = f"  power: {searches} searches of a strategy and proxy against {study.random_cells} random cells"
    if searches < 2:
        return [f"{start}: one search cannot be compared; add search_seeds"]
    single = detectable_difference(searches, study.random_cells, deviation)
    first = detectable_difference(searches, study.random_cells, deviation, alpha=0.05 / comparisons)
    return [
        f"{start}, at a standard deviation of {deviation:g} points of top1,",
        f"    detect a difference of {single:.2f} points with probability 0.8,",
        f"    and one of {first:.2f} points as the first of Holm's {comparisons} comparisons",
    ]
