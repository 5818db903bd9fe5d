"""Options of a transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from annotated_types import Ge, Lt
from pydantic import BeforeValidator, Field, create_model, field_validator, model_validator

from nastransfer_nni.architecture import file
from nastransfer_nni.base.config import Config, Count, DeviceName
from nastransfer_nni.base.files import digest
from nastransfer_nni.data import sources
from nastransfer_nni.training import recipes
from nastransfer_nni.training.recipes import PRESETS, Recipe
from search_spaces.geometry import SMALL_PIXELS, geometries

if TYPE_CHECKING:
    from nastransfer_nni.architecture.file import Architecture


def _backend(value: Any) -> Any:
    return {True: "inductor", False: ""}.get(value, value) if isinstance(value, bool) else value


_TYPES = get_type_hints(Recipe, include_extras=True)

if TYPE_CHECKING:
    Changes = Config
else:
    Changes = create_model(
        "Changes",
        __base__=Config,
        **{
            name: (
                _TYPES[name] | None,
                Field(None, description=f"{field.description}; by default the protocol's"),
            )
            for name, field in Recipe.model_fields.items()
            if name != "protocol"
        },
    )


class TransferConfig(Changes):
    """Options of a transfer. What is left unset of a protocol's options is the protocol's own."""

    arch: str = Field(description="architecture file in any form, or the name of a published cell")
    target: str = Field("digits", description="image set to train on: a known name, a Hub name or a folder")
    protocol: str = Field("", description=f"{', '.join(PRESETS)}; by default the one for the target")
    seed: Annotated[int, Ge(0)] = Field(
        0, description="of initial weights, batches, augmentation and drop-path"
    )
    max_mult_adds: Count | None = Field(None, description="narrow the width to the widest that fits, as 600M")
    train_split: Literal["train", "validation", "test"] = Field("train", description="part to train on")
    val_split: Literal["", "train", "validation", "test"] = Field(
        "", description="part to evaluate on; by default test where it has labels, else validation"
    )
    val_share: Annotated[float, Ge(0), Lt(1)] = Field(
        0.0, description="hold this share of the training part out to evaluate on"
    )
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do about images that are broken"
    )
    device: DeviceName = Field("auto", description="auto: a GPU where there is one")
    workers: Annotated[int, Ge(0)] | None = Field(
        None, description="processes that decode images; by default one a core, at most 8"
    )
    channels_last: bool = Field(True, description="memory layout; the faster one nearly everywhere")
    torchcompile: Annotated[str, BeforeValidator(_backend)] = Field(
        "", description="compile the network with torch.compile; alone it means the backend inductor"
    )
    grad_checkpointing: bool = Field(False, description="recompute activations instead of keeping them")
    checkpoint_hist: Annotated[int, Ge(1)] = Field(1, description="how many of the best epochs to keep")
    recovery_interval: Annotated[int, Ge(0)] = Field(
        0, description="steps between checkpoints within an epoch; 0: one an epoch"
    )
    out: str | None = Field(
        None, description="folder of the run; None: runs/transfer-..., named by the options"
    )
    overwrite: bool = Field(False, description="start anew where the folder holds another run")

    @field_validator("target")
    @classmethod
    def _target_is_known(cls, name: str) -> str:
        sources.check(name)
        return name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        resolved = self.resolved()
        pixels = resolved.img_size or max(sources.check(self.target).pixels or (SMALL_PIXELS + 1,))
        geometries(resolved.width, resolved.layers, resolved.stem_for(pixels))
        return self

    @property
    def architecture(self) -> Architecture:
        """What `arch` names."""
        return file.read(self.arch)

    def resolved(self) -> Resolved:
        """Every option as it will be used."""
        changes = {name for name in Recipe.model_fields if name != "protocol"}
        protocol = recipes.resolve(
            self.protocol or recipes.default_for(sources.check(self.target)),
            self.model_dump(include=changes, exclude_none=True),
        )
        architecture = self.architecture
        options = self.model_dump(exclude={*changes, "protocol"})
        return Resolved(
            **protocol.model_dump(),
            **options,
            genotype=architecture.genotype.to_dict(),
            found_by={key: architecture.found_by.get(key) for key in ("strategy", "source", "proxy", "seed")},
        )


class Resolved(Recipe):
    """The options of a transfer with nothing left open, the architecture among them."""

    arch: str
    genotype: dict[str, Any]
    found_by: dict[str, Any]
    target: str
    seed: int
    max_mult_adds: int | None
    train_split: str
    val_split: str
    val_share: float
    on_bad_image: str
    device: str
    workers: int | None
    channels_last: bool
    torchcompile: str
    grad_checkpointing: bool
    checkpoint_hist: int
    recovery_interval: int
    out: str | None
    overwrite: bool

    @property
    def hash(self) -> str:
        """The protocol's, and another one where a budget or other parts of the target make figures differ."""
        rules = (self.max_mult_adds, self.train_split, self.val_split, self.val_share)
        usual = (None, "train", "", 0.0)
        return super().hash if rules == usual else digest([super().hash, *rules])


ASIDE = (
    "arch",  # the genotype counts, wherever it was read from
    "protocol",  # likewise what the protocol says, not its name
    "device",
    "workers",
    "channels_last",
    "torchcompile",
    "grad_checkpointing",
    "checkpoint_hist",
    "recovery_interval",
)
"""Options that a run may be resumed with other values of."""
