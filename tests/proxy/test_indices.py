"""Lists of images that other tools write and read."""

import numpy as np
import pytest
from PIL import Image

from nastransfer_nni.base import cli
from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.proxy import choose, spec
from nastransfer_nni.proxy.__main__ import COMMANDS
from search_spaces.errors import UserError

DIGITS = sources.check("digits")


@pytest.fixture(scope="module")
def digits():
    return load(DIGITS, "train")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(text):
        with pytest.raises(SystemExit) as ended:
            cli.main("proxy", COMMANDS, text.split())
        return ended.value.code, "".join(capsys.readouterr())

    return command


@pytest.mark.parametrize("out", ["p.txt", "p.npy", "k.txt --content keys", "k.npy --content keys"])
@pytest.mark.parametrize("proxy", ["classes:3+images:0.1", "images:0.1+labels:random"])
def test_what_is_exported_is_selected_again(run, digits, proxy, out):
    code, printed = run(f"export {proxy} --source digits --seed 4 --out {out}")
    assert code == 0 and f"images of {DIGITS.name}" in printed
    name = out.split()[0]
    plain = proxy.removesuffix("+labels:random")
    expected, _ = choose.make(digits, spec.parse(plain), 4)
    chosen, manifest = choose.make(digits, spec.parse(f"indices:{name}"))
    assert chosen.fingerprint == expected.fingerprint and np.array_equal(chosen.keys, expected.keys)
    assert manifest.proxy == f"indices:{name}" and not spec.parse(manifest.proxy).depends_on_seed
    assert spec.parse(f"indices:{name}").size(1437, 10).images == len(chosen)
    assert run(f"export {proxy} --source digits --out {out}")[0] == 2, "it is not replaced"
    assert run(f"make --source digits --kind indices --file {name} --out m.json")[0] == 0
    assert run("export m.json --out again.npy")[0] == 0
    positions = np.load("again.npy", allow_pickle=False)
    listed = digits.keys[np.isin(digits.numbers, positions)]  # of the 1,797 digits that are stored
    assert set(listed.tolist()) == set(expected.keys.tolist())
    if name.startswith("p") and name.endswith("npy"):
        assert np.array_equal(np.load(name), positions)


def test_positions_in_a_folder_are_those_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    for number, name in enumerate(("cat", "b10", "Dog", "b9")):
        for image in range(12):
            path = tmp_path / "set" / "train" / name / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((9, 9, 3), 20 * number + image, dtype=np.uint8)).save(path)
    (tmp_path / "p.txt").write_text("3\n5\n14\n30\n47\n")
    chosen, _ = choose.make(
        load(sources.check(str(tmp_path / "set")), "train"), spec.parse(f"indices:{tmp_path / 'p.txt'}")
    )
    theirs = ImageFolder(tmp_path / "set" / "train")
    expected = {np.asarray(theirs[position][0])[0, 0, 0] for position in (3, 5, 14, 30, 47)}
    assert {np.asarray(chosen.image(row))[0, 0, 0] for row in range(len(chosen))} == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "lists no images"),
        ("a.txt", "1\n2\nx\n", "line 3: expected a position from 0 on, got 'x'"),
        ("a.txt", "1\n-2\n", "line 2: expected a position"),
        ("a.txt", "1\n" + "0" * 16, "line 2: expected a position"),
        ("a.txt", "0" * 16 + "\nzz\n", "line 2: expected a key of 16 hexadecimal digits"),
        ("a.txt", "0" * 16, "1 of the 1 keys are not among the 1437 images"),
        ("a.txt", "1797\n", r"1 of the 1 positions are not among the 1437 images.*\(1797 is the first\)"),
        ("a.txt", "7\n7\n", "listed twice"),
        ("a.npy", np.array([0.5]), "must be an array of one dimension with integers"),
        ("a.npy", np.array([[1]]), "must be an array of one dimension"),
        ("a.npy", np.array([-1]), "positions count from 0"),
        ("a.npy", np.array([{"a": 1}], dtype=object), "without pickled objects"),
        ("a.npy", "no array", "cannot read"),
    ],
)
def test_bad_lists_are_refused(digits, tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content) if isinstance(content, str) else np.save(path, content, allow_pickle=True)
    with pytest.raises(UserError, match=message) as error:
        choose.make(digits, spec.parse(f"indices:{path}"))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no file"):
        spec.parse("indices:nowhere.txt")
