"""The file formats of an export: writing each one, and reading it back as a check."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from search_spaces.errors import UserError

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "torch_export": "model.pt2"}


def _write_safetensors(model: nn.Module, images: Tensor, path: Path) -> None:
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, path, {"format": "pt"}
    )


def _read_safetensors(path: Path, network: Any, images: Tensor) -> Tensor:
    logits: Tensor = replace(network, weights=load_file(path)).build()(images)
    return logits


def _write_torch_export(model: nn.Module, images: Tensor, path: Path) -> None:
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    with path.open("wb") as file:
        torch.export.save(program, file)


def _read_torch_export(path: Path, network: Any, images: Tensor) -> Tensor:
    with path.open("rb") as file:
        logits: Tensor = torch.export.load(file).module()(images)
    return logits


def _write_onnx(model: nn.Module, images: Tensor, path: Path) -> None:
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
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "ONNX export needs onnxruntime to check the file: pip install 'nastransfer-nni[onnx]'"
        ) from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


WRITERS = {"safetensors": _write_safetensors, "onnx": _write_onnx, "torch_export": _write_torch_export}
READERS = {"safetensors": _read_safetensors, "onnx": _read_onnx, "torch_export": _read_torch_export}
