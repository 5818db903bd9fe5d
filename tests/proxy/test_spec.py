import pytest

from nastransfer_nni.proxy import spec
from search_spaces.errors import UserError

SHORT_FORMS = (
    "all",
    "classes:100",
    "classes:10,select=most,per_class=50",
    "classes:names=cat,dog,horse",
    "classes:2,names=cat,dog,horse",
    "images:0.1",
    "images:5000,floor=3",
    "images:per_class=20",
    "images:like=classes:10",
    "balanced",
    "balanced:50,short=drop",
    "head:0.3",
    "tail",
    "entropy-p1:0.1",
    "entropy-p3:500,bin_width=0.2,scorer=timm:resnet18",
    "easy:0.2,by=margin",
    "hard:0.2,epochs=3",
    "k-center:0.1,across=True",
    "herding:per_class=9",
    "cluster:0.1,clusters=30",
    "resolution:16",
    "classes:10+images:0.5+resolution:16",
)


@pytest.mark.parametrize("text", SHORT_FORMS)
def test_short_forms_come_back(text):
    steps = spec.parse_steps(text)
    assert spec.parse_steps(spec.text_of(steps)) == steps
    assert spec.text_of(spec.parse_steps(spec.text_of(steps))) == spec.text_of(steps)
    spec.parse(text)


def test_every_kind_is_tried():
    kinds = {piece.split(":")[0] for text in SHORT_FORMS for piece in text.split("+")}
    assert set(spec.KINDS) - kinds == {"entropy-p2"}  # as p1


def test_a_list_goes_on_behind_commas():
    (step,) = spec.parse_steps("classes:names=cat,dog,per_class=10")
    assert (step.names, step.per_class) == (("cat", "dog"), 10)


def test_names_may_stand_in_a_file(tmp_path):
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
        ("classes", "needs a number of classes"),
        ("classes:1", "greater than or equal to 2"),
        ("classes:5,select=best", "'random', 'most', 'least' or 'frequency'"),
        ("classes:under=n01", "go together"),
        ("classes:under=n01,hierarchy=/no/file", "no hierarchy file"),
        ("all:3", "proxy all takes no value"),
        ("head:0", "greater than 0"),
        ("entropy-p1:0.1,scorer=resnet", "must be network or timm:MODEL"),
        ("entropy-p1:0.1,scores=/no/file", "no file"),
        ("entropy-p4:0.1", "unknown kind of proxy"),
        ("k-center:per_class=4,across=true", "across classes has neither per_class nor floor"),
        ("resolution:4", "greater than or equal to 8"),
        ("images:0.5+", "unknown kind of proxy ''"),
        ("nowhere.json", "no proxy manifest 'nowhere.json'"),
    ],
)
def test_bad_short_forms_say_what_is_allowed(text, message):
    with pytest.raises(UserError) as error:
        spec.parse(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
