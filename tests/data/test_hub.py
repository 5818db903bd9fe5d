"""Sets of the Hub, through the commands, from a hub on this machine."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import pytest
from PIL import Image

from nastransfer_nni.proxy import run as proxy
from nastransfer_nni.proxy.config import MakeConfig
from tests.data.local_hub import serving
from tests.data.made_images import write_folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with one set as Parquet and as WebDataset shards; gives its address and the set as a folder."""
    root = tmp_path_factory.mktemp("hub")
    names = ["a9", "a10", "b"]
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=names)})
    table, shards = root / "served" / "made" / "birds" / "data", root / "served" / "made" / "shards"
    table.mkdir(parents=True)
    shards.mkdir()
    for split, seed in (("train", 0), ("validation", 1)):
        made = write_folder(root / "folder", split, names, per_class=6, seed=seed)
        rows = [{"photo": Image.fromarray(pixels), "kind": name} for name in names for pixels in made[name]]
        datasets.Dataset.from_list(rows, features=features).to_parquet(
            table / f"{split}-00000-of-00001.parquet"
        )
        with tarfile.open(shards / f"{split}-0000.tar", "w") as shard:
            for number, file in enumerate(sorted((root / "folder" / split).glob("*/*.png"))):
                label = root / "label"
                label.write_text(str(names.index(file.parent.name)))
                shard.add(file, f"{number}.png")
                shard.add(label, f"{number}.cls")
    shutil.copytree(root / "served" / "made", root / "served" / "closed")
    with serving(root / "served") as address:
        yield address, root / "folder"


@pytest.fixture
def run(hub, tmp_path):
    """Runs a command whose Hub is the local one, in a home of its own; its output, or its complaint."""
    own = {"HF_ENDPOINT": hub[0], "HF_HOME": tmp_path / "hf", "NASTRANSFER_CACHE": tmp_path / "cache"}
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
    for offline in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "NASTRANSFER_DATA", "HF_TOKEN"):
        environment.pop(offline, None)

    def call(*arguments, fails=False):
        command = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == (2 if fails else 0), done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return call


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("made/birds", ""),
        ("made/shards", "@stream=yes"),
        pytest.param("made/birds", "@stream=yes", marks=pytest.mark.slow),
        pytest.param("made/shards", "", marks=pytest.mark.slow),
    ],
)
def test_a_hub_set_has_the_rows_of_the_same_images_in_a_folder(name, stream, hub, run, tmp_path):
    out, kind = tmp_path / "hub.json", "images:0.5"
    run("nastransfer_nni.proxy", "make", "--source", name + stream, "--kind", kind, "--out", out)
    folder = {"source": str(hub[1]), "kind": kind, "out": str(tmp_path / "folder.json")}
    proxy.make(MakeConfig.create(folder))
    chosen = [list(json.loads(made.read_text())["images"].values()) for made in (out, Path(folder["out"]))]
    assert chosen[0] == chosen[1]
    assert [len(keys) for keys in chosen[0]] == [3, 3, 3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("closed/birds", "(it is gated): accept the terms at https://huggingface.co/datasets/closed/birds"),
        ("made/nothing_gated", "(there is no such set, or it is private)"),
        ("made/birds@label=colour", "has no column 'colour'; it has photo, kind"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(name, message, run, tmp_path):
    said = run(
        "nastransfer_nni.proxy", "make", "--source", name, "--kind", "all", "--out", "m.json", fails=True
    )
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "m.json").exists()
