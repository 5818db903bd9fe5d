"""Grammar of proxy sets.

    proxy = step ("+" step)*        each step selects from the images that the previous one kept
    step  = kind [":" value ("," option "=" value)*]

`value` sets the kind's main option (`Step.main`). A comma without `=` continues a list, as in
`classes:names=cat,dog`. Nothing heavy is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from nastransfer_nni.base.paths import located
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.data.memory import UnreadableImages
from nastransfer_nni.proxy.changes import CHANGES
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.scorer_cost import total
from nastransfer_nni.proxy.scorers import DYNAMICS, ScoreSource
from nastransfer_nni.proxy.step import KINDS, Size, Step
from search_spaces.errors import UserError, unknown
from strategies.budget import Cost


@dataclass(frozen=True)
class ProxySpec:
    """A proxy set as `--proxy` names it: steps that select images, or a manifest that lists them.

    Attributes:
        text: the text that it was read from.
        steps: the steps, in order; empty if a manifest is named.
        manifest: path of the manifest; None if steps are given.
    """

    text: str
    steps: tuple[Step, ...] = ()
    manifest: Path | None = None

    @property
    def depends_on_seed(self) -> bool:
        """Whether another seed may select other images, or change them otherwise."""
        return any(step.depends_on_seed for step in self.steps)

    @property
    def columns(self) -> frozenset[tuple[ScoreSource, str]]:
        """The columns of scores that the steps use, with their sources."""
        return frozenset().union(*(step.columns for step in self.steps))

    @property
    def computations(self) -> frozenset[tuple[ScoreSource, str]]:
        """The columns without those that one computation gives together with others."""
        return frozenset(
            (source, column if column in DYNAMICS else "loss") for source, column in self.columns
        )

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of the steps' changes of labels or pixels, in order."""
        return tuple(step.change for step in self.steps if step.change)

    def choose(self, pool: Pool, seed: int) -> Rows:
        """Run the steps, one after the other.

        Args:
            pool: the images to select from.
            seed: seed of every random choice.

        Returns:
            Rows of the pool in ascending order, int64 [n].

        Raises:
            UserError: names the step that cannot select what it asks for, and why.
            UnreadableImages: a scorer has met images that cannot be decoded.
        """
        rows: Rows | None = None
        for step in self.steps:
            remaining = pool if rows is None else pool.subset(rows)
            try:
                chosen = step.choose(remaining, seed)
            except UnreadableImages:
                raise
            except UserError as error:
                raise UserError(f"proxy {step.text}: {error}") from None
            rows = chosen if rows is None else rows[chosen]
        assert rows is not None, "a manifest lists its images"
        return rows

    def size(self, images: int, classes: int) -> Size:
        """Size of the proxy set: exact for a manifest, else with classes counted as equally large.

        Args:
            images: number of images of the source's training split.
            classes: number of its classes.

        Raises:
            UserError: a manifest, or another file that an option names, cannot be read.
        """
        if self.manifest is not None:
            manifest = Manifest.read(self.manifest)
            return Size(len(manifest), manifest.num_classes)
        source = size = Size(images, classes)
        for step in self.steps:
            size = step.size(size, source)
        return size

    def scorer_cost(self, images: int) -> Cost | None:
        """What the scorers of the proxy take, without the seconds of those that have yet to work.

        Args:
            images: number of images of the source's training split.

        Returns:
            The cost; None where a file of scores, or a manifest, does not say what it took.

        Raises:
            UserError: a manifest cannot be read.
        """
        if self.manifest is not None:
            return Manifest.read(self.manifest).scorer_cost
        return total([source.cost(column, images) for source, column in self.computations])


def parse(text: str) -> ProxySpec:
    """Read what `--proxy` takes: a short form, or the path of a manifest.

    Raises:
        UserError: the manifest is missing, or the short form is wrong; says what is allowed.
    """
    if not is_manifest(text):
        return ProxySpec(text, steps=parse_steps(text))
    if not located(text).is_file():
        raise UserError(f"no proxy manifest {text!r}")
    return ProxySpec(text, manifest=located(text))


def is_manifest(proxy: str) -> bool:
    """Whether `proxy` is the path of a file rather than a short form."""
    if proxy.endswith(".json") and proxy.partition(":")[0] not in KINDS:  # not images:like=a.json
        return True
    try:
        return located(proxy).is_file()
    except UserError:  # longer than a path can be, such as a list of a hundred classes
        return False


def parse_steps(text: str) -> tuple[Step, ...]:
    """Read the steps of a short form.

    Raises:
        UserError: a kind, an option, a value or the order is wrong; says what is allowed.
    """
    steps = tuple(_parse_step(step) for step in text.split("+"))
    _check_changes(steps)
    return steps


def _check_changes(steps: Sequence[Step]) -> None:
    """Refuse a choice after a change of the images, and changes that contradict each other."""
    done: list[Step] = []
    for step in steps:
        if done and not step.change and not step.keeps_every_image:
            raise UserError(
                f"proxy {done[0].text} changes the images that other steps select: put it behind {step.text}"
            )
        if step.change:
            sets_labels = CHANGES[step.change].sets_labels
            for other in done:
                both = sets_labels and CHANGES[str(other.change)].sets_labels
                if other == step or both:
                    raise UserError(f"proxy {other.text} and {step.text} cannot be combined: one is enough")
            done.append(step)


def _parse_step(text: str) -> Step:
    kind, _, rest = text.partition(":")
    name = kind_of(kind).main
    options: dict[str, str] = {}
    for position, piece in enumerate(rest.split(",") if rest else ()):
        option, equals, value = piece.partition("=")
        if equals:
            name = option
            options[name] = value
        elif position == 0 and name is not None:
            options[name] = piece
        elif options and name is not None:
            options[name] = f"{options[name]},{piece}"
        else:
            raise UserError(f"proxy {kind} takes no value (got {piece!r})")
    return make_step(kind, options)


def kind_of(name: str) -> type[Step]:
    """The class of a kind of step.

    Raises:
        UserError: there is no such kind.
    """
    if name not in KINDS:
        raise unknown("kind of proxy", name, list(KINDS))
    return KINDS[name]


def make_step(kind: str, options: Mapping[str, Any]) -> Step:
    """Make a step from its options.

    Args:
        kind: name of the kind.
        options: values by option name, as texts or of the option's type.

    Raises:
        UserError: the kind or an option is unknown, or a value is not allowed.
    """
    step = kind_of(kind)
    for name, value in options.items():
        if name not in step.model_fields:
            raise unknown(f"option of {kind}", name, list(step.model_fields) or ["none"], step.renamed)
        annotation = step.model_fields[name].annotation
        if get_origin(annotation) is Literal and value not in get_args(annotation):
            raise unknown(f"{name} of proxy {kind}", value, get_args(annotation))
    try:
        return step.create(options)
    except UserError as error:
        message = re.sub(r"^--[\w-]+", lambda flag: flag[0][2:].replace("-", "_"), str(error))
        raise UserError(f"proxy {kind}: {message}") from None


def text_of(steps: Sequence[Step]) -> str:
    """The short form of steps, the inverse of `parse_steps`."""
    return "+".join(step.text for step in steps)
