from collections import Counter
from pathlib import Path

import pytest
import yaml

from nastransfer_nni.data.sources import local_folder
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.jobs import slug
from search_spaces.errors import UserError
from strategies.budget import Budget

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


SEEDS = [1652155165, 2815623398, 358620999]
"""Training seeds of the first searches of SMALL."""


def study(**changes):
    content = SMALL | changes
    if content.get("draw_per_search"):
        del content["proxy_seeds"]
    return Study.create(content)


def searches(made):
    return [job for job in made.jobs if job.kind == "search"]


def test_strategies_share_draws_and_search_seeds():
    """Every strategy gets the same proxies, draws and seeds; every cell as many trainings."""
    runs = {}
    for job in searches(study()):
        config = job.config
        runs.setdefault(config.strategy.text, []).append((config.proxy.text, config.proxy_seed, config.seed))
    assert runs["darts"] == runs["random_ws:candidates=3,batches=1,finalists=1"]
    assert Counter(proxy for proxy, _, _ in runs["darts"]) == {"all": 3, "classes:5": 6}  # all has one draw
    assert runs["random"] == [("all", 0, seed) for seed in range(4)]
    trained = Counter(job.search for job in study().jobs if job.kind == "transfer")
    assert set(trained) == {job.name for job in searches(study())}
    assert set(trained.values()) == {2}
    assert len({job.name for job in study().jobs}) == len(study().jobs)


def test_cells_are_trained_on_their_source_too(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    for name in ("cifar10", "cifar100"):
        (tmp_path / name).mkdir()
    targets = {}
    for job in study(sources=["cifar10", "digits"], targets=["cifar100"]).jobs:
        if job.kind == "transfer":
            targets.setdefault(job.search, set()).add(job.config.target.text)
    for name, found in targets.items():
        sources = {"cifar10", "digits"} if name.startswith("random-") else {name.split("-")[1]}
        assert found == {"cifar100", *sources}
    alone = study(sources=["cifar10"], targets=["cifar100"], source_training=False).jobs
    assert {job.config.target.text for job in alone if job.kind == "transfer"} == {"cifar100"}


def test_sources_may_have_proxies_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    made = study(sources={"digits": ["all"], "cifar10": ["images:0.1"]}, proxies=["all"])
    pairs = {(job.config.source.text, job.config.proxy.text) for job in searches(made)}
    assert pairs == {("digits", "all"), ("cifar10", "images:0.1")}


def test_proxies_without_randomness_are_drawn_once():
    made = study(strategies=["darts"], proxies=["resolution:16", "images:0.5"])
    draws = Counter(job.config.proxy.text for job in searches(made))
    assert draws == {"resolution:16": 3, "images:0.5": 6, "all": 4}


def seeds_of_trainings(made):
    return [job.config.seed for job in made.jobs if job.kind == "transfer"]


def test_no_training_is_shared():
    """Each has a seed of its own, which follows from its train seed and from all that names its search."""
    seeds = seeds_of_trainings(study())
    assert len(set(seeds)) == len(seeds) == 44 and max(seeds) < 2**32
    assert seeds[:3] == SEEDS, "studies that have begun would not resume"
    other = study(strategies=["random_ws:candidates=3,batches=1,finalists=1"], train_seeds=[1])
    assert set(seeds_of_trainings(other)) < set(seeds), "seeds depend on nothing else in the file"
    assert len({job.config.val_seed for job in study().jobs if job.kind == "transfer"}) == 1


def test_rules_of_version_0_1_share_the_trainings():
    made = study(rules="0.1")
    assert Counter(seeds_of_trainings(made)) == {0: 22, 1: 22}
    assert {job.config.val_seed for job in made.jobs if job.kind == "transfer"} == {None}
    (own, *_), (shared, *_) = (
        [job.config.strategy for job in each.jobs if job.name.startswith("random-") and job.kind == "search"]
        for each in (study(), made)
    )
    assert own.text == shared.text == "random" and own.options.changed() == shared.options.changed() == {}


def test_a_draw_of_its_own_for_every_search():
    made = study(proxies=["all", "images:0.5"], draw_per_search=True)
    runs = {}
    for job in searches(made):
        config = job.config
        runs.setdefault((config.strategy.name, config.proxy.text), []).append(
            (config.proxy_seed, config.seed)
        )
    assert runs["darts", "images:0.5"] == runs["random_ws", "images:0.5"] == [(0, 0), (1, 1), (2, 2)]
    assert runs["darts", "all"] == [(0, 0), (0, 1), (0, 2)]
    assert made.units == 3
    assert study(proxies=["all", "images:0.5"]).units == 3
    assert study(proxies=["images:0.5"]).units == 2, "searches on one draw share it"


def test_seeds_may_be_given_by_their_number():
    assert study(search_seeds=3, train_seeds=2, proxy_seeds=2).jobs == study().jobs


def test_relative_names_are_looked_up_in_the_folder_of_the_file(tmp_path, monkeypatch):
    """Then in the working directory, as version 0.1 did; jobs are named by what the file says."""
    for place in ("here/mine/train/a", "here/mine/train/b", "there/mine/train/a", "there/other/train/a"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "here" / "proxy.json").write_text("{}")
    file = tmp_path / "here" / "study.yml"
    content = SMALL | {
        "sources": ["mine"],
        "targets": ["other"],
        "proxies": ["proxy.json", "images:like=proxy.json"],
    }
    file.write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path / "there")
    made = Study.read(file)
    search, transfer = made.jobs[:2]
    assert local_folder(search.config.source) == tmp_path / "here" / "mine"
    assert local_folder(transfer.config.target) == Path("other")
    assert search.config.proxy.manifest == tmp_path / "here" / "proxy.json"
    assert search.name == "darts-mine-proxy.json-seed0" and search.names_folder == tmp_path / "here"
    assert made.changed(random_cells=5).jobs[:2] == made.jobs[:2]
    with pytest.raises(UserError, match="no proxy manifest"):
        Study.create(content)


def test_names_are_those_of_version_0_1():
    """An unfinished study of 0.1 resumes in its folder."""
    assert [
        job.name for job in study(proxy_seeds=[0], search_seeds=[0], train_seeds=[0], random_cells=2).jobs
    ] == [
        "darts-digits-all-seed0",
        "darts-digits-all-seed0--digits-train0",
        "random_ws_candidates_3_batches_1_finalists_1-digits-all-seed0-11b3",
        "random_ws_candidates_3_batches_1_finalists_1-digits-all-seed0-11b3--digits-train0",
        "darts-digits-classes_5-seed0-b73f",
        "darts-digits-classes_5-seed0-b73f--digits-train0",
        "random_ws_candidates_3_batches_1_finalists_1-digits-classes_5-seed0-291e",
        "random_ws_candidates_3_batches_1_finalists_1-digits-classes_5-seed0-291e--digits-train0",
        "random-seed0",
        "random-seed0--digits-train0",
        "random-seed1",
        "random-seed1--digits-train0",
    ]


def test_different_words_never_share_a_name():
    assert slug(("darts", "classes:5")) != slug(("darts", "classes_5"))
    assert slug(("darts", "seed0")) == "darts-seed0"


def test_budget_leaves_the_baseline_untrained():
    made = study(strategies=["darts"], search={"budget": 100_000})
    budgets = {job.config.strategy.text: job.config.budget for job in searches(made)}
    assert budgets == {"darts": Budget(images=100_000), "random": None}


@pytest.mark.parametrize("sources", [["digits"], {"digits": ["all", "images:0.5"]}])
def test_written_study_has_the_same_jobs(sources):
    """Trials of NNI read the study from a file that `study run` writes."""
    made = study(sources=sources, search={"epochs": 3})
    written = yaml.safe_dump(made.model_dump(mode="json", exclude_defaults=True))
    assert Study.create(yaml.safe_load(written)).jobs == made.jobs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": ["dart"]}, "did you mean 'darts'"),
        ({"strategies": ["darts:alpha_learning_rate=0.1"]}, "did you mean 'alpha_lr'"),
        ({"strategies": ["random"]}, "part of every study"),
        ({"strategies": "darts"}, "--strategies"),
        ({"search_seeds": [0, 0]}, "0 is listed twice"),
        ({"proxies": ["all", "all"]}, "'all' is listed twice"),
        ({"proxies": ["class:3"]}, "did you mean 'classes'"),
        ({"sources": ["digit"]}, "did you mean 'digits'"),
        ({"sources": {"digit": ["all"]}}, "did you mean 'digits'"),
        ({"sources": {"digits": ["class:3"]}}, "did you mean 'classes'"),
        ({"sources": {"digits": []}}, "proxies"),
        ({"sources": {"digits": "all"}}, "proxies"),
        ({"sources": {}}, "--sources"),
        ({"targets": ["nowhere"]}, "nowhere"),
        ({"search": {"seed": 3}}, "set by the study's design"),
        ({"search": {"epocs": 3}}, "did you mean 'epochs'"),
        ({"search": {"learning_rate": 0.1}}, "did you mean 'lr'"),
        ({"search": {"pixels": 32}}, "did you mean 'img_size'"),
        ({"search": {"epochs": [1]}}, "search: --epochs"),
        ({"search": [1]}, "--search"),
        ({"transfer": {"width": 0}}, "transfer: --width"),
        ({"transfer": {"widht": 3}}, "did you mean 'width'"),
        ({"protocols": ["mine"]}, "mine"),
        ({"random_cells": 1}, "--random-cells"),
        ({"name": "../up"}, "--name"),
        ({"nmae": "x"}, "did you mean 'name'"),
        ({"search_seeds": [-1]}, "--search-seeds-0"),
        ({"search_seeds": 0}, "--search-seeds"),
        ({"draw_per_search": True}, "leave out proxy_seeds"),
        ({"looks": [0.5]}, "the last of them 1"),
        ({"margin": "much"}, "--margin"),
        ({"primary": "median"}, "--primary"),
        ({"rules": "0.3"}, "--rules"),
        ({1: "x"}, "unknown option '1'"),
    ],
)
def test_bad_studies_are_refused_in_one_line_before_any_run(tmp_path, change, message):
    file = tmp_path / "study.yml"
    file.write_text(yaml.safe_dump(SMALL | change))
    with pytest.raises(UserError) as error:
        Study.read(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "a study is a mapping"),
        (b"", "a study is a mapping"),
        (b"name: [", "not YAML"),
        (b"name: 2024-02-31", "--strategies is needed"),
        (b"[" * 5000, "nested too deeply"),
        (b"name: \xff\xfe", "UTF-8"),
    ],
)
def test_files_that_are_no_study(tmp_path, content, message):
    file = tmp_path / "study.yml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        Study.read(file)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"study file .*: No such file"):
        Study.read(tmp_path / "other.yml")
    with pytest.raises(UserError, match=r"study file .* is a folder"):
        Study.read(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search_seeds": 10**12}, "at most 100,000 random seeds"),
        ({"random_cells": 10**9}, "less than or equal to 100000"),
        ({"search_seeds": 90_000, "train_seeds": 90_000}, "more than 100,000 jobs"),
    ],
)
def test_a_study_beyond_all_machines_is_refused_before_its_jobs_are_listed(options, message):
    base = {"name": "s", "strategies": ["darts"], "sources": ["digits"], "targets": ["digits"]}
    with pytest.raises(UserError, match=message):
        Study.create({**base, **options})


def test_places_plan_their_own_number_of_units():
    """Draws where a proxy set is drawn several times, searches where it is the same for all."""
    made = study(proxies=["all", "images:0.5"], proxy_seeds=[*range(10)], search_seeds=[0, 1, 2])
    assert made.units == 10
    assert made.units_of == {"digits / all": 3, "digits / images:0.5": 10}
