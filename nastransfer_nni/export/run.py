"""Export a trained network.

The model card `model.json` is written next to the exported files. It contains the architecture, how to build
the network and prepare images, the class names, how the network was trained, its accuracy, and the hash of
each file. Beside weights as safetensors stand what timm and the Hub read, see `description`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from nastransfer_nni import __version__
from nastransfer_nni.architecture.file import MODEL_CONFIG
from nastransfer_nni.base import hub
from nastransfer_nni.base.files import replacing, write_json
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.export import description
from nastransfer_nni.export.config import ExportConfig
from nastransfer_nni.export.formats import FILES, READERS, WRITERS
from nastransfer_nni.models import saved
from search_spaces.errors import UserError

DESCRIPTIONS = (MODEL_CONFIG, description.README)
"""Files beside weights that people are likely to have, too."""


def export(config: ExportConfig) -> dict[str, Any]:
    """Export a trained network.

    Each file is read back and compared with the network on random images, in batches of two sizes; the card
    records the largest difference of the logits.

    Returns:
        The model card.

    Raises:
        UserError: there is no such network, the folder cannot be written to, or a package for
            ONNX is missing, or the Hub refuses the push.
    """
    source, folder = expanded(config.checkpoint), _folder(config)
    network = saved.read(source, config.which, config.arch)
    model = network.build()
    size = config.img_size or network.input["img_size"]
    formats = list(FILES) if config.format == "all" else [config.format]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    _refuse_to_replace(folder, formats)
    card = network.card() | {"input": network.input | {"img_size": size}, "files": {}}
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, model.in_chans, size, size, generator=generator)
    with torch.inference_mode():
        expected = model(images)
    if not expected.isfinite().all():
        raise UserError(f"{config.checkpoint}: the outputs of the network are not finite numbers")
    for kind in formats:
        path = folder / FILES[kind]
        with replacing(path) as scratch:
            WRITERS[kind](model, images[:2], scratch)
        with torch.inference_mode():
            difference = max(
                float((READERS[kind](path, network, images[:count]) - expected[:count]).abs().max())
                for count in (1, 3)
            )
        card["files"][path.name] = {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "largest_difference": difference,
        }
    write_json(folder / saved.CARD, card)
    others = [saved.CARD]
    if saved.WEIGHTS in card["files"]:
        others += description.write(
            folder, network, model, img_size=size, license=config.license, name=config.push_to_hub
        )
    for name in {*FILES.values(), *DESCRIPTIONS} - {*card["files"], *others}:
        (folder / name).unlink(missing_ok=True)  # of an earlier export, perhaps of other weights
    shown = ", ".join(
        f"{name} ({entry['bytes']:,} bytes, differs by at most {entry['largest_difference']:.1e})"
        for name, entry in card["files"].items()
    )
    print(f"{folder}: {shown}, {', '.join(others)}")
    if config.push_to_hub is not None:
        pushed = hub.push(
            folder,
            [*card["files"], *others],
            config,
            kind="model",
            mark=saved.CARD,
            message=f"Add {network.architecture.name}, exported by nastransfer_nni {__version__}",
        )
        print(pushed.text)
    return card


def _refuse_to_replace(folder: Path, formats: Iterable[str]) -> None:
    """Refuse a folder in which an export would replace files that none has written.

    Raises:
        UserError: names the first such file.
    """
    if (read_object(folder / saved.CARD) or {}).get("format") == saved.FORMAT:
        return
    for name in (saved.CARD, *(FILES[kind] for kind in formats), *DESCRIPTIONS):
        if (folder / name).exists():
            raise UserError(f"--out {folder} holds {name}, which no export has written; name another folder")


def _folder(config: ExportConfig) -> Path:
    """The folder to write to."""
    source = expanded(config.checkpoint)
    if config.out is None and not source.is_dir():
        raise UserError("--out is needed if the checkpoint is not a run's folder")
    return expanded(config.out) if config.out is not None else source / "export"
