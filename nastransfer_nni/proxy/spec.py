"""How a proxy set is asked for: `all`, `classes:100`, `classes:10,select=most+images:0.5`, ...

A proxy is a row of steps joined by `+`, each choosing among what the one before has left. A step is a kind,
the value of its main option behind a colon, and further options behind commas; a piece without `=` goes on
with the list before it (`classes:names=cat,dog`). Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from nastransfer_nni.base.config import Config
from search_spaces.errors import UserError, unknown


class Step(Config):
    """One choice. `main` is the option that `kind:VALUE` sets."""

    kind: str
    main: ClassVar[str | None] = None

    @property
    def text(self) -> str:
        """The short form, with the options that differ from their default."""
        values = {
            name: value
            for name in type(self).model_fields
            if name != "kind" and (value := getattr(self, name)) != type(self).model_fields[name].default
        }
        texts = {name: ",".join(v) if isinstance(v, tuple) else _plain(v) for name, v in values.items()}
        first = [texts.pop(self.main)] if self.main in texts else []
        rest = ",".join([*first, *(f"{name}={value}" for name, value in texts.items())])
        return f"{self.kind}:{rest}" if rest else self.kind


class All(Step):
    """Every image."""


class Classes(Step):
    """Some classes, with all their images or `per_class` of each."""

    main = "num_classes"
    num_classes: int | None = Field(None, ge=2, description="number of classes")
    select: Literal["random", "most", "least", "frequency"] = Field(
        "random",
        description="which classes: at random, the most or least frequent, or at random by frequency",
    )
    names: tuple[str, ...] | None = Field(None, description="choose among these classes, or those in a file")
    under: str | None = Field(None, description="choose among the classes under this synset of --hierarchy")
    hierarchy: str | None = Field(None, description="text file with a line `parent child` for every edge")
    per_class: int | None = Field(None, ge=1, description="images of each class")

    @field_validator("names", mode="before")
    @classmethod
    def _read_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if value is None or len(value) != 1 or not Path(str(value[0])).is_file():
            return None if value is None else tuple(str(name) for name in value)
        return tuple(line for line in Path(value[0]).read_text().splitlines() if line.strip())

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_classes is None and self.names is None and self.under is None:
            raise UserError("classes needs a number of classes, names=... or under=... with hierarchy=...")
        if (self.under is None) != (self.hierarchy is None):
            raise UserError("under=SYNSET and hierarchy=FILE go together")
        if self.hierarchy is not None and not Path(self.hierarchy).is_file():
            raise UserError(f"no hierarchy file {self.hierarchy!r}")
        return self


class Sized(Step):
    """A step that leaves a fraction (up to 1) or a number (2 and more) of images."""

    main = "amount"
    amount: float | None = Field(None, description="fraction (0 to 1) or number of images (2 and more)")
    like: str | None = Field(None, description="as many images as this proxy (a short form or a manifest)")

    @field_validator("amount")
    @classmethod
    def _check_amount(cls, value: float | None) -> float | None:
        if value is not None and not (0 < value <= 1 or (value >= 2 and value.is_integer())):
            raise UserError("must be a fraction above 0 and up to 1, or a whole number of images from 2 on")
        return value

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        given = [name for name in ("amount", "like", "per_class") if getattr(self, name, None) is not None]
        if len(given) != 1:
            choices = "amount, like" + (" or per_class" if hasattr(self, "per_class") else "")
            raise UserError(f"{self.kind} takes exactly one of {choices}")
        if self.like is not None and not self.like.endswith(".json"):
            parse_steps(self.like)
        return self


class Stratified(Sized):
    """A sized step that may keep every class's share."""

    per_class: int | None = Field(None, ge=1, description="images of each class")
    floor: int = Field(1, ge=0, description="least number of images of each class")


class Images(Stratified):
    """A share of every class."""


class Balanced(Step):
    """The same number of images of every class."""

    main = "per_class"
    per_class: int | None = Field(None, ge=1, description="images of each class; default: of the rarest")
    short: Literal["refuse", "drop", "keep"] = Field(
        "refuse", description="what to do with classes that have fewer images"
    )


class Share(Step):
    """The most (head) or least (tail) frequent classes that hold this share of the images."""

    main = "share"
    share: float = Field(0.5, gt=0, le=1, description="share of all images")


class Scored(Step):
    """What steps share that rank images by a network's outputs."""

    scorer: str = Field(
        "network",
        description="where scores and features come from: network (a ResNet-20 trained here), timm:MODEL or "
        "timm:MODEL@WEIGHTS_FILE",
    )
    epochs: int = Field(10, ge=1, description="epochs of training of the scorer")
    scores: str | None = Field(None, description="Parquet file with scores or features, instead of a scorer")

    @field_validator("scorer")
    @classmethod
    def _check_scorer(cls, value: str) -> str:
        if value != "network" and not value.startswith("timm:"):
            raise UserError("must be network or timm:MODEL (as in timm:resnet18)")
        file = value.partition("@")[2]
        if file and not Path(file).is_file():
            raise UserError(f"no file {file!r} with weights")
        return value

    @field_validator("scores")
    @classmethod
    def _check_file(cls, value: str | None) -> str | None:
        if value is not None and not Path(value).is_file():
            raise UserError(f"no file {value!r}")
        return value


class Entropy(Scored, Sized):
    """Images drawn by the histogram of their predictive entropy (Na et al., IJCAI 2021)."""

    bin_width: float | None = Field(
        None, gt=0, description="of log10 entropy; default 0.5 up to 10 classes, else 0.25"
    )


class Ranked(Scored, Stratified):
    """The easiest or hardest images of every class."""

    by: Literal["loss", "margin", "entropy"] = Field("loss", description="the measure of hardness")


class Spread(Scored, Stratified):
    """Images chosen in a feature space: k-center and herding."""

    across: bool = Field(False, description="choose over all classes at once instead of in each class")

    @model_validator(mode="after")
    def _check_across(self) -> Self:
        if self.across and (self.per_class is not None or self.floor != 1):
            raise UserError("a choice across classes has neither per_class nor floor")
        return self


class Cluster(Scored, Sized):
    """As many images of every k-means cluster of the feature space."""

    clusters: int = Field(100, ge=2, description="number of k-means clusters")


class Resolution(Step):
    """The same images at fewer pixels."""

    main = "pixels"
    pixels: int = Field(ge=8, description="height and width")


KINDS: Mapping[str, type[Step]] = {
    "all": All,
    "classes": Classes,
    "images": Images,
    "balanced": Balanced,
    "head": Share,
    "tail": Share,
    "entropy-p1": Entropy,
    "entropy-p2": Entropy,
    "entropy-p3": Entropy,
    "easy": Ranked,
    "hard": Ranked,
    "k-center": Spread,
    "herding": Spread,
    "cluster": Cluster,
    "resolution": Resolution,
}


def make_step(kind: str, options: Mapping[str, Any]) -> Step:
    """A step from its options by name.

    Raises:
        UserError: an unknown kind, an option that does not go with it, or a bad value.
    """
    if kind not in KINDS:
        raise unknown("kind of proxy", kind, list(KINDS))
    model = KINDS[kind]
    allowed = [name for name in model.model_fields if name != "kind"]
    for name in options:
        if name not in allowed:
            raise unknown(f"option of {kind}", name, allowed or ["none"])
    try:
        return model.create({"kind": kind, **options})
    except UserError as error:
        raise UserError(f"proxy {kind}: {error}") from None


def parse_steps(text: str) -> tuple[Step, ...]:
    """The steps of a short form.

    Raises:
        UserError: says what is wrong and what is allowed.
    """
    steps = []
    for piece in text.split("+"):
        kind, _, rest = piece.partition(":")
        if kind not in KINDS:
            raise unknown("kind of proxy", kind, list(KINDS))
        options: dict[str, str] = {}
        name = KINDS[kind].main or ""
        for place, value in enumerate(rest.split(",") if rest else ()):
            if "=" in value:
                name, _, value = value.partition("=")
                options[name] = value
            elif place == 0 and name:
                options[name] = value
            elif not options:
                raise UserError(f"proxy {kind} takes no value (got {value!r})")
            else:
                options[name] = f"{options[name]},{value}"
        steps.append(make_step(kind, options))
    return tuple(steps)


def text_of(steps: tuple[Step, ...]) -> str:
    """The short form of steps: `parse_steps(text_of(steps)) == steps`."""
    return "+".join(step.text for step in steps)


@dataclass(frozen=True)
class ProxySpec:
    """A proxy set as `--proxy` names it: steps that select images, or a manifest that lists them.

    Attributes:
        text: the text that it was read from.
        steps: the steps, in order; empty where a manifest is named.
        manifest: the manifest's file; None where steps are given.
    """

    text: str
    steps: tuple[Step, ...] = ()
    manifest: Path | None = None

    @property
    def depends_on_seed(self) -> bool:
        """Whether another proxy seed selects other images."""
        return any(step.kind != "all" for step in self.steps)


def parse(text: str) -> ProxySpec:
    """Read what `--proxy` takes.

    Raises:
        UserError: a missing file, or what `parse_steps` says.
    """
    if not is_manifest(text):
        return ProxySpec(text, steps=parse_steps(text))
    if not Path(text).is_file():
        raise UserError(f"no proxy manifest {text!r}")
    return ProxySpec(text, manifest=Path(text))


def is_manifest(proxy: str) -> bool:
    """Whether `proxy` names a file rather than a short form."""
    return proxy.endswith(".json") or Path(proxy).is_file()


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) and value > 1 else str(value)
