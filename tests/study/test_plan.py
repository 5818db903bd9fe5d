"""The plan against searches and transfers that really ran, and what it says."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import strategies
from nastransfer_nni.data import loading, sources
from nastransfer_nni.data.sources import SOURCES
from nastransfer_nni.report.statistics.power import Spread
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from nastransfer_nni.study.advice import changes
from nastransfer_nni.study.config import PlanConfig
from nastransfer_nni.study.cost import FORWARD_SHARE, CostModel
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.overhead import ASSUMED, measured
from nastransfer_nni.study.plan import describe
from nastransfer_nni.study.power import (
    Pilot,
    assumed_spread,
    network_deviation,
    planned_design,
    study_power,
    with_larger_evaluation,
)
from nastransfer_nni.study.run import plan
from nastransfer_nni.study.sizes import SetSizes
from nastransfer_nni.study.speed import NetworkSize, network_speed, supernet_speed
from nastransfer_nni.training import protocols
from nastransfer_nni.training.objective import ModelWithLoss
from nastransfer_nni.transfer.config import TransferConfig
from nastransfer_nni.transfer.run import transfer
from search_spaces import parse
from search_spaces.errors import UserError
from strategies.budget import Budget, Cost
from tests.strategies.cases import STAGED, SUPERNETS, named

from .test_design import SMALL, study

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
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
        pytest.param("darts:frozen_epochs=2", {}, marks=pytest.mark.slow),
        ("darts:order=2,frozen_epochs=1", {}),
        ("darts", {"alphas_share": 0.2}),
        ("darts:frozen_epochs=1", {"budget": 100}),
        ("darts", {"budget": "total_images=130,forward_images=300"}),
        ("sdarts-adv", {"alphas_share": 0.2, "epochs": 1}),
        ("darts", {"proxy": "classes:2,per_class=20+resolution:16"}),
    ],
    "pc-darts": [("pc-darts:partial_channels=1,frozen_epochs=1", {})],
    "p-darts": [("p-darts:add_layers=0,frozen_epochs=0", {})],
    "enas": [("enas:controller_steps=1,aggregate=2,candidates=2", {"epochs": 1})],
    "random_ws": [
        ("random_ws:candidates=2,batches=1,finalists=1", {}),
        ("random_ws:candidates=2,batches=1,finalists=1", {"budget": "forward_images=150"}),
        ("random_ws:candidates=2,batches=1,finalists=1", {"proxy": "images:like=MANIFEST"}),
    ],
    "evolution": [
        ("evolution:evaluate=supernet,population=2,tournament=1,candidates=3", {"epochs": 1}),
        ("evolution:population=2,tournament=1,candidates=3", {"epochs": 1}),
        ("evolution:population=2,tournament=1,candidates=3", {"epochs": 1, "budget": 50}),
        ("evolution:population=2,tournament=1,candidates=3", {"epochs": 1, "budget": "total_images=99"}),
    ],
    "local_search": [("local_search:init=2,candidates=3", {"epochs": 1, "budget": "total_images=99"})],
    "nao": [
        pytest.param(
            "nao:every=1,pool=2,new=1,top=1,batches=1,finalists=1,hidden=8,controller_epochs=2",
            {"epochs": 2, "budget": "forward_images=700"},
            marks=pytest.mark.slow,
        ),
    ],
    "random": [("random", {}), ("random:candidates=2", {"epochs": 1})],
    "score": [
        ("score:candidates=2", {}),
        ("score:by=nwot+snip+params,candidates=9,batches=1", {"budget": 25}),
    ],
}
"""Searches that are compared with their plan, by strategy."""


def test_every_strategy_is_compared():
    """The rest in tests/strategies, where no plan is made of what the options say."""
    assert set(CASES) | named([*SUPERNETS, *STAGED]) == set(strategies.STRATEGIES)


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
    used = (summary["search_samples"], summary["search_forward_samples"])
    assert (cost.training_images, cost.forward_images) == pytest.approx(used, rel=0.0 if is_even else 0.1)
    assert bool(cost.forward_images) == (strategy != "random")
    budget = config.budget or Budget()
    assert used[0] <= (budget.images or math.inf) and used[1] <= (budget.forward_images or math.inf)
    assert sum(used) <= (budget.total_images or math.inf)
    assert cost.scorers == Cost() and summary["proxy_seconds"] == 0


def test_scorers_are_planned_as_they_work(tmp_path):
    """The second search finds the scores computed, and reports what they took all the same."""
    summaries, total = [], math.inf
    for number, proxy in enumerate(("hard:per_class=5,epochs=1", "entropy-p2:50,epochs=1")):
        changes = {"proxy": proxy, "strategy": "random", "out": str(tmp_path / str(number))}
        config = SearchConfig.create(SMALL_SEARCH | changes)
        summary = search(config).finished
        cost = CostModel(images_per_second=100.0).cost(config).scorers
        used = (summary["proxy_samples"], summary["proxy_forward_samples"])
        assert (cost.images, cost.forward_images) == used == (1437 // 128 * 128, 1437)
        assert cost.seconds == pytest.approx(used[0] / 100 + used[1] * FORWARD_SHARE / 100)
        summaries.append(summary)
        total = sum(used)
    assert summaries[0]["proxy_seconds"] == summaries[1]["proxy_seconds"] > 0
    made = study(sources={"digits": ["hard:per_class=5,epochs=1", "entropy-p2:50,epochs=1"]})
    text = describe(made, tmp_path / "study", images_per_second=1000.0)
    assert "scorers of proxies: 1,408 images trained on, 1,437 scored" in text
    spent = config.model_copy(update={"budget": Budget(total_images=total), "out": str(tmp_path / "spent")})
    with pytest.raises(UserError, match=f"total_images={total} is used up by the proxy's scorers"):
        search(spent)


def test_seconds_are_planned_by_the_speed():
    options = SMALL_SEARCH | {"strategy": "darts", "epochs": 50, "budget": "seconds=10"}
    cost = CostModel(images_per_second=100.0).cost(SearchConfig.create(options))
    per_epoch = (2 * 20 + 20 * FORWARD_SHARE) / 100  # two splits of 20 images, one of which validates
    assert cost.training_images == 40 * math.ceil(10 / per_epoch)
    random = SearchConfig.create(options | {"strategy": "random", "epochs": 2})
    per_candidate = (2 * 20 + 2 * 20 * FORWARD_SHARE) / 100
    assert CostModel(images_per_second=100.0).cost(random).training_images == 40 * math.ceil(
        10 / per_candidate
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 480, "drop_last": True},
        {"batch_size": 480},
        {"batch_size": 1436},  # one image is left, too few for BatchNorm
        {"train_split": "test", "val_share": 0.25, "drop_path": 0.1},
    ],
)
def test_planned_images_of_a_transfer_are_those_it_used(changes, tmp_path):
    small = {"epochs": 2, "width": 1, "layers": 3, "device": "cpu", "out": str(tmp_path)}
    config = TransferConfig.create({"arch": "DARTS_V2", "target": "digits"} | small | changes)
    trained = []

    def count(module, inputs):
        if isinstance(module, ModelWithLoss):
            trained.append(len(inputs[0]))

    counting = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        summary = transfer(config).finished
    finally:
        counting.remove()
    cost = CostModel(images_per_second=100.0).cost(config)
    assert cost.training_images == sum(trained)
    assert cost.forward_images == 2 * summary["images_evaluated"]
    images = (cost.training_images + cost.forward_images * FORWARD_SHARE) / 100.0
    besides = ASSUMED.transfer + 2 * ASSUMED.epoch
    assert cost.seconds == pytest.approx(images + besides, abs=1)  # and some of decoding


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_speeds_are_measured(space):
    size = NetworkSize(
        width=2, layers=5, stem="cifar", classes=3, img_size=8, batch_size=4, space=parse(space)
    )
    options = strategies.parse("darts:order=2").options.speed_probe()
    for speed in (network_speed(size, protocols.resolve("timm-modern", {})), supernet_speed(options, size)):
        assert 0 < speed.training < speed.scoring < math.inf


@pytest.mark.slow
def test_overheads_are_measured_by_real_jobs():
    found = measured()
    parts = (found.search, found.transfer, found.record, found.epoch, found.image, found.photo)
    assert all(0 <= part < 60 for part in parts)
    assert found.image < found.search < found.transfer + found.search


def test_known_sets_are_planned_without_their_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    sizes = SetSizes()
    for name, source in SOURCES.items():
        if name != "mit67":  # which must be there
            assert sizes.of(sources.check(name), "train").images == source.images["train"]
    config = TransferConfig.create({"arch": "DARTS_V2", "target": "cifar10"})
    assert sizes.evaluated(config) == 10_000
    held_out = config.model_copy(update={"train_split": "test", "val_share": 0.25})
    assert sizes.evaluated(held_out) == 2_500
    imagenet = TransferConfig.create({"arch": "DARTS_V2", "target": "imagenet1k"})
    assert sizes.evaluated(imagenet) == 50_000


@pytest.mark.parametrize("split", ["train", "test"])
def test_sets_on_this_machine_are_counted(split):
    digits = SOURCES["digits"]
    assert len(loading.load(digits, split)) == digits.images[split]


def test_plan_names_jobs_and_power(tmp_path):
    made = study(search={"epochs": 4}, transfer={"epochs": 3}, looks=[0.5, 1], proxy_seeds=[0])
    text = describe(made, tmp_path, images_per_second=1000.0, list_jobs=True)
    assert "48 jobs, 0 completed" in text
    assert "4 random cells" in text and "Holm's correction of 4 comparisons" in text
    assert "looks at 50%, 100% of 3 units and 4 random cells" in text
    assert "4 x 3 searches: power" in text
    assert "as it is" in text and "random_cells: 8" in text and "only the first 1 of 2 proxies" in text
    assert all(job.name in text for job in made.jobs)
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_comparisons_that_can_never_be_decided_are_named(tmp_path):
    text = describe(study(proxies=["all"], search_seeds=[0]), tmp_path, images_per_second=1.0)
    assert "never decided: darts on digits / all: one search says nothing" in text


def test_planned_design_is_that_of_the_jobs():
    made = study(proxies=["all", "images:0.5"])
    design = planned_design(made)
    arms = {arm.name: arm for arm in design.arms}
    assert (arms["darts on digits / all"].draws, arms["darts on digits / all"].searches) == (1, 3)
    assert (arms["darts on digits / images:0.5"].draws, arms["darts on digits / images:0.5"].searches) == (
        2,
        3,
    )
    trainings = sum(arm.draws * arm.searches * arm.trainings for arm in design.arms)
    trainings += design.random_cells * design.random_trainings
    assert trainings == sum(job.kind == "transfer" for job in made.jobs)
    own = planned_design(study(proxies=["images:0.5"], draw_per_search=True)).arms[0]
    assert (own.draws, own.searches) == (3, 1)


def test_advice_ranks_changes_by_what_they_buy():
    """Few random cells are the cheap lever; two draws of three searches are worth less than six draws."""
    made = study(strategies=["darts"], proxies=["images:0.5"], search_seeds=10, random_cells=3)
    now, *ranked = changes(made, Spread(), 0.4, CostModel(1000.0), None)
    assert now.text == "as it is" and min(change.seconds for change in ranked) == now.seconds
    assert ranked[0].text == "draw_per_search, search_seeds: 20"
    by_name = {change.text: change for change in ranked}
    assert by_name["random_cells: 6"].power > by_name["train_seeds: 4"].power
    assert by_name["search_seeds: 15"].seconds > now.seconds


def test_pilot_gives_the_deviations(tmp_path):
    """Sixteen random cells, each trained twice: between cells 1.0, between trainings 0.5."""
    rng = np.random.default_rng(0)
    cells, noise = np.repeat(rng.normal(50, 1.0, 16), 2), rng.normal(0, 0.5, 32)
    table = pd.DataFrame(
        {
            "target": "digits",
            "strategy": "random",
            "search_seed": np.repeat(range(16), 2),
            "train_seed": np.tile([0, 1], 16),
            "top1": cells + noise,
        }
    )
    table.to_csv(tmp_path / "pilot.csv", index=False)
    pilot = Pilot.read(str(tmp_path / "pilot.csv"), study())
    assert pilot.spread.training == pytest.approx(np.sqrt(np.mean(np.diff(noise)[::2] ** 2) / 2), abs=0.01)
    assert pilot.spread.random == pytest.approx(1.0, rel=0.4)
    text = describe(study(), tmp_path, images_per_second=1000.0, pilot=pilot)
    assert "between trainings of one cell: 0." in text and "reliability of one 0." in text
    assert "evaluation on twice as many images" in text
    larger = with_larger_evaluation(pilot, 360)
    assert larger.training < pilot.spread.training
    with pytest.raises(UserError, match="--pilot nowhere: no such file"):
        Pilot.read("nowhere", study())


def test_a_pilot_in_the_home_of_an_unknown_user_is_refused():
    with pytest.raises(UserError, match="there is no such home folder"):
        Pilot.read("~no-such-user/runs", study())


def test_of_a_pilot_in_several_settings_the_planned_one_counts(tmp_path):
    """Ten cells each trained twice by the study's protocol, and ten by another whose networks vary more."""
    made, rng = study(), np.random.default_rng(0)
    ours = next(job.config for job in made.jobs if job.kind == "transfer").protocol_hash
    table = pd.DataFrame(
        {
            "target": "digits",
            "strategy": "random",
            "search_seed": np.tile(np.repeat(range(10), 2), 2),
            "train_seed": np.tile([0, 1], 20),
            "protocol_hash": np.repeat([ours, "another"], 20),
            "top1": rng.normal(50, np.repeat([1, 9], 20)),
        }
    )
    table.to_csv(tmp_path / "pilot.csv", index=False)
    pilot = Pilot.read(str(tmp_path / "pilot.csv"), made)
    assert pilot.networks == 20 and pilot.spread.training < 3


def test_assumed_deviations_go_before_those_of_the_pilot():
    def spread(**options):
        return assumed_spread(PlanConfig.create({"file": "study.yml", **options}), None)

    def whole(found):
        return np.hypot(found.search, found.training)

    assert whole(spread()) == pytest.approx(0.23) and whole(spread(deviation=2.0)) == pytest.approx(2.0)
    other = spread(deviation=2.0, random_deviation=1.5)
    assert network_deviation(other) == pytest.approx(1.5) and whole(other) == pytest.approx(2.0)
    assert spread(draw_deviation=0.5, collapse_rate=0.1).draw == 0.5


def test_plan_leaves_out_what_is_completed(tmp_path):
    made = study()
    folder = made.jobs[0].folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"status": "completed"}))
    (folder / "summary.json").write_text(json.dumps({"top1": 50.0}))
    text = describe(made, tmp_path, images_per_second=1000.0, list_jobs=True)
    assert "66 jobs, 1 completed" in text
    assert f" {made.jobs[0].name} " not in text


@pytest.mark.parametrize(("name", "effect"), [("digits", 3.0), ("cifar10", 0.23), ("imagenet", 0.23)])
def test_shipped_studies_can_be_decided(name, effect, monkeypatch):
    """Each finds a difference of one standard deviation of random networks with 0.8 or so."""
    monkeypatch.delenv("NASTRANSFER_DATA", raising=False)
    made = Study.read(EXPERIMENTS / f"study_{name}.yml")
    frame = study_power(made, Spread(search=0.89 * effect, training=0.45 * effect), effect)
    assert not any(frame["reason"]) and frame["power"].min() > 0.75


def test_files_that_a_study_names_are_found_from_any_folder(tmp_path, monkeypatch):
    keys = [f"{key:016x}" for key in loading.load("digits").keys]
    scores = pd.DataFrame({"key": keys, "entropy": np.linspace(0.1, 2, len(keys))})
    scores.to_parquet(tmp_path / "scores.parquet")
    content = SMALL | {"proxies": ["entropy-p1:200,scores=scores.parquet"]}
    (tmp_path / "study.yml").write_text(yaml.safe_dump(content))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = plan(PlanConfig(file=str(tmp_path / "study.yml"), images_per_second=1000, out="runs"))
    assert "searches left" in text
