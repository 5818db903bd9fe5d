"""What a network knows of its input and its classes, whatever data it is evaluated on."""

import argparse
import json

import pytest
import torch
import yaml
from PIL import Image
from timm.data import ImageDataset, create_transform

from nastransfer_nni.data import loading
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.evaluate.run import evaluate
from nastransfer_nni.export.config import ExportConfig
from nastransfer_nni.export.run import export
from nastransfer_nni.models import saved
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.models.weights import numbering, options_of, plain_names
from nastransfer_nni.transfer.config import TransferConfig
from nastransfer_nni.transfer.run import transfer
from search_spaces.errors import UserError

KWARGS = {"architecture": "PDARTS", "width": 4, "layers": 3, "stem": "cifar"}


def figures(checkpoint, **options):
    return evaluate(
        EvaluateConfig.create({"checkpoint": str(checkpoint), "workers": 0, "device": "cpu", **options})
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A short transfer to the digits, and the digits as folders of PNG files named as numbers from 1."""
    root = tmp_path_factory.mktemp("digits")
    options = {"epochs": 2, "width": 4, "layers": 3, "batch_size": 64, "device": "cpu"}
    transfer(TransferConfig.create({"arch": "PDARTS", "out": str(root / "run"), **options}))
    images = loading.load("digits", "test")
    for row in range(len(images)):
        path = root / "images" / "test" / images.classes[images.labels[row]] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.image(row).save(path)
    (root / "images" / "train").symlink_to(root / "images" / "test")
    return root


def test_the_networks_mean_and_std_win_over_those_of_the_images(digits, capsys):
    own = figures(digits / "run")
    as_folder = figures(digits / "run", target=str(digits / "images"), split="test")
    assert as_folder["top1"] == own["top1"] and as_folder["loss"] == pytest.approx(own["loss"], rel=1e-5)
    said = capsys.readouterr().err
    assert "mean 0.3053, 0.3053, 0.3053" in said and "from the checkpoint" in said
    assert as_folder["input"]["crop_pct"] == 1.0 and as_folder["input_from"] == "the checkpoint"
    other = figures(digits / "run", mean=0.5, std=0.5)
    assert other["loss"] != pytest.approx(own["loss"], rel=1e-3)
    assert other["input_from"].endswith("--mean, --std given")


def test_class_names_decide_and_what_does_not_match_is_refused(digits, tmp_path):
    for name in ("7", "2"):
        (tmp_path / "some" / "test" / name).mkdir(parents=True)
        (tmp_path / "some" / "train" / name).mkdir(parents=True)
        for part in ("train", "test"):
            Image.new("L", (8, 8)).save(tmp_path / "some" / part / name / "a.png")
    found = figures(digits / "run", target=str(tmp_path / "some"))
    assert found["images"] == 2 and found["classes"] == 2
    (tmp_path / "some" / "test" / "7").rename(tmp_path / "some" / "test" / "seven")
    (tmp_path / "some" / "train" / "7").rename(tmp_path / "some" / "train" / "seven")
    with pytest.raises(
        UserError, match=r"not trained on: seven; 1 of its 2 classes are among the network's 10"
    ):
        figures(digits / "run", target=str(tmp_path / "some"))
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["0", "1", "2", "3", "4", "5", "6", "seven", "8", "9"]))
    mapped = figures(digits / "run", target=str(tmp_path / "some"), class_map=str(names))
    assert mapped["images"] == 2 and str(names) in mapped["classes_from"]
    names.write_text("2\nseven\n")
    with pytest.raises(UserError, match=r"tells 10 classes apart, but the names in .* are 2"):
        figures(digits / "run", target=str(tmp_path / "some"), class_map=str(names))


def test_a_file_in_no_folder_is_refused_before_the_evaluation():
    with pytest.raises(UserError, match="--out: no folder 'nowhere'"):
        EvaluateConfig.create({"checkpoint": "run", "out": "nowhere/result.json"})


@pytest.fixture(scope="module")
def of_timm(tmp_path_factory):
    """Class folders 1 to 11 and a checkpoint as timm's train.py leaves them, with arguments of its own."""
    root = tmp_path_factory.mktemp("timm")
    for number in range(1, 12):
        for part in ("train", "val"):
            path = root / "images" / part / str(number) / "a.png"
            path.parent.mkdir(parents=True)
            Image.linear_gradient("L").resize((40, 40)).rotate(31 * number).convert("RGB").save(path)
    torch.manual_seed(0)
    model = DartsModel(**KWARGS, num_classes=11).eval()
    arguments = {"model": "nastransfer_darts", "model_kwargs": KWARGS, "num_classes": 11, "img_size": 32}
    arguments |= {"mean": [0.5], "std": [0.25, 0.5, 0.5], "crop_pct": 0.8, "interpolation": "bilinear"}
    state = {"epoch": 1, "arch": "nastransfer_darts", "state_dict": model.state_dict()}
    (root / "out").mkdir()
    torch.save(state | {"args": argparse.Namespace(**arguments)}, root / "out" / "last.pth.tar")
    (root / "out" / "args.yaml").write_text(yaml.safe_dump(arguments))
    torch.save(model.state_dict(), root / "out" / "averaged.pth")
    torch.save({f"_orig_mod.{name}": v for name, v in model.state_dict().items()}, root / "out" / "c.pth")
    images = ImageDataset(str(root / "images" / "val"))  # timm's own reading, order and transform
    images.transform = create_transform(
        32, mean=(0.5,) * 3, std=(0.25, 0.5, 0.5), crop_pct=0.8, interpolation="bilinear"
    )
    pixels, labels = zip(*[images[row] for row in range(len(images))], strict=True)
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(torch.stack(pixels)), torch.tensor(labels))
    return root, float(loss)


@pytest.mark.parametrize("name", ["last.pth.tar", "averaged.pth", "c.pth", "."])
def test_checkpoints_of_timm_bring_their_input_and_its_order_of_classes(name, of_timm):
    root, loss = of_timm
    found = figures(root / "out" / name, target=str(root / "images"))
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert "timm's order" in found["classes_from"]
    origin = "args.yaml" if name.endswith(".pth") else "the arguments in"
    assert origin in found["input_from"]


def test_weights_alone_need_an_architecture_only(of_timm, tmp_path):
    root, loss = of_timm
    lone = tmp_path / "clean.pth"
    lone.write_bytes((root / "out" / "averaged.pth").read_bytes())
    with pytest.raises(UserError, match=r"does not say which network it holds.*--arch"):
        figures(lone, target=str(root / "images"))
    given = {"mean": 0.5, "std": (0.25, 0.5, 0.5), "crop_pct": 0.8, "interpolation": "bilinear"}
    found = figures(lone, target=str(root / "images"), arch="PDARTS", **given)
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert "--mean, --std, --interpolation, --crop-pct given" in found["input_from"]
    with pytest.raises(UserError, match=r"do not fit the network: it lacks cells\.\d.*; it has besides"):
        figures(lone, target=str(root / "images"), arch="DARTS_V2")


@pytest.mark.parametrize(
    ("dataset", "order"),
    [
        ("", "timm"),
        ("folder", "timm"),
        ("torch/image_folder", "sorted"),
        ("hfds/x/y", "set"),
        ("wds/", "set"),
    ],
)
def test_the_reader_of_timm_decides_how_classes_are_numbered(dataset, order):
    assert numbering({"dataset": dataset}) == order


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_the_size_of_a_network_is_read_from_its_weights(stem, tmp_path):
    model = DartsModel("DARTS_V2", width=6, layers=5, num_classes=7, stem=stem)
    wrapped = {f"module._orig_mod.{name}": value for name, value in model.state_dict().items()}
    assert options_of(plain_names(wrapped), tmp_path) == {
        "width": 6,
        "layers": 5,
        "num_classes": 7,
        "stem": stem,
    }
    with pytest.raises(UserError, match="weights of another kind of network: fc"):
        options_of({"fc": torch.zeros(1)}, tmp_path)


def test_folders_without_a_network_say_what_to_do(tmp_path):
    (tmp_path / "architectures.jsonl").touch()
    with pytest.raises(
        UserError, match=r"is a search.*nastransfer_nni\.transfer --arch .*architecture\.json"
    ):
        saved.read(tmp_path)
    (tmp_path / "study" / "transfers").mkdir(parents=True)
    with pytest.raises(UserError, match="is a study; name one of the runs"):
        saved.read(tmp_path / "study")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.pth").touch()
    with pytest.raises(UserError, match=r"name one of its files: x\.pth"):
        saved.read(tmp_path / "other")


def test_the_card_of_a_run_says_how_images_are_prepared(digits):
    state = torch.load(digits / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert state["card"]["input"] == {
        "img_size": 8,
        "mean": [0.3053] * 3,
        "std": [0.376] * 3,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
    }
    assert json.loads(json.dumps(state["card"]["training"]))["hflip"] is None


def test_an_export_of_timms_checkpoint_keeps_its_order_of_classes(of_timm, tmp_path):
    root, loss = of_timm
    export(ExportConfig.create({"checkpoint": str(root / "out"), "out": str(tmp_path / "exported")}))
    found = figures(tmp_path / "exported", target=str(root / "images"))
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert "timm's order" in found["classes_from"]


def test_interpolation_of_images_in_memory(digits):
    """They are as large as the network's images by one rule, and by another one if it is asked for."""
    losses = [
        figures(digits / "run", img_size=12, **options)["loss"]
        for options in ({}, {"interpolation": "bicubic"}, {"interpolation": "nearest"})
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[2] != pytest.approx(losses[0], rel=1e-2)
