"""The plan of a study: its jobs, their cost, the power of its design, and what would change it."""

from __future__ import annotations

from pathlib import Path

from nastransfer_nni.base.format import duration
from nastransfer_nni.report.statistics.power import Spread
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study import advice, power
from nastransfer_nni.study.cost import CostModel
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.power import Pilot
from nastransfer_nni.study.status import study_status
from strategies.budget import Cost


def describe(
    study: Study,
    root: Path,
    *,
    images_per_second: float | None = None,
    spread: Spread | None = None,
    pilot: Pilot | None = None,
    effect: float | None = None,
    list_jobs: bool = False,
) -> str:
    """The plan of a study, as text.

    Args:
        study: the study.
        root: folder of the study; jobs that are completed there are not counted again.
        images_per_second: assumed training speed in images/s; None: measured on this machine.
        spread: assumed standard deviations of top1; None: the pilot's, else those of `Spread`.
        pilot: runs that exist.
        effect: true difference to random cells in points; None: one standard deviation of random networks.
        list_jobs: whether to list every job.

    Raises:
        UserError: an image set or a manifest cannot be opened.
    """
    model = CostModel(images_per_second)
    spread = spread or (pilot.spread if pilot else Spread())
    effect = power.network_deviation(spread) if effect is None else effect
    lines = _jobs(study, root, model, images_per_second, list_jobs)
    lines += pilot.lines() if pilot else []
    lines += power.lines(study, spread, effect)
    lines += advice.table(advice.changes(study, spread, effect, model, pilot))
    return "\n".join(lines)


def _jobs(
    study: Study, root: Path, model: CostModel, images_per_second: float | None, list_jobs: bool
) -> list[str]:
    jobs = [item.job for item in study_status(study, root) if not item.is_completed]
    costs = {job.name: model.cost(job.config) for job in jobs}
    completed = len(study.jobs) - len(jobs)
    lines = [f"study {study.name}: {len(study.jobs)} jobs, {completed} completed in {root}"]
    for kind, plural in (("search", "searches"), ("transfer", "transfers")):
        of_kind = [costs[job.name] for job in jobs if job.kind == kind]
        trained = sum(cost.training_images for cost in of_kind)
        scored = sum(cost.forward_images for cost in of_kind)
        time = duration(sum(cost.seconds for cost in of_kind))
        lines.append(
            f"  {len(of_kind)} {plural} left: {trained:,} images trained on, {scored:,} scored, {time}"
        )
    scorers = model.scorers(job.config for job in jobs if isinstance(job.config, SearchConfig))
    if scorers != Cost():
        lines.append(
            f"  scorers of proxies: {scorers.images:,} images trained on, {scorers.forward_images:,} scored, "
            f"{duration(scorers.seconds)}; once for all searches, and part of the cost of each"
        )
    speed = f"at {images_per_second:,g} images/s" if images_per_second else "on one core of this machine"
    total = duration(sum(cost.seconds for cost in costs.values()) + scorers.seconds)
    lines.append(f"  in all {total}, one job at a time {speed}; start-up, decoding and evaluation included")
    if list_jobs:
        lines += [f"  {job.kind:<8} {job.name}  {duration(costs[job.name].seconds)}" for job in jobs]
    return lines
