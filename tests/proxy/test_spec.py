import pytest

from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.proxy import choose, spec
from nastransfer_nni.proxy import manifest as manifests
from search_spaces.errors import UserError
from tests.proxy.cases import pool_of


def test_commas_continue_a_list():
    (step,) = spec.parse_steps("classes:names=cat,dog,per_class=10")
    assert (step.names, step.per_class) == (("cat", "dog"), 10)


def test_names_can_be_read_from_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("cat\n\ndog\n")
    (step,) = spec.parse_steps(f"classes:names={tmp_path / 'names.txt'}")
    assert step.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clases:10", "unknown kind of proxy 'clases' (did you mean 'classes'?)"),
        ("", "unknown kind of proxy ''"),
        ("images", "takes exactly one of amount, like or per_class"),
        ("images:0", "must be a fraction above 0"),
        ("images:-0.1", "must be a fraction above 0"),
        ("images:1.5", "must be a fraction above 0"),
        ("images:nan", "must be a fraction above 0"),
        ("images:many", "valid number"),
        ("images:0.1,per_class=3", "takes exactly one of"),
        ("images:0.1,flor=3", "unknown option of images 'flor' (did you mean 'floor'?)"),
        ("images:like=clases:3", "unknown kind of proxy 'clases'"),
        ("images:like=no.json", "no proxy manifest 'no.json'"),
        ("classes", "needs a number of classes"),
        ("classes:1", "greater than or equal to 2"),
        ("classes:5,select=leest", "unknown select of proxy classes 'leest' (did you mean 'least'?)"),
        ("classes:5,select=best", "known: random, most, least, frequency"),
        ("classes:under=n01", "go together"),
        ("classes:under=n01,hierarchy=/no/file", "no hierarchy file"),
        ("all:3", "proxy all takes no value"),
        ("head:0", "greater than 0"),
        ("entropy-p1:0.1,scorer=resnet", "unknown scorer 'resnet'"),
        ("entropy-p1:0.1,scores=/no/file", "no file"),
        ("entropy-p4:0.1", "unknown kind of proxy"),
        ("k-center:per_class=4,across=true", "across classes has neither per_class nor floor"),
        ("resolution:4", "proxy resolution: img_size: Input should be greater than or equal to 8"),
        ("resolution:pixels=16", "unknown option of resolution 'pixels' (did you mean 'img_size'?)"),
        ("resolution", "proxy resolution: img_size is needed"),
        ("images:0.5+", "unknown kind of proxy ''"),
        ("nowhere.json", "no proxy manifest 'nowhere.json'"),
    ],
)
def test_bad_short_forms_say_what_is_allowed(text, message):
    with pytest.raises(UserError) as error:
        spec.parse(text)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("option", ["names", "hierarchy"])
def test_files_that_are_no_text_are_refused(option, tmp_path):
    file = tmp_path / "file.txt"
    file.write_bytes(b"\xff\xfe\x80")
    options = f"under=a,hierarchy={file}" if option == "hierarchy" else f"names={file}"
    with pytest.raises(UserError, match=r"file\.txt is not a text file"):
        spec.parse(f"classes:{options}").choose(pool_of([3, 3]), seed=0)


def test_a_list_of_classes_may_come_from_a_windows_editor(tmp_path):
    (tmp_path / "names.txt").write_bytes("cat\r\ndog\r\n".encode("utf-8-sig"))
    assert spec.parse(f"classes:names={tmp_path / 'names.txt'}").steps[0].names == ("cat", "dog")


def test_manifests_have_their_size_and_no_seed(tmp_path):
    _, manifest = choose.make(load(sources.check("digits"), "train"), spec.parse("classes:4"))
    manifests.write(manifest, None, tmp_path / "p.json")
    proxy = spec.parse(str(tmp_path / "p.json"))
    assert proxy.size(images=10**6, classes=1000) == (len(manifest), 4)
    assert not proxy.depends_on_seed
    assert spec.parse(f"images:like={tmp_path / 'p.json'}").size(10**6, 1000) == (len(manifest), 1000)


def test_a_list_of_classes_may_be_longer_than_a_path():
    names = [f"n{number:08d}" for number in range(500)]
    (step,) = spec.parse(f"classes:names={','.join(names)}").steps
    assert step.names == tuple(names)
    with pytest.raises(UserError, match="unknown kind of proxy"):
        spec.parse("x" * 5000)
