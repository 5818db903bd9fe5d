"""Options of the `tensorboard` command."""

from __future__ import annotations

from pydantic import Field

from nastransfer_nni.base.config import Config


class BoardConfig(Config):
    """Options of `tensorboard`."""

    folder: str = Field(description="folder with runs, such as a study's, or one that holds several")
    port: int = Field(6006, ge=1024, le=65535, description="port of TensorBoard, on this machine only")
