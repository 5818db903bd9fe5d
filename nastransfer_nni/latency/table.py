"""latency.json: how long the parts of a final network take on one machine, and the sums of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, PrivateAttr

from nastransfer_nni.base.config import Config
from nastransfer_nni.base.paths import located
from nastransfer_nni.base.reading import read_json
from search_spaces import Space
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from search_spaces.parts import Part
    from search_spaces.sizes import EdgeCosts

NANOSECONDS = 10**6
"""Nanoseconds of a millisecond: latencies are added up as whole nanoseconds."""


class NetworkSetting(Config):
    """The final network whose parts a table has."""

    space: str
    width: int
    layers: int
    num_classes: int
    stem: str
    img_size: int

    def __str__(self) -> str:
        return (
            f"{self.space}, width {self.width}, {self.layers} cells, {self.num_classes} classes, "
            f"{self.stem} stem, {self.img_size} px"
        )

    @property
    def command(self) -> str:
        """The command that measures it."""
        options = {name.replace("_", "-"): value for name, value in self.model_dump().items()}
        flags = " ".join(f"--{name} {value}" for name, value in options.items())
        return f"nastransfer measure-latency {flags}"


class LatencyTable(Config):
    """Latencies of the parts of a final network, see `search_spaces.parts`.

    Attributes:
        format: mark of the file format.
        version: version of the file format.
        network: the final network.
        settings: how it was measured: batch_size, threads, device, rounds, seconds.
        machine: host, processor, number of cores, versions, time and command of the measurement.
        check: the sums against whole networks, where they were compared.
        milliseconds: latency of a batch, by name of the part.
        rest: what whole networks take besides their parts, in ms.
    """

    format: Literal["nastransfer-latency"] = "nastransfer-latency"
    version: Literal[1] = 1
    network: NetworkSetting
    settings: dict[str, Any]
    machine: dict[str, Any]
    check: dict[str, Any] | None = None
    milliseconds: dict[str, float] = Field(min_length=1)
    rest: float = Field(0.0, allow_inf_nan=False)

    _text: str = PrivateAttr(default="")

    @property
    def text(self) -> str:
        """The path that the table was read from."""
        return self._text

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a table.

        Raises:
            UserError: the file is missing or is no table.
        """
        content = read_json(located(path), "latency table")
        try:
            table = cls.create(content if isinstance(content, Mapping) else {})
        except UserError as error:
            raise UserError(f"{path} is no latency table: {str(error).removeprefix('--')}") from None
        if not all(0 <= value < float("inf") for value in table.milliseconds.values()):
            raise UserError(f"{path} has latencies that are negative, infinite or not numbers")
        table._text = path
        return table

    def costs(
        self, space: Space, width: int, layers: int, num_classes: int, stem: str, image_size: int
    ) -> EdgeCosts:
        """The latency of the final networks of a size in nanoseconds, as a sum over their parts.

        Args:
            space: the search space.
            width: channels of the first cell.
            layers: number of cells.
            num_classes: number of classes.
            stem: `cifar` or `imagenet`.
            image_size: height and width of the image in px.

        Raises:
            UserError: the table is of another network.
        """
        wanted = NetworkSetting(
            space=space.text,
            width=width,
            layers=layers,
            num_classes=num_classes,
            stem=stem,
            img_size=image_size,
        )
        name = self.text or "the latency table"
        if self.network != wanted:
            raise UserError(
                f"{name} is of another network ({self.network}); the final network is {wanted}: "
                f"{wanted.command}"
            )

        def nanoseconds(part: Part) -> int:
            if part.name not in self.milliseconds:
                raise UserError(f"{name} lacks {part.name!r}: {wanted.command}")
            return round(self.milliseconds[part.name] * NANOSECONDS)

        from search_spaces.sizes import PartSizes  # imports torch, which options do without

        parts = space.parts(width, layers, num_classes, stem, image_size)
        return PartSizes(space.kinds, parts, nanoseconds, round(self.rest * NANOSECONDS))
