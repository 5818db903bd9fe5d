from collections import Counter

import pytest
import yaml

from nastransfer_nni.study.design import Study, slug
from nastransfer_nni.study.engines.local import Schedule
from nastransfer_nni.study.plan import describe, samples, scored
from nastransfer_nni.study.status import Standing
from search_spaces.errors import UserError

SMALL = {
    "name": "small",
    "strategies": ["darts", "random_ws:candidates=3,batches=1,finalists=1"],
    "sources": ["digits"],
    "proxies": ["all", "classes:5"],
    "proxy_seeds": [0, 1],
    "search_seeds": [0, 1, 2],
    "random_cells": 4,
    "targets": ["digits"],
    "train_seeds": [0, 1],
}


def study(**changes):
    return Study.create(SMALL | changes)


def test_the_design_is_paired():
    """Every strategy meets the same proxies, draws and seeds; every cell the same trainings."""
    searches = [job for job in study().jobs if job.kind == "search"]
    met = {}
    for job in searches:
        config = job.config
        met.setdefault(config.strategy, []).append((config.proxy, config.proxy_seed, config.seed))
    assert met["darts"] == met["random_ws:candidates=3,batches=1,finalists=1"]
    assert Counter(proxy for proxy, _, _ in met["darts"]) == {"all": 3, "classes:5": 6}  # all has one draw
    assert met["random"] == [("all", 0, seed) for seed in range(4)]
    trained = Counter(job.search for job in study().jobs if job.kind == "transfer")
    assert set(trained) == {job.name for job in searches}
    assert set(trained.values()) == {2}
    assert len({job.name for job in study().jobs}) == len(study().jobs)


def test_cells_are_trained_on_their_source_too_where_it_is_no_target(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    for name in ("cifar10", "cifar100"):
        (tmp_path / name).mkdir()
    jobs = study(sources=["cifar10", "digits"], targets=["cifar100"]).jobs
    targets = {}
    for job in jobs:
        if job.kind == "transfer":
            targets.setdefault(job.search, set()).add(job.config.target)
    for name, met in targets.items():
        sources = {"cifar10", "digits"} if name.startswith("random-") else {name.split("-")[1]}
        assert met == {"cifar100", *sources}
    alone = study(sources=["cifar10"], targets=["cifar100"], source_training=False).jobs
    assert {job.config.target for job in alone if job.kind == "transfer"} == {"cifar100"}


def test_sources_may_have_proxies_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    made = study(sources={"digits": ["all"], "cifar10": ["images:0.1"]}, proxies=["all"])
    met = {(job.config.source, job.config.proxy) for job in made.jobs if job.kind == "search"}
    assert met == {("digits", "all"), ("cifar10", "images:0.1")}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"strategies": ["dart"]}, "did you mean 'darts'"),
        ({"strategies": ["random"]}, "part of every study"),
        ({"search_seeds": [0, 0]}, "stands there twice"),
        ({"proxies": ["class:3"]}, "did you mean 'classes'"),
        ({"targets": ["nowhere"]}, "nowhere"),
        ({"search": {"seed": 3}}, "set by the study's design"),
        ({"search": {"epocs": 3}}, "epocs"),
        ({"transfer": {"width": 0}}, "--width"),
        ({"protocols": ["mine"]}, "mine"),
        ({"random_cells": 1}, "--random-cells"),
        ({"name": "../up"}, "--name"),
        ({"nmae": "x"}, "did you mean 'name'"),
    ],
)
def test_bad_studies_are_refused_in_one_line_before_any_run(tmp_path, change, complaint):
    file = tmp_path / "study.yml"
    file.write_text(yaml.safe_dump(SMALL | change))
    with pytest.raises(UserError) as error:
        Study.read(str(file))
    assert complaint in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", ""])
def test_files_that_are_no_study(tmp_path, text):
    file = tmp_path / "study.yml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"not YAML|a study is a mapping"):
        Study.read(str(file))
    with pytest.raises(UserError, match="no study file"):
        Study.read(str(tmp_path / "other.yml"))


def test_different_words_never_share_a_name():
    assert slug(("darts", "classes:5")) != slug(("darts", "classes_5"))
    assert slug(("darts", "seed0")) == "darts-seed0"


def test_transfers_go_first_and_failures_are_tried_once_more(tmp_path):
    schedule = Schedule(study(train_seeds=[0]), tmp_path)
    first = schedule.take()
    assert first.kind == "search"
    schedule.finish(first, Standing(first, "completed", summary={}))
    follower = schedule.take()
    assert (follower.kind, follower.search) == ("transfer", first.name)
    schedule.finish(follower, Standing(follower, "failed", "no luck"))
    tries = 1
    while (job := schedule.take()) is not None:
        tries += job is follower
        schedule.finish(job, Standing(job, "failed", "no luck"))
    assert tries == 2
    assert all(job.kind == "transfer" for job in schedule.pending), "what waits for failed searches stays"


def test_the_plan_counts_images_and_power(tmp_path):
    made = study(search={"epochs": 4}, transfer={"epochs": 3})
    by_name = {job.name: job for job in made.jobs}
    train_images = 1437
    assert samples(by_name["darts-digits-all-seed0"]) == 4 * train_images  # half for weights, half for alphas
    assert samples(by_name["random-seed0"]) == 0
    assert samples(by_name["random-seed0--digits-train0"]) == 3 * train_images
    text = describe(made, tmp_path, images_per_second=1000.0, deviation=0.23, list_jobs=True)
    assert "66 jobs, 0 done" in text
    assert "6 searches of a strategy and proxy against 4 random cells" in text
    assert all(name in text for name in by_name)
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_the_plan_counts_what_is_scored_without_a_gradient():
    enas, evolution = "enas:candidates=2,aggregate=3,controller_steps=4", "evolution:evaluate=supernet"
    made = study(
        strategies=[enas, evolution],
        proxies=["all"],
        search={"budget": 4000, "batch_size": 32},
        transfer={"train_split": "test", "val_share": 0.25, "epochs": 2},
    )
    by_strategy = {job.config.strategy: job for job in made.jobs if job.kind == "search"}
    half, epochs = 718, 4000 // 718  # of digits' 1,437 training images
    assert scored(by_strategy[enas]) == epochs * 4 * 3 * 32 + 2 * half
    assert scored(by_strategy[evolution]) == 1000 * half
    transfer = next(job for job in made.jobs if job.kind == "transfer")
    assert (samples(transfer), scored(transfer)) == (2 * 270, 2 * 90)


def test_a_budget_leaves_the_baseline_untrained():
    made = study(strategies=["darts"], search={"budget": 100_000})
    budgets = {job.config.strategy: job.config.budget for job in made.jobs if job.kind == "search"}
    assert budgets == {"darts": 100_000, "random": None}
