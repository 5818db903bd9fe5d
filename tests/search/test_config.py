"""Options of a search: objects from the start, old names refused or translated."""

import json

import pytest
import yaml

from nastransfer_nni.search import experiment
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from search_spaces.errors import UserError

QUICK = {"epochs": 1, "width": 2, "layers": 3, "batch_size": 64, "proxy": "images:0.2", "device": "cpu"}


def test_texts_become_objects_and_are_written_as_texts():
    config = SearchConfig.create({"strategy": "darts:order=2", "proxy": "classes:5", "source": "digits"})
    assert (config.strategy.name, config.strategy.options.order) == ("darts", 2)
    assert config.proxy.steps[0].num_classes == 5
    assert config.source.classes == 10
    dumped = config.model_dump(mode="json")
    assert (dumped["strategy"], dumped["proxy"], dumped["source"]) == ("darts:order=2", "classes:5", "digits")
    assert SearchConfig.create({**dumped, "strategy": config.strategy}) == config


GONE = [pair for pair in SearchConfig.renamed.items() if pair[0] not in SearchConfig.model_fields]
"""All renamed options but `workers`, which means data workers now."""


@pytest.mark.parametrize(("old", "new"), GONE)
def test_old_names_of_options_are_refused_with_the_new_one(old, new):
    with pytest.raises(UserError, match=f"unknown option '{old}' .did you mean '{new}'"):
        SearchConfig.create({old: 1})


OLD_OPTIONS = {
    "source": "digits",
    "proxy": "images:0.2",
    "proxy_seed": 0,
    "pixels": None,
    "strategy": "darts:alpha_learning_rate=0.01",
    "seed": 0,
    "epochs": 1,
    "batch_size": 64,
    "width": 2,
    "layers": 3,
    "stem": "auto",
    "learning_rate": 0.025,
    "learning_rate_min": 0.001,
    "momentum": 0.9,
    "weight_decay": 0.0003,
    "gradient_clip": 5.0,
    "weights_share": 0.5,
    "alphas_share": 0.5,
    "on_bad_image": "skip",
    "loader_workers": 2,
    "budget": None,
    "max_mult_adds": None,
    "final_protocol": "",
    "final_classes": None,
    "workers": 0,
    "training_service": None,
    "port": 8080,
    "device": "cpu",
    "out": None,
    "overwrite": False,
}
"""Options as version 0.1 wrote them to config.yaml."""


@pytest.mark.parametrize("is_named", [True, False])
def test_an_unfinished_search_of_version_0_1_resumes(is_named, tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_RUNS", str(tmp_path))
    folder = tmp_path / ("mine" if is_named else "search-darts-digits-images_0.2-seed0-0123456789")
    folder.mkdir()
    ignored = {"out", "overwrite", "device", "loader_workers", "training_service", "port"}
    old = {
        "command": "search",
        "options": OLD_OPTIONS,
        "compared": sorted(OLD_OPTIONS.keys() - ignored),
        "command_line": "python -m nastransfer_nni.search",
        "at": "2026-11-01T00:00:00Z",
        "host": "gone",
        "git_commit": None,
        "versions": {"nastransfer-nni": "0.1.0"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(old))
    (folder / "status.json").write_text(
        json.dumps({"status": "running", "why": "", "pid": 1, "host": "gone"})
    )
    options = {**QUICK, "strategy": "darts:alpha_lr=0.01"}
    search(SearchConfig.create({**options, **({"out": str(folder)} if is_named else {})}))
    assert (folder / "summary.json").is_file()
    assert len(yaml.safe_load((folder / "config.yaml").read_text())["continued"]) == 1
    with pytest.raises(UserError, match=r"width: 2 there, 4 here"):
        search(SearchConfig.create({**options, "width": 4, "out": str(folder)}))


def test_an_unfinished_search_without_an_option_of_today_resumes(tmp_path, monkeypatch):
    """Nothing is computed here; the run is begun with the options that there were before these two."""
    monkeypatch.setattr(experiment, "run_search", lambda config, run: run.complete({"top1": 1.0}))
    options = {**QUICK, "out": str(tmp_path)}
    search(SearchConfig.create(options))
    (tmp_path / "status.json").write_text('{"status": "interrupted"}')
    begun = yaml.safe_load((tmp_path / "config.yaml").read_text())
    for added in ("amp", "val_interval"):
        del begun["options"][added]
        begun["compared"].remove(added)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(begun))
    with pytest.raises(UserError, match="val_interval: 1 there, 2 here"):
        search(SearchConfig.create({**options, "val_interval": 2}))
    assert search(SearchConfig.create(options)).is_resumed


def test_bfloat16_is_refused_where_it_rounds_away_the_second_order():
    with pytest.raises(UserError, match="--amp rounds away the differences of gradients that order=2 takes"):
        SearchConfig.create({"strategy": "darts:order=2", "amp": True})
    assert SearchConfig.create({"amp": True}).candidate_recipe(32).amp
