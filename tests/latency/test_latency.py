"""Tables of latencies: what is measured, what they add up to, and which are refused."""

import json

import numpy as np
import pytest

from nastransfer_nni.architecture.config import DescribeConfig
from nastransfer_nni.architecture.run import describe
from nastransfer_nni.latency.config import LatencyConfig
from nastransfer_nni.latency.run import check, measure_latency
from nastransfer_nni.latency.table import NANOSECONDS, LatencyTable
from search_spaces import parse
from search_spaces.errors import UserError

SETTING = {"width": 2, "layers": 3, "num_classes": 3, "img_size": 8}
SIZE = (2, 3, 3, "cifar", 8)


@pytest.fixture(scope="module", params=["darts", "nas_bench_201"])
def measured(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("latency") / "latency.json"
    layers = {"darts": 3, "nas_bench_201": 5}[request.param]
    options = SETTING | {"layers": layers, "space": request.param, "device": "cpu", "out": str(out)}
    measure_latency(LatencyConfig.create(options | {"rounds": 1, "seconds": 1e-4, "check": 3}))
    return parse(request.param), layers, out


def test_a_table_has_every_part_and_how_it_was_measured(measured, capsys):
    space, layers, out = measured
    table = LatencyTable.read(str(out))
    assert set(table.milliseconds) == {part.name for part in space.parts(2, layers, 3, "cifar", 8)}
    assert all(value > 0 for value in table.milliseconds.values())
    assert (
        table.settings["threads"] == 1 and table.machine["versions"]["torch"] and table.machine["processor"]
    )
    assert table.check["cells"] == len(table.check["networks"]) == 3
    costs = table.costs(space, 2, layers, 3, "cifar", 8)
    genotype = space.random(np.random.default_rng(0))
    own = [part for part in space.parts(2, layers, 3, "cifar", 8) if not part.kind]
    total = table.rest + sum(table.milliseconds[part.name] for part in own)
    for kind in space.kinds:
        for name, state in genotype.edges(kind):
            for part in space.parts(2, layers, 3, "cifar", 8):
                if (part.kind, part.operation) == (kind, name) and state in part.states:
                    total += table.milliseconds[part.name]
    assert costs(genotype) / NANOSECONDS == pytest.approx(total, abs=1e-3)


def test_a_table_of_another_network_is_refused_with_the_command_that_measures_it(measured):
    space, layers, out = measured
    table = LatencyTable.read(str(out))
    command = f"nastransfer measure-latency --space {space.text} --width 3 --layers {layers} .*--img-size 8$"
    with pytest.raises(UserError, match=f"{out} is of another network .*width 2.*: {command}"):
        table.costs(space, 3, layers, 3, "cifar", 8)


def made_up(tmp_path, **changes):
    parts = parse("darts").parts(*SIZE)
    content = {
        "format": "nastransfer-latency",
        "version": 1,
        "network": {"space": "darts", "stem": "cifar", **SETTING},
        "settings": {},
        "machine": {},
        "milliseconds": {part.name: 0.001 * len(part.name) for part in parts},
    }
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(content | changes))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is no latency table: format"),
        ({"milliseconds": {}}, "is no latency table: milliseconds"),
        ({"milliseconds": {"head": -1.0}}, "latencies that are negative, infinite or not numbers"),
        ({"network": {}}, "is no latency table: network-space is needed"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        LatencyTable.read(made_up(tmp_path, **changes))


def test_a_file_in_no_folder_is_refused_before_the_measurement():
    with pytest.raises(UserError, match="--out: no folder 'nowhere'"):
        LatencyConfig.create({"out": "nowhere/latency.json"})


def test_a_table_without_a_part_is_refused(tmp_path):
    table = LatencyTable.read(made_up(tmp_path, milliseconds={"head": 1.0}))
    with pytest.raises(UserError, match="lacks 'stem cifar 3x8x8 -> 2': nastransfer measure-latency"):
        table.costs(parse("darts"), *SIZE)(parse("darts").random(np.random.default_rng(0)))


def test_architecture_describe_prints_the_latency(tmp_path, capsys):
    path = made_up(tmp_path)
    describe(DescribeConfig.create({"arch": "DARTS_V2", "latency_table": path, **SETTING}))
    shown = json.loads(capsys.readouterr().out)
    genotype = DescribeConfig.create({"arch": "DARTS_V2"}).arch.genotype
    costs = LatencyTable.read(path).costs(parse("darts"), *SIZE)
    assert shown["latency_ms"] == costs(genotype) / NANOSECONDS > 0


def test_a_check_says_how_far_sums_are_from_networks():
    found = check(np.array([1.0, 2.0, 3.0]), np.array([1.25, 2.0, 2.5]))
    assert (found["kendall"], found["median_error"], found["largest_error"]) == (1.0, 0.2, 0.2)
    assert found["median_ratio"] == 1.0
    with pytest.raises(UserError, match="--check needs two cells or more"):
        LatencyConfig.create({"check": 1})
