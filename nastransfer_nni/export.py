"""`python -m nastransfer_nni.export`: a trained network as safetensors, ONNX or a torch.export program.

Beside the files lies `model.json`, the model card: architecture.json, how to build the network and prepare
images, the class names, how it was trained, its accuracy, and a fingerprint of every file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge
from pydantic import Field

from nastransfer_nni import cli
from nastransfer_nni.config import Config

if TYPE_CHECKING:
    from torch import Tensor, nn

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "torch_export": "model.pt2"}


class ExportConfig(Config):
    """Options of an export."""

    checkpoint: str = Field(description="a run's folder, or a checkpoint (also timm's)")
    which: Literal["last", "best"] = Field("last", description="of a run's folder: which checkpoint")
    format: Literal["safetensors", "onnx", "torch_export", "all"] = Field(
        "safetensors", description="safetensors, onnx, torch_export or all"
    )
    img_size: Annotated[int, Ge(0)] = Field(0, description="image size in px; 0: as in training")
    out: str | None = Field(None, description="folder to write to; None: `export` in the run's folder")


COMMAND = cli.Command(
    summary="Export a trained network with a model card.",
    config=ExportConfig,
    target="nastransfer_nni.export:export",
    positional=("checkpoint",),
    examples=("python -m nastransfer_nni.export runs/b --format all",),
)


def export(config: ExportConfig) -> dict[str, Any]:
    """Export a trained network.

    What was written is read back and compared with the network on random images in batches of two sizes; the
    largest difference of the logits stands in the card.

    Returns:
        The model card.

    Raises:
        UserError: something that the user can mend.
    """
    import hashlib

    import torch

    from nastransfer_nni import trained
    from nastransfer_nni.errors import UserError
    from nastransfer_nni.files import replacing, write_json

    source = Path(config.checkpoint)
    if config.out is None and not source.is_dir():
        raise UserError("--out is needed where the checkpoint is not a run's folder")
    folder = Path(config.out) if config.out is not None else source / "export"
    network = trained.read(source, config.which)
    model = network.build()
    size = config.img_size or network.input["img_size"]
    formats = list(FILES) if config.format == "all" else [config.format]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    card = network.card() | {"input": network.input | {"img_size": size}, "files": {}}
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, model.in_chans, size, size, generator=generator)
    for kind in formats:
        path = folder / FILES[kind]
        with replacing(path) as scratch:
            _WRITERS[kind](model, images[:2], scratch)
        with torch.inference_mode():
            expected = model(images)
            difference = max(
                float((_READERS[kind](path, network, images[:count]) - expected[:count]).abs().max())
                for count in (1, 3)
            )
        card["files"][path.name] = {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "largest_difference": difference,
        }
    write_json(folder / trained.CARD, card)
    shown = ", ".join(
        f"{name} ({entry['bytes']:,} bytes, differs by at most {entry['largest_difference']:.1e})"
        for name, entry in card["files"].items()
    )
    print(f"{folder}: {shown}, {trained.CARD}")
    return card


def _write_safetensors(model: nn.Module, images: Tensor, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, path, {"format": "pt"}
    )


def _read_safetensors(path: Path, network: Any, images: Tensor) -> Tensor:
    from dataclasses import replace

    from safetensors.torch import load_file

    logits: Tensor = replace(network, weights=load_file(path)).build()(images)
    return logits


def _write_torch_export(model: nn.Module, images: Tensor, path: Path) -> None:
    import torch

    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    with path.open("wb") as file:
        torch.export.save(program, file)


def _read_torch_export(path: Path, network: Any, images: Tensor) -> Tensor:
    import torch

    with path.open("rb") as file:
        logits: Tensor = torch.export.load(file).module()(images)
    return logits


def _write_onnx(model: nn.Module, images: Tensor, path: Path) -> None:
    import logging
    import warnings

    import torch

    from nastransfer_nni.errors import UserError

    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX export needs {error.name}: pip install 'nastransfer-nni[onnx]'") from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    assert program is not None
    program.save(str(path), include_initializers=True)


def _read_onnx(path: Path, network: Any, images: Tensor) -> Tensor:
    import torch

    from nastransfer_nni.errors import UserError

    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "ONNX export is checked by onnxruntime: pip install 'nastransfer-nni[onnx]'"
        ) from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


_WRITERS = {"safetensors": _write_safetensors, "onnx": _write_onnx, "torch_export": _write_torch_export}
_READERS = {"safetensors": _read_safetensors, "onnx": _read_onnx, "torch_export": _read_torch_export}


if __name__ == "__main__":
    from nastransfer_nni.export import COMMAND as EXPORT  # this file as the module that its options name

    cli.main("python -m nastransfer_nni.export", EXPORT)
