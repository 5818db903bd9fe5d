"""Networks and tables on the Hub: pushed to one on this machine, and loaded from it in another process."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import constants, hf_hub_download
from PIL import Image

from nastransfer_nni.architecture.file import read
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.evaluate.run import evaluate
from nastransfer_nni.export.config import ExportConfig
from nastransfer_nni.export.run import export
from nastransfer_nni.models import saved
from nastransfer_nni.models.saved import Trained
from nastransfer_nni.report.collect import Collected
from nastransfer_nni.study.config import TableConfig
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.publish import push_table
from search_spaces.errors import UserError
from tests.data.local_hub import TOKEN, serving

ROOT = Path(__file__).parents[2]
NAMES = ("black grouse", "b|w", "c")
LOAD = """
import sys, hashlib, timm, torch, nastransfer_nni.models
images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
for name in sys.argv[1:]:
    model = timm.create_model(name, pretrained=True).eval()
    print(hashlib.sha256(model(images).detach().numpy().tobytes()).hexdigest())
    config = timm.data.resolve_model_data_config(model)
    shown = [config[key] for key in ("input_size", "interpolation", "crop_pct")]
    print(*shown, model.pretrained_cfg["label_names"])
"""
LOAD_TABLE = """
import json, datasets
table = datasets.load_dataset("me/study", split="train")
print(json.dumps([table.column_names, list(table["top1"])]))
"""


def logits(network):
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return hashlib.sha256(network.build()(images).detach().numpy().tobytes()).hexdigest()


def write_run(folder, arch="PDARTS"):
    """The folder of a finished transfer, without the training."""
    architecture = read(arch)
    layers = 5 if architecture.space.text == "nas_bench_201" else 3
    options = {"width": 4, "layers": layers, "num_classes": 3, "stem": "cifar"}
    images = {"img_size": 16, "mean": [0.5] * 3, "std": [0.25] * 3}
    model = architecture.space.build(architecture.genotype, **options)
    card = Trained(
        architecture=architecture,
        options=options,
        input={**images, "crop_pct": 0.9, "interpolation": "bilinear"},
        classes=NAMES,
        weights={},
        training={"protocol": "darts-cifar", "epochs": 7, "lr": 0.1, "target": "cifar10", "cutout": 16},
        result={},
    ).card()
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"target": "cifar10", "evaluated_on": "test"}))
    run = {"format": "nastransfer-run", "version": 2, "command": "transfer", "options": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**run, "versions": {"torch": "2.9.0"}}))
    final = {"top1": 81.25, "top5": 99.5, "loss": 0.5, "images": 10_000}
    state = {"state_dict": model.state_dict(), "card": card, "epoch": 6, "final": final}
    torch.save(state, folder / "checkpoints" / "last.pt")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of processes whose Hub is the local one."""
    home = tmp_path_factory.mktemp("home")
    with serving(tmp_path_factory.mktemp("served")) as address:
        own = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        offline = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
        yield {name: value for name, value in os.environ.items() if name not in offline} | own


@pytest.fixture(scope="module")
def pushed(environment, tmp_path_factory):
    """A run that the command has pushed as `me/net`, and what it printed."""
    run = write_run(tmp_path_factory.mktemp("runs") / "run")
    return run, python(environment, "-m", "nastransfer_nni.export", run, "--push-to-hub", "me/net")


def python(environment, *arguments):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def here(environment, monkeypatch, tmp_path):
    """The local Hub in this process, which has imported its client for another one."""
    address = environment["HF_ENDPOINT"]
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return monkeypatch


@pytest.mark.slow
def test_a_pushed_network_has_the_same_logits_in_a_new_process(pushed, environment):
    run, said = pushed
    assert f"pushed to {environment['HF_ENDPOINT']}/me/net" in said
    names = ("hf-hub:me/net", f"local-dir:{run / 'export'}")
    lines = python(environment, "-c", LOAD, *names).splitlines()
    assert lines == [logits(saved.read(run)), f"(3, 16, 16) bilinear 0.9 {list(NAMES)}"] * 2


def test_the_card_says_what_the_network_is(pushed):
    text = (pushed[0] / "export" / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["license"] == "mit" and metadata["datasets"] == ["uoft-cs/cifar10"]
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == 81.25
    for part in (
        'timm.create_model("hf-hub:me/net", pretrained=True)',
        "| 81.25% | 99.50% | 10,000 | cifar10 (test) |",
        "| cutout | 16 |",
        "torch 2.9.0",
        "chenxin061/pdarts",
        "![The normal cell",
    ):
        assert part in text
    for kind in ("normal", "reduce"):
        assert Image.open(pushed[0] / "export" / f"cell_{kind}.png").size > (300, 100)


def test_cells_and_weights_are_read_from_the_hub(pushed, here, capsys):
    architecture = read("hf-hub:me/net")
    published = read("PDARTS")
    assert architecture.genotype == published.genotype and architecture.found_by == published.found_by
    assert (architecture.name, architecture.text) == ("net", "hf-hub:me/net")
    export(ExportConfig.create({"checkpoint": "hf-hub:me/net", "out": str(pushed[0] / "again")}))
    again = saved.read(pushed[0] / "again")
    assert logits(again) == logits(saved.read(pushed[0])) and again.result["top1"] == 81.25
    assert read(str(pushed[0] / "again" / "config.json")).genotype == published.genotype


@pytest.mark.slow
def test_a_second_push_says_what_it_replaces_and_other_repositories_are_left_alone(pushed, here, capsys):
    options = {"checkpoint": str(pushed[0]), "push_to_hub": "me/net"}
    export(ExportConfig.create(options | {"license": "cc-by-4.0"}))
    assert "; new versions of README.md, cell_normal.png" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r'it says: Invalid metadata in README\.md\. - "license" is not known'
    ):
        export(ExportConfig.create(options | {"license": "none"}))
    with pytest.raises(UserError, match="me/net is public; make it private"):
        export(ExportConfig.create(options | {"private": True}))
    api = huggingface_hub.HfApi()
    api.create_repo("me/other")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="mine.txt", repo_id="me/other")
    with pytest.raises(
        UserError, match=r"me/other holds other files \(mine.txt, ...\); push to another name"
    ):
        export(ExportConfig.create(options | {"push_to_hub": "me/other"}))
    export(ExportConfig.create(options | {"push_to_hub": "me/own", "private": True}))
    assert api.repo_info("me/own").private
    with pytest.raises(UserError, match="it lacks the file that says which network it holds"):
        read("hf-hub:me/other")


def test_a_table_of_a_study_is_a_data_set(here, environment, tmp_path):
    results = pd.read_csv(ROOT / "results" / "study_cifar10_small" / "results.csv")
    provenance = {"a": {"versions": {"torch": "2.9.0"}}, "b": {}}
    found = Collected(rows=results, notes=[], provenance=provenance, missing="2 transfers never started")
    study = Study.read(ROOT / "experiments" / "study_cifar10_small.yml")
    pushed = push_table(found, study, TableConfig(file="study.yml", push_to_hub="me/study"))
    assert pushed.text.endswith("/datasets/me/study")
    (tmp_path / "load.py").write_text(LOAD_TABLE)
    columns, top1 = json.loads(python(environment, tmp_path / "load.py"))
    assert columns == [*results.columns] and top1 == results["top1"].tolist()
    files = {
        name: hf_hub_download("me/study", name, repo_type="dataset") for name in ("README.md", "study.yml")
    }
    assert Study.read(files["study.yml"]).units == study.units
    card = Path(files["README.md"]).read_text()
    for part in (f"{len(results)} networks", "Not in it yet: 2 transfers never started.", "torch 2.9.0"):
        assert part in card


def test_what_the_hub_refuses_is_said_in_one_line(pushed, here):
    for name, message in {
        "hf-hub:me/absent": "there is no such repository, or it is private: log in with `hf auth login`",
        "hf-hub:a/b/c": "the name must be owner/name",
    }.items():
        with pytest.raises(UserError, match=message):
            read(name)
        with pytest.raises(UserError, match=message):
            evaluate(EvaluateConfig.create({"checkpoint": name}))
    here.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"cannot push me/net to the Hugging Face Hub: .*log in") as refused:
        export(ExportConfig.create({"checkpoint": str(pushed[0]), "push_to_hub": "me/net"}))
    assert "hf_wrong" not in str(refused.value)
    here.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set, and the cache lacks it"):
        read("hf-hub:me/net")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"push_to_hub": "a b"}, "--push-to-hub: must be the name of a repository, owner/name"),
        ({"push_to_hub": "me/net", "format": "onnx"}, "--push-to-hub needs --format safetensors or all"),
        ({"private": True}, "--private needs --push-to-hub"),
        ({"revision": "dev"}, "--revision needs --push-to-hub"),
    ],
)
def test_a_push_that_cannot_be_is_refused_at_once(options, message):
    with pytest.raises(UserError, match=message):
        ExportConfig.create({"checkpoint": "runs/a", **options})


def test_cells_of_nas_bench_201_are_exported_too(tmp_path):
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
    run = write_run(tmp_path / "run", text)
    export(ExportConfig.create({"checkpoint": str(run)}))
    assert str(read(str(run / "export" / "config.json")).genotype) == text
    table = (run / "export" / "README.md").read_text()
    assert text.replace("|", r"\|") in table
