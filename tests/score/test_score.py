"""The scores of a cell, and the search that maximises them."""

import json

import pytest

from nastransfer_nni.score.config import ScoreConfig
from nastransfer_nni.score.run import score
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from search_spaces.errors import UserError
from search_spaces.network import DartsNetwork
from search_spaces.sizes import mult_adds, parameters
from search_spaces.zoo import zoo

SMALL = {"width": 2, "layers": 3, "batch_size": 16, "batches": 1, "device": "cpu"}


def test_sizes_are_those_of_the_network(capsys):
    genotype, by = zoo()["GDAS_V1"].genotype, "params+mult_adds+count_skip_connect"
    found = score(ScoreConfig.create({"arch": "GDAS_V1", "by": by, **SMALL}))
    network = DartsNetwork(genotype, width=2, layers=3, num_classes=10)
    assert found == {
        "params": parameters(network),
        "mult_adds": mult_adds(network, 8),
        "count_skip_connect": [name for name, _ in genotype.normal].count("skip_connect"),
    }
    assert json.loads(capsys.readouterr().out) == found


def test_a_search_exports_the_cell_that_the_command_scores_highest(tmp_path):
    options = {name: value for name, value in SMALL.items() if name != "batches"}
    run = search(
        SearchConfig.create(
            {**options, "strategy": "score:by=nwot,candidates=3,batches=1", "out": str(tmp_path / "run")}
        )
    )
    lines = [json.loads(line) for line in (run.path / "candidates.jsonl").read_text().splitlines()]
    summary = json.loads((run.path / "summary.json").read_text())
    arch = str(run.path / "architecture.json")
    found = score(ScoreConfig.create({"arch": arch, "by": "nwot", **SMALL}))
    assert found["nwot"] == summary["score"] == max(line["score"] for line in lines)
    assert summary["search_samples"] == 0 and "top1" not in summary


def test_a_proxy_changes_the_scores_that_see_images_alone():
    both = {"arch": "DARTS_V1", "by": "nwot+synflow", **SMALL}
    every, few = (score(ScoreConfig.create({**both, "proxy": proxy})) for proxy in ("all", "images:0.3"))
    assert every["nwot"] != few["nwot"] and every["synflow"] == few["synflow"]


def test_an_unknown_score_is_refused_before_any_work():
    with pytest.raises(UserError, match=r"unknown score 'nwott'.*nwot"):
        ScoreConfig.create({"arch": "DARTS_V1", "by": "nwott"})


def test_a_score_that_is_not_finite_is_null(capsys):
    """No path leads through this cell."""
    arch = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    found = score(ScoreConfig.create({"arch": arch, "by": "synflow", **SMALL, "layers": 5}))
    assert found == {"synflow": float("-inf")}
    assert json.loads(capsys.readouterr().out) == {"synflow": None}
