import argparse
import hashlib
import json

import pytest
import torch

from nastransfer_nni.base import torch_io
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.evaluate.run import evaluate
from nastransfer_nni.export.config import ExportConfig
from nastransfer_nni.export.formats import FILES
from nastransfer_nni.export.run import export
from nastransfer_nni.models import saved
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.transfer.config import TransferConfig
from nastransfer_nni.transfer.run import transfer
from search_spaces.errors import UserError
from search_spaces.zoo import zoo


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A transfer with averaged weights and an auxiliary head, evaluated on held-out images."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = {"epochs": 2, "width": 4, "layers": 3, "batch_size": 256, "auxiliary_weight": 0.4}
    averaged = {"model_ema": True, "model_ema_decay": 0.5, "lr": 0.1, "val_share": 0.25, "device": "cpu"}
    return out, transfer(
        TransferConfig.create({"arch": "PDARTS", "out": str(out), **options, **averaged})
    ).finished


def test_a_run_is_evaluated_on_what_training_evaluated_it_on(run, tmp_path):
    path, summary = run
    for which in (path, path / "checkpoints" / "last.pt"):
        out = tmp_path / "figures.json"
        figures = evaluate(EvaluateConfig.create({"checkpoint": str(which), "out": str(out), "workers": 0}))
        assert figures["top1"] == pytest.approx(summary["top1"])
        assert figures["loss"] == pytest.approx(summary["loss"], rel=1e-5)
        assert figures["images"] == summary["images_evaluated"] and figures["weights"] == "model_ema"
        assert json.loads(out.read_text()) == figures


def test_another_part_and_another_target(run):
    figures = evaluate(EvaluateConfig.create({"checkpoint": str(run[0]), "split": "test"}))
    assert (figures["images"], figures["split"], figures["classes"]) == (360, "test", 10)
    with pytest.raises(UserError, match="unknown image set"):
        EvaluateConfig.create({"checkpoint": str(run[0]), "target": "digitz"})


@pytest.mark.slow
def test_every_format_gives_the_same_logits_and_the_card_says_what_they_are(run, capsys):
    pytest.importorskip("onnxscript")
    card = export(ExportConfig.create({"checkpoint": str(run[0]), "format": "all"}))
    folder = run[0] / "export"
    assert "model.onnx" in capsys.readouterr().out
    assert json.loads((folder / "model.json").read_text()) == card
    assert set(card["files"]) == set(FILES.values())
    for name, entry in card["files"].items():
        content = (folder / name).read_bytes()
        assert entry["bytes"] == len(content) and entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["largest_difference"] < 1e-4
    assert card["architecture"]["genotype"] == zoo()["PDARTS"].genotype.to_dict()
    assert card["model"] == {"width": 4, "layers": 3, "num_classes": 10, "stem": "cifar"}
    assert card["input"]["img_size"] == 8 and card["classes"] == [str(digit) for digit in range(10)]
    assert card["result"]["top1"] == run[1]["top1"] and card["training"]["protocol"] == "digits"
    figures = evaluate(EvaluateConfig.create({"checkpoint": str(folder)}))
    assert figures["top1"] == pytest.approx(run[1]["top1"])


def test_the_exported_weights_are_the_averaged_ones(run, tmp_path):
    export(ExportConfig.create({"checkpoint": str(run[0]), "out": str(tmp_path / "export")}))
    network = saved.read(tmp_path / "export").build()
    state = torch_io.load(run[0] / "checkpoints" / "last.pt")
    assert all(
        torch.equal(value, state["state_dict_ema"][name]) for name, value in network.state_dict().items()
    )
    assert not any(name.startswith("auxiliary_head") for name in network.state_dict())


def test_checkpoints_of_timms_script_are_read_by_what_they_say_of_themselves(tmp_path):
    kwargs = {"architecture": "PDARTS", "width": 4, "layers": 3, "stem": "cifar"}
    model = DartsModel(**kwargs, num_classes=10)
    arguments = argparse.Namespace(
        model="nastransfer_darts", model_kwargs=kwargs, num_classes=10, img_size=None
    )
    state = {"epoch": 4, "arch": "nastransfer_darts", "args": arguments, "state_dict": model.state_dict()}
    torch.save(state, tmp_path / "last.pth.tar")
    network = saved.read(tmp_path / "last.pth.tar")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(network.build()(x), model.eval()(x))
    assert network.input["img_size"] == 32 and network.result["epoch"] == 4
    with pytest.raises(UserError, match="--target is needed"):
        evaluate(EvaluateConfig.create({"checkpoint": str(tmp_path / "last.pth.tar")}))
    figures = evaluate(
        EvaluateConfig.create({"checkpoint": str(tmp_path / "last.pth.tar"), "target": "digits"})
    )
    assert figures["images"] == 360


def test_damaged_cards_are_refused(run, tmp_path):
    export(ExportConfig.create({"checkpoint": str(run[0]), "out": str(tmp_path)}))
    card = tmp_path / "model.json"
    content = json.loads(card.read_text())
    for damaged, message in (
        ("{", r"model\.json is not JSON"),
        ("[]", "not a model card of version 1"),
        (json.dumps(content | {"version": 9}), "not a model card of version 1"),
        (
            json.dumps({name: content[name] for name in ("format", "version", "name")}),
            "no entry architecture",
        ),
        (json.dumps(content | {"model": content["model"] | {"width": 6}}), "weights do not fit the network"),
    ):
        card.write_text(damaged)
        with pytest.raises(UserError, match=message):
            saved.read(tmp_path).build()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no checkpoint", "is not a checkpoint"),
        ({"state_dict": {}, "arch": "resnet50"}, "contains a resnet50"),
        ({"weights": {}}, "contains no network"),
    ],
)
def test_other_files_are_refused_with_a_line(content, said, tmp_path):
    file = tmp_path / "file.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(UserError, match=said):
        export(ExportConfig.create({"checkpoint": str(file), "out": str(tmp_path / "out")}))
    with pytest.raises(UserError, match="no checkpoint"):
        evaluate(EvaluateConfig.create({"checkpoint": str(tmp_path / "absent.pt")}))
    with pytest.raises(UserError, match="--out is needed"):
        export(ExportConfig.create({"checkpoint": str(file)}))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="is not a checkpoint"):
        saved.read(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_an_export_leaves_no_file_of_an_earlier_one(run, tmp_path):
    """They may be those of other weights, and the card has one epoch and accuracy."""
    export(ExportConfig.create({"checkpoint": str(run[0]), "out": str(tmp_path)}))
    (tmp_path / "notes.txt").write_text("mine")
    export(ExportConfig.create({"checkpoint": str(run[0]), "out": str(tmp_path), "format": "torch_export"}))
    found = {path.name for path in tmp_path.iterdir() if path.suffix != ".png"}
    assert found == {"model.json", FILES["torch_export"], "notes.txt"}


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors", "model.json"])
def test_a_file_of_someone_elses_is_not_replaced(name, run, tmp_path):
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=f"holds {name}, which no export has written"):
        export(ExportConfig.create({"checkpoint": str(run[0]), "out": str(tmp_path)}))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "{}"


def test_a_network_of_no_numbers_is_refused_before_anything_is_written(run, tmp_path):
    state = torch_io.load(run[0] / "checkpoints" / "last.pt")
    for weights in (state["state_dict"], state.get("state_dict_ema") or {}):
        for name, value in weights.items():
            if name.endswith("classifier.weight"):
                value.fill_(float("nan"))
    broken = tmp_path / "broken.pt"
    torch.save(state, broken)
    with pytest.raises(UserError, match="outputs of the network are not finite"):
        export(ExportConfig.create({"checkpoint": str(broken), "out": str(tmp_path / "out")}))
    assert not [*(tmp_path / "out").iterdir()]
