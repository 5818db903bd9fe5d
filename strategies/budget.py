"""What a search may take: the grammar of `--budget`, and what counts against each of its limits.

    budget = limit ("," limit)*
    limit  = [kind "="] number

`5M` and `images=5M` limit the images with a gradient; `total_images=20M,seconds=3600` has two limits, and the
first that is reached ends the search. Importing this module imports neither torch nor NNI.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from search_spaces.errors import UserError, unknown
from search_spaces.numbers import as_count, require_computable

KINDS = {
    "images": "images with a gradient",
    "forward_images": "images without a gradient",
    "total_images": "images in all",
    "seconds": "seconds",
    "total_seconds": "seconds in all",
}
"""What each kind of limit counts. Those in all include what the proxy's scorers took."""


@dataclass(frozen=True)
class Cost:
    """What a search took, or the scorers of a proxy, over all processes.

    Attributes:
        images: number of images that were backpropagated.
        forward_images: number of images that passed through networks without a gradient.
        seconds: time.
    """

    images: int = 0
    forward_images: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.images + other.images,
            self.forward_images + other.forward_images,
            self.seconds + other.seconds,
        )

    def times(self, number: int) -> Cost:
        """Cost of so many of the same."""
        return Cost(self.images * number, self.forward_images * number, self.seconds * number)


@dataclass(frozen=True)
class Budget:
    """Limits of a search; None: no limit of that kind.

    Limits on images are kept in advance, by the number of epochs or candidates. Limits on seconds are kept as
    a search goes: it ends with the epoch, or with the candidate, at which one of them is reached.

    Attributes:
        images: images that the search may backpropagate.
        forward_images: images that the search may pass through networks without a gradient: validation,
            monitoring, rewards, the choice of a cell.
        total_images: images with and without a gradient, those of the proxy's scorers included.
        seconds: time of the search.
        total_seconds: time of the search and of the proxy's scorers.
    """

    images: int | None = None
    forward_images: int | None = None
    total_images: int | None = None
    seconds: float | None = None
    total_seconds: float | None = None

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read a number of images with a gradient, or the text of several limits.

        Raises:
            UserError: says which limit is unknown, given twice or no number above 0.
        """
        if isinstance(value, cls):
            return value
        limits: dict[str, Any] = {}
        for part in str(value).split(",") if isinstance(value, str) else (value,):
            kind, equals, number = part.partition("=") if isinstance(part, str) else ("", "", part)
            kind, number = (kind.strip(), number) if equals else ("images", part)
            if kind not in KINDS:
                raise unknown("limit of a budget", kind, list(KINDS))
            if kind in limits:
                raise UserError(f"{kind} is given twice")
            limits[kind] = _number(kind, number)
        require_computable(limits.items())
        return cls(**limits)

    @property
    def plain(self) -> int | str:
        """The budget as files have it: the number of images with a gradient, or the text of the limits."""
        given = {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None}
        if given.keys() == {"images"}:
            return int(given["images"])
        return ",".join(f"{kind}={_text(number)}" for kind, number in given.items())

    def __str__(self) -> str:
        return str(self.plain)

    @property
    def max_seconds(self) -> float | None:
        """Time after which the search ends; None: no limit."""
        given = [limit for limit in (self.seconds, self.total_seconds) if limit is not None]
        return min(given, default=None)

    @property
    def counts_scorers(self) -> bool:
        """Whether what the proxy's scorers take counts."""
        return self.total_images is not None or self.total_seconds is not None

    def after(self, scorers: Cost) -> Budget:
        """What is left for the search, once the proxy's scorers have taken theirs.

        Raises:
            UserError: nothing is left.
        """
        spent = {"total_images": scorers.images + scorers.forward_images, "total_seconds": scorers.seconds}
        limits = dict(vars(self))
        for kind, taken in spent.items():
            limit = limits[kind]
            if limit is not None and taken:
                if taken >= limit:
                    raise UserError(
                        f"a budget of {kind}={_text(limit)} is used up by the proxy's scorers, which take "
                        f"{_text(taken)}"
                    )
                limits[kind] = limit - taken
        return Budget(**limits)

    def most(self, cost: Callable[[int], Cost], unit: str, more: int = 2) -> int | None:
        """Largest number of units whose images are within the limits; None where no limit concerns them.

        Args:
            cost: images of so many units, which grow with their number.
            unit: name of a unit in the message, such as `epoch`.
            more: number of units that takes more images than one, of every kind that grows at all.

        Raises:
            UserError: not even one unit is within the limits.
        """
        one = self._limited(cost(1))
        for kind, images in one.items():
            limit = getattr(self, kind)
            if images > limit:
                what = "images" if kind == "images" else KINDS[kind]
                raise UserError(f"a budget of {limit:,} {what} is less than one {unit} ({images:,} images)")
        if one == self._limited(cost(more)):
            return None

        def is_beyond(number: int) -> bool:
            return any(images > getattr(self, kind) for kind, images in self._limited(cost(number)).items())

        beyond = 2
        while not is_beyond(beyond):
            beyond *= 2
        return bisect_right(range(1, beyond), False, key=is_beyond)

    def _limited(self, cost: Cost) -> dict[str, int]:
        """The images that are limited, by kind of limit."""
        images = {
            "images": cost.images,
            "forward_images": cost.forward_images,
            "total_images": cost.images + cost.forward_images,
        }
        return {kind: number for kind, number in images.items() if getattr(self, kind) is not None}


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.15g}"


def _number(kind: str, value: Any) -> int | float:
    """A number of images or of seconds above 0."""
    is_time = "seconds" in kind
    number: Any = value if is_time else as_count(value)
    if isinstance(number, str):
        try:
            number = float(number)
        except ValueError:
            number = None
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_number or not number > 0 or not (is_time or number == number // 1):
        raise UserError(
            f"{kind} must be a number of {'seconds' if is_time else 'images'} above 0; a budget is a number "
            "such as 5M, or limits such as total_images=20M,seconds=3600"
        )
    return number if is_time else int(number)
