"""Trained networks, read back from any form: our checkpoints and exports, and those of timm's train.py."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nastransfer_nni.architecture.file import Architecture, from_dict
from nastransfer_nni.base import hub, torch_io
from nastransfer_nni.base.files import finite
from nastransfer_nni.base.reading import read_json, read_text
from nastransfer_nni.models.weights import (
    ARGUMENTS,
    mismatch,
    numbering,
    options_of,
    plain_names,
    timm_arguments,
)
from nastransfer_nni.tracking import directory
from nastransfer_nni.training.checkpoints import BEST, LAST
from search_spaces.errors import UserError

CARD, WEIGHTS = "model.json", "model.safetensors"
FORMAT, VERSION = "nastransfer-model", 1


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        architecture: cells of the network and how they were found.
        options: arguments of the network, without the architecture.
        input: how images are prepared: img_size in px, mean and std per channel, crop_pct, interpolation.
        classes: class names in the order of the logits; empty where they are unknown.
        weights: state dict of the final weights, of their average where the training kept one.
        training: options that the network was trained with, as far as they are known.
        result: accuracy, epoch and kind of the weights, as far as they are known.
        origin: source of `input`, in words.
        numbering: how classes without names are numbered, as `weights.numbering` says; empty: unknown.
        versions: versions of the packages that trained it; empty where unknown.
    """

    architecture: Architecture
    options: dict[str, Any]
    input: dict[str, Any]
    classes: tuple[str, ...]
    weights: dict[str, Tensor] = field(repr=False)
    training: dict[str, Any]
    result: dict[str, Any]
    origin: str = "the checkpoint"
    numbering: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def build(self) -> Any:
        """The network in evaluation mode, on the CPU.

        Raises:
            UserError: the weights are those of another network.
        """
        model = self.architecture.space.build(self.architecture.genotype, **self.options)
        if problem := mismatch(model, self.weights):
            raise UserError(f"the weights do not fit the network: {problem}")
        model.load_state_dict(self.weights)
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
            "result": {
                name: finite(value) if isinstance(value, float) else value
                for name, value in self.result.items()
            },
            **({"numbering": self.numbering} if self.numbering else {}),
            **({"versions": self.versions} if self.versions else {}),
        }


def read(path: Path, which: str = "last", architecture: Architecture | None = None) -> Trained:
    """Read a trained network.

    Args:
        path: a run's folder, a checkpoint of ours, a folder of timm's train.py, a checkpoint of it, also an
            averaged or cleaned one, an exported folder, its `model.safetensors` next to `model.json`, or an
            exported network on the Hub, `hf-hub:owner/name@revision`.
        which: checkpoint of a folder, `last` or `best`.
        architecture: cells of the network, where the file does not say.

    Raises:
        UserError: the file does not exist, or is not a network of this project.
    """
    if hub.is_name(str(path)):
        return _on_hub(str(path))
    if path.is_dir():
        path = path / WEIGHTS if (path / CARD).exists() else _checkpoint_in(path, which)
    if path.suffix == ".safetensors" and ((path.parent / CARD).exists() or not path.exists()):
        return _exported(path)
    state = _state(path)
    averaged = state.get("state_dict_ema")
    weights = state.get("state_dict", state) if averaged is None else averaged
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"{path} contains no network: it has {', '.join(map(str, list(state)[:5]))}")
    weights = plain_names(weights)
    result = {"weights": "model" if averaged is None else "model_ema", "epoch": state.get("epoch")}
    if "card" in state:
        versions, evaluation = _known_of(path.parent.parent)
        result |= {**evaluation, **(state.get("final") or {})}
        return _from_card(state["card"] | {"versions": versions}, weights, result)
    return _from_timm(path, state, architecture, weights=weights, result=result)


def _checkpoint_in(folder: Path, which: str) -> Path:
    """The checkpoint of a run, or of an output folder of timm's train.py."""
    ours = folder / "checkpoints" / {"last": LAST, "best": BEST}[which]
    theirs = folder / {"last": "last.pth.tar", "best": "model_best.pth.tar"}[which]
    if ours.exists() or theirs.exists():
        return ours if ours.exists() else theirs
    if (folder / "architectures.jsonl").exists():
        raise UserError(
            f"{folder} is a search, which trains no final network; train its cell first: "
            f"python -m nastransfer_nni.transfer --arch {folder / 'architecture.json'} --target ..."
        )
    if (folder / "transfers").is_dir():
        raise UserError(f"{folder} is a study; name one of the runs in {folder / 'transfers'}")
    if files := sorted(path.name for path in folder.iterdir() if path.suffix in (".pth", ".pt", ".tar")):
        raise UserError(f"{folder} has no {theirs.name}; name one of its files: {', '.join(files[:5])}")
    raise UserError(f"no checkpoint {ours}")


def _known_of(run: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """What the folder of a run says of its networks, and their checkpoints do not.

    Returns:
        The versions of the packages that trained it, and what it was evaluated on.
    """
    config, summary = directory.read_config(run) or {}, directory.read_summary(run) or {}
    known = ("target", "evaluated_on", "mult_adds")
    return config.get("versions") or {}, {name: summary[name] for name in known if name in summary}


def _on_hub(name: str) -> Trained:
    folder = hub.folder(name, (CARD, WEIGHTS))
    if lacking := [file for file in (CARD, WEIGHTS) if not (folder / file).exists()]:
        raise UserError(f"{name} is not a network that `export --push-to-hub` has pushed: no {lacking[0]}")
    return _exported(folder / WEIGHTS)


def _state(path: Path) -> dict[str, Any]:
    """Content of a file of weights."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: {error}") from None
    with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its arguments as one
        state = torch_io.load(path)
    if state is None:
        raise UserError(f"no checkpoint {path}")
    if not isinstance(state, dict):
        raise UserError(f"{path} contains no network, but a {type(state).__name__}")
    return state


def _exported(path: Path) -> Trained:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path.parent / CARD
    card = read_json(file, "model card")
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
        input={"interpolation": "bicubic", **card["input"]},  # version 0.1 knew no other
        classes=tuple(card["classes"]),
        weights=weights,
        training=card["training"],
        result=result,
        numbering=card.get("numbering", ""),
        versions=card.get("versions", {}),
    )


def _from_timm(
    path: Path,
    state: dict[str, Any],
    architecture: Architecture | None,
    *,
    weights: dict[str, Tensor],
    result: dict[str, Any],
) -> Trained:
    """A network that timm's train.py has saved, which its arguments describe as far as they are at hand."""
    import timm

    arguments, origin = timm_arguments(path, state)
    name = str(arguments.get("model") or state.get("arch") or "")
    if architecture is not None:
        options = options_of(weights, path)
        with torch.device("meta"):
            name = architecture.space.build(architecture.genotype, **options).model_name
        model = timm.create_model(name, architecture=architecture.genotype, **options)
    else:
        model, options = _by_arguments(path, name, arguments)
    data = timm.data.resolve_data_config(arguments, model=model)
    if data["crop_mode"] != "center":
        raise UserError(f"{path} was trained with --crop-mode {data['crop_mode']}; only center is known here")
    return Trained(
        architecture=architecture or Architecture(model.genotype, name),
        options=options,
        input={
            "img_size": data["input_size"][-1],
            "mean": list(data["mean"]),
            "std": list(data["std"]),
            "crop_pct": data["crop_pct"],
            "interpolation": data["interpolation"],
        },
        classes=_class_map(arguments),
        weights=weights,
        training={key: value for key, value in arguments.items() if isinstance(value, str | int | float)},
        result=result,
        origin=origin or "timm's defaults, since no arguments are at hand",
        numbering=numbering(arguments),
    )


def _by_arguments(path: Path, name: str, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The network `name` as the arguments of timm's train.py describe it, and its options.

    Raises:
        UserError: there is no name, or that of another network.
    """
    import timm

    if not name:
        raise UserError(
            f"{path} does not say which network it holds, and there is no {ARGUMENTS} of timm's train.py in "
            "the same folder; name its cell by --arch"
        )
    if not name.startswith("nastransfer_") or not timm.is_model(name):
        raise UserError(f"{path} contains a {name}, which is not a network of this project")
    options = {**(arguments.get("model_kwargs") or {})}
    if arguments.get("in_chans"):
        options["in_chans"] = arguments["in_chans"]
    model = timm.create_model(name, num_classes=arguments.get("num_classes"), **options)
    options.pop("architecture", None)
    return model, {**options, "num_classes": model.num_classes}


def _class_map(arguments: dict[str, Any]) -> tuple[str, ...]:
    """The class names of the file that timm's train.py was given, in order; empty without one."""
    file = arguments.get("class_map")
    return class_names(Path(file)) if file else ()


def class_names(file: Path) -> tuple[str, ...]:
    """The lines of a text file, a class name each.

    Raises:
        UserError: the file cannot be read, is empty or has a name twice.
    """
    try:
        names = [line.strip() for line in read_text(file).splitlines()]
    except UserError as error:
        raise UserError(f"--class-map {file} {error}") from None
    names = [name for name in names if name]
    if not names or len(set(names)) < len(names):
        raise UserError(f"--class-map {file} must name every class once, one per line")
    return tuple(names)
