"""The interface of a kind of proxy step, and the registry of kinds.

A kind is a module in `kinds/` with a class that is decorated with `@register("name")`, and the line in
`kinds/__init__.py` that imports it. docs/extending.md shows a complete one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

from nastransfer_nni.base.config import Config
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.scorers import ScoreSource


class Size(NamedTuple):
    """Size of an image set whose classes count as equally large."""

    images: int
    classes: int


class Step(Config):
    """One step of a proxy set: it selects from the images that the previous step kept.

    A subclass declares its options as fields; each becomes an option of the short form
    (`kind:option=value`) and a flag of `proxy make`.

    Attributes:
        kind: name of the kind in short forms and manifests; set by `register`.
        main: the option that a value directly after the colon sets, as in `classes:10`; None: there is none.
    """

    kind: ClassVar[str]
    main: ClassVar[str | None] = None

    @property
    @abstractmethod
    def depends_on_seed(self) -> bool:
        """Whether another seed may select other images."""

    @abstractmethod
    def choose(self, pool: Pool, seed: int) -> Rows:
        """Select images; equal pools and seeds give equal images, in any order of the pool's rows.

        Args:
            pool: the images to select from.
            seed: seed of every random choice.

        Returns:
            Rows of the pool in ascending order, int64 [n].

        Raises:
            UserError: the pool does not have what the options ask for.
        """

    @abstractmethod
    def size(self, pool: Size, source: Size) -> Size:
        """Size of what `choose` keeps, estimated without opening the images.

        Args:
            pool: size of the set that the step selects from.
            source: size of the whole source.
        """

    @property
    def columns(self) -> frozenset[tuple[ScoreSource, str]]:
        """The columns of scores that `choose` uses, with their sources."""
        return frozenset()

    @property
    def scores_source(self) -> bool:
        """Whether `choose` runs a network on every image of the source."""
        return any(source.file is None for source, _ in self.columns)

    @property
    def keeps_every_image(self) -> bool:
        """Whether the step selects nothing, whatever its options."""
        return False

    def resized_to(self, img_size: int | None) -> int | None:
        """Height and width of the images after this step, in px; None: their own size.

        Args:
            img_size: height and width before the step.
        """
        return img_size

    @property
    def change(self) -> str | None:
        """Name of the change of labels or pixels that follows the choice, see `changes.CHANGES`."""
        return None

    @property
    def text(self) -> str:
        """The short form, with the options that differ from their defaults."""
        fields = type(self).model_fields
        texts = {
            name: _text_of(value)
            for name, field in fields.items()
            if (value := getattr(self, name)) != field.default
        }
        first = [texts.pop(self.main)] if self.main in texts else []
        rest = ",".join([*first, *(f"{name}={text}" for name, text in texts.items())])
        return f"{self.kind}:{rest}" if rest else self.kind


KINDS: dict[str, type[Step]] = {}
"""The kinds of steps by name."""

_StepClass = TypeVar("_StepClass", bound=type[Step])


def register(kind: str) -> Callable[[_StepClass], _StepClass]:
    """Decorator of a `Step` class that makes it known as `kind`.

    Raises:
        ValueError: the name is taken.
    """

    def add(step: _StepClass) -> _StepClass:
        if kind in KINDS:
            raise ValueError(f"there are two kinds of proxy named {kind!r}")
        step.kind = kind
        KINDS[kind] = step
        return step

    return add


def _text_of(value: Any) -> str:
    """An option's value as the short form has it: a number without `.0`, a list with commas, ..."""
    if isinstance(value, float) and value > 1 and value.is_integer():
        return str(int(value))
    return ",".join(value) if isinstance(value, tuple) else str(getattr(value, "text", value))
