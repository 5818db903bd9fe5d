"""A space from the search over the architecture file to the network that is trained."""

import json

import pytest

import nastransfer_nni
from nastransfer_nni.architecture.drawing import save_cells
from nastransfer_nni.architecture.file import read
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.jobs import training_seed
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces import parse
from search_spaces.errors import UserError


@pytest.mark.parametrize("space", ["darts-s4", "darts:nodes=2", "nas_bench_201"])
def test_a_found_cell_is_trained_in_its_space(tmp_path, space):
    found = nastransfer_nni.search(strategy="random", space=space, width=4, out=str(tmp_path / "search"))
    file = tmp_path / "search" / "architecture.json"
    assert json.loads(file.read_text("utf-8"))["space"] == space
    cell = read(str(file))
    assert cell.space.text == space and parse(space).contains(cell.genotype)
    assert found.architecture == cell
    drawn = [path.name for path in save_cells(cell.genotype, tmp_path)]
    assert len(drawn) == len(parse(space).kinds)
    config = TransferConfig.create({"arch": str(file), "target": "digits"})
    assert config.resolved()["space"] == space
    assert (
        config.protocol_hash != TransferConfig.create({"arch": "DARTS_V2", "target": "digits"}).protocol_hash
    )


def test_a_network_of_another_number_of_nodes_is_trained(tmp_path):
    nastransfer_nni.search(
        strategy="random", space="darts:nodes=1", width=2, layers=3, out=str(tmp_path / "a")
    )
    options = {"epochs": 1, "width": 2, "layers": 3, "train_images": 64, "workers": 0}
    run = nastransfer_nni.transfer(
        str(tmp_path / "a" / "architecture.json"), target="digits", out=str(tmp_path / "b"), **options
    )
    assert read(str(tmp_path / "b" / "architecture.json")).space.text == "darts:nodes=1"
    assert run.summary["params"] > 0


def test_files_without_a_space_are_of_darts(tmp_path):
    value = read("DARTS_V2").to_dict()
    assert value.pop("space") == "darts"
    file = tmp_path / "old.json"
    file.write_text(json.dumps(value))
    assert read(str(file)).space == parse("darts")


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ("darts-s9", r"space is 'darts-s9': unknown space 'darts-s9' \(did you mean"),
        ("darts-s4", "not one of the space darts-s4"),
        (3, "space is 3; it must be a text"),
    ],
)
def test_a_file_of_a_space_that_does_not_fit_is_refused(tmp_path, space, complaint):
    file = tmp_path / "cell.json"
    file.write_text(json.dumps({**read("DARTS_V2").to_dict(), "space": space}))
    with pytest.raises(UserError, match=complaint):
        read(str(file))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"space": "darts-s7"}, r"--space: unknown space 'darts-s7' \(did you mean"),
        ({"space": "darts-s2", "strategy": "p-darts"}, "prunes the candidates of darts"),
        ({"space": "darts:nodes=3", "layers": 2}, "--layers must be at least 3"),
        ({"space": "nas_bench_201", "layers": 7}, "layers must be 5 or 8, not 7"),
    ],
)
def test_a_search_that_does_not_fit_its_space_is_refused(options, complaint):
    with pytest.raises(UserError, match=complaint):
        SearchConfig.create(options)


def test_a_space_tells_searches_and_their_trainings_apart():
    darts, s2 = (SearchConfig.create({"space": space}) for space in ("darts", "darts-s2"))
    assert "space" not in darts.setting() and s2.setting() == {"space": "darts-s2"}
    assert training_seed(0, darts) != training_seed(0, s2)
    assert training_seed(0, darts) == training_seed(0, SearchConfig.create({}))


def test_a_study_has_one_space():
    content = {
        "name": "reduced",
        "strategies": ["darts", "random_ws"],
        "sources": ["digits"],
        "targets": ["digits"],
        "search": {"space": "darts-s2"},
    }
    for job in Study.create(content).jobs:
        space = job.config.space if job.kind == "search" else job.config.arch.space
        assert space.text == "darts-s2"
    with pytest.raises(UserError, match=r"search: --space: unknown space 's2'"):
        Study.create({**content, "search": {"space": "s2"}})
