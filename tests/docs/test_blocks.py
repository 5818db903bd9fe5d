"""Every command of the pages is run, or its page says why not; the options of all of them exist."""

import dataclasses
import json
import re

import numpy as np
import pytest

from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from search_spaces.zoo import zoo
from tests.docs.pages import PAGES, ROOT, blocks, exit_code, own_command, run_shell, without_work

LANGUAGES = {"sh", "python", "yaml", "json", "csv", "text"}
TINY = "--epochs 1 --width 2 --layers 3"
SMALL = {"--epochs 5": "--epochs 1", "--width 8 --layers 5": "--width 2 --layers 3 --proxy images:0.1"}
RUN = {
    "README.md": {
        **SMALL,
        "architecture.json --epochs 5": f"architecture.json --train-images 100 {TINY}",
        "epochs=5, width=8, layers=5": "epochs=1, width=2, layers=3, proxy='images:0.1'",
        'target="digits", epochs=5': 'target="digits", train_images=100, epochs=1, width=2, layers=3',
        "runs/a/architecture.json": "runs/digits/architecture.json",
    },
    "docs/data.md": {},
    "docs/proxies.md": {"cifar10": "digits", "classes:10": "classes:5"},
    "docs/transfer.md": {'"epochs": 5': '"epochs": 1, "width": 2, "layers": 3'},
    "docs/howto/own-images.md": {
        "--proxy images:0.1 --img-size 64 --epochs 25": f"--img-size 32 --batch-size 16 {TINY}",
        "--out runs/pictures-final\n": f"--out runs/pictures-final --img-size 32 --batch-size 16 {TINY}\n",
    },
    "docs/howto/imagenet.md": {"--epochs 1": "--epochs 1 --train-images 100"},
    "docs/howto/cluster.md": {},
    "docs/howto/compare.md": {"cifar10": "digits", "25000": "500", "12": "3", "40": "4"},
    "docs/howto/strategy.md": {
        "candidates=4 --source digits": "candidates=2 --proxy images:0.1",
        "--out runs/climb-final": "--out runs/climb-final --train-images 100",
    },
}
"""What a page's blocks are run with: smaller than they are printed."""
ABSENT = re.compile(
    r"unknown architecture '[^']+\.json'|unknown image set 'images'|no such file|no proxy manifest"
    r"|cannot get hf-hub:|needs mlflow: pip install|needs sbatch",
    re.IGNORECASE,
)
"""What an earlier command of the page, or one of another page, would have made, pushed or installed."""
HOW_TO = ROOT / "docs" / "howto" / "compare.md"
RESULTS = "\n".join(["darts,cifar10,2,97", "mine,cifar10,1,98", "mine,cifar10,2,97", "random,cifar10,1,96"])
ELSEWHERE = {
    "docs/nni.md": "test_nni_scripts.py",
    "docs/extending.md": "test_extending.py, and those of strategies, search_spaces, proxy and report",
}


def ours(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=ours)
def test_blocks_are_run_or_say_why_not(page):
    found = blocks(page)
    assert {block.language for block in found} <= LANGUAGES
    assert any(block.is_run for block in found) == (ours(page) in {**RUN, **ELSEWHERE})


@pytest.mark.parametrize("page", PAGES, ids=ours)
def test_commands_have_options_that_exist(page, tmp_path, monkeypatch, capsys):
    prepare(page, tmp_path, monkeypatch)
    for block in blocks(page):
        for _, words in block.commands if block.language == "sh" else ():
            own = own_command([word for word in words if word != "..."])
            if own is not None:
                code, said = exit_code(without_work(own[0]), own[1]), capsys.readouterr().err
                assert code == 0 or ABSENT.search(said), f"line {block.line}: {said}"


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_blocks_of_a_page_run(name, tmp_path, monkeypatch):
    page, names = ROOT / name, {}
    prepare(page, tmp_path, monkeypatch)
    for block in blocks(page):
        if block.is_run and block.language == "sh":
            run_shell(smaller(block, RUN[name]))
        elif block.is_run:
            exec(compile(smaller(block, RUN[name]).text, f"{name}:{block.line}", "exec"), names)


@pytest.mark.parametrize("name", RUN)
def test_every_change_is_of_something_on_the_page(name):
    run = "".join(block.text + "\n" for block in blocks(ROOT / name) if block.language != "text")
    assert [old for old in RUN[name] if old not in run] == []


def smaller(block, changes):
    """The block as it is run here."""
    text = block.text + "\n"
    for old, new in changes.items():
        text = text.replace(old, new)
    return dataclasses.replace(block, text=text)


def prepare(page, folder, monkeypatch):
    """Work in a folder with what the pages assume: experiments, files that they print, and some pictures."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    (folder / "experiments").symlink_to(ROOT / "experiments")
    (folder / "results").symlink_to(ROOT / "results")
    (folder / "found.json").write_text(json.dumps(zoo()["DARTS_V2"].genotype.to_dict()))
    (folder / "hill_climbing.py").write_text(printed("docs/extending.md", "class HillClimbing("))
    changes = RUN.get("docs/howto/compare.md", {})
    design = smaller(next(block for block in blocks(HOW_TO) if block.language == "yaml"), changes).text
    (folder / "study.yml").write_text(design)
    (folder / "runs.csv").write_text(
        printed("docs/howto/compare.md", "method,dataset").replace("...", RESULTS)
    )
    if page.name == "own-images.md":
        write_pictures(folder / "pictures")


def printed(page, start):
    """The block of a page that has a text."""
    return next(block.text for block in blocks(ROOT / page) if start in block.text)


def write_pictures(folder):
    """Some digits as files, a folder for each class."""
    for split, count in (("train", 24), ("test", 4)):
        images = load(sources.check("digits"), split)
        for label, name in enumerate(("cat", "dog", "owl")):
            (folder / split / name).mkdir(parents=True)
            for row in np.flatnonzero(np.asarray(images.labels) == label)[:count]:
                images[int(row)][0].resize((40, 30)).save(folder / split / name / f"{row}.png")
