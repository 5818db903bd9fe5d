"""Trained networks, read back from any form: our checkpoints and exports, and those of timm's train.py."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nastransfer_nni.architecture.file import Architecture, from_dict
from nastransfer_nni.base import torch_io
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.training.checkpoints import BEST, LAST
from search_spaces.errors import UserError

CARD = "model.json"
FORMAT, VERSION = "nastransfer-model", 1


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        architecture: cells of the network and how they were found.
        options: arguments of `DartsModel`, without the architecture.
        input: how images are prepared: img_size in px, mean and std per channel, crop_pct.
        classes: class names in the order of the logits; empty where they are unknown.
        weights: state dict of the final weights, of their average where the training kept one.
        training: options that the network was trained with, as far as they are known.
        result: accuracy, epoch and kind of the weights, as far as they are known.
    """

    architecture: Architecture
    options: dict[str, Any]
    input: dict[str, Any]
    classes: tuple[str, ...]
    weights: dict[str, Tensor] = field(repr=False)
    training: dict[str, Any]
    result: dict[str, Any]

    def build(self) -> DartsModel:
        """The network in evaluation mode, on the CPU.

        Raises:
            UserError: the weights are those of another network.
        """
        model = DartsModel(self.architecture.genotype, **self.options)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise UserError(
                f"the weights do not fit the network: {str(error).splitlines()[1].strip()}"
            ) from None
        return model.eval()

    def card(self) -> dict[str, Any]:
        """The model card: everything except the weights."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "architecture": self.architecture.to_dict(),
            "name": self.architecture.name,
            "model": self.options,
            "input": self.input,
            "classes": list(self.classes),
            "training": self.training,
            "result": self.result,
        }


def read(path: Path, which: str = "last") -> Trained:
    """Read a trained network.

    Args:
        path: a run's folder, a checkpoint of ours or of timm's train.py, an exported folder, or its
            `model.safetensors`, which needs `model.json` in the same folder.
        which: checkpoint of a run's folder, `last` or `best`.

    Raises:
        UserError: the file does not exist, or is not a network of this project.
    """
    if path.is_dir():
        if (path / CARD).exists():
            return _exported(path / "model.safetensors")
        path = path / "checkpoints" / {"last": LAST, "best": BEST}[which]
    if path.suffix == ".safetensors":
        return _exported(path)
    with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its arguments as one
        state = torch_io.load(path)
    if state is None:
        raise UserError(f"no checkpoint {path}")
    if "state_dict" not in state:
        raise UserError(f"{path} contains no network: it has {', '.join(map(str, list(state)[:5]))}")
    averaged = state.get("state_dict_ema")
    weights = state["state_dict"] if averaged is None else averaged
    result = {"weights": "model" if averaged is None else "model_ema", "epoch": state.get("epoch")}
    if "card" in state:
        return _from_card(state["card"], weights, result | (state.get("final") or {}))
    return _from_timm(path, state, weights=weights, result=result)


def _exported(path: Path) -> Trained:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path.parent / CARD
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{file}, the model card, is missing or not JSON") from None
    if not isinstance(card, dict) or (card.get("format"), card.get("version")) != (FORMAT, VERSION):
        raise UserError(f"{file} is not a model card of version {VERSION}")
    entries = ("architecture", "name", "model", "input", "classes", "training", "result")
    if missing := [name for name in entries if name not in card]:
        raise UserError(f"{file} has no entry {', '.join(missing)}")
    try:
        return _from_card(card, load_file(path), card["result"])
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: {error}") from None


def _from_card(card: dict[str, Any], weights: dict[str, Tensor], result: dict[str, Any]) -> Trained:
    return Trained(
        architecture=from_dict(card["architecture"], name=card["name"]),
        options=card["model"],
        input=card["input"],
        classes=tuple(card["classes"]),
        weights=weights,
        training=card["training"],
        result=result,
    )


def _from_timm(
    path: Path, state: dict[str, Any], *, weights: dict[str, Tensor], result: dict[str, Any]
) -> Trained:
    """A network saved by timm's train.py, whose arguments describe it."""
    import timm

    arguments = vars(state.get("args") or argparse.Namespace())
    name = str(arguments.get("model") or state.get("arch"))
    if not name.startswith("nastransfer_") or not timm.is_model(name):
        raise UserError(f"{path} contains a {name}, which is not a network of this project")
    options = {**(arguments.get("model_kwargs") or {})}
    model = timm.create_model(name, num_classes=arguments.get("num_classes"), **options)
    data = timm.data.resolve_data_config(arguments, model=model)
    options.pop("architecture", None)
    options["num_classes"] = model.num_classes
    return Trained(
        architecture=Architecture(model.genotype, name),
        options=options,
        input={
            "img_size": data["input_size"][-1],
            "mean": list(data["mean"]),
            "std": list(data["std"]),
            "crop_pct": data["crop_pct"],
        },
        classes=(),
        weights={key.removeprefix("module."): value for key, value in weights.items()},
        training={key: value for key, value in arguments.items() if isinstance(value, str | int | float)},
        result=result,
    )
