import json

import numpy as np
import pytest
from PIL import Image

from nastransfer_nni.base import cli
from nastransfer_nni.proxy.__main__ import COMMANDS


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(text):
        with pytest.raises(SystemExit) as ended:
            cli.main("proxy", COMMANDS, text.split())
        out, error = capsys.readouterr()
        return ended.value.code, out, error

    return command


def test_make_show_and_diff(run, tmp_path):
    code, out, error = run("make --source digits --kind classes --num-classes 4 --seed 1 --out a.json")
    assert (code, error) == (0, "") and "images of 4 classes" in out
    assert json.loads((tmp_path / "a.json").read_text())["proxy"] == "classes:4"
    assert run("make --source digits --kind images --like a.json --seed 1 --out b.json")[0] == 0
    code, out, _ = run("show a.json")
    assert code == 0 and "class balance 0.99" in out and "picture: a.png" in out
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 400 and np.asarray(picture.convert("L")).std() > 10
    code, out, _ = run("diff a.json b.json")
    assert code == 0 and "classes: 4 | 10, 4 in both; only in the second:" in out
    assert "different proxy sets" in out
    assert "the same proxy set" in run("diff a.json a.json")[1]
    code, out, _ = run("show classes:3+images:0.5 --source digits")
    assert code == 0 and "images of 3 classes" in out


def test_made_twice_is_equal_and_another_choice_is_not_written_over(run, tmp_path):
    make = "make --source digits --kind images --amount 0.3 --out a.json"
    assert run(make)[0] == 0
    before = (tmp_path / "a.json").read_bytes()
    assert run(make)[0] == 0 and (tmp_path / "a.json").read_bytes() == before
    code, _, error = run(f"{make} --seed 1")
    assert code == 2 and "--overwrite replaces it" in error and (tmp_path / "a.json").read_bytes() == before
    assert run(f"{make} --seed 1 --overwrite")[0] == 0 and (tmp_path / "a.json").read_bytes() != before


def test_flags_and_short_forms_say_the_same(run, tmp_path):
    run(
        "make --source digits --kind classes --num-classes 5 --select most --per-class 9 --img-size 12 "
        "--out a.json"
    )
    run("make --source digits --kind classes:5,select=most,per_class=9+resolution:12 --out b.json")
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    assert json.loads((tmp_path / "a.json").read_text())["img_size"] == 12
    run("make --source digits --kind classes --names 1,2,3 --out c.json")
    assert list(json.loads((tmp_path / "c.json").read_text())["classes"]) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("make --source digits", "--out is needed"),
        ("make --source cifar11 --out a.json", "unknown image set 'cifar11'"),
        ("make --source digits --kind clases --num-classes 5 --out a.json", "unknown kind of proxy 'clases'"),
        ("make --source digits --kind images --amount 0 --out a.json", "must be a fraction above 0"),
        ("make --source digits --kind images --amount 1.01 --out a.json", "must be a fraction above 0"),
        (
            "make --source digits --kind classes --num-classes 11 --out a.json",
            "11 classes were asked for, there are 10",
        ),
        (
            "make --source digits --kind images --amount 5 --floor 0 --out a.json",
            "5 classes would have no image",
        ),
        ("make --source digits --kind images --amount 2000 --out a.json", "it asks for 2000 of 1437 images"),
        ("make --source digits --kind images:0.5 --floor 0 --out a.json", "--floor needs a single kind"),
        ("make --source digits --kind images --per-clas 3 --out a.json", "unknown flag"),
        ("make --source digits --pixels 12 --out a.json", "'--pixels' (did you mean '--img-size'?)"),
        ("make --source digits --kind classes:5 --select most --out a.json", "--select needs a single kind"),
        (
            "make --source digits --kind classes --num-classes 5 --select mots --out a.json",
            "unknown select of proxy classes 'mots' (did you mean 'most'?)",
        ),
        ("make --source digits --kind balanced --floor 2 --out a.json", "unknown option of balanced 'floor'"),
        ("make --source digits --kind all --out a.txt", "--out must be a .json file"),
        ("make --source digits --kind all --out no/a.json", "no folder 'no'"),
        ("make --source digits --kind all --on-bad-image ask --out a.json", "'stop' or 'skip'"),
        ("show", "--proxy is needed"),
        ("show a.json", "no proxy manifest 'a.json'"),
        ("show classes:5", "a short form needs --source"),
        ("show classes:5 --source digits --picture no/p.png", "cannot write no/p.png (No such file"),
        ("diff a.json b.json", "no proxy manifest 'a.json'"),
        ("mak", "unknown command of proxy 'mak' (did you mean 'make'?)"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(run, tmp_path, text, message):
    code, out, error = run(text)
    assert code == 2 and (out == "" or "--picture" in text)
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.random.default_rng([number, name == "cat"]).integers(
                0, 256, (9, 9, 3), dtype=np.uint8
            )
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos" / "cat" / "5.png").write_bytes(b"\x89PNG broken")
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", ["all", "images:0.5", "hard:0.5,epochs=1"])
def test_unreadable_images_stop_or_are_skipped(run, photos, tmp_path, caplog, kind):
    make = f"make --source {photos} --kind {kind} --out a.json"
    code, _, error = run(make)
    if kind == "images:0.5" and code == 0:
        assert "cat/5.png" not in error  # it was not among those chosen
        return
    assert code == 2 and "cat/5.png" in error and "--on-bad-image skip" in error
    assert error.count("\n") == 1 and not (tmp_path / "a.json").exists()
    assert run(f"{make} --on-bad-image skip")[0] == 0
    assert "1 of 24 images" in caplog.text and "cat/5.png" in caplog.text
    manifest = json.loads((tmp_path / "a.json").read_text())
    assert len(manifest["left_out"]) == 1
    assert manifest["left_out"][0] not in json.dumps(manifest["images"])
    assert run("show a.json")[0] == 0


def test_imagenet_22k_says_that_not_all_classes_are_validated(run, tmp_path, monkeypatch):
    names = [f"n{number:08d}" for number in range(3)]
    for name in names:
        (tmp_path / "sets" / "imagenet22k" / "train" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((9, 9, 3), number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "sets/imagenet22k/train" / name / f"{name}_{number}.png")
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path / "sets"))
    code, out, _ = run("make --source imagenet22k --kind classes --num-classes 2 --out a.json")
    assert code == 0 and "validation images of only 11,821 of its 21,841 classes" in out


def test_names_of_classes_are_shown_as_they_are(run, tmp_path):
    for name in ("cat [tabby]", ":dog:"):
        for number in range(3):
            path = tmp_path / "pets" / "train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (90 * number, 0, 0)).save(path)
    code, out, _ = run("make --source pets --kind images --amount 2 --out [old].json")
    assert code == 0 and "[old].json" in out
    out = run("show [old].json")[1]
    assert "cat [tabby]" in out and ":dog:" in out
