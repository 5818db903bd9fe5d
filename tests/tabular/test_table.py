import json

import numpy as np
import pandas as pd
import pytest
import yaml

from nastransfer_nni.tabular.run import Opened
from search_spaces.errors import UserError
from search_spaces.zoo import zoo
from tests.tabular.conftest import networks

NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
CELL = "|none~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|avg_pool_3x3~2|"


def with_row(place, **values):
    frame = networks().astype({"cheap": object})
    for name, value in values.items():
        frame.loc[place, name] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (
            None,
            {"proxies": {"cheap": "cheep"}},
            r"unknown column of proxies: cheap 'cheep' \(did you mean 'cheap'",
        ),
        (None, {"cells": "cell"}, "unknown column of cells 'cell'"),
        (None, {"group": "grup"}, "unknown column of group 'grup'"),
        (None, {"where": {"kind": 1}}, "unknown column of where 'kind'"),
        (None, {"where": {"network": "n999"}}, "no row has network 'n999'"),
        (None, {"unit": "fraction"}, "row .*: cheap is 6.*, outside 0 to 1; say unit: percent"),
        (
            networks().assign(dear=0.5),
            {},
            "dear is at most 0.5, which looks like a fraction; say unit: fraction",
        ),
        (
            with_row(3, cheap=140),
            {},
            "row 5: cheap is 140, outside 0 to 100; what is no accuracy is marked by score",
        ),
        (with_row(3, cheap="high"), {}, "row 5: cheap is 'high', no number"),
        (with_row(7, network="n3"), {}, "rows 5, 9 are one network, 'n3'"),
        (networks().assign(dear=np.nan), {}, "no network has all of the measurements"),
        (None, {"space": "darts"}, "row 2: 'n0' is no cell of darts: no Genotype"),
        (None, {"space": "nas_bench_201"}, "row 2: 'n0' is no cell of nas_bench_201"),
        (None, {"space": "nasbench"}, r"unknown space 'nasbench' .*known: darts, nas_bench_201"),
        (None, {"table": "none.csv"}, "table: no file none.csv"),
        (None, {"strategies": ["darts"]}, "darts does not train candidates one by one"),
        (None, {"strategies": ["score"]}, "score does not train candidates one by one"),
        (None, {"strategies": ["evolution"]}, "evolution needs all cells of a space, and the table has 400"),
        (None, {"strategies": ["random"]}, "random picks are part of every study"),
        (None, {"random_cells": 400}, "random_cells: 400 of 400 networks leave none"),
        (None, {"targets": {"dear": {"columns": "dear", "score": True}}}, "a target is an accuracy"),
        (None, {"sizes": {"flops": "params"}}, "unknown size 'flops'"),
        (None, {"seeds": 3}, "unknown option 'seeds'"),
        (None, {"levels": ["a"]}, "levels are for JSON and YAML"),
        (networks().head(0), {}, "table.csv: has no rows"),
    ],
)
def test_bad_input_ends_in_one_line(written, frame, options, message):
    path = written(frame, **options)
    with pytest.raises(UserError, match=message) as error:
        Opened.read(path).split()
    assert "\n" not in str(error.value)


def test_too_many_candidates_for_two_searches_are_refused(written):
    opened = Opened.read(written(strategies=["random:candidates=200"]))
    with pytest.raises(
        UserError, match="candidates=200: the 360 networks beside the random picks give no two"
    ):
        opened.searches(opened.study.strategies[0])


def test_a_damaged_file_is_refused(written, tmp_path):
    path = written(table="table.parquet")
    (tmp_path / "table.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"table.parquet: cannot be read"):
        Opened.read(path)


def test_a_list_of_other_things_is_no_table(written, tmp_path):
    path = written(table="table.json")
    (tmp_path / "table.json").write_text('[{"network": "a"}, 3]')
    with pytest.raises(UserError, match=r"table.json: is no list of rows"):
        Opened.read(path)


def test_the_table_is_found_beside_the_study_and_under_the_data_folder(written, tmp_path, monkeypatch):
    path = written()
    assert len(Opened.read(path).networks) == 400
    (tmp_path / "data").mkdir()
    (tmp_path / "table.csv").rename(tmp_path / "data" / "table.csv")
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path / "data"))
    assert len(Opened.read(path).networks) == 400


@pytest.mark.parametrize("unit", ["fraction", "error"])
def test_accuracies_are_in_percent_whatever_the_file_has(written, unit):
    frame = networks()
    read = Opened.read(written(frame)).networks.frame
    changed = {"fraction": frame[["cheap", "dear"]] / 100, "error": 100 - frame[["cheap", "dear"]]}[unit]
    other = Opened.read(written(frame.assign(**changed), unit=unit)).networks.frame
    pd.testing.assert_frame_equal(read, other)


def test_networks_that_lack_a_measurement_are_counted(written):
    frame = networks()
    frame.loc[:6, "dear"] = np.nan
    opened = Opened.read(written(frame))
    assert len(opened.networks) == 393
    assert opened.networks.notes == ["Networks left out because they lack a measurement: 7."]


def test_a_nested_file_is_a_table(written, tmp_path):
    values = {
        f"{space}_{name}": {
            f"{rate}_x": {str(seed): 10.0 + rate + seed for seed in (1, 2)} for rate in range(60)
        }
        for space in ("s1", "s2")
        for name in ("cheap", "dear")
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(values))
    options = {
        "table": "table.yaml",
        "levels": [["space", "data"], ["rate", "kind"], "seed"],
        "across": ["data", "seed"],
        "cells": ["space", "rate"],
        "group": "space",
        "unit": "error",
        "proxies": {"cheap": ["cheap_1", "cheap_2"]},
        "targets": {"dear": ["dear_1", "dear_2"]},
    }
    opened = Opened.read(written(**options))
    assert len(opened.networks) == 120
    row = opened.networks.frame.set_index("cell").loc["s2 7"]
    assert (row["group"], row["cheap_1"], row["dear_2"]) == ("s2", 100 - 18, 100 - 19)
    values["s1_cheap"]["7"] = values["s1_cheap"].pop("7_x")
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match="key '7' has no 2 parts joined by _, for rate, kind"):
        Opened.read(written(**options))


def test_cells_of_a_space_are_written_in_one_way_and_have_sizes(written):
    cells = [
        json.dumps(genotype.to_dict())
        for genotype in (zoo()["DARTS_V1"].genotype, zoo()["DARTS_V2"].genotype)
    ]
    frame = networks(2).assign(network=[cells[0], str(zoo()["DARTS_V2"].genotype)])
    opened = Opened.read(written(frame, space="darts"))
    sizes = opened.networks.sizes(opened.study)
    assert sizes["mult_adds"][1] == pytest.approx(528.4e6, rel=1e-3)
    assert sizes["params"][1] == pytest.approx(3.349e6, rel=1e-3)
    with pytest.raises(UserError, match="rows 2, 3 are one network"):
        Opened.read(written(frame.assign(network=[cells[1], str(zoo()["DARTS_V2"].genotype)]), space="darts"))


def test_sizes_of_nas_bench_201_count_the_convolutions(written):
    opened = Opened.read(written(networks(1).assign(network=CELL), space="nas_bench_201"))
    sizes = opened.networks.sizes(opened.study).iloc[0]
    other = Opened.read(written(networks(1).assign(network=NONE), space="nas_bench_201"))
    added = sizes["mult_adds"] - other.networks.sizes(other.study)["mult_adds"][0]
    assert added == 5 * 10 * 3 * (16 * 32) ** 2
    for wrong in (CELL.replace("~2", "~1"), CELL[:-1], CELL.replace("none", "nine")):
        with pytest.raises(UserError, match="row 2: "):
            Opened.read(written(networks(1).assign(network=wrong), space="nas_bench_201"))
