import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base import cli, torch_io
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.training.protocols import PRESETS, resolve
from nastransfer_nni.training.recipes import ADDED_OPTIONS
from nastransfer_nni.training.target import Target
from nastransfer_nni.transfer import training
from nastransfer_nni.transfer.__main__ import COMMAND
from nastransfer_nni.transfer.config import NON_IDENTIFYING_OPTIONS, TransferConfig
from nastransfer_nni.transfer.network import auxiliary_note, fitting_width
from nastransfer_nni.transfer.run import command, transfer
from search_spaces import sizes
from search_spaces.errors import UserError
from search_spaces.zoo import zoo

KILLS = int(os.environ.get("NASTRANSFER_KILLS", "3"))
QUICK_RECIPE = {"epochs": 2, "width": 4, "layers": 3, "batch_size": 256}
QUICK = {**QUICK_RECIPE, "device": "cpu"}


def config(**options):
    return TransferConfig.create({"arch": "DARTS_V2", **QUICK, **options})


def metrics(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A transfer of a searched cell to the digits."""
    folder = tmp_path_factory.mktemp("transfer")
    found_by = {
        "strategy": "darts",
        "source": "cifar10",
        "proxy": "classes:5",
        "seed": 7,
        "search_score": 61.0,
    }
    Architecture(zoo()["PDARTS"].genotype, "found", found_by).write(folder / "architecture.json")
    summary = transfer(
        config(arch=str(folder / "architecture.json"), out=str(folder / "run"), seed=3)
    ).finished
    return folder / "run", summary


def test_the_run_directory_has_what_the_contract_says(finished):
    path, summary = finished
    assert json.loads((path / "status.json").read_text())["status"] == "completed"
    assert json.loads((path / "summary.json").read_text()) == summary
    assert {"cell_normal.svg", "cell_reduce.svg", "architecture.json", "tensorboard", "checkpoints"} <= {
        entry.name for entry in path.iterdir()
    }
    assert json.loads((path / "architecture.json").read_text())["found_by"]["search_score"] == 61.0
    options = yaml.safe_load((path / "config.yaml").read_text())["options"]
    assert options["lr"] == 0.025 and options["epochs"] == 2 and options["target"] == "digits"
    assert {file.name for file in (path / "checkpoints").iterdir()} == {"last.pt", "best.pt"}
    lines = metrics(path)
    assert [(line["epoch"], line["split"]) for line in lines] == [
        *((0, "train"), (0, "validation"), (1, "train"), (1, "validation"))
    ]
    assert {"step", "loss", "top1", "top5", "lr", "images_per_second", "seconds"} <= set(lines[0])
    assert {"step", "loss", "top1", "top5", "seconds"} <= set(lines[1])


def test_the_summary_says_what_was_trained_how_and_how_well(finished):
    _, summary = finished
    assert summary["top1"] == metrics(finished[0])[-1]["top1"]
    assert summary["best_top1"] == max(line["top1"] for line in metrics(finished[0])[1::2])
    network = DartsModel(zoo()["PDARTS"].genotype, width=4, layers=3, num_classes=10, stem="cifar")
    assert summary["params"] == sizes.parameters(network)
    assert summary["mult_adds"] == sizes.mult_adds(network, 8)
    assert summary["parameter_free_share"] == zoo()["PDARTS"].genotype.parameter_free_share
    assert {key: summary[key] for key in ("strategy", "source", "proxy", "search_seed", "train_seed")} == {
        "strategy": "darts",
        "source": "cifar10",
        "proxy": "classes:5",
        "search_seed": 7,
        "train_seed": 3,
    }
    assert summary["images_evaluated"] == 360 and summary["evaluated_on"] == "test"
    assert summary["protocol"] == "digits" and summary["protocol_hash"] != PRESETS["digits"].hash
    assert summary["train_seconds"] > 0


def test_tensorboard_has_scalars_by_epoch_cells_and_hparams(finished):
    from tensorboard.plugins.hparams import metadata

    events = EventAccumulator(str(finished[0] / "tensorboard"))
    events.Reload()
    assert {
        "train/loss",
        "train/lr",
        "validation/top1",
        "validation/top5",
        "final/top1",
        "final/mult_adds",
    } <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("validation/top1")] == [0, 1]
    assert set(events.Tags()["images"]) == {"cell/normal", "cell/reduce"}
    content = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    shown = metadata.parse_session_start_info_plugin_data(content).hparams
    assert shown["strategy"].string_value == "darts" and shown["proxy"].string_value == "classes:5"
    assert (shown["search_seed"].string_value, shown["train_seed"].string_value) == ("7", "3")


def six_digits(summary):
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in summary.items()}


def test_a_finished_run_shows_its_summary_and_is_left_alone(finished, capsys):
    path, summary = finished
    before = (path / "checkpoints" / "last.pt").stat().st_mtime_ns
    architecture = str(path.parent / "architecture.json")
    command(config(arch=architecture, out=str(path), seed=3, workers=1))
    shown = capsys.readouterr().out
    assert f"{path} is complete" in shown and six_digits(json.loads(shown[shown.index("{") :])) == six_digits(
        summary
    )
    assert (path / "checkpoints" / "last.pt").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="seed: 3 there, 4 here"):
        transfer(config(arch=architecture, out=str(path), seed=4))


def test_the_checkpoint_carries_the_network(finished):
    state = torch_io.load(finished[0] / "checkpoints" / "last.pt")
    card = state["card"]
    model = DartsModel(card["architecture"]["genotype"], **card["model"])
    model.load_state_dict(state["state_dict"])
    assert card["classes"] == [str(digit) for digit in range(10)]
    assert card["training"]["target"] == "digits"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "digitz"], "unknown image set 'digitz' (did you mean 'digits'?)"),
        (["--target", "./nowhere"], "no folder './nowhere'"),
        (["--arch", "DARTS_V3"], "unknown architecture 'DARTS_V3' (did you mean 'DARTS_V"),
        (["--protocol", "darts"], "unknown protocol 'darts'"),
        (["--epochz", "3"], "unknown flag"),
        (["--epochs", "0"], "--epochs: Input should be greater than 0"),
        (["--sched", "cosinus"], "--sched"),
        (["--max-mult-adds", "6OOM"], "--max-mult-adds"),
        (["--max-mult-adds", "1K"], "even at width 1 the network needs"),
        (["--opt", "sgdd", "--out", "new"], "sgdd"),
        (["--batch-size", "5000"], "more than the 1437 images"),
        (["--batch-size", "63", "--mixup", "0.2"], "even number of images"),
        (["--aa", "rand-mm"], "--aa"),
        (["--stem", "imagenet", "--width", "7"], "even width"),
        (["--warmup-epochs", "30"], "must be below epochs"),
        (["--device", "gpu"], "--device"),
        (["--out", "taken"], "holds other files"),
        (["--color-jitter", "1,2"], "one, three or four"),
        (["--val-share", "1"], "--val-share"),
        (["--val-split", "validation"], "no validation split"),
        (["--checkpoint-hist", "x"], "--checkpoint-hist"),
    ],
)
def test_impossible_options_write_nothing(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "photo.jpg").touch()
    given = arguments if "--arch" in arguments else ["--arch", "DARTS_V2", *arguments]
    with pytest.raises(SystemExit) as ended:
        cli.main("transfer", COMMAND, given)
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and error.startswith("error: ") and said in error and "\n" not in error
    assert [path for path in tmp_path.rglob("*") if path.name not in ("taken", "photo.jpg")] == []


@pytest.mark.parametrize("out", [None, "run"])
def test_an_unfinished_run_of_version_0_1_resumes_with_its_recipe(out, tmp_path, monkeypatch, capsys):
    """The protocol was corrected since; the same command keeps the recipe that it started with."""
    monkeypatch.chdir(tmp_path)
    small = {"protocol": "darts-cifar", "auxiliary_weight": 0, "drop_path": 0, "out": out}
    begun = transfer(config(**small, drop_last=True)).path
    file = begun / "config.yaml"
    content = yaml.safe_load(file.read_text())
    content["options"] = {
        n: v for n, v in content["options"].items() if n not in (*ADDED_OPTIONS, "val_seed")
    }
    content["compared"] = [name for name in content["compared"] if name in content["options"]]
    old = {name: value for name, value in content.items() if name not in ("format", "version")}
    file.write_text(yaml.safe_dump(old))
    (begun / "status.json").write_text('{"status": "interrupted"}')
    again = transfer(config(**small))
    assert again.path == begun and "with the recipe that it started with" in capsys.readouterr().err
    before = resolve("darts-cifar", {**QUICK_RECIPE, "auxiliary_weight": 0, "drop_path": 0}, version="0.1")
    assert again.finished["protocol_hash"] == before.hash
    if out is None:  # once it is complete, the command means the corrected protocol
        assert transfer(config(**small)).path != begun
    else:
        with pytest.raises(UserError, match="drop_last: True there, False here"):
            transfer(config(**small))


def test_only_what_changes_the_result_names_the_folder():
    def hashed(**options):
        resolved = config(**options).resolved()
        return {name: resolved[name] for name in resolved if name not in {*NON_IDENTIFYING_OPTIONS, "out"}}

    same = hashed()
    assert hashed(workers=3, device="auto", channels_last=False, protocol="digits") == same
    assert hashed(arch="DARTS_V1") != same and hashed(lr=0.1) != same and hashed(seed=1) != same


@pytest.mark.slow
def test_a_budget_narrows_to_the_widest_network_that_keeps_it(photo_like):
    target = Target(photo_like, photo_like, 224)
    protocol = {"target": "imagenet1k", "protocol": "large-batch-imagenet", "epochs": 9}
    for width, layers, budget in ((48, 14, 600_000_000), (16, 4, 16_000_000), (16, 4, 7_000_000)):
        size = {"width": width, "layers": layers, "max_mult_adds": budget}
        found = fitting_width(config(**protocol, **size), target)

        def cost(width, layers=layers):
            return sizes.mult_adds(DartsModel("DARTS_V2", width=width, layers=layers, num_classes=3), 224)

        assert found % 2 == 0 and cost(found) <= budget
        assert found == 48 if width == 48 else found < 16 and cost(found + 2) > budget


@pytest.fixture
def photo_like():
    from tests.training.conftest import image_set

    return image_set(6, [(80, 70), (70, 80)])


@pytest.mark.parametrize(
    ("stem", "pixels", "fits"),
    [("cifar", 32, True), ("cifar", 8, False), ("imagenet", 224, True), ("imagenet", 160, False)],
)
def test_the_auxiliary_head_is_adapted_where_its_pooling_does_not_fit_and_that_is_said(stem, pixels, fits):
    model = DartsModel("DARTS_V2", width=4, layers=6, num_classes=3, stem=stem, auxiliary=True).train()
    seen = []
    model.auxiliary_head.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].shape[-1]))
    _, auxiliary = model.forward_with_auxiliary(torch.randn(2, 3, pixels, pixels))
    assert auxiliary.shape == (2, 3)
    note = auxiliary_note(model, pixels)
    assert (note == "") == fits
    if note:
        assert f"its input is {seen[0]}x{seen[0]}" in note


@pytest.mark.slow
def test_nothing_is_lost_on_a_full_disk(tmp_path, monkeypatch):
    """A file-size limit stands in for the full disk: the last checkpoint survives and the run resumes."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "nastransfer_nni.transfer", "--arch", "DARTS_V2", "--out", str(out)]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    ended = subprocess.run(
        command, env=environment, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines()[-1].startswith(f"error: cannot write to {out}")
    assert "Traceback" not in ended.stderr
    assert [file.name for file in (out / "checkpoints").iterdir()] == []
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["epochs"] == 2


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path):
    options = {
        **QUICK,
        "epochs": KILLS,
        "cutout": 2,
        "auxiliary_weight": 0.4,
        "model_ema": True,
        "recovery_interval": 1,
    }
    undisturbed = transfer(config(**options, out=str(tmp_path / "whole"))).finished
    command = [sys.executable, "-m", "nastransfer_nni.transfer", "--arch", "DARTS_V2", "--device", "cpu"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if name != "device"]
    command += ["--out", str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    dice, kills = random.Random(0), 0
    for _ in range(KILLS):
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as run:
            before = _written(tmp_path / "killed")
            while run.poll() is None and _written(tmp_path / "killed") == before:
                time.sleep(0.005)
            time.sleep(dice.uniform(0, 0.3))
            kills += run.poll() is None
            run.kill()
    assert kills > KILLS // 2
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    whole, killed = (
        torch_io.load(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "killed")
    )
    for weights in ("state_dict", "state_dict_ema"):
        assert all(torch.equal(value, killed[weights][name]) for name, value in whole[weights].items())
    timeless = [
        [
            {k: v for k, v in line.items() if k not in ("seconds", "images_per_second")}
            for line in metrics(path)
        ]
        for path in (tmp_path / "whole", tmp_path / "killed")
    ]
    assert timeless[0] == timeless[1]
    summary = json.loads((tmp_path / "killed" / "summary.json").read_text())
    assert summary["top1"] == undisturbed["top1"] and summary["loss"] == undisturbed["loss"]


def _written(path):
    file = path / "checkpoints" / "last.pt"
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def test_val_interval_evaluates_seldom_and_changes_no_result(tmp_path):
    """The last epoch is always evaluated, and the network is the one of a run that evaluates every epoch."""
    every, rare = (
        transfer(config(epochs=3, train_images=300, val_interval=interval, out=str(tmp_path / f"{interval}")))
        for interval in (1, 9)
    )
    assert [line["epoch"] for line in metrics(rare.path) if line["split"] == "validation"] == [2]
    assert every.finished["top1"] == rare.finished["top1"] and rare.finished["best_epoch"] == 2
    assert every.finished["protocol_hash"] == rare.finished["protocol_hash"] != config(epochs=3).protocol_hash
    assert rare.finished["cpu_seconds"] > 0
    assert (rare.path / "checkpoints" / "best.pt").exists()


def test_statistics_of_several_processes_need_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "world_size", lambda: 2)
    options = {"arch": "DARTS_V2", "sync_bn": True, "device": "cpu", "out": str(tmp_path / "run")}
    with pytest.raises(UserError, match="--sync-bn needs GPUs"):
        transfer(TransferConfig.create(options))
