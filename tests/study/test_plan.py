"""The plan against searches and transfers that really ran, and what it says."""

import json

import pytest

import strategies
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from nastransfer_nni.study.cost import FORWARD_SHARE, CostModel
from nastransfer_nni.study.plan import describe
from nastransfer_nni.study.speed import NetworkSize, network_speed, supernet_speed
from nastransfer_nni.transfer.config import TransferConfig
from nastransfer_nni.transfer.run import transfer

from .test_design import study

SMALL_SEARCH = {
    "proxy": "classes:2,per_class=20",
    "width": 1,
    "layers": 3,
    "batch_size": 10,
    "epochs": 3,
    "device": "cpu",
}
CASES = {
    "darts": [
        ("darts", {}),
        ("darts:frozen_epochs=2", {}),
        ("darts:order=2,frozen_epochs=1", {}),
        ("darts", {"alphas_share": 0.2}),
        ("darts:frozen_epochs=1", {"budget": 100}),
        ("darts", {"proxy": "classes:2,per_class=20+resolution:16"}),
    ],
    "gumbel": [("gumbel", {})],
    "enas": [("enas:controller_steps=1,aggregate=2,candidates=2", {"epochs": 1})],
    "random_ws": [
        ("random_ws:candidates=2,batches=1,finalists=1", {}),
        ("random_ws:candidates=2,batches=1,finalists=1", {"proxy": "images:like=MANIFEST"}),
    ],
    "evolution": [
        ("evolution:evaluate=supernet,population=2,tournament=1,candidates=3", {"epochs": 1}),
        ("evolution:population=2,tournament=1,candidates=3", {"epochs": 1}),
        ("evolution:population=2,tournament=1,candidates=3", {"epochs": 1, "budget": 50}),
    ],
    "random": [("random", {}), ("random:candidates=2", {"epochs": 1})],
}
"""Searches that are compared with their plan, by strategy."""


def test_every_strategy_is_compared():
    assert set(CASES) == set(strategies.STRATEGIES)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A manifest of 40 images."""
    out = tmp_path_factory.mktemp("like")
    options = SMALL_SEARCH | {"strategy": "random", "proxy": "images:40", "out": str(out)}
    search(SearchConfig.create(options))
    return str(out / "proxy.json")


@pytest.mark.parametrize(
    ("strategy", "changes"),
    [case for cases in CASES.values() for case in cases],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_planned_images_of_a_search_are_those_it_used(strategy, changes, manifest, tmp_path):
    options = SMALL_SEARCH | changes | {"strategy": strategy, "out": str(tmp_path)}
    options["proxy"] = options["proxy"].replace("MANIFEST", manifest)
    config = SearchConfig.create(options)
    summary = search(config).finished
    cost = CostModel(images_per_second=100.0).cost(config)
    is_even = "like" not in options["proxy"]  # the plan counts classes as equally large
    assert cost.training_images == pytest.approx(summary["search_samples"], rel=0.0 if is_even else 0.1)
    assert bool(cost.scored_images) == (summary["top1"] is not None)


@pytest.mark.parametrize(
    "changes", [{"batch_size": 480}, {"train_split": "test", "val_share": 0.25, "drop_path": 0.1}]
)
def test_planned_images_of_a_transfer_are_those_it_used(changes, tmp_path):
    small = {"epochs": 2, "width": 1, "layers": 3, "device": "cpu", "out": str(tmp_path)}
    config = TransferConfig.create({"arch": "DARTS_V2", "target": "digits"} | small | changes)
    summary = transfer(config).finished
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    cost = CostModel(images_per_second=100.0).cost(config)
    assert cost.training_images == max(line["step"] for line in lines) * config.recipe.batch_size
    assert cost.scored_images == 2 * summary["images_evaluated"]
    assert cost.seconds == (cost.training_images + cost.scored_images * FORWARD_SHARE) / 100.0


def test_speeds_are_measured():
    size = NetworkSize(width=2, layers=3, stem="cifar", classes=3, img_size=8, batch_size=4)
    assert network_speed(size) > 0
    assert supernet_speed(strategies.parse("darts:order=2").options.speed_probe(), size) > 0


def test_plan_names_jobs_and_power(tmp_path):
    made = study(search={"epochs": 4}, transfer={"epochs": 3})
    text = describe(made, tmp_path, images_per_second=1000.0, deviation=0.23, list_jobs=True)
    assert "66 jobs, 0 completed" in text
    assert "6 searches of a strategy and proxy against 4 random cells" in text
    assert all(job.name in text for job in made.jobs)
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_plan_leaves_out_what_is_completed(tmp_path):
    made = study()
    folder = made.jobs[0].folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"status": "completed"}))
    (folder / "summary.json").write_text(json.dumps({"top1": 50.0}))
    text = describe(made, tmp_path, images_per_second=1000.0, list_jobs=True)
    assert "66 jobs, 1 completed" in text
    assert f" {made.jobs[0].name} " not in text


def test_a_single_search_cannot_be_compared(tmp_path):
    text = describe(study(proxies=["all"], search_seeds=[0]), tmp_path, images_per_second=1.0)
    assert "add search_seeds" in text
