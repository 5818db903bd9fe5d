"""`python -m nastransfer_nni.evaluate`: the accuracy of a trained network, on its target or another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from pydantic import Field, field_validator

from nastransfer_nni import cli
from nastransfer_nni.config import Config, DeviceName
from nastransfer_nni.data import sources


class EvaluateConfig(Config):
    """Options of an evaluation."""

    checkpoint: str = Field(description="a run's folder, a checkpoint (also timm's), or an exported folder")
    which: Literal["last", "best"] = Field("last", description="of a run's folder: which checkpoint")
    target: str | None = Field(None, description="image set; by default the one it was trained on")
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="part of it; by default the one that training evaluated on"
    )
    img_size: Annotated[int, Ge(0)] = Field(0, description="image size in px; 0: as in training")
    batch_size: Annotated[int, Gt(0)] = Field(256, description="images of a batch")
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do about images that are broken"
    )
    device: DeviceName = Field("auto", description="auto: a GPU where there is one")
    workers: Annotated[int, Ge(0)] = Field(4, description="processes that decode images")
    amp: bool = Field(False, description="bfloat16 instead of float32")
    out: str | None = Field(None, description="file for the figures, as JSON; None: the screen alone")

    @field_validator("target")
    @classmethod
    def _target_is_known(cls, name: str | None) -> str | None:
        if name is not None:
            sources.check(name)
        return name


COMMAND = cli.Command(
    summary="Evaluate a trained network.",
    config=EvaluateConfig,
    target="nastransfer_nni.evaluate:evaluate",
    positional=("checkpoint",),
    examples=(
        "python -m nastransfer_nni.evaluate runs/b",
        "python -m nastransfer_nni.evaluate runs/b/checkpoints/best.pt --split train",
    ),
)


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a trained network.

    Returns:
        loss, top1 and top5 in percent, how many images they are of, and what was evaluated.

    Raises:
        UserError: something that the user can mend.
    """
    import torch

    from nastransfer_nni import trained
    from nastransfer_nni.errors import UserError
    from nastransfer_nni.files import pretty, write_json
    from nastransfer_nni.training import evaluation
    from nastransfer_nni.training.data import aligned, evaluation_batches, part_to_evaluate
    from nastransfer_nni.training.distributed import pick_device, world
    from nastransfer_nni.training.protocols import Protocol

    network = trained.read(Path(config.checkpoint), config.which)
    training, prepared = network.training, network.input
    name = config.target or training.get("target")
    if not name:
        raise UserError("--target is needed: the checkpoint does not say what it was trained on")
    held_out = config.target is None and config.split is None
    images = part_to_evaluate(
        str(name),
        split=config.split or (training.get("val_split", "") if held_out else ""),
        train_split=training.get("train_split", "train"),
        share=training.get("val_share", 0.0) if held_out else 0.0,
        seed=training.get("seed", 0),
    )
    if network.classes:
        images = aligned(images, network.classes)
    pixels = config.img_size or prepared["img_size"]
    known = {key: value for key, value in training.items() if key in ("aa", "reprob", "vflip")}
    protocol = Protocol(protocol="evaluation", crop_pct=prepared["crop_pct"], **known)
    with world(pick_device(config.device)) as processes:
        model = network.build().to(processes.device).to(memory_format=torch.channels_last)
        found = evaluation.evaluate(
            model,
            evaluation_batches(
                images,
                protocol,
                pixels,
                config.batch_size,
                world=processes,
                workers=config.workers,
                on_bad_image=config.on_bad_image,
            ),
            processes,
            amp_dtype=torch.bfloat16 if config.amp else None,
            channels_last=True,
        )
        figures = {
            "top1": found.top1,
            "top5": found.top5,
            "loss": found.loss,
            "images": found.images,
            "classes": len(set(images.labels.tolist())),
            "target": name,
            "split": images.split,
            "checkpoint": config.checkpoint,
            **{key: network.result.get(key) for key in ("weights", "epoch")},
        }
        if processes.rank == 0:
            print(pretty(figures))
            if config.out is not None:
                write_json(Path(config.out), figures)
    return figures


if __name__ == "__main__":
    from nastransfer_nni.evaluate import COMMAND as EVALUATE  # this file as the module that its options name

    cli.main("python -m nastransfer_nni.evaluate", EVALUATE)
