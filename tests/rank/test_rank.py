"""The command, from cells in a file to the table and the picture."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import nastransfer_nni as nt
from nastransfer_nni.rank import evaluations
from nastransfer_nni.report import collect
from search_spaces import Genotype, registry
from search_spaces.errors import UserError
from search_spaces.sizes import parameters
from strategies.scores import SCORES

TINY = {
    "proxy": "classes:2,per_class=16",
    "width": 1,
    "layers": 3,
    "batch_size": 8,
    "device": "cpu",
    "replicates": 200,
}
NAS_BENCH_201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
FIGURES = ["tau", "rho", "recall", "regret"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.json"
    found = [Genotype.random(np.random.default_rng(seed)) for seed in range(6)]
    rows = [
        {"genotype": cell.to_dict(), "top1": 90 + row, "top1_epoch_3": 80 - row}
        for row, cell in enumerate(found)
    ]
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.fixture(scope="module")
def ranked(cells, tmp_path_factory):
    out = tmp_path_factory.mktemp("rank") / "run"
    return out, nt.rank(cells, by="params+nwot+supernet:1+train:1", noise=0.5, out=str(out), **TINY)


def test_every_evaluation_has_its_row_and_the_files_are_there(ranked):
    out, table = ranked
    assert list(table["evaluation"]) == [
        "params",
        "nwot",
        "supernet:1",
        "train:1",
        "3 epochs of the known training",
    ]
    assert table["tau"].iloc[-1] == pytest.approx(-1)
    assert (table["seconds"].iloc[:-1] > 0).all()
    assert np.isnan(table["seconds"].iloc[-1])
    names = {"rank.md", "rank.csv", "cells.csv", "pareto.svg", "pareto.png", "summary.json"}
    assert names <= {path.name for path in out.iterdir()}
    assert pd.read_csv(out / "rank.csv")["tau"].to_numpy() == pytest.approx(
        table["tau"].to_numpy(), nan_ok=True
    )
    assert "a perfect evaluation would reach a tau of 0." in (out / "rank.md").read_text()


def test_values_are_those_of_the_commands_for_one_cell(ranked, cells):
    values = pd.read_csv(ranked[0] / "cells.csv")
    options = {name: value for name, value in TINY.items() if name != "replicates"}
    scores = nt.score(str(values["genotype"][3]), by="params+nwot", **options)
    assert scores == pytest.approx({"params": values["params"][3], "nwot": values["nwot"][3]})


def test_a_killed_ranking_resumes_and_a_complete_one_grows(ranked, cells):
    out, table = ranked
    journal = out / "values.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    before = pd.read_csv(out / "cells.csv")
    journal.write_text("".join(lines[:9]) + lines[9][:20])  # the third score of nwot was being written
    again = nt.rank(cells, by="params+nwot+supernet:1+train:1", noise=0.5, out=str(out), **TINY)
    pd.testing.assert_frame_equal(pd.read_csv(out / "cells.csv"), before)
    pd.testing.assert_frame_equal(again[FIGURES], table[FIGURES])
    done = len(journal.read_text().splitlines())
    grown = nt.rank(cells, by="params+count_sep_conv", top=2, out=str(out), **TINY)
    assert list(grown["evaluation"])[:2] == ["params", "count_sep_conv"]
    assert len(journal.read_text().splitlines()) == done + 6


def test_an_overwritten_ranking_starts_anew(cells, tmp_path):
    options = TINY | {"by": "params", "out": str(tmp_path / "run")}
    params = []
    for changes in ({}, {"width": 2, "overwrite": True}):
        nt.rank(cells, **options | changes)
        params.append(pd.read_csv(tmp_path / "run" / "cells.csv")["params"])
    assert (params[1] > params[0]).all()
    assert len((tmp_path / "run" / "values.jsonl").read_text().splitlines()) == len(params[1])


def test_cells_of_another_space_are_ranked_with_its_networks(tmp_path):
    space = registry.parse("nas_bench_201")
    cells = [space.random(np.random.default_rng(seed)) for seed in range(5)]
    rows = "".join(f"{cell},{50 + row}\n" for row, cell in enumerate(cells))
    (tmp_path / "cells.csv").write_text("arch,accuracy\n" + rows)
    options = {"by": "params+supernet:1+train:1", "out": str(tmp_path / "run"), **TINY}
    with pytest.raises(UserError, match="layers must be 5, not 3"):
        nt.rank(str(tmp_path / "cells.csv"), **options)
    assert not (tmp_path / "run").exists()
    ranked = nt.rank(str(tmp_path / "cells.csv"), **options | {"layers": 5})
    values = pd.read_csv(tmp_path / "run" / "cells.csv")
    assert list(ranked["evaluation"]) == ["params", "supernet:1", "train:1"]
    assert list(values["genotype"]) == [str(cell) for cell in cells]
    with torch.device("meta"):
        networks = [space.build(cell, width=1, layers=5, num_classes=2, stem="cifar") for cell in cells]
    assert list(values["params"]) == [parameters(network) for network in networks]


def test_cells_of_several_spaces_are_refused(cells, tmp_path):
    rows = [*json.loads(Path(cells).read_text()), {"genotype": NAS_BENCH_201, "top1": 70}]
    (tmp_path / "cells.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"cells.json: has cells of several search spaces: darts, nas_bench"):
        nt.rank(str(tmp_path / "cells.json"), by="params", out=str(tmp_path / "run"), **TINY)


def test_a_report_does_not_take_a_ranking_for_a_damaged_run(ranked):
    with pytest.raises(UserError, match=r"no finished transfer below [^(]*$"):
        collect.collect(ranked[0].parent)


def test_evaluations_by_name():
    names = [each.name for each in evaluations.parse("scores+supernet:10+train:02")]
    assert names == [*SCORES, "supernet:10", "train:2"]
    for text, message in (
        ("nwott", "unknown evaluation 'nwott'.*nwot"),
        ("train", "'train' needs its number of epochs, as in train:5"),
        ("supernet:0", "needs its number of epochs"),
        ("scores+nwot", "nwot is listed twice"),
    ):
        with pytest.raises(UserError, match=message):
            evaluations.parse(text)
