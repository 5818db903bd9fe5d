"""The one boundary for errors: what the user can fix is a UserError, a defect of ours is not."""

from typing import ClassVar

import pytest
from pydantic import Field, field_validator

from nastransfer_nni.base import cli
from nastransfer_nni.base.config import Config, Count
from search_spaces.errors import UserError, unknown


class Options(Config):
    renamed: ClassVar = {"rate": "lr"}

    lr: float = Field(0.1, gt=0, description="learning rate")
    name: str = Field("a", description="name")
    epochs: int = Field(1, description="epochs")
    seed: int = Field(0, description="random seed")
    budget: Count = Field(1, description="images")
    scale: tuple[float, float] = Field((0.1, 1.0), description="crop")

    @field_validator("name")
    @classmethod
    def _check(cls, name):
        if name == "broken":
            raise ValueError("a defect")
        if name == "unknown" or len(name) > 1000:
            raise UserError("no such name")
        return name


def test_the_nearest_name_is_offered():
    assert str(unknown("colour", "gren", ["red", "green"])) == (
        "unknown colour 'gren' (did you mean 'green'?); known: red, green"
    )
    assert "did you mean" not in str(unknown("colour", "xyz", ["red"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1}, "unknown option 'rate' .did you mean 'lr'"),
        ({"lr": 0}, "--lr: Input should be greater than 0 .got 0"),
        ({"name": "unknown"}, "--name: no such name .got 'unknown'"),
    ],
)
def test_mistakes_in_options_are_user_errors(options, message):
    with pytest.raises(UserError, match=message):
        Options.create(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": "1e300"}, "--lr is too large"),
        ({"lr": "inf"}, "--lr is too large"),
        ({"lr": "9" * 400}, "--lr is too large"),
        ({"lr": "nan"}, "--lr"),
        ({"epochs": "9" * 400}, "--epochs is too large; it must be below 2.63"),
        ({"epochs": "9" * 5000}, "--epochs"),
        ({"epochs": 10**400}, "--epochs is too large"),
        ({"seed": 2**32}, "--seed is too large; it must be below 2.32"),
        ({"budget": "9" * 400 + "M"}, "--budget is too large"),
        ({"scale": (0.1, 1e300)}, "--scale is too large"),
        ({"name": "x" * 5000}, "--name: no such name .got 'x+\\.\\.\\.x+'"),
    ],
)
def test_numbers_that_nothing_computes_with_are_user_errors(options, message):
    with pytest.raises(UserError, match=message) as error:
        Options.create(options)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "count"), [("600M", 600_000_000), ("0.6k", 600), (".5G", 500_000_000), ("7", 7)]
)
def test_counts_have_units(text, count):
    assert Options.create({"budget": text}).budget == count


def test_a_bare_value_error_stays_a_defect():
    with pytest.raises(ValueError, match="a defect") as raised:
        Options.create({"name": "broken"})
    assert not isinstance(raised.value, UserError)


@pytest.mark.parametrize(("error", "code"), [(UserError("one line"), 2), (KeyboardInterrupt(), 130)])
def test_each_kind_of_error_has_its_exit_code(error, code, monkeypatch, capsys):
    monkeypatch.setattr(Options, "create", lambda options: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as ended:
        cli.main("demo", cli.Command("", Options, "none:none"), [])
    assert ended.value.code == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_defect_has_a_traceback(monkeypatch):
    monkeypatch.setattr(Options, "create", lambda options: (_ for _ in ()).throw(ValueError("a defect")))
    with pytest.raises(ValueError, match="a defect"):
        cli.main("demo", cli.Command("", Options, "none:none"), [])
