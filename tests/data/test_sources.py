import subprocess
import sys

import pytest

from nastransfer_nni.data import sources
from search_spaces.errors import UserError


def test_checking_names_and_proxies_imports_nothing_heavy():
    code = (
        "import sys; from nastransfer_nni.data import sources\n"
        "from nastransfer_nni.proxy.config import MakeConfig\n"
        "sources.check('cifar10')\n"
        "MakeConfig.create(dict(source='digits', kind='images:0.1', out='x.json'))\n"
        "heavy = ('torch', 'nni', 'timm', 'datasets', 'pandas', 'pyarrow', 'sklearn')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name", [name for name in sources.SOURCES if name != "mit67"] + ["owner/some-set_1.0"]
)
def test_known_and_hub_names_are_accepted(name, monkeypatch):
    monkeypatch.delenv("NASTRANSFER_DATA", raising=False)
    assert sources.check(name).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar11", "unknown image set 'cifar11' (did you mean 'cifar10'?)"),
        ("./nowhere", "no folder './nowhere'"),
        ("/no/where/at/all", "no folder"),
        ("mit67", "lay it out as $NASTRANSFER_DATA/mit67"),
        ("cifar100@label", "is not image=COLUMN, label=COLUMN"),
        ("cifar100@part=test", "is not image=COLUMN, label=COLUMN"),
        ("cifar100@split=tset", "unknown split 'tset' (did you mean 'test'?)"),
    ],
)
def test_bad_names_are_refused_in_one_line(name, message, monkeypatch):
    monkeypatch.delenv("NASTRANSFER_DATA", raising=False)
    with pytest.raises(UserError) as error:
        sources.check(name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_local_folders_come_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    assert sources.local_folder(sources.check("cifar10")) is None
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "my_set").mkdir()
    assert sources.local_folder(sources.check("cifar10")) == tmp_path / "cifar10"
    assert sources.local_folder(sources.check("my_set")) == tmp_path / "my_set"
    assert sources.local_folder(sources.check(str(tmp_path / "my_set"))) == tmp_path / "my_set"


def test_a_source_keeps_its_text_and_can_be_a_key(tmp_path):
    for text in ("cifar10", "cifar100@label=coarse_label", "owner/name@stream=yes", str(tmp_path)):
        assert sources.check(text).text == text
        assert hash(sources.check(text)) == hash(sources.check(text))


def test_columns_behind_the_name():
    source = sources.check("cifar100@label=coarse_label")
    assert (source.name, source.label, source.hub) == ("cifar100", "coarse_label", "uoft-cs/cifar100")
    source = sources.check("owner/name@image=photo,label=kind,config=large,stream=yes")
    assert (source.image, source.label, source.config, source.stream) == ("photo", "kind", "large", True)
