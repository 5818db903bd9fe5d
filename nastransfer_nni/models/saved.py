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
        architecture: its cells and where they come from.
        options: what `DartsModel` takes, without the architecture.
        input: how images are prepared: img_size, mean, std, crop_pct.
        classes: class names in the order of the logits; empty where unknown.
        weights: the final weights, averaged ones where there are such.
        training: the options that it was trained with, as far as known.
        result: what is known of its accuracy and of where the weights come from.
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
        """The model card: everything but the weights."""
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
        path: a run's folder, a checkpoint of ours or of timm's train.py, or an exported folder or
            `model.safetensors` with its card beside it.
        which: of a run's folder, the `last` checkpoint or the `best`.

    Raises:
        UserError: there is none, or it is not a network of this project.
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
        raise UserError(f"{path} holds no network: it has {', '.join(map(str, list(state)[:5]))}")
    averaged = state.get("state_dict_ema")
    weights = state["state_dict"] if averaged is None else averaged
    result = {"weights": "model" if averaged is None else "model_ema", "epoch": state.get("epoch")}
    if "card" in state:
        return _from_card(state["card"], weights, result | (state.get("final") or {}))
    return _from_timm(path, state, weights, result)


def _exported(path: Path) -> Trained:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        card = json.loads((path.parent / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{path.parent / CARD}, the model card, is missing or not JSON") from None
    if card.get("format") != FORMAT or card.get("version") != VERSION:
        raise UserError(f"{path.parent / CARD} is no model card of version {VERSION}")
    try:
        return _from_card(card, load_file(path), card["result"])
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: {error}") from None


def _from_card(card: dict[str, Any], weights: dict[str, Tensor], result: dict[str, Any]) -> Trained:
    return Trained(
        from_dict(card["architecture"], name=card["name"]),
        card["model"],
        card["input"],
        tuple(card["classes"]),
        weights,
        card["training"],
        result,
    )


def _from_timm(
    path: Path, state: dict[str, Any], weights: dict[str, Tensor], result: dict[str, Any]
) -> Trained:
    """What timm's train.py has saved: its arguments say which network it is."""
    import timm

    arguments = vars(state.get("args") or argparse.Namespace())
    name = str(arguments.get("model") or state.get("arch"))
    if not name.startswith("nastransfer_"):
        raise UserError(f"{path} holds a {name}, which is no network of this project")
    options = {**(arguments.get("model_kwargs") or {})}
    model = timm.create_model(name, num_classes=arguments.get("num_classes"), **options)
    data = timm.data.resolve_data_config(arguments, model=model)
    options.pop("architecture", None)
    options["num_classes"] = model.num_classes
    described = {"img_size": data["input_size"][-1], "mean": list(data["mean"]), "std": list(data["std"])}
    described["crop_pct"] = data["crop_pct"]
    training = {key: value for key, value in arguments.items() if isinstance(value, str | int | float)}
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return Trained(Architecture(model.genotype, name), options, described, (), weights, training, result)
