"""Options of a transfer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from annotated_types import Ge, Lt
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, create_model, model_validator

from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, Count, DeviceName, FromText
from nastransfer_nni.base.files import digest
from nastransfer_nni.data import slices, sources
from nastransfer_nni.data.sources import SOURCES, Source
from nastransfer_nni.tracking.services import LogMLflow, LogWandB
from nastransfer_nni.training import protocols
from nastransfer_nni.training.protocols import PRESETS
from nastransfer_nni.training.recipes import ADDED_OPTIONS, Recipe
from search_spaces.geometry import SMALL_PIXELS
from search_spaces.registry import DEFAULT

NON_IDENTIFYING_OPTIONS = (
    "arch",  # the genotype identifies the run, wherever it was read from
    "protocol",  # the resolved options identify the run, not the preset's name
    "device",
    "workers",
    "channels_last",
    "torchcompile",
    "grad_checkpointing",
    "checkpoint_hist",
    "recovery_interval",
    "log_mlflow",
    "log_wandb",
)
"""Options that may change when a transfer is resumed, since its result does not depend on them."""

RECIPE_OPTIONS = tuple(name for name in Recipe.model_fields if name != "protocol")
"""Options of a training protocol that a transfer may override."""


Part = Annotated[str, AfterValidator(slices.check)]
"""A split of an image set, or slices of splits."""


def _backend(value: Any) -> Any:
    return ("inductor" if value else "") if isinstance(value, bool) else value


class _TransferOptions(Config):
    """The options of a transfer besides those that override its training protocol."""

    arch: Annotated[InstanceOf[Architecture], FromText(read)] = Field(
        description="architecture: a file in any form, the name of a published cell such as DARTS_V2, or "
        "hf-hub:owner/name"
    )
    target: Annotated[InstanceOf[Source], FromText(sources.check)] = Field(
        "digits",
        validate_default=True,
        description=f"image set to train on: {', '.join(SOURCES)}, a Hub name (owner/name) or a folder",
    )
    protocol: str = Field(
        "", description=f"training protocol: {', '.join(PRESETS)}; default: the one for the target"
    )
    seed: Annotated[int, Ge(0)] = Field(
        0, description="random seed of initial weights, batches, augmentation and drop-path"
    )
    max_mult_adds: Count | None = Field(
        None,
        description="limit on multiply-adds per image, such as 600M; the width is narrowed until it fits",
    )
    train_split: Part = Field("train", description="split to train on, or a part such as train[:10000]")
    val_split: Part | Literal[""] = Field(
        "",
        description="split to evaluate on, or a part such as train[10000:]+test; default: test where it has "
        "labels, else validation",
    )
    val_share: Annotated[float, Ge(0), Lt(1)] = Field(
        0.0, description="fraction of the training split that is held out to evaluate on instead"
    )
    train_images: Annotated[int, Ge(2)] | None = Field(
        None, description="number of images to train on, of all classes in proportion; None: all"
    )
    val_seed: Annotated[int, Ge(0)] | None = Field(
        None,
        description="random seed of what --val-share holds out and of what --train-images keeps; None: that "
        "of --seed",
    )
    val_interval: Annotated[int, Ge(1)] = Field(
        1, description="epochs from one evaluation to the next; the last epoch is always evaluated"
    )
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do with images that cannot be decoded"
    )
    device: DeviceName = Field(
        "auto", description="cpu, cuda, cuda:N, mps or xpu; auto: a GPU where there is one"
    )
    workers: Annotated[int, Ge(0)] | None = Field(
        None, description="data workers: processes that decode images; None: one per core, at most 8"
    )
    channels_last: bool = Field(
        True,
        description="channels-last memory layout, which is faster nearly everywhere; on a CPU "
        "separable convolutions then train through compiled loops",
    )
    torchcompile: Annotated[str, BeforeValidator(_backend)] = Field(
        "",
        description="torch.compile backend for the network; without a value: inductor; empty: not compiled",
    )
    grad_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )
    checkpoint_hist: Annotated[int, Ge(1)] = Field(
        1, description="number of best epochs whose checkpoints are kept"
    )
    recovery_interval: Annotated[int, Ge(0)] = Field(
        0, description="optimizer steps between checkpoints within an epoch; 0: one checkpoint per epoch"
    )
    log_mlflow: LogMLflow = False
    log_wandb: LogWandB = False
    out: str | None = Field(
        None, description="folder of the run; None: runs/transfer-..., named by the options"
    )
    overwrite: bool = Field(False, description="start anew where the folder holds another run")


_TYPES = get_type_hints(Recipe, include_extras=True)

if TYPE_CHECKING:
    _WithRecipe = _TransferOptions
else:
    _WithRecipe = create_model(
        "_WithRecipe",
        __base__=_TransferOptions,
        **{
            name: (
                _TYPES[name] | None,
                Field(None, description=f"{Recipe.model_fields[name].description}; None: the protocol's"),
            )
            for name in RECIPE_OPTIONS
        },
    )


class TransferConfig(_WithRecipe):
    """Options of a transfer; those of its training protocol are named as in `Recipe`, None: unchanged."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        recipe = self.recipe
        pixels = self.target.pixels
        if not recipe.img_size and self.target.name not in SOURCES:
            pixels = protocols.largest_image(self.target)
        size = recipe.img_size or max(pixels or (SMALL_PIXELS + 1,))
        self.arch.space.check_size(recipe.width, recipe.layers, recipe.stem_for(size))
        return self

    @cached_property
    def recipe(self) -> Recipe:
        """The training protocol with this transfer's changes."""
        if self.protocol:
            return protocols.resolve(self.protocol, self._changes)
        changes = {**protocols.default_changes(self.target), **self._changes}
        return protocols.resolve(protocols.default_for(self.target), changes)

    @property
    def _changes(self) -> dict[str, Any]:
        return self.model_dump(include=set(RECIPE_OPTIONS), exclude_none=True)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The defaults of all options, as JSON values; those of the recipe without a protocol's changes."""
        return super().defaults() | Recipe(protocol="").model_dump(mode="json")

    @classmethod
    def upgrade(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as version 0.1 wrote them, with what it did where it had no option."""
        defaults = Recipe(protocol="").model_dump(mode="json", include=set(ADDED_OPTIONS))
        defaults |= {"train_images": None, "val_interval": 1}
        return {**defaults, **super().upgrade(options)}

    def of_version_0_1(self) -> Self | None:
        """The same options under the recipe that version 0.1 had; None where it is the same recipe."""
        name = self.protocol or protocols.default_for(self.target, version="0.1")
        recipe = protocols.resolve(name, self._changes, version="0.1")
        if recipe == self.recipe:
            return None
        return self.model_copy(update={**recipe.model_dump(), "recipe": recipe})

    @property
    def protocol_hash(self) -> str:
        """Equal for transfers whose results may be compared.

        It is the recipe's hash, or another one where a limit, other splits of the target or another search
        space make results differ. The random cells of one space are no baseline of another.
        """
        space = self.arch.space.text
        return self._hash_of_rules() if space == DEFAULT else digest([self._hash_of_rules(), space])

    def _hash_of_rules(self) -> str:
        rules = (self.max_mult_adds, self.train_split, self.val_split, self.val_share)
        usual = (None, "train", "", 0.0)
        if self.train_images is not None:
            return digest([self.recipe.hash, *rules, self.val_seed, self.train_images])
        if self.val_share and self.val_seed is not None:
            return digest([self.recipe.hash, *rules, self.val_seed])
        return self.recipe.hash if rules == usual else digest([self.recipe.hash, *rules])

    def resolved(self) -> dict[str, Any]:
        """Every option as it will be used, as JSON values, the architecture among them."""
        found_by, space = self.arch.found_by, self.arch.space.text
        return {
            **self.recipe.model_dump(mode="json"),
            **self.model_dump(mode="json", exclude={*RECIPE_OPTIONS, "protocol"}),
            **({} if space == DEFAULT else {"space": space}),
            "genotype": self.arch.genotype.to_dict(),
            "found_by": {name: found_by.get(name) for name in ("strategy", "source", "proxy", "seed")},
        }
