"""`resolution`: the same images at another size."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from nastransfer_nni.proxy.kinds.all_images import AllImages
from nastransfer_nni.proxy.step import register


@register("resolution")
class Resolution(AllImages):
    """Every image, resized: the central square, scaled to `img_size` x `img_size` pixels."""

    main = "img_size"
    renamed: ClassVar = {"pixels": "img_size"}
    img_size: int = Field(ge=8, description="height and width in px that images are resized to")

    def resized_to(self, img_size: int | None) -> int:
        """The option `img_size`."""
        return self.img_size
