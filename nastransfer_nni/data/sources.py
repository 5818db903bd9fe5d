"""The image sets that have a short name, and the parser of the names that `--source` and `--target` take.

This module imports nothing heavy, so that a command can check a name before it loads anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nastransfer_nni.base.paths import expanded, located
from nastransfer_nni.data import slices
from search_spaces.errors import UserError, unknown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "image": (),
    "label": (),
    "config": (),
    "folders": ("parts", "classes"),
    "level": ("outer", "inner"),
    "stream": (),
    "split": (),
}
"""What may follow an `@`, with the values that are allowed; any, where none are listed."""
_DATA_SETS = "https://huggingface.co/datasets/"


@dataclass(frozen=True)
class Source:
    """What is known of an image set before it is opened; made by `check`.

    Attributes:
        name: short name, name on the Hub or folder, without what follows an `@`.
        hub: `owner/name` on the Hugging Face Hub, or None for a set that is not there.
        config: configuration to open, where the Hub has several of the set.
        splits: maps our names (train, validation, test) to the Hub's.
        image: column of images; None: the only one that can be meant.
        label: column of labels; None: the only one that can be meant.
        images: number of images of each of our splits; empty: not known before the set is opened.
        classes: number of classes; None: not known before the set is opened.
        pixels: (height, width) of every image; None where images differ in size.
        mirrored: whether a mirror image still belongs to its class. It does not for digits; clothes and
            photographs may be flipped.
        mean: mean of each RGB channel, for pixels scaled to 0..1.
        std: standard deviation of each RGB channel, for pixels scaled to 0..1.
        gated: whether the Hub requires a login and accepted terms.
        synsets: list of timm's `ImageNetInfo` that names the classes, in label order.
        identifier: regular expression for the name that the set itself gives an image, searched for in file
            names.
        validation_classes: number of classes with validation images, where not all classes have some.
        instructions: how to get a set that is not on the Hub.
        gigabytes: size of the set, where the Hub does not know it.
        folders: what the folders of a set on this machine are: `parts` or `classes`; None: whichever can be
            meant.
        level: which folders are the classes, of those inside each other: `outer` or `inner`; None: whichever
            can be meant.
        stream: read the set from the Hub whenever it is needed instead of storing it. This also happens
            without `stream` where the disk is too small.
        split: part of the set that counts as its training split, as `slices.parse` takes it; empty: the set's
            own one.
        text: name as the user gave it, including what follows an `@`.
        folder: the folder that `name` means; None: `name` is looked up when the set is opened.
    """

    name: str
    hub: str | None = None
    config: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict, hash=False)
    image: str | None = None
    label: str | None = None
    images: Mapping[str, int] = field(default_factory=dict, hash=False)
    classes: int | None = None
    pixels: tuple[int, int] | None = None
    mirrored: bool = True
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    gated: bool = False
    synsets: str | None = None
    identifier: str | None = None
    validation_classes: int | None = None
    instructions: str = ""
    gigabytes: int = 0
    folders: str | None = None
    level: str | None = None
    stream: bool = False
    split: str = ""
    text: str = ""
    folder: Path | None = field(default=None, compare=False)

    @property
    def how_to_get(self) -> str:
        """Where the set comes from, in words that fit after a colon."""
        if self.instructions:
            return self.instructions
        if self.gated:
            return f"accept the terms at {_DATA_SETS}{self.hub}, then run `hf auth login`"
        return f"it comes from {_DATA_SETS}{self.hub}"


_TRAIN_TEST = {"train": "train", "test": "test"}
_ALL = {"train": "train", "validation": "validation", "test": "test"}
_IMAGENET_FILE = r"n\d{8}_\d+|ILSVRC2012_(?:val|test)_\d{8}"

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            "digits",
            splits=_TRAIN_TEST,
            images={"train": 1_437, "test": 360},
            classes=10,
            pixels=(8, 8),
            mirrored=False,
            mean=(0.3053, 0.3053, 0.3053),
            std=(0.3760, 0.3760, 0.3760),
            instructions="it comes with scikit-learn",
        ),
        Source(
            "fashion_mnist",
            hub="zalando-datasets/fashion_mnist",
            splits=_TRAIN_TEST,
            images={"train": 60_000, "test": 10_000},
            classes=10,
            pixels=(28, 28),
            mean=(0.2860, 0.2860, 0.2860),
            std=(0.3530, 0.3530, 0.3530),
        ),
        Source(
            "cifar10",
            hub="uoft-cs/cifar10",
            splits=_TRAIN_TEST,
            images={"train": 50_000, "test": 10_000},
            classes=10,
            pixels=(32, 32),
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
        ),
        Source(
            "cifar100",
            hub="uoft-cs/cifar100",
            splits=_TRAIN_TEST,
            images={"train": 50_000, "test": 10_000},
            classes=100,
            pixels=(32, 32),
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
        ),
        Source(
            "mit67",
            splits=_TRAIN_TEST,
            images={"train": 5_360, "test": 1_340},
            classes=67,
            instructions="download it from https://web.mit.edu/torralba/www/indoor.html and lay it out as "
            "$NASTRANSFER_DATA/mit67/{train,test}/<class>/<image>.jpg",
        ),
        Source(
            "flowers102",
            hub="dpdl-benchmark/oxford_flowers102",
            splits=_ALL,
            images={"train": 1_020, "validation": 1_020, "test": 6_149},
            classes=102,
        ),
        Source(
            "tiny_imagenet",
            hub="zh-plus/tiny-imagenet",
            splits={"train": "train", "validation": "valid"},
            images={"train": 100_000, "validation": 10_000},
            classes=200,
            pixels=(64, 64),
        ),
        Source(
            "mini_imagenet",
            hub="timm/mini-imagenet",
            splits=_ALL,
            images={"train": 50_000, "validation": 10_000, "test": 5_000},
            classes=100,
        ),
        Source(
            "imagenet1k",
            hub="ILSVRC/imagenet-1k",
            splits={"train": "train", "validation": "validation"},  # the test images carry no labels
            images={"train": 1_281_167, "validation": 50_000},
            classes=1000,
            gated=True,
            synsets="imagenet-1k",
            identifier=_IMAGENET_FILE,
        ),
        Source(
            "imagenet22k",
            hub="timm/imagenet-22k-wds",
            splits={"train": "train", "validation": "validation"},
            images={"train": 13_673_551, "validation": 472_840},
            classes=21841,
            gated=True,
            synsets="imagenet-22k",
            gigabytes=1300,
            identifier=_IMAGENET_FILE,
            validation_classes=11821,
        ),
    )
}


def data_folder() -> Path | None:
    """The folder of local sets: `$NASTRANSFER_DATA`, or None where that is not set."""
    named = os.environ.get("NASTRANSFER_DATA")
    return Path(named) if named else None


def _parse(name: str) -> Source:
    """The source that `name` means: a known one, or a bare entry for a Hub name or a folder."""
    if name in SOURCES or located(name).is_dir():
        return replace(SOURCES.get(name) or Source(name, folder=located(name)), text=name)
    stem, _, choices = name.partition("@")
    hub, folder = stem if _HUB_NAME.fullmatch(stem) else None, located(stem)
    base = SOURCES.get(stem) or Source(stem, hub=hub, folder=folder if folder.is_dir() else None)
    chosen: dict[str, str | bool] = {"text": name}
    for choice in filter(None, choices.split(",")):
        key, _, value = choice.partition("=")
        allowed = _CHOICES.get(key, ("",)) or (value,)
        if not value or value not in allowed or (key, value) == ("stream", "no"):
            raise UserError(
                f"{name!r}: {choice!r} is not image=COLUMN, label=COLUMN, config=NAME, folders=parts, "
                "folders=classes, level=outer, level=inner, stream=yes or split=PART (as in "
                "cifar100@label=coarse_label or cifar10@split=train[:10000])"
            )
        if key == "split":
            slices.parse(value)
        chosen[key] = value if key != "stream" else True
    if "label" in chosen:
        base = replace(base, classes=None, synsets=None)
    return replace(base, **chosen)  # type: ignore[arg-type]


def local_folder(source: Source) -> Path | None:
    """Where the set is on this machine: `$NASTRANSFER_DATA/<name>`, else the folder `name`, else None."""
    root = data_folder()
    if root is not None and (root / source.name).is_dir():
        return root / source.name
    named = source.folder or expanded(source.name)
    return named if source.name not in SOURCES and named.is_dir() else None


def check(name: str) -> Source:
    """The image set that `name` means. Nothing is imported or downloaded for it.

    Args:
        name: a short name, `owner/name` on the Hub or a folder. Columns, a configuration of the Hub and
            streaming follow an `@`: `cifar100@label=coarse_label`,
            `owner/name@image=photo,label=kind,config=large`, `imagenet1k@stream=yes`; and so does what
            counts as its training split: `cifar10@split=train[:10000]`.

    Raises:
        UserError: `name` is no known set, no `owner/name` on the Hub and no folder; the set must be
            fetched by hand first; or the text after the `@` does not have that form.
    """
    source = _parse(name)
    if local_folder(source) is not None or source.name == "digits":
        return source
    if source.name.startswith((".", "/", "~")):
        raise UserError(f"no folder {source.name!r}")
    if source.hub is not None:
        return source
    if source.name in SOURCES:
        raise UserError(f"{source.name} is not on this machine: {source.how_to_get}")
    raise unknown("image set", source.name, [*SOURCES, "a Hub name owner/name", "a folder"])
