"""Weights without a description: their names, what network they fit, and the arguments of timm's script."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nastransfer_nni.base.reading import exists, read_yaml
from search_spaces.errors import UserError

ARGUMENTS = "args.yaml"
"""File in which timm's train.py leaves its arguments next to its checkpoints."""


def plain_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes of `torch.compile` and of data-parallel training."""
    plain = {name.replace("_orig_mod.", ""): value for name, value in weights.items()}
    while plain and all(name.startswith(("module.", "model.")) for name in plain):
        plain = {name.split(".", 1)[1]: value for name, value in plain.items()}
    return plain


def options_of(weights: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Arguments of a network of cells, without the architecture, that fit these weights.

    Raises:
        UserError: they are not those of a network of cells.
    """
    is_darts = "stem.first.0.weight" in weights
    prefix, factor = ("stem.first", 3) if is_darts else ("stem", 1)  # else of NAS-Bench-201
    stem, classifier = weights.get(f"{prefix}.0.weight"), weights.get("classifier.weight")
    cells = {int(found[1]) for name in weights if (found := re.match(r"cells\.(\d+)\.", name))}
    if stem is None or classifier is None or not cells:
        raise UserError(f"{path} holds the weights of another kind of network: {_shown(weights)}")
    is_imagenet = f"{prefix}.3.weight" in weights
    return {
        "width": 2 * stem.shape[0] if is_imagenet else stem.shape[0] // factor,
        "layers": max(cells) + 1,
        "num_classes": classifier.shape[0],
        "stem": "imagenet" if is_imagenet else "cifar",
    }


def mismatch(model: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """What keeps `weights` from fitting `model`, in one line; empty where they fit."""
    own = model.state_dict()
    auxiliary = "auxiliary_head."
    given = {name: value for name, value in weights.items() if not name.startswith(auxiliary)}
    needed = {name for name in own if not name.startswith(auxiliary)}
    parts = {
        "lacks": [name for name in needed if name not in given],
        "has besides": [name for name in given if name not in own],
        "has in another size": [
            name for name, value in given.items() if name in own and value.shape != own[name].shape
        ],
    }
    return "; ".join(f"it {what} {_shown(sorted(names))}" for what, names in parts.items() if names)


def _shown(names: Any) -> str:
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(map(str, listed[:3])) + more


def timm_arguments(path: Path, state: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The arguments of timm's train.py for a checkpoint, and where they were found.

    They are in the checkpoint itself or, for averaged and cleaned weights, in `args.yaml` in the
    same folder. Without any, both are empty.

    Raises:
        UserError: `args.yaml` cannot be read or is no mapping.
    """
    inside = state.get("args")
    if isinstance(inside, argparse.Namespace):
        return vars(inside), f"the arguments in {path}"
    file = path.parent / ARGUMENTS
    if not exists(file):
        return {}, ""
    arguments = read_yaml(file, "timm's arguments")
    if not isinstance(arguments, dict):
        raise UserError(f"{file} is no list of arguments of timm's train.py")
    return arguments, str(file)


def numbering(arguments: Mapping[str, Any]) -> str:
    """How timm's train.py numbered the classes.

    Returns:
        `timm`: its reader of folders, in natural order; `sorted`: torchvision's, as strings; `set`: the data
        set's own numbers.
    """
    reader = str(arguments.get("dataset") or "").lower()
    if reader.startswith("torch/"):
        return "sorted" if reader.endswith(("/folder", "/image_folder")) else "set"
    return "set" if "/" in reader else "timm"
