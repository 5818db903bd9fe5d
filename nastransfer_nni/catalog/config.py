"""Options of the commands that list what there is."""

from __future__ import annotations

from pydantic import Field

from nastransfer_nni.base.config import Config


class ListConfig(Config):
    """Options of `list`."""

    as_json: bool = Field(False, description="print JSON instead of a table")


class ShowConfig(Config):
    """Options of `strategies show`."""

    strategy: str = Field(description="strategy, with options as in pc-darts:partial_channels=2")


class ExamplesConfig(Config):
    """Options of `examples`."""

    to: str | None = Field(None, description="folder to copy them to; None: list them")
    overwrite: bool = Field(False, description="replace files of the same name in that folder")


class LoopbackConfig(Config):
    """Options of `loopback`."""
