"""Limits of a search: refused before any work, kept, and reported."""

import json

import pytest

from nastransfer_nni.latency.table import LatencyTable
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from search_spaces import parse
from search_spaces.errors import UserError

SMALL = {"source": "digits", "epochs": 1, "width": 1, "layers": 3, "batch_size": 20, "device": "cpu"}
SMALL |= {"proxy": "classes:2,per_class=20"}
FINAL = {"space": "darts", "width": 16, "layers": 5, "num_classes": 2, "stem": "cifar", "img_size": 8}
"""The final network of that search, by the protocol of digits."""


@pytest.fixture
def table(tmp_path):
    """A made-up table."""
    parts = parse("darts").parts(16, 5, 2, "cifar", 8)
    content = {
        "network": FINAL,
        "settings": {},
        "machine": {},
        "milliseconds": {part.name: 0.01 * (1 + sum(part.name.encode()) % 17) for part in parts},
    }
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(content))
    return str(path)


def run(tmp_path, **options):
    return search(SearchConfig.create(SMALL | options | {"out": str(tmp_path / "run")})).finished


def test_sizes_are_limited_and_reported(table, tmp_path):
    free = run(tmp_path, strategy="random", latency_table=table)
    assert free["latency_ms"] > 0 and free["params"] > 0
    limits = {"max_params": free["params"] - 1, "max_latency": free["latency_ms"] - 0.001}
    found = run(
        tmp_path, strategy="random", latency_table=table, max_mult_adds="100M", overwrite=True, **limits
    )
    assert found["params"] < free["params"] and found["latency_ms"] < free["latency_ms"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_params": "1K"}, r"max_params = 1,000 parameters is out of reach: .* has \d+,\d+ parameters"),
        ({"max_mult_adds": 10}, r"max_mult_adds = 10 multiply-adds is out of reach: .* has [\d,]+ multiply"),
        ({"max_latency": 0.05}, r"max_latency = 0.05 ms is out of reach: .* has [\d.]+ ms"),
        ({"max_latency": 9, "final_classes": 3}, "is of another network"),
    ],
)
@pytest.mark.parametrize("proxy", ["classes:2,per_class=20", "classes:2+entropy-p1:0.5"])
def test_what_cannot_be_kept_is_refused_before_any_work(
    options, message, proxy, table, tmp_path, monkeypatch
):
    monkeypatch.setattr("nastransfer_nni.proxy.networks.train_network", None)  # no scorer may be trained
    with pytest.raises(UserError, match=message):
        run(tmp_path, strategy="darts", latency_table=table, proxy=proxy, **options)


def test_a_limit_on_the_latency_needs_a_table(table):
    with pytest.raises(UserError, match="--max-latency needs --latency-table"):
        SearchConfig.create(SMALL | {"max_latency": 3.0})
    config = SearchConfig.create(SMALL | {"max_latency": 3.0, "latency_table": table})
    assert config.model_dump(mode="json")["latency_table"] == table
    assert LatencyTable.read(table).network == config.latency_table.network


@pytest.mark.parametrize("proxy", ["classes:2,per_class=20", "classes:2+entropy-p1:0.5"])
def test_a_budget_below_the_stages_is_refused_before_any_work(proxy, tmp_path, monkeypatch):
    """Three stages with ten epochs of frozen alphas each; the budget has 25 epochs or fewer."""
    monkeypatch.setattr("nastransfer_nni.proxy.networks.train_network", None)
    monkeypatch.setattr("nastransfer_nni.search.experiment.make_batches", None)
    options = {"strategy": "p-darts", "epochs": 75, "layers": 5, "proxy": proxy}
    with pytest.raises(UserError, match=r"a budget of 500 is enough for \d+ epochs: 3 stages have \d+ of"):
        run(tmp_path, budget=500, **options)
